#!/usr/bin/env bash
# Named queries: created, written, answered anew at each open, listed, removed; their bounds.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

errors=$M/status/errors
V=$M/vectors
Q=$M/query
tab=$(printf '\t')

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=l2
for i in 0 1 2 3 4 5 6 7 8 9; do floats "$i" 0 0 0 >"$V/p$i"; done
floats 3 0 0 0 >"$scratch/q"
floats 3 0 0 0 9 0 0 0 >"$scratch/two"

# --- one vector ---
ok "cp" cp "$scratch/q" "$Q/2/q1"
answer="p3${tab}0
p2${tab}1"
equal "the answer" "$answer" "$(cat "$Q/2/q1")"
equal "again" "$answer" "$(cat "$Q/2/q1")"
equal "the same question, other options" '[{"id":"p3","distance":0},{"id":"p2","distance":1}]' \
	"$(cat "$Q/2,exact,format=json/q1")"
refused "another number of neighbours is another question" "No such file" cat "$Q/3/q1"
equal "owner only" "600 regular empty file" "$(stat -c '%a %F' "$Q/2/q1")"
floats 3.25 0 0 0 >"$V/new"
equal "answered anew" "p3${tab}0
new${tab}0.25" "$(cat "$Q/2/q1")"
exec 3<"$Q/2/q1"
rm "$V/new"
equal "frozen while it is open" "p3${tab}0
new${tab}0.25" "$(cat <&3)"
exec 3<&-
floats 5 0 0 0 >"$Q/2/q1"
equal "overwritten" "p5${tab}0
p4${tab}1" "$(cat "$Q/2/q1")"
ok "cp over it" cp "$scratch/q" "$Q/2/q1"
equal "the newest question" "$answer" "$(cat "$Q/2/q1")"
ok "a time" touch -d '2001-02-03' "$Q/2/q1"
equal "is kept" 2001-02-03 "$(stat -c %y "$Q/2/q1" | cut -c -10)"
refused "nobody else is let in" "Permission denied" chmod 644 "$Q/2/q1"

# --- many vectors ---
ok "two vectors" cp "$scratch/two" "$Q/1/two"
equal "a batch" "0${tab}p3${tab}0
1${tab}p9${tab}0" "$(cat "$Q/1/two")"
floats 7 0 0 0 >>"$Q/1/two"
equal "one more" "2${tab}p7${tab}0" "$(tail -n 1 "$Q/1/two")"
floats 6 0 0 0 | dd of="$Q/1/two" bs=16 seek=1 conv=notrunc status=none
equal "one changed" "1${tab}p6${tab}0" "$(sed -n 2p "$Q/1/two")"
exec 3>>"$Q/1/turns" 4>>"$Q/1/turns"
for i in 1 2 3 4; do floats "$i" 0 0 0 >&$((3 + i % 2)); done
exec 3>&- 4>&-
equal "two descriptors append in turn" "p1 p2 p3 p4" "$(cut -f 2 "$Q/1/turns" | xargs)"
perl -e 'print pack("f<*", 3, 0, 0, 0) x 100000' >"$scratch/many"
ok "many" cp "$scratch/many" "$Q/1/many"
equal "answers" 100000 "$(wc -l <"$Q/1/many")"
equal "on one descriptor" "$answer" "$(exec 3<>"$Q/2/rw"; cat "$scratch/q" >&3; perl -e 'open my $f, "<&=3"; sysseek $f, 0, 0; print while sysread $f, $_, 4096')"
equal "asked again on it, read from the middle" "${tab}0 p8${tab}1" "$(perl -e 'open my $f, "+<", $ARGV[0] or die $!;
	my $ask = sub { sysseek $f, 0, 0; syswrite $f, pack("f<4", @_) };
	$ask->(3, 0, 0, 0); sysseek $f, 0, 0; sysread $f, $_, 2;
	$ask->(9, 0, 0, 0); sysseek $f, 2, 0; sysread $f, $_, 4096; print' "$Q/2/rw" | xargs -d '\n')"

# --- no vector ---
: >"$Q/1/empty"
equal "an empty question has an empty answer" "" "$(cat "$Q/1/empty")"
: >"$Q/2/q1"
equal "also when it had another" "" "$(cat "$Q/2/q1")"
cp "$scratch/q" "$Q/2/q1"
refused "half a vector" "Invalid argument" sh -c "head -c 10 '$scratch/q' | cat >'$Q/1/half'"
contains "the errors say how long" "query/1/half	EINVAL	got 10 bytes, a vector here is 16 (4 × float32)" "$errors"
equal "is not asked" "" "$(cat "$Q/1/half")"
refused "one and a half" "Invalid argument" sh -c "head -c 20 '$scratch/two' | cat >'$Q/2/other'"
refused "NaN" "Invalid argument" perl -e 'open my $f, ">", $ARGV[0] or die $!;
	syswrite $f, pack("f<4", 1, "nan", 0, 0) or die "$!\n"' "$Q/1/nan"
refused "too much" "File too large" dd if=/dev/zero of="$Q/1/big" bs=1M count=40
refused "a name of digits" "Invalid argument" cp "$scratch/q" "$Q/10/abc"
refused "of a vector" "Permission denied" cp "$scratch/q" "$Q/10/$(hex 1 2 3 4)"
refused "base64url" "Invalid argument" cp "$scratch/q" "$Q/10/b64:!"
refused "a control character" "Invalid argument" cp "$scratch/q" "$Q/10/$(printf 'a\tb')"
refused "a name of 256 bytes" "File name too long" cp "$scratch/q" "$Q/10/$(printf 'x%.0s' $(seq 256))"
refused "below a query" "Not a directory" cp "$scratch/q" "$Q/2/q1/x"
refused "moving" "Operation not permitted" mv "$Q/2/q1" "$Q/2/q2"
ok "other names" cp "$scratch/q" "$Q/10/eine Frage – 'q'?"
ok "are read" test -n "$(cat "$Q/10/eine Frage – 'q'?")"

# --- listing, removing ---
equal "listed" "like q1 run rw" "$(ls "$Q/2" | grep -v other | xargs)"
equal "with other options too" "like q1 run rw" "$(ls "$Q/2,exact" | grep -v other | xargs)"
exec 3>>"$Q/2/q1"
ok "rm" rm "$Q/2/q1"
ok "it is gone" absent "$Q/2/q1"
ok "by the other path too" absent "$Q/2,exact/q1"
ok "an open one can be written on" cat "$scratch/q" >&3
exec 3>&-
ok "and is still gone" absent "$Q/2/q1"
refused "rm of run" "Operation not permitted" rm -f "$Q/2/run"
refused "of what is not there" "No such file" rm "$Q/2/q1"

# --- many ---
have=$(find "$Q/1" "$Q/2" "$Q/10" -maxdepth 1 -type f ! -name run | wc -l)
ok "up to 1024" perl -e 'for my $i (1 .. $ARGV[1]) { open my $f, ">", "$ARGV[0]/n$i" or die "$i: $!\n";
	syswrite $f, pack("f<4", $i, 0, 0, 0); close $f or die "$i: $!\n" }' "$Q/7" $((1024 - have))
refused "one more" "No space left on device" cp "$scratch/q" "$Q/7/more"
contains "the errors say what to do" "there are 1024 named queries: remove one first" "$errors"
equal "all are listed" $((1024 - have)) "$(ls "$Q/7" | grep -c '^n')"
equal "once" "" "$(ls -U "$Q/7" | sort | uniq -d)"
ok "answered" test "$(cat "$Q/7/n5" | head -n 1)" = "p5${tab}0"
ok "find -delete" find "$Q/7" -name 'n*' -delete
equal "removes all" "like run" "$(ls "$Q/7" | xargs)"
ok "there is room again" cp "$scratch/q" "$Q/7/more"

ok "unmount" unmount_store "$M"
ok "mount again" mount_store "$scratch/s.vecfs" "$M" ro
equal "they were in memory" "like run" "$(ls "$Q/7" | xargs)"
refused "a read-only mount takes none" "Read-only file system" cp "$scratch/q" "$Q/7/q"
ok "unmount" unmount_store "$M"
tests_end
