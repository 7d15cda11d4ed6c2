#!/usr/bin/env bash
# What the program is started with: closed or full descriptors, a pipe that nobody reads, limits.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin
cd "$work" || exit 1

put() { # ID
	printf '\0\0\200\077\0\0\0\100' >"$mnt/vectors/$1"
}

# --- closed descriptors ---

"$VECFS" mkfs s --dim=2
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '>&- 2>&-' '<&- >&- 2>&-'; do
	eval "timeout -k 1 20 '$VECFS' s '$mnt' $closed"
	check $? "mounted with $closed"
	for fd in 0 1 2; do
		[ "$(readlink "/proc/$(daemon_of "$mnt")/fd/$fd")" = /dev/null ]
		check $? "with $closed the daemon has no file of ours as descriptor $fd"
	done
	find "/proc/$(daemon_of "$mnt")/fd" -lname "$work" | grep -q .
	check $? "with $closed the daemon keeps the folder of its store"
	put a && printf checkpoint >"$mnt/status/control"
	check $? "a vector and a checkpoint with $closed"
	unmounted "$mnt"
	gone s
	exits 0 "clean" "$VECFS" check s
done

# --- an answer that reaches nobody: by the codes of fsck(8), 1 would be "errors corrected" ---

to_full() { # COMMAND...
	"$VECFS" "$@" >/dev/full
}
to_closed() { # COMMAND...
	"$VECFS" "$@" >&-
}
for to in to_full to_closed; do
	for command in check wal "export --force"; do
		# shellcheck disable=SC2086 # words
		refused 8 "the output could not be written" $to $command s $([[ $command = export* ]] && echo e.npy)
	done
	refused 1 "the output could not be written" $to stat s
done

cases_end
