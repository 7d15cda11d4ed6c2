#!/usr/bin/env bash
# The floor of recall through a mount, on 5,000 Fashion-MNIST pictures: while they are pending, when
# all are linked, after the next mount, and after a kill. timeout: 300 s
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/../mount/lib-cases.sh"
data=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
if [ ! -e "$data/train-images-idx3-ubyte.gz" ]; then
	echo "the data set is not there: install dataset-fashion-mnist"
	exit 77
fi
cases_begin
: "${BUILD:?the folder of the helper programs}"

fashion=$BUILD/tests/recall/fashion
store=$work/store

step() { # WORDS...
	"$fashion" "$@" 2>&1
	check "${PIPESTATUS[0]}" "$1${4:+ $4}"
}

mounted "$store" "$mnt" -o dim=784,metric=l2
step write "$mnt" "$data"
step ask "$mnt" "$data" "at once after writing"
step wait "$mnt"
grep -qx 'vecfs_vectors_pending 0' "$mnt/status/metrics"
check $? "nothing is pending"
step ask "$mnt" "$data" "when all are linked"

unmounted "$mnt"
gone "$store"
mounted "$store" "$mnt"
step ask "$mnt" "$data" "after the next mount"

"$fashion" rewrite "$mnt" "$data" >"$work/rewritten" 2>&1 &
child=$!
until grep -q begun "$work/rewritten" || ! kill -0 "$child" 2>/dev/null; do
	sleep 0.05
done
sleep 0.5
kill -9 "$(daemon_of "$mnt")"
wait "$child"
check $? "killed while all are written again: $(tail -n 1 "$work/rewritten")"
gone "$store"
mounted "$store" "$mnt" 2>"$work/said"
step ask "$mnt" "$data" "after a kill"
step wait "$mnt"
step ask "$mnt" "$data" "after a kill, when all are linked"
unmounted "$mnt"
gone "$store"
"$VECFS" check "$store"
check $? "vecfs check"
cases_end
