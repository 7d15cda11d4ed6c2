#!/usr/bin/env bash
# Vectors as text: reading and writing /json, the tools that people use on text, what must be refused.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

errors=$M/status/errors
V=$M/vectors
J=$M/json
floats 1 -0.5 0.25 8 >"$scratch/a"

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=cosine

# --- reading ---
cp "$scratch/a" "$V/a"
equal "a vector as text" "[1,-0.5,0.25,8]" "$(cat "$J/a")"
equal "its size is that of the text" "$(wc -c <"$J/a")" "$(stat -c %s "$J/a")"
equal "with its line's end" 16 "$(stat -c %s "$J/a")"
refused "what is no vector" "No such file" cat "$J/nobody"
equal "listed" "a" "$(ls "$J")"
equal "the root lists it" "README json query status vectors" "$(ls "$M" | sort | xargs)"
equal "d_ino is st_ino" "$(ls -i "$J" | xargs)" "$(stat -c '%i %n' "$J/a" | sed "s|$J/||")"
ok "another number than the vector's" test "$(stat -c %i "$J/a")" != "$(stat -c %i "$V/a")"
chmod 640 "$V/a"
touch -d '2001-02-03 04:05:06.789' "$V/a"
equal "mode and time are the vector's" "$(stat -c '%a %u %g %y' "$V/a")" "$(stat -c '%a %u %g %y' "$J/a")"

# --- writing ---
echo '[1, 2, 3, 4]' >"$J/b"
equal "JSON" "1 2 3 4" "$(numbers "$V/b")"
echo '5 6 7 8' >"$J/b"
equal "plain numbers" "5 6 7 8" "$(numbers "$V/b")"
equal "the text follows" "[5,6,7,8]" "$(cat "$J/b")"
printf '1\n2\n3\n4' >"$J/b"
equal "a number a line, without a last line's end" "1 2 3 4" "$(numbers "$V/b")"
printf '1,2.5,-3e0,4e-1\n' >"$J/b"
equal "with commas" "1 2.5 -3 0.4" "$(perl -e 'local $/; print join " ", map { sprintf "%.6g", $_ } unpack "f<*", <STDIN>' <"$V/b")"
printf '[\n\t1,\n\t2,\n\t3,\n\t4\n]\n' | dd of="$J/b" bs=1 status=none
equal "byte by byte" "1 2 3 4" "$(numbers "$V/b")"
exec 3>"$J/b"
printf '[9,9,9,9]' >&3
equal "it is there before it is closed" "9 9 9 9" "$(numbers "$V/b")"
printf '\n' >&3
ok "blanks behind it" bash -c 'exec 3>&-'
exec 3>&-
cp "$V/a" "$V/c"
echo '[1,2,3,4]' >"$J/c"
equal "an overwritten vector is found" c "$(cat "$M/query/1,format=ids/$(hex 1 2 3 4)" | grep -x c || cat "$M/query/9,format=ids/$(hex 1 2 3 4)" | grep -x c)"
ok "cp of a text" cp "$J/a" "$scratch/text"
ok "and back" cp "$scratch/text" "$J/d"
ok "is the same vector" cmp "$V/a" "$V/d"
ok "cp in the folder" cp "$J/a" "$J/e"
ok "is the same" cmp "$V/a" "$V/e"
ok "mv" mv "$J/e" "$J/f"
ok "moves the vector" cmp "$V/a" "$V/f"
ok "the old name is gone" absent "$V/e"
cat "$V/f" >/dev/null
ok "mv over another" mv "$J/b" "$J/f"
equal "replaces the vector" "9 9 9 9" "$(numbers "$V/f")"
ok "rm" rm "$J/f"
ok "removes the vector" absent "$V/f"
ok "mv in vectors" mv "$V/d" "$V/g"
ok "moves the text" absent "$J/d"
equal "to the other name" "[1,-0.5,0.25,8]" "$(cat "$J/g")"
ok ": > leaves it" bash -c ": >'$J/g'"
equal "as it was" "[1,-0.5,0.25,8]" "$(cat "$J/g")"
printf '7' | dd of="$J/g" bs=1 seek=1 conv=notrunc status=none
equal "a change in the middle" "7 -0.5 0.25 8" "$(numbers "$V/g")"
refused "moving between the folders" "Operation not permitted" mv -T "$J/g" "$V/h"
ok "chmod" chmod 600 "$J/g"
equal "is that of the vector" 600 "$(stat -c %a "$V/g")"
ok "truncate -s 0" truncate -s 0 "$J/g"
refused "truncate to a part" "Invalid argument" truncate -s 3 "$J/g"
refused "mkdir" "Operation not permitted" mkdir "$J/dir"

# --- what sees the old and the new ---
exec 4<"$J/g"
echo '[1,1,1,1]' >"$J/g"
equal "a text is frozen at open" "[7,-0.5,0.25,8]" "$(cat <&4)"
exec 4<&-
cat "$V/g" >/dev/null
for i in $(seq 1 200); do
	echo "[$i,1,1,1]" >"$J/.next" && mv "$J/.next" "$J/g"
	got=$(numbers "$V/g")
	[ "$got" = "$i 1 1 1" ] || break
done
equal "write and rename here, read there" "200 1 1 1" "$got"
for i in $(seq 1 200); do
	floats "$i" 2 2 2 >"$V/.next" && mv "$V/.next" "$V/g"
	got=$(cat "$J/g")
	[ "$got" = "[$i,2,2,2]" ] || break
done
equal "and the other way round" "[200,2,2,2]" "$got"

# Both folders at once: nobody waits for ever for the other's lock.
changes() { # NUMBER
	local i
	for i in $(seq 1 100); do
		echo "[$1,$i,1,1]" >"$J/.by$1" && mv "$J/.by$1" "$J/by$1" &&
			floats "$1" "$i" 2 2 >"$V/.of$1" && mv "$V/.of$1" "$V/by$1" && rm "$J/by$1" || return
	done
}
export -f changes floats
export J V
ok "six at once" timeout 60 bash -c 'for n in 1 2 3 4 5 6; do changes $n & pids+=($!); done
	for pid in "${pids[@]}"; do wait "$pid" || exit 1; done'
equal "leave nothing" "" "$(ls -A "$V" | grep by)"

# --- tools ---
echo '[1,2,3,4]' >"$J/s"
chmod 640 "$V/s"
ok "sed -i" sed -i 's/2/22/' "$J/s"
equal "has changed the vector" "1 22 3 4" "$(numbers "$V/s")"
equal "sed -i keeps the mode" 640 "$(stat -c %a "$V/s")"
equal "and leaves nothing" "" "$(ls "$J" | grep '^sed')"
if command -v jq >/dev/null; then
	equal "jq -c" "[1,22,3,4]" "$(jq -c . "$J/s")"
	ok "jq changes it" sh -c "jq -c 'map(. * 2)' '$J/s' >'$scratch/doubled' && cp '$scratch/doubled' '$J/s'"
	equal "doubled" "2 44 6 8" "$(numbers "$V/s")"
	ok "jq's long form" sh -c "jq . '$J/s' >'$scratch/long' && cat '$scratch/long' >'$J/s'"
	equal "is taken too" "2 44 6 8" "$(numbers "$V/s")"
else
	echo "# jq is not installed: skipped"
fi
equal "grep -r" "$J/s" "$(grep -rl 44 "$J")"
ok "tar" tar -C "$J" -cf "$scratch/j.tar" .
tar -xOf "$scratch/j.tar" ./s >"$scratch/out" 2>&1
ok "has all of the text" cmp "$J/s" "$scratch/out"
ok "perl -pi" perl -pi -e 's/44/4/' "$J/s"
equal "has changed it" "2 4 6 8" "$(numbers "$V/s")"

# --- refusals ---
refused "too few" "Invalid argument" bash -c "echo '[1,2]' >'$J/x' || { echo Invalid argument; exit 1; }"
ok "is not there" soon absent "$V/x"
contains "the errors say how many" "json/x	EINVAL	got 2 numbers, a vector here has 4" "$errors"
refused "too many" "File too large" sh -c "echo '[1,2,3,4,5]' | cat >'$J/x'"
refused "no number" "Invalid argument" sh -c "echo '[1,2,x,4]' | cat >'$J/s'"
contains "the errors say where" "number 3, at byte 5: 'x' is no number" "$errors"
refused "NaN" "Invalid argument" sh -c "echo '[1,2,nan,4]' | cat >'$J/s'"
refused "beyond float32" "Invalid argument" sh -c "echo '1 2 3 4e39' | cat >'$J/s'"
refused "no closing bracket" "Invalid argument" sh -c "printf '[1,2,3,4' | cat >'$J/s'"
refused "the zero vector, with cosine" "Invalid argument" sh -c "echo '0 0 0 0' | cat >'$J/s'"
refused "appending" "Invalid argument" sh -c "echo '[1,2,3,4]' | cat >>'$J/s'"
refused "an endless text" "File too large" dd if=/dev/zero of="$J/y" bs=1M count=1
# A refused write leaves nothing behind, and the next one stands where it stood.
# shellcheck disable=SC2016
after='use Fcntl; my ($path, $beginning, $refused, $good) = @ARGV;
	sysopen(my $f, $path, O_RDWR | O_CREAT | O_TRUNC) or die "$path: $!";
	defined syswrite($f, $beginning) or die "the beginning: $!" if length $beginning;
	defined syswrite($f, $refused) and die "it was not refused";
	sysseek($f, 0, 0); sysread($f, my $text, 1000); $text eq $beginning or die "it is $text now";
	sysseek($f, length $beginning, 0);
	defined syswrite($f, $good) or die "the good one: $!";
	open(my $v, "<:raw", $path =~ s,/json/,/vectors/,r) or die "not there before close: $!";
	read($v, my $bytes, 100); my $got = join " ", unpack "f<*", $bytes;
	$got eq "5 6 7 8" or die "before close: $got";
	close $f or die "close: $!"'
ok "a good one after a refused one" perl -e "$after" "$J/after" '' $'[1,2,x,4,5,6,7,8,9]\n' $'[5,6,7,8]\n'
equal "is the vector" "5 6 7 8" "$(numbers "$V/after")"
ok "after one that is too long" perl -e "$after" "$J/after" '' $'[1,2,3,4,5,6,7,8]\n' $'[5,6,7,8]\n'
ok "after a beginning and a refused end" perl -e "$after" "$J/after2" '[5,6' $',x,8,9,10]\n' $',7,8]\n'
equal "is the vector" "5 6 7 8" "$(numbers "$V/after2")"
refused "an id with a control character" "Invalid argument" cp "$J/a" "$J/$(printf 'a\nb')"
equal "the old vector stays" "2 4 6 8" "$(numbers "$V/s")"
ok "nothing is left" sh -c "! ls '$J' | grep -q '[xy]'"

# --- any bits come back ---
perl -e 'srand 1; print pack "f<*", map { unpack "f<", pack "V", int(rand(2 ** 31)) % 0x7f000000 } 1 .. 4' >"$scratch/random"
cp "$scratch/random" "$V/random"
cat "$J/random" >"$J/copied"
ok "random bits through the text" cmp "$scratch/random" "$V/copied"
equal "-0" "[-0,0,1,1e-45]" "$(printf '[-0,0,1,1.4e-45]' >"$J/minus"; sed 's/1.40129846/1/' "$J/minus")"

ok "unmount" unmount_store "$M"
ok "mount read-only" mount_store "$scratch/s.vecfs" "$M" ro
equal "reading" "[2,4,6,8]" "$(cat "$J/s")"
refused "writing" "Read-only file system" sh -c "echo '[1,2,3,4]' >'$J/s'"
ok "unmount" unmount_store "$M"

ok "mount without dim" mount_store "$scratch/new.vecfs" "$M" metric=l2
refused "no number" "Invalid argument" sh -c "echo '[]' | cat >'$J/first'"
ok "the first text sets the dimension" sh -c "echo '1 2 3' | cat >'$J/first'"
equal "of three numbers" 12 "$(stat -c %s "$V/first")"
refused "which others must have" "File too large" sh -c "echo '1 2 3 4' | cat >'$J/second'"
ok "unmount" unmount_store "$M"
tests_end
