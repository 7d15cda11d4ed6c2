#!/usr/bin/env bash
# What others may see and do, and what the daemon leaves behind: nothing unless it was allowed.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin
chmod 755 "$scratch" "$M"
store=$scratch/s.vecfs

ok "mount" mount_store "$store" "$M" dim=2,metric=l2
floats 1 2 >"$M/vectors/a"
equal "the store is its owner's alone" 600 "$(stat -c %a "$store")"
equal "and so is its log" 600 "$(stat -c %a "$store"-wal.* | sort -u)"
equal "no core files" "0 0" "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$daemon/limits")"
if [ "$(id -u)" -ne 0 ]; then
	refused "nor may the memory be read" "ermission denied" cat "/proc/$daemon/environ"
else
	equal "nor may the memory be read" 0 "$(stat -c %u "/proc/$daemon/mem")"
fi

# From inside, as the folders above may be closed to others.
other() { (cd "$M" && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"); }
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	ok "unmount" unmount_store "$M"
	ok "mount" mount_store "$store" "$M" default_permissions
	if grep -q allow_other <<<"$(findmnt -no OPTIONS "$M")"; then
		echo "# allow_other is on for root"
	else
		refused "others see no files" "ermission denied" other ls .
		refused "nor read any" "ermission denied" other cat vectors/a
		refused "nor its metrics" "ermission denied" other cat status/metrics
	fi
	ok "unmount" unmount_store "$M"
	ok "mount" mount_store "$store" "$M" allow_other
	ok "allowed, they see what permissions let them" other cat vectors/a
	chmod 600 "$M/vectors/a"
	refused "and no more than that" "ermission denied" other cat vectors/a
	refused "vectors are not made by others" "ermission denied" other bash -c 'echo >vectors/b'
	refused "questions are the owner's" "ermission denied" other ls query/3
	refused "also by a path that was asked before" "ermission denied" other cat query/3/like/a
	refused "so is control" "ermission denied" other bash -c 'echo checkpoint >status/control'
else
	echo "# not root: what others see is not looked at"
fi
ok "unmount" unmount_store "$M"

for mode in 620 602 666; do
	chmod "$mode" "$store"
	refused "a store of mode $mode is not mounted" "mode 0$mode" "$program" "$store" "$M"
done
ok "but read" mount_store "$store" "$M" ro
ok "unmount" unmount_store "$M"
chmod go-w "$store"
ok "it is when others may only read" mount_store "$store" "$M"
ok "unmount" unmount_store "$M"

# Where files have one name alone, as on vfat.
no_links() { # WHAT
	ok "$1: a store is made" "$program" mkfs "$D/new" --dim=2
	refused "$1: and not overwritten" "exists already" "$program" mkfs "$D/new"
	ok "$1: a store is copied" "$program" compress "$store" "$D/copy"
	ok "$1: recovered" "$program" recover "$store" "$D/saved"
	ok "$1: and written as files" "$program" export "$store" "$D/all.fvecs"
	equal "$1: nothing else is left" "all.fvecs all.ids copy new saved" \
		"$(cd "$D" && echo all* copy* new* saved*)"
	rm -f "$D"/{all.fvecs,all.ids,copy,new,saved}
}

# Where the file system shows every file as writable by all, chmod would not help.
D=$scratch/disk
mkdir "$D" "$scratch/folder"
no_modes() { # WHAT FOLDER: where to put a file, so that it is in $D
	refused "$1: no store is made that everybody may write to" "umask=077" "$program" "$D/s.vecfs" "$M"
	equal "$1: nor anything else" "" "$(ls -A "$D")"
	cp "$store" "$2/s.vecfs"
	chmod go-w "$D/s.vecfs" 2>/dev/null
	refused "$1: a store that is there is not mounted" "umask=077" "$program" "$D/s.vecfs" "$M"
	equal "$1: and stays alone" s.vecfs "$(ls -A "$D")"
	ok "$1: but read" mount_store "$D/s.vecfs" "$M" ro
	ok "unmount" unmount_store "$M"
}
faultfs() { # OPTIONS [RULES]
	"$BUILD/tests/crash/faultfs" "$scratch/folder" "$D" "${2:-$scratch/none}" "$1" 2>/dev/null &
	background+=($!)
	ok "a file system with $1" soon mountpoint -q "$D"
}
if [ -z "${SAN:-}" ]; then
	faultfs umask=0
	no_modes "no modes" "$scratch/folder"
	ok "unmounted" fusermount3 -u "$D"
	faultfs umask=077
	ok "with umask=077 it works" mount_store "$D/s.vecfs" "$M"
	equal "the vector is there" "1 2" "$(numbers "$M/vectors/a")"
	ok "unmount" unmount_store "$M"
	ok "unmounted" fusermount3 -u "$D"
	echo "link * 0 0 EPERM 0" >"$scratch/rules"
	faultfs umask=077 "$scratch/rules"
	no_links "no links"
	ok "unmounted" fusermount3 -u "$D"
else
	echo "# faultfs is not built with sanitizers: no file system without modes"
fi
if [ "$(id -u)" -eq 0 ] && command -v mkfs.vfat >/dev/null && truncate -s 64M "$scratch/image" &&
	mkfs.vfat "$scratch/image" >/dev/null && mount -o loop,umask=0 "$scratch/image" "$D" 2>/dev/null; then
	no_modes vfat "$D"
	umount "$D"
	mount -o loop,umask=077 "$scratch/image" "$D"
	ok "vfat: with umask=077 it works" mount_store "$D/s.vecfs" "$M"
	ok "unmount" unmount_store "$M"
	no_links vfat
	umount "$D"
else
	echo "# no vfat can be made and mounted: skipped"
fi

# Mounted by somebody else than root, where everybody may use /dev/fuse: in a mount namespace of its own.
cat >"$scratch/inside" <<'END'
mount -t tmpfs -o mode=755 none /mnt && mknod -m 666 /mnt/fuse c 10 229 &&
	mount --bind /mnt/fuse /dev/fuse || exit 77
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
say() { if [ "$1" -eq 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
cp "$1" /mnt/vecfs
mkdir /mnt/n /mnt/n/m
chown 65534:65534 /mnt/n /mnt/n/m
cd /mnt/n || exit 1
if ! grep -qx user_allow_other /etc/fuse.conf 2>/dev/null; then
	said=$(nobody /mnt/vecfs t m -o allow_other 2>&1)
	[ $? -eq 1 ] && [[ $said == *"user_allow_other"*"/etc/fuse.conf"* ]]
	say $? "a user may not let others in, and hears what to do: $said"
fi
nobody /mnt/vecfs s m -o dim=1,metric=l2
say $? "a user mounts"
nobody bash -c "printf '\0\0\200\077' >m/vectors/a"
[ "$(nobody cat m/query/1/0000803f)" = "a	0" ]
say $? "writes and asks"
said=$(ls m 2>&1)
[[ $said == *"Permission denied"* ]]
say $? "root sees nothing of it: $said"
for what in s m /mnt/n/m/; do
	said=$(/mnt/vecfs stat "$what" 2>&1)
	[ $? -eq 1 ] && [[ $said == *"user 65534 "*" /mnt/n/s at /mnt/n/m "*"as that user"*allow_other* ]]
	say $? "stat $what by root names who mounted it: $said"
done
said=$(/mnt/vecfs u m 2>&1)
[ $? -eq 1 ] && [[ $said == *"user 65534 "*" /mnt/n/s "*"another mount point"* ]] && [ ! -e u ]
say $? "so does a mount on it: $said"
nobody /mnt/vecfs stat s | grep -qx 'mounted at   /mnt/n/m'
say $? "who mounted it is told what is in it"
nobody fusermount3 -u m
say $? "the user unmounts"
nobody /mnt/vecfs check s | grep -q ': clean$'
say $? "and the store is clean"
# Modes and owners do not bind who mounted: without default_permissions a store that came from elsewhere
# is all his.
/mnt/vecfs r m -o dim=1,metric=l2 && printf '\0\0\200\077' >m/vectors/a && umount m &&
	/mnt/vecfs check r | grep -q ': clean$' && chown 65534:65534 r
say $? "a store with a vector of root"
nobody /mnt/vecfs r m && nobody cp m/vectors/a m/vectors/b && nobody cp m/vectors/b m/vectors/a &&
	nobody rm m/vectors/a && [ "$(nobody ls m/vectors)" = b ]
say $? "is read, written and removed from by the user who owns it now"
nobody fusermount3 -u m && nobody /mnt/vecfs check r | grep -q ': clean$'
say $? "and is clean"
END
# The leak sanitizer of a user cannot look into a process that leaves no core dumps.
if [ "$(id -u)" -eq 0 ] && [ -z "${SAN:-}" ] && command -v setpriv >/dev/null; then
	unshare -m --propagation private bash "$scratch/inside" "$program" >"$scratch/said" 2>&1
	case $? in
	0) cat "$scratch/said" && failed=$((failed + $(grep -c '^not ok' "$scratch/said"))) ;;
	77) echo "# not permitted to make a device for users: skipped" ;;
	*) fail "a user mounts" "$(cat "$scratch/said")" ;;
	esac
fi
tests_end
