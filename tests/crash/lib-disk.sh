# lib-disk.sh - a store on a disk that fails: a small tmpfs, or a folder behind faultfs. Read by the
# scripts beside it, which call disk_begin first and cases_end last.
#
# Sets all that cases_begin sets, `disk`, `store` on it, `journals`, and after a mount `daemon`.
# shellcheck shell=bash

# shellcheck source=tests/mount/lib-cases.sh
. "$(dirname "${BASH_SOURCE[0]}")/../mount/lib-cases.sh"

disk_begin() {
	cases_begin
	: "${BUILD:?the folder of the helper programs}"
	trap disk_clean EXIT
	writer=$BUILD/tests/crash/kill_writer
	judge=$BUILD/tests/crash/kill_judge
	disk=$work/disk
	store=$disk/store
	journals=$work/journals
	rules=$work/rules
	options=dim=768
	helper=
	cases=0
	turns=0
	seed=${SEED:-1}
	mkdir "$disk" "$work/folder"
	mkdir "$journals"
}

disk_clean() {
	[ -z "$helper" ] || rm -f "$rules"
	cases_clean
	[ -z "$helper" ] || kill "$helper" 2>/dev/null
}

# A case that stands for itself in the sum at the end.
judged() { # STATUS WHAT
	cases=$((cases + 1))
	check "$@"
}

disk_end() { # KIND
	echo "checked: $cases $1, $failed failed"
	cases_end
}

# Mounts an empty tmpfs as the disk; skips the test where that is not allowed.
tmpfs_disk() { # SIZE [OPTION...]
	mount -t tmpfs -o "size=$1,mode=700${2:+,$2}" vecfs-crash "$disk" 2>"$work/said" && return
	[ "$cases" -eq 0 ] || return
	echo "no tmpfs can be mounted: $(cat "$work/said")"
	exit 77
}

# Mounts a new file system in an image as the disk. Fails, with why in $work/said, where that cannot be.
image_disk() { # SYSTEM SIZE
	rm -f "$work/image"
	truncate -s "$2" "$work/image"
	command -v "mkfs.$1" >"$work/said" || echo "there is no mkfs.$1" >"$work/said"
	case $1 in
	ext4) mkfs.ext4 -q -F "$work/image" ;;
	*) "mkfs.$1" -q -f "$work/image" ;;
	esac >>"$work/said" 2>&1 && mount -o loop "$work/image" "$disk" 2>"$work/said"
}

# Starts faultfs over an empty folder as the disk.
fault_disk() {
	local i
	rm -rf "$work/folder" "$rules"
	mkdir "$work/folder"
	"$BUILD/tests/crash/faultfs" "$work/folder" "$disk" "$rules" 2>"$work/faultfs" &
	helper=$!
	for ((i = 0; i < 200; i++)); do
		[ "$(mounts_at "$disk")" = 1 ] && return
		sleep 0.05
	done
	check 1 "faultfs does not start: $(cat "$work/faultfs")"
	cases_end
}

# Takes the disk away, and forgets what was written.
new_disk() {
	[ "$(mounts_at "$mnt")" = 0 ] || disk_unmount
	if [ -n "$helper" ]; then
		rm -f "$rules"
		fusermount3 -u "$disk"
		wait "$helper"
		helper=
	elif [ "$(mounts_at "$disk")" = 1 ]; then
		umount "$disk"
	fi
	rm -f "$journals"/*
}

# What fails from now on; without arguments nothing.
faults() { # RULE...
	rm -f "$rules"
	[ $# -eq 0 ] || {
		printf '%s\n' "$@" >"$rules.new"
		mv "$rules.new" "$rules"
	}
}

disk_mount() { # [OPTIONS]
	"$VECFS" "$store" "$mnt" -o "$options${1:+,$1}" 2>"$work/said" || return
	daemon=$(daemon_of "$mnt")
}

# The mount must succeed, or the test is over.
must_mount() { # [OPTIONS]
	disk_mount "$@" && return
	check 1 "mount: $(cat "$work/said")"
	disk_end "cases"
}

# Unmounts in order and waits for the end of the daemon.
disk_unmount() {
	fusermount3 -u "$mnt" || check 1 "unmount"
	gone "$store"
}

disk_kill() {
	kill -9 "$daemon"
	died "$daemon"
	fusermount3 -uz "$mnt"
}

# Lets the writers work, each time with other draws: on a slow machine it is few of them that are
# used. Sets `n_done` and `n_refused`.
write_for() { # MILLISECONDS never|full|deletions [put|remove]
	local said status
	turns=$((turns + 1))
	said=$("$writer" "$mnt" "$journals" $((seed + 1000 * turns)) "$daemon" stop "$1"000 "${@:2}")
	status=$?
	read -r n_done n_refused <<<"$said"
	return $status
}

# The mount holds exactly what was acknowledged.
judge_all() { # WHAT
	local said
	said=$("$judge" "$mnt" "$journals" 4 2>&1)
	judged $? "$1: everything acknowledged and nothing else ($(tail -n 1 <<<"$said"))"
	grep '^not ok' <<<"$said" | head -n 20
}

# status/errors has a line with this errno and a sentence that says what to do.
error_says() { # ERRNO WORDS
	grep -q "$(printf '\t%s\t.*%s' "$1" "$2")" "$mnt/status/errors"
	judged $? "status/errors: $1, $2"
}

check_clean() {
	"$VECFS" check "$store" >"$work/said" 2>&1
	judged $? "vecfs check: $(tail -n 1 "$work/said")"
}

# One vector of 768 float32, each the given number.
vector() { # NUMBER
	perl -e 'print pack "f<*", ($ARGV[0]) x 768' -- "$1"
}
