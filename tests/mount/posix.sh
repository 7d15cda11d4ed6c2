#!/usr/bin/env bash
# System calls on vectors of one page and of several: posix.c through a mount.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

posix=${BUILD:-build/plain}/tests/mount/posix
if [ ! -x "$posix" ]; then
	posix=$scratch/posix
	"${CC:-cc}" -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O1 -Wall -Wextra -pthread \
		-o "$posix" "$(dirname "$0")/posix.c" || exit 1
fi

for dim in 8 1500; do
	ok "mount, $dim numbers" mount_store "$scratch/$dim.vecfs" "$M" "dim=$dim,metric=l2"
	"$posix" "$M/vectors" "$dim" || failed=$((failed + 1))
	ok "unmount" unmount_store "$M"
done
ok "mount, durability=close" mount_store "$scratch/close.vecfs" "$M" \
	dim=8,metric=l2,durability=close
"$posix" "$M/vectors" 8 >"$scratch/said" || fail "durability=close" "$(grep '^not ok' "$scratch/said")"
ok "unmount" unmount_store "$M"
tests_end
