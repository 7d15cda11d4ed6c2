# lib-cases.sh - cases of tests that call the program. Read by the scripts beside it, which call
# cases_begin first and cases_end last.
#
# Sets `work`, an empty folder that is removed at the end, and `mnt`, a folder in it to mount at.
# shellcheck shell=bash

# shellcheck source=tests/support/lib-check.sh
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib-check.sh"

cases_begin() {
	[ -c /dev/fuse ] || {
		echo "there is no /dev/fuse"
		exit 77
	}
	: "${VECFS:?the path of the program}"
	VECFS=$(realpath "$VECFS")
	work=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/vecfs-cases.XXXXXX")")
	mnt=$work/mnt
	mkdir "$mnt"
	failed=0
	trap cases_clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

cases_clean() {
	unmount_below "$work"
	daemons_end
	rm -rf --one-file-system "$work"
}

# Processes of our program that have $work in their command line. What a daemon runs is told to root
# alone; others go by its name.
daemons() {
	local pid
	for pid in $(pgrep -f -- "$work/"); do
		case $(readlink "/proc/$pid/exe" || cat "/proc/$pid/comm") in
		"$VECFS" | "$VECFS (deleted)" | "${VECFS##*/}") echo "$pid" ;;
		esac
	done 2>/dev/null
}

daemons_end() {
	local i pid
	for ((i = 0; i < 100; i++)); do
		[ -n "$(daemons)" ] || return 0
		sleep 0.1
	done
	for pid in $(daemons); do
		echo "not ok - daemon $pid had to be killed"
		kill -9 "$pid"
	done
}

cases_end() {
	[ "$failed" -eq 0 ]
	exit
}

# The command must exit with CODE and its output have WORDS. Sets `said`.
exits() { # CODE WORDS COMMAND...
	local code=$1 words=$2 got
	shift 2
	said=$("$@" 2>&1)
	got=$?
	[ "$got" -eq "$code" ] && grep -qF -- "$words" <<<"$said"
	check $? "exit $code and '$words': ${*:2}"
	[ "$got" -eq "$code" ] || echo "got $got: $said"
}

# The command must exit with CODE and say one line with WORDS on stderr. Sets `said`.
refused() { # CODE WORDS COMMAND...
	local code=$1 words=$2 got
	shift 2
	said=$("$@" 2>&1 >/dev/null)
	got=$?
	if [ "$got" -eq "$code" ] && [ "$(wc -l <<<"$said")" -eq 1 ] && [[ $said = "vecfs: "*"$words"* ]]; then
		echo "ok - refused: $said"
	else
		echo "not ok - exit $got, expected $code and '$words': ${*:2}: $said"
		failed=$((failed + 1))
	fi
}

mounts_at() { # MOUNTPOINT
	awk -v at="$1" '$5 == at { n++ } END { print n + 0 }' /proc/self/mountinfo
}

daemon_of() { # MOUNTPOINT
	local pid
	for pid in $(daemons); do
		grep -qzxF -- "$1" "/proc/$pid/cmdline" && echo "$pid"
	done | tail -n 1
}

# Mounts, and expects that the mount is usable as soon as the program returns.
mounted() { # STORE MOUNTPOINT OPTIONS...
	local status
	"$VECFS" "$@"
	status=$?
	[ "$status" -eq 0 ] && [ "$(mounts_at "$2")" = 1 ] && ls "$2/vectors" >/dev/null
	check $? "mounted: ${*:3}"
}

unmounted() { # MOUNTPOINT
	fusermount3 -u "$1"
	check $? "unmounted"
}

# Waits until no process of ours works on the store.
gone() { # STORE
	local i
	for ((i = 0; i < 200; i++)); do
		[ -n "$(daemons)" ] || return 0
		sleep 0.05
	done
	check 1 "the daemon of $1 is still there"
}

# Waits until a killed process has let go of its files: later than of its name.
died() { # PID
	local i tasks
	for ((i = 0; i < 1000; i++)); do
		tasks=("/proc/$1/task"/*)
		[ -e "/proc/$1" ] || return 0
		[ ${#tasks[@]} -eq 1 ] && grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null && return 0
		sleep 0.01
	done
	check 1 "the killed daemon does not end"
	cases_end
}

not_there() { # FILE
	[ ! -e "$1" ]
	check $? "no ${1##*/} was made"
}

no_file() { # PATTERN
	! compgen -G "$1" >/dev/null
}
