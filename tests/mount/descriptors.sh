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
	for command in check wal; do
		refused 8 "the output could not be written" $to $command s
	done
	refused 8 "the output could not be written" $to export s e.npy --force
	refused 1 "the output could not be written" $to stat s
done

# --- no descriptor left ---

if [ -z "${SAN:-}" ]; then
	few() { # COMMAND...
		(ulimit -n "$limit" && exec "$VECFS" "$@")
	}
	for limit in 4 5; do
		refused 8 "file descriptors (ulimit -n)" few check s
	done
fi

# --- a pipe that nobody reads, a limit on the size of files ---

"$VECFS" mkfs v --dim=2
mounted v "$mnt"
for ((i = 0; i < 2000; i++)); do
	printf '\0\0\200\077\0\0\0\100' >"$mnt/vectors/$i"
done
unmounted "$mnt"
gone v
cp v bad
size=$(stat -c %s bad)
for ((at = size / 2; at < size; at += 4096)); do
	printf spoilt | dd of=bad bs=1 seek="$at" conv=notrunc status=none
done
to_nobody() { # COMMAND...
	"$VECFS" "$@" | true
	return "${PIPESTATUS[0]}"
}
"$VECFS" recover bad out >said
saved=$(tail -n 1 said | awk '{ print $2 }')
mv out out.said
to_nobody recover bad out 2>/dev/null
check $(($? <= 8 ? 0 : 1)) "recover ends in order when nobody reads what it says"
exits 0 "out: $saved vectors" "$VECFS" check out
limited() { # COMMAND...
	(ulimit -f 8 && exec "$VECFS" "$@")
}
refused 8 "no space left" limited compress v c
refused 8 "e.ids cannot be written" limited export v e.npy --force
no_file "*.new-*"
check $? "no file of another name is left"

cases_end
