#!/usr/bin/env bash
# Power cuts on real file systems: every write to the disk under a file system with a store on it is
# logged, while one writer works. Then the disk is made anew as it may be at many moments: at each
# flush, between flushes, and there with a random part of the writes since the last flush lost or torn.
# Each time the file system and the store must recover, everything that was durable by then must be
# there, and all of it must be the state after some number of operations. timeout: 600 s
#
#   SEED=N      what is written, and where it is cut (1)
#   POINTS=N    so many cuts on each file system (60; 300 with TORTURE=full)
#   SYSTEMS=LIST  (ext4; ext4 xfs btrfs with TORTURE=full)
#   KEEP=DIR    a cut that failed is kept there (build/failed/power_cut), since no two recordings
#               are the same
#   CUT=DIR     judges the cut that is kept there, and nothing else
#   VERBOSE=1   a line for each cut
#
# Wants qemu-storage-daemon (package qemu-system-common), loop devices, and mkfs of the systems.
set -uo pipefail
# shellcheck source=tests/crash/lib-disk.sh
. "$(dirname "$0")/lib-disk.sh"
disk_begin

if [ "${TORTURE:-ci}" = full ]; then
	points=300 systems='ext4 xfs btrfs' operations=1500
else
	points=60 systems=ext4 operations=300
fi
points=${POINTS:-$points}
systems=${SYSTEMS:-$systems}
power=$BUILD/tests/crash/power_writer
replay=$BUILD/tests/crash/power_replay
keep=$(realpath -m "${KEEP:-build/failed/power_cut}")
images=$work/images
journal=$work/journal
export=$images/export
loop='' syncer=''
RANDOM=$seed
trap power_clean EXIT

skip() { # WHY
	echo "$1"
	exit 77
}

# The kernel may write out at any time; here it does so more often.
stop_syncer() {
	[ -z "$syncer" ] || kill "$syncer" 2>/dev/null
	wait "$syncer" 2>/dev/null
	syncer=
}

power_clean() {
	stop_syncer
	disk_clean_loop
	cases_clean
}

disk_clean_loop() {
	[ "$(mounts_at "$disk")" = 0 ] || umount -l "$disk"
	[ -z "$loop" ] || losetup -d "$loop" 2>/dev/null
	loop=
	if [ -s "$work/recorder" ]; then
		kill "$(cat "$work/recorder")" 2>/dev/null
		rm -f "$work/recorder"
	fi
}

# --- what is there ---

need_tools() {
	local missing=() system
	for tool in qemu-storage-daemon losetup unshare; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	for system in $systems; do
		command -v "mkfs.$system" >/dev/null || missing+=("mkfs.$system")
	done
	[ ${#missing[@]} -eq 0 ] || skip "there is no ${missing[*]} (packages qemu-system-common, \
mount, util-linux, e2fsprogs, xfsprogs, btrfs-progs)"
	mkdir "$images"
	mount -t tmpfs -o mode=700 vecfs-crash "$images" 2>"$work/said" ||
		skip "no tmpfs can be mounted: $(cat "$work/said")"
	unshare -m true 2>"$work/said" || skip "no namespace of mounts: $(cat "$work/said")"
}

# An empty file system in the image.
make_system() { # SYSTEM
	local size=64M
	case $1 in
	xfs) size=320M ;;
	btrfs) size=160M ;;
	esac
	rm -f "$images"/*
	truncate -s "$size" "$images/base"
	case $1 in
	ext4) mkfs.ext4 -q -F "$images/base" ;;
	xfs) mkfs.xfs -q -f "$images/base" ;;
	btrfs) mkfs.btrfs -q -f "$images/base" ;;
	esac >"$work/said" 2>&1 || skip "mkfs.$1: $(cat "$work/said")"
}

# --- recording ---

# The image as a loop device whose writes go into a log.
record() {
	local i
	cp --sparse=always "$images/base" "$images/live"
	truncate -s 8G "$images/log"
	: >"$export"
	qemu-storage-daemon --daemonize --pidfile "$work/recorder" \
		--blockdev "driver=file,node-name=disk,filename=$images/live" \
		--blockdev "driver=file,node-name=log,filename=$images/log" \
		--blockdev "driver=blklogwrites,node-name=both,file=disk,log=log" \
		--export "type=fuse,id=out,node-name=both,mountpoint=$export,writable=on" \
		2>"$work/said" || skip "qemu-storage-daemon: $(cat "$work/said")"
	for ((i = 0; i < 100; i++)); do
		[ "$(mounts_at "$export")" = 0 ] || break
		sleep 0.05
	done
	loop=$(losetup -f --show "$export" 2>"$work/said") ||
		skip "no loop device: $(cat "$work/said")"
}

work_on() { # SYSTEM
	local half=$((operations / 2))
	mount "$loop" "$disk" 2>"$work/said" || skip "$1 cannot be mounted: $(cat "$work/said")"
	rm -f "$journal"
	options=dim=192
	must_mount
	while sleep 0.0$((RANDOM % 10)) && [ -e "$disk/store" ]; do
		sync -f "$disk"
	done 2>/dev/null &
	syncer=$!
	"$power" work "$mnt" "$journal" "$images/log" "$seed" "$half" log &&
		"$power" work "$mnt" "$journal" "$images/log" "$((seed + 1))" "$half" log
	judged $? "$1: $operations operations"
	stop_syncer
	disk_unmount
	must_mount durability=close
	"$power" work "$mnt" "$journal" "$images/log" "$((seed + 2))" $((half / 2)) close
	judged $? "$1: $((half / 2)) more with durability=close"
	disk_unmount
	umount "$disk"
	disk_clean_loop
	while [ "$(mounts_at "$export")" != 0 ]; do
		sleep 0.05
	done
}

# --- cutting ---

# Sets `cuts`: "ENTRIES" or "ENTRIES SEED", ascending.
draw_cuts() {
	local entries flushes i
	mapfile -t flushes < <("$replay" list "$images/log")
	entries=${flushes[0]}
	flushes=("${flushes[@]:1}")
	echo "# $entries entries, ${#flushes[@]} flushes"
	mapfile -t cuts < <(
		for ((i = 0; i < points; i++)); do
			case $((i % 3)) in
			0) echo "${flushes[(RANDOM * 32768 + RANDOM) % ${#flushes[@]}]}" ;;
			1) echo "$(((RANDOM * 32768 + RANDOM) % (entries + 1)))" ;;
			2) echo "$(((RANDOM * 32768 + RANDOM) % (entries + 1))) $((seed * 100000 + i))" ;;
			esac
		done | sort -n -k 1,1 -k 2,2
	)
}

# Brings the image `at` to the last flush of the first so many entries. Sets `flushed`.
advance() { # ENTRIES
	local to
	to=$(tail -n +2 <<<"$list" | awk -v most="$1" '$1 <= most { n = $1 } END { print n + 0 }')
	[ "$to" -eq "$flushed" ] || "$replay" apply "$images/log" "$images/at" "$flushed" "$to"
	flushed=$to
}

# The recovered disk, judged. In a namespace of its own, where the machine has another boot id.
judge_cut() { # ENTRIES
	mount -o loop "$images/test" "$disk" 2>&1 || {
		echo "the file system does not recover"
		return 1
	}
	if [ -e "$store" ]; then
		"$VECFS" check "$store" >"$work/check" 2>&1 || {
			cat "$work/check"
			return 1
		}
	fi
	disk_mount || {
		cat "$work/said"
		return 1
	}
	"$power" judge "$mnt" "$journal" "$1" || return
	disk_unmount
	umount "$disk"
}

one_cut() { # SYSTEM ENTRIES [SEED]
	advance "$2"
	cp --sparse=always "$images/at" "$images/test"
	"$replay" apply "$images/log" "$images/test" "$flushed" "${@:2}" || return
	cp --sparse=always "$images/test" "$images/cut"
	judge_cut "$2" >"$work/judged" 2>&1 && ! grep -q '^not ok' "$work/judged" && {
		[ -z "${VERBOSE:-}" ] || echo "$* $(cat "$work/judged") $(tail -n 1 "$work/check" 2>/dev/null)"
		return
	}
	cat "$work/judged"
	keep_cut "$2"
	echo "not ok - $1: a power cut after $2 entries${3:+, losing $3} (again: CUT=$kept)"
	give_up_cut
	return 1
}

# Sets `kept`.
keep_cut() { # ENTRIES
	kept=$keep/$(date +%H%M%S)-$1
	mkdir -p "$kept"
	echo "$1" >"$kept/entries"
	cp --sparse=always "$images/cut" "$journal" "$work/judged" "$kept"
}

# The next cut needs both mount points, and loop devices.
give_up_cut() {
	if [ "$(mounts_at "$mnt")" != 0 ]; then
		daemon=$(daemon_of "$mnt")
		[ -z "$daemon" ] || disk_kill
	fi
	[ "$(mounts_at "$disk")" = 0 ] || umount "$disk" || umount -l "$disk"
}

all_cuts() { # SYSTEM
	local cut bad=0 list flushed=0 cuts
	list=$("$replay" list "$images/log")
	draw_cuts
	cp --sparse=always "$images/base" "$images/at"
	for cut in "${cuts[@]}"; do
		# shellcheck disable=SC2086 # one or two words
		one_cut "$1" $cut || bad=$((bad + 1))
	done
	echo "checked: ${#cuts[@]} power cuts on $1, $bad failed"
	[ "$bad" -eq 0 ]
}

# The store takes what lies behind a cut of its log for damage while the machine has not been
# restarted. So the cuts are judged under another name for the boot.
elsewhere() { # COMMAND...
	cat /proc/sys/kernel/random/uuid >"$work/boot_id"
	export -f $(declare -F | cut -d ' ' -f 3)
	export VECFS work mnt failed disk store options cases seed power replay images journal \
		points keep RANDOM_START=$RANDOM
	unshare -m --propagation private bash -uo pipefail -c '
		helper= daemon= RANDOM=$RANDOM_START
		trap cases_clean_mounts EXIT
		let_others_go
		mount --bind "$work/boot_id" /proc/sys/kernel/random/boot_id || exit 1
		"$@"' power_cut "$@"
}

# A new namespace holds the mounts of others as well: their daemons would not end with an unmount.
let_others_go() {
	local dir
	while read -r dir; do
		umount -l "$dir"
	done < <(awk -v below="$work/" '/ - fuse/ && index($5, below) != 1 { print $5 }' /proc/self/mountinfo)
}

# Like cases_clean, but the folder is still needed.
cases_clean_mounts() {
	local dir
	while read -r dir; do
		fusermount3 -u "$dir" 2>/dev/null || umount -l "$dir"
	done < <(awk -v below="$work/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo |
		grep -v "^$images$" | sort -r)
	daemons_end
}

need_tools
if [ -n "${CUT:-}" ]; then
	cp --sparse=always "$CUT/cut" "$images/test"
	cp "$CUT/journal" "$journal"
	options=dim=192
	elsewhere judge_cut "$(cat "$CUT/entries")"
	check $? "the cut in $CUT"
	cases_end
fi
for system in $systems; do
	make_system "$system"
	record
	work_on "$system"
	elsewhere all_cuts "$system"
	check $? "power cuts on $system"
done
cases_end
