#!/usr/bin/env bash
# System calls on vectors of one page and of several, and on all else in the tree: posix_*.c through
# a mount.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

helpers=${BUILD:-build/plain}/tests/mount
subjects=(open write names attr read copy tree readdir)
for subject in "${subjects[@]}"; do
	[ -x "$helpers/posix_$subject" ] || {
		echo "$helpers/posix_$subject is missing: make mount-programs"
		exit 1
	}
done

for dim in 8 1500; do
	ok "mount, $dim numbers" mount_store "$scratch/$dim.vecfs" "$M" "dim=$dim,metric=l2"
	for subject in "${subjects[@]}"; do
		echo "# $subject, $dim numbers"
		"$helpers/posix_$subject" "$M" "$dim" || failed=$((failed + 1))
	done
	ok "unmount" unmount_store "$M"
done
ok "mount, durability=close" mount_store "$scratch/close.vecfs" "$M" \
	dim=8,metric=l2,durability=close
for subject in "${subjects[@]}"; do
	"$helpers/posix_$subject" "$M" 8 >"$scratch/said" ||
		fail "durability=close, $subject" "$(grep '^not ok' "$scratch/said")"
done
ok "unmount" unmount_store "$M"
tests_end
