#!/usr/bin/env bash
# Listings beside changes: nobody misses what is there or sees what is gone.
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

helper=${BUILD:-build/plain}/tests/mount/listing
if [ ! -x "$helper" ]; then
	helper=$scratch/listing
	${CC:-cc} -D_GNU_SOURCE -std=c11 -O2 -o "$helper" "$(dirname "$0")/listing.c"
fi
ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=l2
seconds=8
[ -z "${SAN:-}" ] || seconds=4
ok "six processes write, list, remove, list" "$helper" "$M/vectors" 16 "$seconds"
equal "nothing is left" "" "$(ls "$M/vectors")"
ok "unmount" unmount_store "$M"
tests_end
