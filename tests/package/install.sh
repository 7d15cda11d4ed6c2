#!/usr/bin/env bash
# `make install` puts everything where it belongs and `make uninstall` leaves nothing; the program
# does what it is called as: mkfs.vecfs, fsck.vecfs as fsck(8) calls it, mount.fuse.vecfs as mount(8)
# does, from a line of fstab too; the systemd unit is sound and what it starts mounts.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/package/lib-package.sh
. "$here/lib-package.sh"
[ -c /dev/fuse ] || {
	echo "there is no /dev/fuse"
	exit 77
}
package_begin
root=$work/root
mnt=$work/mnt
mkdir "$mnt"

# --- what is installed ---

install_below "$root" /usr >"$work/said" 2>&1
check $? "make install: $(cat "$work/said")"
for file in bin/vecfs sbin/mkfs.vecfs sbin/fsck.vecfs sbin/mount.fuse.vecfs share/man/man1/vecfs.1 \
	share/man/man1/vecfs-check.1 share/man/man5/vecfs.5 share/man/man8/fsck.vecfs.8 \
	share/bash-completion/completions/vecfs share/zsh/site-functions/_vecfs \
	share/fish/vendor_completions.d/vecfs.fish lib/systemd/system/vecfs@.service \
	share/doc/vecfs/fstab.example; do
	[ -r "$root/usr/$file" ]
	check $? "there is $file"
done
[ -z "$(find "$root" ! -type l -perm /022)" ] && [ -z "$(find "$root" -xtype l)" ]
check $? "nothing can be written by others, no link leads nowhere"
if command -v man >/dev/null; then
	man -M "$root/usr/share/man" mkfs.vecfs 2>"$work/said" | grep -q "create an empty vecfs store" && [ ! -s "$work/said" ]
	check $? "man mkfs.vecfs $(cat "$work/said")"
fi
install_below "$work/local" /usr/local >/dev/null &&
	"$work/local/usr/local/sbin/mkfs.vecfs" --help | grep -q mkfs
check $? "below another prefix"
grep -q '^ExecStart=/usr/local/bin/vecfs ' "$work/local/usr/local/lib/systemd/system/vecfs@.service"
check $? "the unit has the prefix"
install_below "$work/local" /usr/local uninstall
[ -z "$(find "$work/local" ! -type d)" ] && [ ! -e "$work/local/usr/local/share/doc/vecfs" ]
check $? "make uninstall leaves nothing: $(find "$work/local" ! -type d)"

# --- called by other names ---

ended() { # waits until nobody has the store
	local i
	for ((i = 0; i < 200; i++)); do
		[ -n "$(pgrep -f -- "$root/usr/.*$work/s")" ] || return 0
		sleep 0.05
	done
	return 1
}

"$root/usr/sbin/mkfs.vecfs" "$work/s" --dim=2 --metric=l2
check $? "mkfs.vecfs"
for letters in '' -a -p -y -n -f "-a -f" "-p -C0" "-V -n -f"; do
	# shellcheck disable=SC2086 # letters are words
	"$root/usr/sbin/fsck.vecfs" $letters "$work/s" | grep -q ': clean$'
	check $? "fsck.vecfs $letters"
done
"$root/usr/sbin/fsck.vecfs" -a "$work/none" 2>/dev/null
[ $? -eq 8 ]
check $? "fsck.vecfs of nothing ends with 8"
"$root/usr/sbin/fsck.vecfs" --colour "$work/s" 2>/dev/null
[ $? -eq 16 ]
check $? "fsck.vecfs called wrongly ends with 16, for 2 would ask for a reboot"
cp "$work/s" "$work/bad"
printf 'XXXXXXXX' | dd of="$work/bad" bs=1 seek=8192 conv=notrunc status=none
"$root/usr/sbin/fsck.vecfs" -a "$work/bad" >/dev/null 2>&1
[ $? -eq 4 ]
check $? "fsck.vecfs of a damaged store ends with 4"

"$root/usr/sbin/mount.fuse.vecfs" "$work/s" "$mnt" -o rw,dim=2,metric=l2
check $? "mount.fuse.vecfs"
printf '\0\0\200\077\0\0\200\077' >"$mnt/vectors/one" && [ "$(cat "$mnt/query/1/0000803f0000803f")" = "one	0" ]
check $? "the mount works"
fusermount3 -u "$mnt" && ended
check $? "unmounted"

# The example of fstab has only options that are taken.
while read -r store _ type options _; do
	[ "$type" = fuse.vecfs ] && "$root/usr/sbin/mount.fuse.vecfs" "$work/${store##*/}" "$mnt" -f -o "$options"
	check $? "fstab.example: $options"
done < <(grep -v '^#' "$root/usr/share/doc/vecfs/fstab.example")

# --- what the systemd unit starts ---

unit=$root/usr/lib/systemd/system/vecfs@.service
line=$(sed -n 's/^ExecStart=//p' "$unit")
line=${line//%f/$mnt}
# shellcheck disable=SC2016 # names that stand in the unit
line=${line//'${STORE}'/$work/s}
# shellcheck disable=SC2016
line=${line//'${OPTIONS}'/defaults}
# shellcheck disable=SC2086 # words
"$root"$line && [ -e "$mnt/vectors/one" ]
check $? "the unit mounts: $line"
kill -TERM "$(pgrep -f -- "$root/usr/.*$work/s")" && ended && ! mountpoint -q "$mnt"
check $? "and unmounts on SIGTERM"
"$root/usr/sbin/fsck.vecfs" "$work/s" | grep -q '1 vectors.* 0 log records: clean'
check $? "in order: the log is empty"
if command -v systemd-analyze >/dev/null; then
	sed "s|=/usr/bin/|=$root/usr/bin/|" "$unit" >"$work/vecfs@srv-pictures.service"
	said=$(systemd-analyze --man=no verify "$work/vecfs@srv-pictures.service" 2>&1)
	[ -z "$said" ]
	check $? "systemd-analyze verify: $said"
else
	echo "not looked at: the unit as systemd sees it, for systemd-analyze is not there"
fi

# --- as mount(8) and fsck(8) call it, in a mount namespace with our programs in /sbin ---

cat >"$work/fstab" <<END
$work/s $mnt fuse.vecfs noauto,nofail,_netdev,x-systemd.automount,dim=2,durability=close 0 0
END
ln -s . "$work/way"
cat >"$work/fstab-all" <<END
$work/s $mnt fuse.vecfs defaults,nofail 0 0
$work/way/blank\040s $work/way/mnt2 fuse.vecfs defaults,nofail 0 0
END
mkdir "$work/mnt2"
cat >"$work/inside" <<'END'
set -uo pipefail
root=$1 work=$2 mnt=$3 helper=$4
our_daemons() { pgrep -f -- "vecfs.*$work/(s|way/blank s|blank s) " | sort | xargs; }
wait_end() {
	for ((i = 0; i < 200; i++)); do
		[ -n "$(our_daemons)" ] || return 0
		sleep 0.05
	done
}
say() { if [ "$1" -eq 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
if [ "$helper" = yes ]; then
	cp -a /usr/sbin "$work/sbin" && cp "$root/usr/bin/vecfs" "$work/sbin/vecfs-program" || exit 1
	for name in mount.fuse.vecfs fsck.vecfs; do
		ln -s vecfs-program "$work/sbin/$name"
	done
	mount --bind "$work/sbin" /usr/sbin || exit 1
	fsck -t vecfs "$work/s" 2>&1 | grep -q ': clean$'
	say $? "fsck -t vecfs calls fsck.vecfs"
else
	# mount(8) takes the PATH away, and what it calls has the usual folders.
	mount --bind "$root/usr/bin" /usr/local/bin || exit 1
	if [ -e /sbin/mount.fuse.vecfs ]; then
		echo "not looked at: mounting without a helper of our own"
		exit 0
	fi
fi
mount -t fuse.vecfs "$work/s" "$mnt" -o dim=2,cache=16M && grep -q '"cache_bytes": 16777216' "$mnt/status/config"
say $? "mount -t fuse.vecfs, helper of our own: $helper"
umount "$mnt" && wait_end
mount -r -t fuse.vecfs "$work/s" "$mnt" && ! touch "$mnt/vectors/no" 2>/dev/null && [ -e "$mnt/vectors/one" ]
say $? "mount -r"
umount "$mnt" && wait_end
mount -T "$work/fstab" "$mnt" && grep -q '"durability": "close"' "$mnt/status/config"
say $? "mount by a line of fstab"
umount "$mnt" && wait_end
for ((i = 0; i < 2; i++)); do # the second finds all mounted and does nothing
	said=$(mount -a -T "$work/fstab-all" 2>&1)
	say $? "mount -a: $said"
	pids=$(our_daemons)
	[ "$(wc -w <<<"$pids")" -eq 2 ] && [ "$pids" = "${before:-$pids}" ]
	say $? "mount -a: two daemons, and they stay: $pids, before ${before:-none}"
	before=$pids
	[ -e "$mnt/vectors/one" ] && [ -d "$work/mnt2/vectors" ]
	say $? "mount -a: both stores are there"
	[ "$(grep -c "$work" /proc/self/mountinfo)" = "${mounts:-$(grep -c "$work" /proc/self/mountinfo)}" ]
	say $? "mount -a: nothing is mounted twice"
	mounts=$(grep -c "$work" /proc/self/mountinfo)
done
umount "$mnt" && umount "$work/mnt2" && wait_end && [ ! -e "$mnt/vectors" ]
say $? "umount of both"
! mount -t fuse.vecfs "$work/s" "$mnt" -o colour=red 2>"$work/refused" && grep -q colour "$work/refused"
say $? "an option nobody knows is named"
END
if [ "$(id -u)" -eq 0 ] && [ -e /sbin/mount.fuse3 ] && [ -d /usr/local/bin ] && unshare -m true 2>/dev/null; then
	for helper in yes no; do
		unshare -m --propagation private bash "$work/inside" "$root" "$work" "$mnt" "$helper" >"$work/said" 2>&1
		check $? "mounts by mount(8)"
		cat "$work/said"
		! grep -q '^not ok' "$work/said" || failed=$((failed + 1))
	done
else
	echo "not looked at: mount(8), for which one has to be root"
fi
package_end
