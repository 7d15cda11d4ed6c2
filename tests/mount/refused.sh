#!/usr/bin/env bash
# A mount that the kernel or fusermount3 refuses: what it says, and that it leaves nothing behind but
# what was there before.
# timeout: 120 s
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin
D=$scratch/folder
mkdir "$D" "$scratch/m2"

# A mount that is refused at the last step, when the store is open.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	in_vain() { setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$program" "$@"; }
elif ! grep -qx user_allow_other /etc/fuse.conf 2>/dev/null; then
	in_vain() { "$program" "$@" -o allow_other; }
else
	echo "there is no way to have a mount refused here"
	exit 77
fi

refused "a mount is refused" "cannot mount at $M" in_vain "$D/s" "$M" -o dim=2,metric=l2
equal "no store was made for it" "" "$(ls -A "$D")"
refused "also in the foreground" "cannot mount at $M" in_vain "$D/s" "$M" -f -o dim=2,metric=l2
equal "nor then" "" "$(ls -A "$D")"
refused "also without a log" "cannot mount at $M" in_vain "$D/s" "$M" -o durability=none
equal "nor then" "" "$(ls -A "$D")"

# What was there before stays, whole.
ok "mkfs" "$program" mkfs "$D/s" --dim=2 --metric=l2
refused "a mount of an empty store is refused" "cannot mount at $M" in_vain "$D/s" "$M"
equal "the store stays" s "$(ls -A "$D")"
ok "and is whole" "$program" check "$D/s"
refused "once more" "cannot mount at $M" in_vain "$D/s" "$M"
ok "mount" mount_store "$D/s" "$M"
floats 1 2 >"$M/vectors/a"
ok "unmount" unmount_store "$M"
refused "a mount of a store with a vector is refused" "cannot mount at $M" in_vain "$D/s" "$M"
equal "the store stays" s "$(ls -A "$D")"
ok "mount" mount_store "$D/s" "$M"
equal "with its vector" "1 2" "$(numbers "$M/vectors/a")"
ok "unmount" unmount_store "$M"
rm "$D/s"

# A store that was made, and was then there before nobody wrote to it, also stays when it was mounted.
ok "mount" mount_store "$D/s" "$M"
ok "unmount" unmount_store "$M"
equal "a store that was mounted for nothing stays" s "$(ls -A "$D")"
rm "$D/s"

# The store cannot be opened once it was made: no room for its log.
no_room() { (
	ulimit -f 16 # blocks of 1 KiB: that of the head, and no more
	exec "$program" "$@"
); }
refused "a store whose log finds no room" "cannot be written" no_room "$D/s" "$M"
equal "is removed, too" "" "$(ls -A "$D")"

# Two mounts of a store that is not there at once, of which one is refused: the other one gets a store,
# and what is written to it stays.
for ((i = 0; i < 5; i++)); do
	in_vain "$D/s" "$scratch/m2" -o dim=2,metric=l2 >/dev/null 2>&1 &
	other=$!
	sleep "0.0$((i * 3 % 10))"
	if ! mount_store "$D/s" "$M" dim=2,metric=l2; then
		fail "round $i: mounting beside a mount in vain"
		wait "$other"
		continue
	fi
	floats 3 4 >"$M/vectors/a"
	wait "$other"
	unmount_store "$M" || fail "round $i: unmounting"
	mount_store "$D/s" "$M" || fail "round $i: mounting again"
	[ "$(numbers "$M/vectors/a")" = "3 4" ] || fail "round $i: the vector is lost"
	unmount_store "$M" || fail "round $i: unmounting"
	rm "$D/s"
	equal "round $i: nothing else is left" "" "$(ls -A "$D")"
done
tests_end
