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
# The device, in a mount namespace of its own: for whom it is not, where it is missing or another.
cat >"$scratch/inside" <<'END'
mount -t tmpfs -o mode=755 none /mnt && mkdir /mnt/dev /mnt/n /mnt/n/m &&
	mknod -m 600 /mnt/dev/fuse c 10 229 || exit 77
cp -a /dev/null /dev/zero /dev/urandom /mnt/dev && mount --bind /mnt/dev /dev || exit 77
cp "$1" /mnt/vecfs
chown 65534:65534 /mnt/n /mnt/n/m
cd /mnt/n || exit 1
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
says() { # DESCRIPTION PATTERN COMMAND...
	local what=$1 pattern=$2 said code
	shift 2
	said=$("$@" 2>&1)
	code=$?
	# shellcheck disable=SC2053 # a pattern
	if [ "$code" -eq 1 ] && [[ $said == $pattern ]] && [ "$(ls -A)" = m ]; then
		echo "ok - $what: $said"
	else
		echo "not ok - $what: exit $code, $(ls -Am): $said"
	fi
}
says "of root alone" "*user 65534 may not open /dev/fuse*0600*expected mode 0666*chmod 666*" nobody /mnt/vecfs s m
chmod 666 /dev/fuse
mkdir /mnt/closed
says "a folder of another" "*no write access to mountpoint*" nobody /mnt/vecfs s /mnt/closed
says "no right to mount" "*not permitted; expected the right to mount*set-user-ID*SYS_ADMIN*" \
	nobody setpriv --no-new-privs /mnt/vecfs s m
nobody /mnt/vecfs s m && nobody fusermount3 -u m
echo "$([ $? -eq 0 ] || echo "not ")ok - with the mode that is advised it works"
while [ "$(ls -A)" != $'m\ns' ]; do sleep 0.1; done
rm s
rm /dev/fuse
says "missing" "*no device /dev/fuse*modprobe fuse*--device /dev/fuse*" /mnt/vecfs s m
mknod -m 666 /dev/fuse c 10 230
says "without a driver" "*no FUSE behind /dev/fuse*modprobe fuse*" /mnt/vecfs s m
rm /dev/fuse
mknod -m 666 /dev/fuse c 1 3
says "another device" "*something else*c 10 229*" /mnt/vecfs s m
END
if [ "$(id -u)" -eq 0 ] && [ -z "${SAN:-}" ] && command -v setpriv >/dev/null; then
	timeout 60 unshare -m --propagation private bash "$scratch/inside" "$program" >"$scratch/said" 2>&1
	case $? in
	0) cat "$scratch/said" && failed=$((failed + $(grep -c '^not ok' "$scratch/said"))) ;;
	77) echo "# not permitted to make devices: what is said of them is not looked at" ;;
	*) fail "devices" "$(cat "$scratch/said")" ;;
	esac
fi
tests_end
