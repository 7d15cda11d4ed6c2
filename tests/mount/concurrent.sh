#!/usr/bin/env bash
# Many processes on one mount: whoever wrote a vector asks for it at once and must get it, and none
# that was overwritten or removed, while others list and read. timeout: 120 s
#
#   SEED=N      what the reader draws, and the metric
#   ROUNDS=N    so many vectors a writer
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin
: "${BUILD:?the folder of the helper programs}"

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
metric=$([ $((seed % 2)) -eq 0 ] && echo cosine || echo l2)
case ${SAN:-} in
'') rounds=150 ;;
*thread*) rounds=8 ;; # a query takes a hundred times as long
*) rounds=40 ;;
esac
rounds=${ROUNDS:-$rounds}
echo "seed $seed, metric $metric, 8 writers, $rounds rounds"

mounted "$work/store" "$mnt" -o dim=1040,metric="$metric"
"$BUILD/tests/mount/concurrent" "$mnt" 8 "$rounds" "$seed"
check $? "each of 8 writers sees its own writes at once, and all agree at the end"
errors=$(grep -c . "$mnt/status/errors")
[ "$errors" -eq 0 ]
check $? "status/errors is empty"
[ "$errors" -eq 0 ] || tail -n 5 "$mnt/status/errors"
before=$(find "$mnt/vectors" -type f | wc -l)
unmounted "$mnt"
gone "$work/store"
"$VECFS" check "$work/store"
check $? "vecfs check"
mounted "$work/store" "$mnt"
[ "$(find "$mnt/vectors" -type f | wc -l)" -eq "$before" ]
check $? "all $before vectors are there after the next mount"
unmounted "$mnt"
gone "$work/store"
cases_end
