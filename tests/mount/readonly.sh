#!/usr/bin/env bash
# -o ro writes nothing, also when the log has to be replayed; damaged logs: what the commands say of
# them, and what -o ro,recover=prefix serves.
# timeout: 240 s, without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/mount/lib-damage.sh
. "$here/lib-damage.sh"
tests_begin
good_store || fail "the good store"

# A store that was killed with 100 vectors, v600 ... v699, in its log alone.
# Nothing else is in there: an idle second after a sync adds a record that only says so.
killed=$scratch/killed
for ((try = 0; try < 10; try++)); do
	rm -f "$killed" "$killed"-wal.*
	cp "$good" "$killed"
	mount_store "$killed" "$M" || fail "mounting"
	base=$(metric "$M" vecfs_store_lsn) # 600, or more by such records
	write_vectors "$M/vectors" 600 699
	sync -f "$M/vectors/v600"
	kill_store "$killed"
	"$program" wal "$killed" | grep -q 'put 100, .* sync 0)' && break
done
segments=("$killed"-wal.*)
last=$(find "$scratch" -name 'killed-wal.*' -size +16k | sort -V | tail -n 1) # the next one is empty yet
number=${last##*.}

fresh() { # makes $bad a copy of the killed store
	local segment
	rm -f "$bad" "$bad"-wal.*
	cp "$killed" "$bad"
	for segment in "${segments[@]}"; do
		cp "$segment" "$bad-wal.${segment##*.}"
	done
}

contents() { # a sum of the store and all that is beside it
	(cd "$scratch" && sha256sum bad bad-wal.* 2>/dev/null && ls -l --time-style=full-iso bad bad-wal.*)
}

same_vector() { # N
	vector_file "$1" "$scratch/v"
	cmp -s "$scratch/v" "$M/vectors/v$1"
}

hex_of() { # N
	vector_file "$1" "$scratch/hex"
	od -An -v -tx1 "$scratch/hex" | tr -d ' \n' | sed 's/.\{200\}/&\//g'
}

# --- ro ---

read_only_works() { # DESCRIPTION
	local word
	ok "$1: a vector of the pages" same_vector 17
	ok "$1: a vector of the log" same_vector 650
	equal "$1: 700 vectors" 700 "$(find "$M/vectors" -type f | wc -l)"
	equal "$1: a query finds one of the pages" v17 "$(head -n 1 "$M/query/3,format=ids/$(hex_of 17)")"
	equal "$1: a query finds one that is pending" v650 "$(head -n 1 "$M/query/3,format=ids/$(hex_of 650)")"
	vector_file 17 "$scratch/v"
	refused "$1: overwriting" "Read-only file system" cp "$scratch/v" "$M/vectors/v17"
	refused "$1: a new vector" "Read-only file system" cp "$scratch/v" "$M/vectors/new"
	refused "$1: removing" "Read-only file system" rm -f "$M/vectors/v17"
	refused "$1: renaming" "Read-only file system" mv "$M/vectors/v17" "$M/vectors/new"
	refused "$1: chmod" "Read-only file system" chmod 600 "$M/vectors/v17"
	refused "$1: touch" "Read-only file system" touch "$M/vectors/v17"
	for word in verify drop-caches reset-metrics checkpoint; do
		# the kernel lets nobody write to a mount that is ro, so the control file neither
		refused "$1: $word" "Read-only file system" bash -c "echo $word >'$M/status/control'"
	done
	equal "$1: status/config" 1 "$(grep -c '"read_only": true' "$M/status/config")"
	equal "$1: metrics" 1 "$(metric "$M" vecfs_store_read_only)"
}

fresh
before=$(contents)
mount_store "$bad" "$M" ro || fail "mounting a killed store ro"
equal "the log is replayed" 100 "$(metric "$M" vecfs_open_replayed_records)"
read_only_works "ro"
leave "$bad"
equal "a killed store is as it was, and so is its log" "$before" "$(contents)"
chmod 0400 "$bad" "$bad"-wal.*
mount_store "$bad" "$M" ro || fail "mounting files of mode 0400"
ok "files of mode 0400" same_vector 650
leave "$bad"
chmod 0600 "$bad" "$bad"-wal.*

if [ "$(id -u)" -eq 0 ] && mkdir "$scratch/disk" && mount -t tmpfs -o size=16m tmpfs "$scratch/disk"; then
	cp "$bad" "$bad"-wal.* "$scratch/disk/"
	mount -o remount,ro "$scratch/disk"
	mount_store "$scratch/disk/bad" "$M" ro || fail "mounting from a read-only file system"
	ok "on a read-only file system" same_vector 650
	leave "$scratch/disk/bad"
	exits "check on a read-only file system" 0 clean -- "$program" check "$scratch/disk/bad"
	exits "mounting without ro there" 1 "vecfs: " "read-only file system" "open it read-only" -- "$program" "$scratch/disk/bad" "$M"
	umount "$scratch/disk"
fi

# A second reader is let in beside one; a writer is not.
mount_store "$bad" "$M" ro || fail "mounting"
exits "check beside a read-only mount" 0 "700 vectors" -- "$program" check "$bad"
exits "stat of it names check, as its status/control cannot be written" 0 "vecfs check looks" -- "$program" stat "$M"
leave "$bad"

# --- logs ---

fresh
exits "a sound log: wal" 0 "100" "put 100" "tail: ends well" -- "$program" wal "$bad"
exits "a sound log: check" 0 "700 vectors" "100 log records" clean -- "$program" check "$bad"
exits "a sound log: stat" 0 "vectors      700" "100 records to be replayed" "no sign of it" -- "$program" stat "$bad"

# Progress of both stages, on a terminal alone.
if command -v script >/dev/null; then
	exits "progress of check on a terminal" 0 $'\r' "pages: " "vectors: 0 of " clean -- \
		script -qec "'$program' check '$bad'" /dev/null
	exits "progress of wal on a terminal" 0 $'\r' "bytes of log: " "tail: ends well" -- \
		script -qec "'$program' wal '$bad'" /dev/null
fi
for command in check wal; do
	exits "no progress of $command without one" 0 -- "$program" $command "$bad"
	ok "not a return in it" bash -c '[[ $1 != *$'"'\\r'"'* ]]' - "$said"
done

fresh
truncate -s -100 "$bad-wal.$number"
exits "a torn tail: wal" 0 "torn record at segment $number, offset " "the next mount cuts it" -- "$program" wal "$bad"
exits "a torn tail: check" 0 "remark: " "unfinished record" "699 vectors" -- "$program" check "$bad"
mount_store "$bad" "$M" 2>"$scratch/said" || fail "mounting with a torn tail"
contains "a torn tail: mount" "unfinished record; they were cut" "$scratch/said"
contains "a torn tail: status/errors" "unfinished record; they were cut" "$M/status/errors"
ok "a torn tail: bytes in the metrics" [ "$(metric "$M" vecfs_open_cut_bytes)" -gt 0 ]
ok "a torn tail: the record before it" same_vector 698
ok "a torn tail: the torn one was never whole" [ ! -e "$M/vectors/v699" ]
leave "$bad"
exits "a torn tail: check after the mount" 0 "699 vectors" clean -- "$program" check "$bad"

fresh
printf 'XXXX' | dd of="$bad-wal.$number" bs=1 seek=$((8192 + 20000)) conv=notrunc status=none
before=$(contents)
exits "a damaged log: wal" 4 "tail: damaged at segment $number, offset " "after LSN " \
	"records behind it can still be read" "recover=prefix" "readable behind the damage:" \
	"segment $number, offset " "put v660" -- "$program" wal "$bad"
lsn=$(sed -n 's/.*after LSN \([0-9]*\);.*/\1/p' <<<"$said")
kept=$((lsn - base))
exits "a damaged log: check" 4 "damage: WAL replay failed: $bad-wal.$number is damaged at byte " "after LSN $lsn" \
	"-o ro,recover=prefix" "restore" "$((600 + kept)) vectors" -- "$program" check "$bad"
exits "a damaged log: stat" 0 "damaged: nothing from LSN $((lsn + 1)) on" "yes: WAL replay failed" \
	-- "$program" stat "$bad"
exits "a damaged log: mount" 1 "vecfs: WAL replay failed: $bad-wal.$number is damaged at byte " \
	"-o ro,recover=prefix" "LSN $lsn" -- "$program" "$bad" "$M"
exits "a damaged log: ro alone" 1 "WAL replay failed" -- "$program" "$bad" "$M" -o ro
exits "recover=prefix without ro" 2 "recover=prefix" "ro" -- "$program" "$bad" "$M" -o recover=prefix
mount_store "$bad" "$M" ro,recover=prefix 2>"$scratch/said" || fail "mounting with recover=prefix"
for where in "$scratch/said" "$M/status/errors"; do
	contains "recover=prefix: ${where##*/}" "WAL replay failed" "$where"
	contains "recover=prefix: ${where##*/} has the LSNs" "without LSN $((lsn + 1)) to $((base + 100))" "$where"
done
equal "recover=prefix: first LSN left out" $((lsn + 1)) "$(metric "$M" vecfs_open_lost_lsn_first)"
equal "recover=prefix: last LSN left out" $((base + 100)) "$(metric "$M" vecfs_open_lost_lsn_last)"
exits "recover=prefix: stat" 0 "yes: the log" -- "$program" stat "$M"
equal "recover=prefix: the vectors before, no others" $((600 + kept)) "$(find "$M/vectors" -type f | wc -l)"
ok "recover=prefix: the last good one" same_vector $((599 + kept))
ok "recover=prefix: none after it" [ ! -e "$M/vectors/v$((600 + kept))" ]
equal "recover=prefix: a query" v$((599 + kept)) "$(head -n 1 "$M/query/3,format=ids/$(hex_of $((599 + kept)))")"
leave "$bad"
equal "recover=prefix: nothing was written" "$before" "$(contents)"

fresh
rm "$bad"-wal.*
for command in check wal; do
	exits "a missing log: $command" 4 "missing" "put " -- "$program" $command "$bad"
done
exits "a missing log: mount" 1 "WAL replay failed" "is missing" "put it back" -- "$program" "$bad" "$M"

# A segment of another store.
"$program" mkfs "$scratch/other" --dim=64 --metric=l2 --page-size=4K
mount_store "$scratch/other" "$M" || fail "another store"
write_vectors "$M/vectors" 0 3
leave "$scratch/other"
mount_store "$scratch/other" "$M" || fail "another store again"
write_vectors "$M/vectors" 0 3
kill_store "$scratch/other"
fresh
cp "$scratch/other-wal.$number" "$bad-wal.$number"
for command in check wal; do
	exits "a segment of another store: $command" 4 "another store" -- "$program" $command "$bad"
done
exits "a segment of another store: mount" 1 "another store" -- "$program" "$bad" "$M"

tests_end
