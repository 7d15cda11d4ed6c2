#!/usr/bin/env bash
# Mounting: options, what is refused and with which sentence, dead mounts, going to the background.
# timeout: 120 s, without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin

# --- what is refused ---

for bad in dim=0 dim=16385 dim=x metric=hamming cache=lots cache=1 durability=never effort=0 \
	threads=0 code-bits=3 colour=red recover=prefix ro=1; do
	refused 2 "${bad%%=*}" "$VECFS" "$work/s" "$mnt" -o "$bad"
	refused 2 "${bad%%=*}" "$VECFS" "$work/s" "$mnt" "--$bad"
done
refused 2 "MOUNTPOINT is missing" "$VECFS" "$work/s"
refused 2 "too many" "$VECFS" "$work/s" "$mnt" more
refused 1 "$work/none" "$VECFS" "$work/none/s" "$mnt"
refused 1 "$work/none" "$VECFS" "$work/s" "$work/none"
touch "$work/file"
refused 1 "not a directory" "$VECFS" "$work/s" "$work/file"
refused 1 "under its own mount point" "$VECFS" "$mnt/s" "$mnt"
refused 1 "ro makes none" "$VECFS" "$work/s" "$mnt" -o ro
not_there "$work/s"

head -c 100000 /dev/urandom >"$work/noise"
cp "$work/noise" "$work/noise.before"
refused 1 "$work/noise" "$VECFS" "$work/noise" "$mnt"
cmp -s "$work/noise" "$work/noise.before" && no_file "$work/noise-wal.*"
check $? "a file that is no store is not touched"
: >"$work/empty"
refused 1 "$work/empty" "$VECFS" "$work/empty" "$mnt"
mkdir "$work/folder"
refused 1 "$work/folder" "$VECFS" "$work/folder" "$mnt"

"$VECFS" mkfs "$work/dim4" --dim=4 --metric=l2
refused 1 "dim=5" "$VECFS" "$work/dim4" "$mnt" -o dim=5
grep -q "dim=4" <<<"$said"
check $? "both dimensions are named"
refused 1 "metric=cosine" "$VECFS" "$work/dim4" "$mnt" -o metric=cosine
grep -q "metric=l2" <<<"$said"
check $? "both metrics are named"
head -c 10000 "$work/dim4" >"$work/short"
refused 1 "$work/short" "$VECFS" "$work/short" "$mnt"

# --- what is taken ---

mounted "$work/s" "$mnt" -o rw,nofail,_netdev,user,noauto,x-systemd.automount,defaults,relatime,comment=x
findmnt -n -o FSTYPE --target "$mnt" | grep -qx fuse.vecfs
check $? "the type of the mount is fuse.vecfs"
findmnt -n -o SOURCE --target "$mnt" | grep -qx "$work/s"
check $? "the source of the mount is the store"
printf '\0\0\200\077\0\0\0\100' >"$mnt/vectors/a"
check $? "the first vector decides the dimension"
begin=$(date +%s%N)
mkdir "$work/second"
refused 1 EBUSY "$VECFS" "$work/s" "$work/second"
grep -q "$mnt" <<<"$said"
check $? "it is said where the store is mounted"
[ $((($(date +%s%N) - begin) / 1000000)) -lt 3000 ]
check $? "and said at once"
unmounted "$mnt"
mounted "$work/s" "$mnt"
[ "$(stat -c %s "$mnt/vectors/a")" = 8 ]
check $? "the vector is there after the next mount, at once after the unmount"
unmounted "$mnt"

mounted "$work/s" "$mnt" -o ro
grep -q "fuse.vecfs.* ro" <(findmnt -n -o FSTYPE,OPTIONS --target "$mnt")
check $? "ro is told to the kernel"
cmp -s "$mnt/vectors/a" <(printf '\0\0\200\077\0\0\0\100')
check $? "and can be read"
unmounted "$mnt"

for option in max_read=131072 auto_unmount dirsync atime diratime lazytime nonempty big_writes \
	kernel_cache direct_io max_background=4 entry_timeout=1 allow_root; do
	mounted "$work/s" "$mnt" -o "$option"
	unmounted "$mnt"
	gone "$work/s"
done

# Once it has mounted.
hang_up() { # PID
	local i
	for ((i = 0; i < 100; i++)); do
		[ "$(mounts_at "$mnt")" = 1 ] && break
		sleep 0.05
	done
	kill -HUP "$1"
}
"$VECFS" "$work/s" "$mnt" -f &
foreground=$!
hang_up "$foreground"
wait "$foreground"
[ "$(mounts_at "$mnt")" = 0 ]
check $? "a hangup ends a mount"
(trap '' HUP && exec "$VECFS" "$work/s" "$mnt" -f) &
foreground=$!
hang_up "$foreground"
printf '\0\0\200\077\0\0\0\100' >"$mnt/vectors/b" && sleep 0.3 && [ "$(mounts_at "$mnt")" = 1 ]
check $? "but not with nohup"
kill "$foreground" && wait "$foreground"
check $? "which an orderly end does"
gone "$work/s"

# two that both find no store: one makes it, the other finds it in use
for ((i = 0; i < 20; i++)); do
	"$VECFS" "$work/both" "$mnt" 2>"$work/said.1" &
	"$VECFS" "$work/both" "$work/second" 2>"$work/said.2"
	wait $!
	! grep -v EBUSY "$work/said.1" "$work/said.2"
	check $? "two mounts of a new store, try $i"
	[ "$(mounts_at "$mnt")" = 0 ] || fusermount3 -u "$mnt"
	[ "$(mounts_at "$work/second")" = 0 ] || fusermount3 -u "$work/second"
	gone "$work/both"
	rm -f "$work/both" "$work"/both-wal.*
done

# under another name nobody knows that the store is mounted, and it is waited for
mounted "$work/s" "$mnt" -o fsname=other
begin=$(date +%s%N)
timeout -s INT 2 "$VECFS" "$work/s" "$work/second" -f 2>"$work/said"
[ $((($(date +%s%N) - begin) / 1000000)) -lt 6000 ] && grep -q "interrupted" "$work/said"
check $? "an interrupt ends the waiting for a store"
unmounted "$mnt"
gone "$work/s"

mounted "$work/s" "$mnt" -o NoFail,_NETDEV,Cache=17M,code_bits=8,X-systemd.requires=network.target
grep -q '"cache_bytes": 17825792' "$mnt/status/config" && grep -q '"code_bits": 8' "$mnt/status/config"
check $? "names of options in capitals, and with _ for -"
unmounted "$mnt"

mounted "$work/com,ma s" "$mnt" --cache=16M --effort=77 --threads=1 --code-bits=8 --durability=close
findmnt -n -o SOURCE --target "$mnt" | grep -qx "$work/com,ma s"
check $? "a comma and a space in the name of the store"
grep -q '"effort": 77' "$mnt/status/config" && grep -q '"cache_bytes": 16777216' "$mnt/status/config" &&
	grep -q '"durability": "close"' "$mnt/status/config"
check $? "status/config shows what was asked for"
unmounted "$mnt"

if [ "$(id -u)" -eq 0 ] || grep -qx user_allow_other /etc/fuse.conf 2>/dev/null; then
	mounted "$work/s" "$mnt" -o allow_other
	findmnt -n -o OPTIONS --target "$mnt" | grep -q default_permissions
	check $? "allow_other brings default_permissions"
	unmounted "$mnt"
else
	refused 1 "allow_other" "$VECFS" "$work/s" "$mnt" -o allow_other
fi

mounted "$work/s" "$mnt" -s
[ "$(stat -c %s "$mnt/vectors/a")" = 8 ]
check $? "one thread serves, too"
unmounted "$mnt"

ln -s "$VECFS" "$work/mount.fuse.vecfs"
"$work/mount.fuse.vecfs" "$work/s" "$mnt" -n -s -o rw,dev,suid
check $? "called as mount(8) calls its helper"
unmounted "$mnt"

# --- a daemon that was killed ---

mounted "$work/s" "$mnt"
kill -9 "$(daemon_of "$mnt")"
gone "$work/s"
stat "$mnt/vectors" >/dev/null 2>&1 && check 1 "the killed mount still answers"
exits 0 "" "$work/mount.fuse.vecfs" "$work/s" "$mnt" -f
[ "$(mounts_at "$mnt")" = 1 ] && [ -z "$said" ]
check $? "mount -f does nothing"
mounted "$work/s" "$mnt" 2>"$work/said"
grep -q "detached" "$work/said"
check $? "the dead mount is detached, and that is said"
[ "$(mounts_at "$mnt")" = 1 ]
check $? "one mount is there, not two"
[ "$(stat -c %s "$mnt/vectors/a")" = 8 ]
check $? "the store works after that"

# --- signals ---

for signal in TERM INT HUP; do
	pid=$(daemon_of "$mnt")
	kill "-$signal" "$pid"
	gone "$work/s"
	[ "$(mounts_at "$mnt")" = 0 ]
	check $? "SIG$signal unmounts"
	"$VECFS" check "$work/s" >/dev/null
	check $? "and leaves a clean store"
	mounted "$work/s" "$mnt"
done
unmounted "$mnt"

# --- foreground and background ---

"$VECFS" "$work/s" "$mnt" -f &
pid=$!
for _ in $(seq 100); do
	[ "$(mounts_at "$mnt")" = 1 ] && break
	sleep 0.05
done
[ "$(stat -c %s "$mnt/vectors/a")" = 8 ] && kill -0 "$pid"
check $? "-f stays in the foreground"
fusermount3 -u "$mnt"
wait "$pid"
check $? "and ends with 0 when unmounted"

mounted "$work/s" "$mnt"
pid=$(daemon_of "$mnt")
[ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
check $? "the daemon has its own session"
# What files it has open, a process that dumps no core tells root alone.
if [ "$(id -u)" -eq 0 ]; then
	[ "$(readlink "/proc/$pid/cwd")" = / ] && [ "$(readlink "/proc/$pid/fd/0")" = /dev/null ] &&
		[ "$(readlink "/proc/$pid/fd/2")" = /dev/null ]
	check $? "no terminal and no folder"
fi
unmounted "$mnt"

cases_end
