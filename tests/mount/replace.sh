#!/usr/bin/env bash
# A name that is given to another file while it is opened: nobody reads nothing, and no write gets lost.
# timeout: 60 s
#
#   MILLISECONDS=N   so long each case
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

: "${BUILD:?the folder of the helper programs}"
time=${MILLISECONDS:-1000}
# one page of the kernel, and several, which it must not mix
for dim in 4 2048; do
	ok "mount, dim $dim" mount_store "$scratch/$dim.vecfs" "$M" dim="$dim",metric=l2
	for case in rename remove empty; do
		ok "$case, dim $dim" "$BUILD/tests/mount/replace" "$M" "$case" "$dim" "$time"
	done
	ok "unmount" unmount_store "$M"
done

tests_end
