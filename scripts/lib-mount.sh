# lib-mount.sh - mounting a store and never leaving it mounted. Read by the other scripts, which
# call `mounts_begin PROGRAM` first; it sets `scratch`, an empty folder that is removed at the end.
#
# Every mount of these functions lies below $scratch. The EXIT trap detaches all of them, and ends
# the daemons that were started here if they have not ended by themselves.
# shellcheck shell=bash

# shellcheck disable=SC2034 # for the scripts that read this file
mounts_begin() { # PROGRAM
	program=$(realpath "$1")
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/vecfs-$(basename "$0").XXXXXX")
	background=()
	trap mounts_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# A blank in a path is \040 in mountinfo.
mounts_below() {
	awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		sed 's/\\040/ /g'
}

# Processes of our program, or of the one named, that have $scratch in their command line. What a
# daemon runs is told to root alone, as it leaves no core dumps; others go by its name.
daemons() { # [PATTERN]
	local pid
	for pid in $(pgrep -f -- "${1:-$scratch/}"); do
		case $(readlink "/proc/$pid/exe" || cat "/proc/$pid/comm") in
		"$program" | "$program (deleted)" | "${program##*/}") echo "$pid" ;;
		esac
	done 2>/dev/null
}

mounts_end() {
	local status=$? dir pid i
	trap '' INT TERM HUP
	for pid in ${background[@]+"${background[@]}"}; do
		kill "$pid" 2>/dev/null
	done
	while read -r dir; do
		fusermount3 -u "$dir" 2>/dev/null || fusermount3 -uz "$dir" 2>/dev/null ||
			umount -l "$dir"
	done < <(mounts_below "$scratch")
	for ((i = 0; i < 100; i++)); do
		[ -n "$(daemons)" ] || break
		sleep 0.1
	done
	for pid in $(daemons); do
		echo "daemon $pid had to be killed" >&2
		kill -9 "$pid"
	done
	rm -rf --one-file-system "$scratch"
	exit "$status"
}

seconds_since() { # NANOSECONDS
	awk -v ns=$(($(date +%s%N) - $1)) 'BEGIN { printf "%.2f", ns / 1e9 }'
}

# Mounts STORE; the program itself waits until the mount is ready. Sets `daemon` and `took`.
mount_store() { # STORE MOUNTPOINT OPTIONS
	local begin
	begin=$(date +%s%N)
	"$program" "$1" "$2" ${3:+-o "$3"} || return
	took=$(seconds_since "$begin")
	daemon=$(daemons "$1" | head -n 1)
	if [ -z "$daemon" ] || ! mountpoint -q "$2"; then
		echo "$2 is not mounted" >&2
		return 1
	fi
}

# Unmounts in order and waits for the daemon to end. Sets `took`.
unmount_store() { # MOUNTPOINT
	local begin i
	begin=$(date +%s%N)
	fusermount3 -u "$1" || return
	for ((i = 0; i < 6000; i++)); do
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.01
	done
	took=$(seconds_since "$begin")
	if kill -0 "$daemon" 2>/dev/null; then
		echo "the daemon has not ended $took s after the unmount" >&2
		return 1
	fi
}

megabytes() { # BYTES
	awk -v bytes="$1" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'
}

# Memory that a process holds, in bytes.
resident() { # PID
	awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$1/status"
}
