#!/usr/bin/env bash
# The commands beside mounting, on stores that are clean, mounted, damaged, cut, and no stores.
# timeout: 120 s, without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin

# --- help and usage ---

exits 0 "usage: vecfs STORE MOUNTPOINT" "$VECFS" --help
exits 0 "vecfs " "$VECFS" --version
exits 2 "usage" "$VECFS"
for command in mkfs check wal stat; do
	exits 0 "usage: vecfs $command" "$VECFS" "$command" --help
	refused 2 "missing" "$VECFS" "$command"
	refused 2 "--colour" "$VECFS" "$command" "$work/s" --colour
	refused 2 "too many" "$VECFS" "$command" "$work/s" more
done
for command in recover compress; do
	exits 0 "usage: vecfs $command" "$VECFS" "$command" --help
	refused 2 "missing" "$VECFS" "$command" "$work/s"
	refused 2 "--colour" "$VECFS" "$command" "$work/s" --colour
	refused 2 "too many" "$VECFS" "$command" "$work/s" "$work/out" more
done
! "$VECFS" --help >/dev/full 2>/dev/null
check $? "output that cannot be written is an error"

# --- mkfs ---

"$VECFS" mkfs "$work/s" --dim 4 --metric=l2 --page-size=4K
check $? "mkfs"
[ "$(stat -c %a "$work/s")" = 600 ]
check $? "a store is its owner's"
cp "$work/s" "$work/s.before"
refused 1 "exists" "$VECFS" mkfs "$work/s"
cmp -s "$work/s" "$work/s.before"
check $? "mkfs overwrites nothing"
refused 1 "$work/none" "$VECFS" mkfs "$work/none/s"
refused 2 "dim" "$VECFS" mkfs "$work/x" --dim=0
refused 2 "metric" "$VECFS" mkfs "$work/x" --metric=hamming
refused 2 "page-size" "$VECFS" mkfs "$work/x" --page-size=5000
refused 2 "needs a value" "$VECFS" mkfs "$work/x" --dim
not_there "$work/x"
(cd "$work" && "$VECFS" mkfs --dim=2 -- --help && "$VECFS" check -- --help) >/dev/null && [ -s "$work/--help" ]
check $? "what follows -- is a name"
ln -s "$VECFS" "$work/mkfs.vecfs"
ln -s "$VECFS" "$work/fsck.vecfs"
"$work/mkfs.vecfs" "$work/y" --dim=3
check $? "mkfs.vecfs"
exits 0 "clean" "$work/fsck.vecfs" -a "$work/y"

# --- a clean store ---

exits 0 "clean" "$VECFS" check "$work/s"
exits 0 "4" "$VECFS" stat "$work/s"
grep -q "^metric *l2" <<<"$said" && grep -q "^vectors *0" <<<"$said"
check $? "stat of an empty store"
exits 0 "" "$VECFS" wal "$work/s"

printf '\0\0\200\077\0\0\0\0\0\0\0\0\0\0\200\077' >"$work/value"
mounted "$work/s" "$mnt"
i=0
while [ $i -lt 300 ]; do
	printf '\0\0\200\077\0\0\0\0\0\0\0\0\0\0%b\077' "\\0$(printf %o $((128 + i % 64)))" \
		>"$mnt/vectors/v$i" || check 1 "vector $i"
	i=$((i + 1))
done
sync -f "$mnt/vectors/v0"
exits 0 "300" "$VECFS" stat "$mnt"
grep -q "^mounted at *$mnt" <<<"$said" && grep -q "^vectors *300" <<<"$said" &&
	grep -q "^metric *l2" <<<"$said" && grep -q "^dim *4" <<<"$said" &&
	grep -q "^code bits *4 " <<<"$said"
check $? "stat of a mount"
[ "$(sed -n 2p <<<"$said")" = "damaged      no sign of it; echo verify > status/control looks" ] &&
	grep -qx 'raw vectors  *4800 bytes  *4\.7 KiB' <<<"$said" && grep -q '^log  *[1-9][0-9]* bytes' <<<"$said"
check $? "whether it is well stands on top, sizes in bytes and for people"
exits 0 "mounted at" "$VECFS" stat "$work/s"
grep -q "^vectors *300" <<<"$said"
check $? "stat of a store that is mounted asks the mount"
refused 8 "$work/s" "$VECFS" check "$work/s"
refused 8 "$work/s" "$VECFS" wal "$work/s"
for command in recover compress; do
	refused 8 "the store $work/s is mounted at $mnt" "$VECFS" "$command" "$work/s" "$work/out"
done

# --- the README of the mount can be pasted ---

grep '^  [^ ]' "$mnt/README" | sed 's/^  //' >"$work/pasted"
[ "$(grep -c . "$work/pasted")" -ge 10 ]
check $? "README has examples"
for shell in sh bash; do
	"$shell" -e "$work/pasted" >"$work/pasted.out" 2>&1
	check $? "what README says works in $shell"
	grep -q '^v[0-9]*	[0-9]' "$work/pasted.out"
	check $? "and finds neighbours in $shell"
done

# --- a log ---

cp "$work/s" "$work/crashed"
for log in "$work"/s-wal.*; do
	cp "$log" "$work/crashed-wal.${log##*.}"
done
exits 0 "records" "$VECFS" wal "$work/crashed"
grep -q "^tail: " <<<"$said"
check $? "the state of the tail is said"
exits 0 "300 vectors" "$VECFS" check "$work/crashed"
exits 0 "300" "$VECFS" stat "$work/crashed"

unmounted "$mnt"
gone "$work/s"
exits 0 "300 vectors" "$VECFS" check "$work/s"
exits 0 "" "$VECFS" wal "$work/s"

# --- a log that came after a mount without one, and its commit slot is damaged ---

"$VECFS" mkfs "$work/n" --dim 4 --metric=l2
mounted "$work/n" "$mnt" -o durability=none
cp "$work/value" "$mnt/vectors/before"
check $? "a vector without a log"
unmounted "$mnt"
gone "$work/n"
mounted "$work/n" "$mnt"
cp "$work/value" "$mnt/vectors/after"
check $? "a vector with a log"
cp "$work/n" "$work/c"
for log in "$work"/n-wal.*; do
	cp "$log" "$work/c-wal.${log##*.}"
done
unmounted "$mnt"
gone "$work/n"
slot=4096
[ "$(od -An -tu8 -j $((4096 + 32)) -N 8 "$work/c")" -gt "$(od -An -tu8 -j $((8192 + 32)) -N 8 "$work/c")" ] ||
	slot=8192
printf '\377\377' | dd of="$work/c" bs=1 seek=$((slot + 90)) conv=notrunc status=none
exits 0 "(put 1," "$VECFS" wal "$work/c"
exits 4 "2 vectors" "$VECFS" check "$work/c"
exits 0 "yes: " "$VECFS" stat "$work/c"
grep -q "^vectors *2" <<<"$said"
check $? "and stat counts both"
rm "$work"/c-wal.1
exits 4 "missing or damaged" "$VECFS" wal "$work/c"
exits 4 "missing or damaged" "$VECFS" check "$work/c"

# --- damage ---

"$VECFS" stat "$work/s" >/dev/null
size=$(stat -c %s "$work/s")
found=0
tried=0
for ((at = 16384 + 100; at < size; at += 4096)); do
	cp "$work/s" "$work/bad"
	byte=$(od -An -tu1 -j "$at" -N 1 "$work/bad" | tr -d ' ')
	printf '%b' "\\0$(printf %o $((byte ^ 255)))" |
		dd of="$work/bad" bs=1 seek="$at" conv=notrunc status=none
	said=$("$VECFS" check "$work/bad" 2>&1)
	code=$?
	tried=$((tried + 1))
	if [ $code -eq 4 ]; then
		found=$((found + 1))
		grep -q "^damage: " <<<"$said" || check 1 "exit 4 without a finding: $said"
	elif [ $code -ne 0 ]; then
		check 1 "exit $code with a flipped byte at $at: $said"
	fi
done
[ "$found" -ge 1 ]
check $? "flipped bytes are found ($found of $tried blocks hold something)"
head -c $((size / 2)) "$work/s" >"$work/half"
exits 4 "damage" "$VECFS" check "$work/half"
head -c 3000 "$work/s" >"$work/less"
refused 8 "$work/less" "$VECFS" check "$work/less"
head -c 50000 /dev/urandom >"$work/noise"
for command in check wal; do
	refused 8 "$work/noise" "$VECFS" "$command" "$work/noise"
	refused 8 "$work/none" "$VECFS" "$command" "$work/none"
done
refused 1 "$work/noise" "$VECFS" stat "$work/noise"
refused 1 "$work/none" "$VECFS" stat "$work/none"
refused 1 "$work" "$VECFS" stat "$work"
mkdir -p "$work/other/status/metrics" "$work/other/status/config"
refused 1 "$work/other/status/metrics cannot be read" "$VECFS" stat "$work/other"

# --- the moment after an unmount, while the daemon still closes the store ---

"$VECFS" "$work/s" "$mnt"
for ((i = 0; i < 200; i++)); do
	printf '\0\0\200\77\0\0\200\77\0\0\200\77\0\0\200\77' >"$mnt/vectors/late-$i"
done
fusermount3 -u "$mnt"
exits 0 "clean" "$VECFS" check "$work/s"

cases_end
