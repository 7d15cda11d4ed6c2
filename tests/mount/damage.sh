#!/usr/bin/env bash
# What the commands and a mount say of each kind of damage, and of what is no store: exit code,
# sentence, and what still works.
# timeout: 240 s, without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/mount/lib-damage.sh
. "$here/lib-damage.sh"
tests_begin
good_store || fail "the good store"

mismatch="Page checksum mismatch"

check_says() { # DESCRIPTION WORDS...: exit code 4
	local what=$1
	shift
	exits "check: $what" 4 "damage: " "$@" -- "$program" check "$bad"
}

mounts() { # DESCRIPTION [OPTIONS]
	mount_store "$bad" "$M" ${2:+"$2"} 2>"$scratch/said"
	local status=$?
	if [ $status -eq 0 ]; then pass "mount: $1"; else fail "mount: $1" "$(cat "$scratch/said")"; fi
	return $status
}

# All vectors but those given are there and alike.
all_read() { # DESCRIPTION
	local i bad=0
	for i in 0 5 17 100 333 599; do
		vector_file $i "$scratch/v"
		cmp -s "$scratch/v" "$M/vectors/v$i" || bad=$((bad + 1))
	done
	equal "$1" 0 "$bad"
	equal "$1: the nearest of v17 is v17" v17 "$(head -n 1 "$M/query/3,format=ids/$(hex_of 17)" 2>/dev/null)"
}

# Path of the query for vector N, split so that no name is too long.
hex_of() { # N
	vector_file "$1" "$scratch/hex"
	od -An -v -tx1 "$scratch/hex" | tr -d ' \n' | sed 's/.\{200\}/&\//g'
}

# --- whole ---

exits "a whole store: check" 0 "600 vectors" "clean" -- "$program" check "$good"
exits "a whole store: wal" 0 "no log is needed" -- "$program" wal "$good"
cp "$good" "$bad"
if mounts "a whole store"; then
	all_read "a whole store"
	ok "a whole store: verify" sh -c "echo verify >'$M/status/control'"
	equal "and finds no damaged page" 0 "$(metric "$M" vecfs_damaged_pages)"
	leave "$bad"
fi

# --- as mkfs(8), fsck(8) and mount(8) call it ---

for name in mkfs.vecfs fsck.vecfs mount.fuse.vecfs; do
	ln -s "$program" "$scratch/$name"
	exits "$name --help" 0 "usage: vecfs " -- "$scratch/$name" --help
done
for flag in -a -p -y -n -f -ap; do
	exits "fsck.vecfs $flag" 0 clean -- "$scratch/fsck.vecfs" $flag "$good"
done
spoil value v17
exits "fsck.vecfs -p of damage" 4 "$mismatch" -- "$scratch/fsck.vecfs" -p "$bad"
exits "fsck.vecfs of nothing" 8 "vecfs: " -- "$scratch/fsck.vecfs" -a "$scratch/none"
refused "mkfs.vecfs overwrites nothing" "exists already" "$scratch/mkfs.vecfs" "$good"

# --- header and commit slots ---

spoil header
check_says "header" "$bad" "header is damaged" "restore"
exits "wal: header" 4 "header is damaged" -- "$program" wal "$bad"
exits "stat: header" 1 "header is damaged" -- "$program" stat "$bad"
exits "mount: header" 1 "header is damaged" "restore" -- "$program" "$bad" "$M"

for slot in newest-slot older-slot; do
	spoil $slot
	check_says "$slot" "commit slot is damaged" "the other one" "600 vectors"
	exits "stat: $slot" 0 "damaged      yes" "600" -- "$program" stat "$bad"
	if mounts "$slot"; then
		contains "the mount says so" "commit slot is unusable" "$scratch/said"
		contains "and so does status/errors" "commit slot is unusable" "$M/status/errors"
		equal "and the metric" 1 "$(metric "$M" vecfs_open_older_slot)"
		all_read "$slot"
		leave "$bad"
		exits "check: $slot after a mount" 0 clean -- "$program" check "$bad"
	fi
done

cp "$good" "$bad"
printf 'xxxx' | dd of="$bad" bs=1 seek=4200 conv=notrunc status=none
printf 'xxxx' | dd of="$bad" bs=1 seek=8300 conv=notrunc status=none
check_says "both slots" "both commit slots are damaged" "restore"
exits "mount: both slots" 1 "both commit slots are damaged" -- "$program" "$bad" "$M"

# --- pages of tables ---

spoil map-copy
check_says "one copy of a map page" "$mismatch" "the other copy is good"
if mounts "one copy of a map page"; then
	all_read "one copy of a map page"
	leave "$bad"
	exits "check: one copy of a map page after a mount" 0 clean -- "$program" check "$bad"
fi
spoil map-both
check_says "both copies of a map page" "$mismatch" "page map of the values" "restore"
exits "mount: both copies of a map page" 1 "$mismatch" "restore" -- "$program" "$bad" "$M"

spoil slot
check_says "slot table" "$mismatch: slot table page 0 at byte ${spoilt##* }" "restore"
exits "mount: slot table" 1 "$mismatch: slot table page 0" "vecfs recover" -- "$program" "$bad" "$M"

spoil free-list
check_says "free list" "free list is wrong" "the next mount rebuilds it" "600 vectors"
if mounts "free list"; then
	all_read "free list"
	leave "$bad"
	exits "check: free list after a mount" 0 clean -- "$program" check "$bad"
fi

for table in directory bucket; do
	spoil $table v17
	name=id
	[ $table = bucket ] || name="id directory"
	check_says $table "$mismatch: $name page" "at byte ${spoilt##* }" "restore" "vectors have lost their ids"
	equal "check: $table is said once" 2 "$(grep -c '^damage: ' <<<"$said")"
	if mounts $table; then
		refused "reading an id on the $table" "Input/output error" cat "$M/vectors/v17"
		contains "$table: status/errors names the page" "$mismatch: $name page" "$M/status/errors"
		refused "a query that needs it" "Input/output error" cat "$M/query/600/$(hex_of 300)"
		refused "verify: $table" "Input/output error" dd if=/dev/stdin of="$M/status/control" conv=notrunc <<<verify
		leave "$bad"
	fi
done

# --- an id that no file can have ---

spoil id v17
exits "an id of two lines: check" 4 "the id of slot 17 is none that a vector can have" -- "$program" check "$bad"
for command in export compress; do
	exits "an id of two lines: $command" 4 "the id of slot 17 is none that a vector can have" "vecfs recover" -- \
		"$program" $command "$bad" "$scratch/out.npy"
	ok "nothing is left of it" no_file_like "$scratch/out."
done
rm -f "$scratch"/out.*
exits "an id of two lines: recover" 4 "600 vectors saved" "1 of them under another name" -- "$program" recover "$bad" "$scratch/out"
rm -f "$scratch"/out

# --- a page of values ---

spoil value v17
check_says "value page" "$mismatch: value page 1 at byte ${spoilt##* } of the file" "vectors/v17 cannot be read" \
	"vectors/v31" "write it again"
equal "check: the page and its 16 ids, no more" 17 "$(grep -c '^damage: ' <<<"$said")"
if mounts "value page"; then
	refused "reading a vector on it" "Input/output error" cat "$M/vectors/v17"
	contains "status/errors: page, ids, remedy" \
		"open	vectors/v17	EIO	$mismatch: value page 1 at byte ${spoilt##* } of the file; its vectors cannot be read until they are written again" \
		"$M/status/errors"
	contains "and the ids of the page" "v17, v16, v18" "$M/status/errors"
	vector_file 300 "$scratch/v"
	ok "another vector" cmp "$scratch/v" "$M/vectors/v300"
	for format in text json ids; do
		refused "a query that needs it, format=$format" "Input/output error" \
			cat "$M/query/600,exact,format=$format/$(hex_of 300)"
	done
	refused "like of a vector on it" "Input/output error" cat "$M/query/3/like/v17"
	equal "one page is known to be damaged" 1 "$(metric "$M" vecfs_damaged_pages)"
	refused "verify" "Input/output error" dd if=/dev/stdin of="$M/status/control" conv=notrunc <<<verify
	contains "verify: the ids in status/errors" "vectors/v31 cannot be read; write it again" "$M/status/errors"
	contains "verify: the sum" "verify: 17 findings" "$M/status/errors"
	# as it says
	for ((i = 16; i < 32; i++)); do
		vector_file $i "$scratch/v"
		cat "$scratch/v" >"$M/vectors/v$i" || fail "writing v$i again"
	done
	all_read "after writing them again"
	contains "queries work again" "v300" "$M/query/600,exact/$(hex_of 300)"
	leave "$bad"
fi

# --- the graph: time, never a vector ---

for page in graph code aux; do
	spoil $page
	check_says "$page page" "$mismatch" "at byte ${spoilt##* }" "the graph is built anew" "600 vectors"
	if mounts "$page page"; then
		all_read "$page page"
		if [ $page = graph ]; then
			refused "verify: $page page" "Input/output error" dd if=/dev/stdin of="$M/status/control" conv=notrunc <<<verify
		else
			contains "the mount says so" "the graph is built anew, all vectors are there" "$scratch/said"
		fi
		leave "$bad"
		exits "check: $page page after a mount" 0 clean -- "$program" check "$bad"
	fi
done

# --- the file ---

cp "$good" "$bad"
truncate -s -8192 "$bad"
check_says "truncated file" "is truncated" "restore"
exits "mount: truncated file" 1 "is truncated" -- "$program" "$bad" "$M"

rm -f "$bad"
refuse_all() { # WHAT PATH WORDS
	local command code
	for command in check wal stat; do
		code=8
		[ $command != stat ] || code=1
		exits "$command: $1" $code "vecfs: " "$3" -- "$program" $command "$2"
		equal "$command: $1, in one line" 1 "$(wc -l <<<"$said")"
	done
	exits "mount: $1" 1 "vecfs: " "$3" -- "$program" "$2" "$M"
	equal "mount: $1, in one line" 1 "$(wc -l <<<"$said")"
}
head -c 100000 /dev/urandom >"$scratch/noise"
refuse_all "no store" "$scratch/noise" "is not a vecfs store"
: >"$scratch/empty"
refuse_all "an empty file" "$scratch/empty" "too short to be a vecfs store"
mkfifo "$scratch/fifo"
refuse_all "a FIFO" "$scratch/fifo" "not a regular file"
ln -s "$good" "$scratch/link"
exits "check: a symlink" 8 "vecfs: " "link" -- "$program" check "$scratch/link"
mkdir "$scratch/folder"
for command in check wal; do
	exits "$command: a directory" 8 "vecfs: " "folder" -- "$program" $command "$scratch/folder"
done
exits "stat: a directory that is no mount" 1 "expected the mount point" -- "$program" stat "$scratch/folder"
for command in check wal; do
	exits "$command: no file" 8 "vecfs: " "none" -- "$program" $command "$scratch/none"
done

# --- a store that is mounted ---

cp "$good" "$bad"
if mounts "again"; then
	for command in check wal; do
		exits "$command: a mounted store" 8 "$bad" "mounted at $M" -- "$program" $command "$bad"
	done
	exits "stat: a mounted store" 0 "mounted at   $M" -- "$program" stat "$bad"
	leave "$bad"
fi

# --- words that status/control does not know; who may write there ---

cp "$good" "$bad"
if mounts "and again"; then
	for word in "" verfy "checkpoint now" "VERIFY"; do
		refused "control: '$word'" "Invalid argument" bash -c "echo '$word ' >'$M/status/control'"
	done
	contains "and the four words are named" "use checkpoint, verify, drop-caches or reset-metrics" "$M/status/errors"
	equal "control is its owner's" 200 "$(stat -c %a "$M/status/control")"
	leave "$bad"
fi

tests_end
