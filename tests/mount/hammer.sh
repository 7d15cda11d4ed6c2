#!/usr/bin/env bash
# 16 processes on the same few ids: each name is always what one of them wrote, whole. timeout: 120 s
#
#   SEED=N      what they do
#   ROUNDS=N    so often each
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin
: "${BUILD:?the folder of the helper programs}"

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
case ${SAN:-} in
'') rounds=400 ;;
*thread*) rounds=20 ;;
*) rounds=80 ;;
esac
rounds=${ROUNDS:-$rounds}

for dim in 32 1040; do # of one page and of more
	echo "seed $seed, dim $dim, 16 processes, $rounds rounds"
	mounted "$work/store$dim" "$mnt" -o dim=$dim,metric=l2
	"$BUILD/tests/mount/hammer" "$mnt" "$dim" 16 "$rounds" "$seed"
	check $? "each name is one whole vector, no change is lost"
	sums=$(cd "$mnt/vectors" && sha1sum -- *)
	unmounted "$mnt"
	gone "$work/store$dim"
	"$VECFS" check "$work/store$dim"
	check $? "vecfs check"
	mounted "$work/store$dim" "$mnt"
	[ "$(cd "$mnt/vectors" && sha1sum -- *)" = "$sums" ]
	check $? "the same after the next mount"
	unmounted "$mnt"
	gone "$work/store$dim"
done
cases_end
