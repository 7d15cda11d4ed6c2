#!/usr/bin/env bash
# Queries as files: hex, split hex, base64url, like, run; options, formats; what must be refused.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

errors=$M/status/errors
V=$M/vectors
Q=$M/query

b64() { # NUMBER...
	floats "$@" | base64 -w0 | tr '+/' '-_' | tr -d '='
}

# --- an empty collection of unknown dimension ---
ok "mount" mount_store "$scratch/s.vecfs" "$M" metric=l2
equal "an empty collection has no neighbours" "" "$(cat "$Q/10/$(hex 1 2)")"
equal "nor on run" "" "$(exec 3<>"$Q/10/run"; floats 1 2 >&3; cat <&3)"
equal "as JSON" "[]" "$(cat "$Q/10,format=json/$(hex 1 2)")"

# --- a line of points: p0 at 0, p1 at 1, ... ---
for i in 0 1 2 3 4 5 6 7 8 9; do floats "$i" 0 0 0 >"$V/p$i"; done
tab=$(printf '\t')
three="p3${tab}0
p2${tab}1
p4${tab}1"
point=$(hex 3 0 0 0)

equal "hex" "$three" "$(cat "$Q/3/$point")"
equal "hex, twice" "$three" "$(cat "$Q/3/$point")"
equal "capital hex" "$three" "$(cat "$Q/3/${point^^}")"
equal "split in two" "$three" "$(cat "$Q/3/${point:0:10}/${point:10}")"
equal "split in many" "$three" \
	"$(cat "$Q/3/${point:0:2}/${point:2:2}/${point:4:4}/${point:8:6}/${point:14}")"
equal "split, by cd" "$three" "$(cd "$Q/3/${point:0:8}" && cat "${point:8}")"
equal "base64url" "$three" "$(cat "$Q/3/b64:$(b64 3 0 0 0)")"
b=$(b64 3 0 0 0)
equal "base64url, split" "$three" "$(cat "$Q/3/b64:${b:0:8}/${b:8}")"
equal "base64url, split within four digits" "$three" "$(cat "$Q/3/b64:${b:0:6}/${b:6:4}/${b:10}")"
equal "like" "p2${tab}1
p4${tab}1
p1${tab}2" "$(cat "$Q/3/like/p3")"
equal "k above the count" 10 "$(wc -l <"$Q/10000/$point")"
equal "k of 1" "p3${tab}0" "$(cat "$Q/1/$point")"
equal "a beginning is a directory" directory "$(stat -c %F "$Q/3/${point:0:8}")"
equal "the whole is a file" "regular empty file" "$(stat -c %F "$Q/3/$point")"
equal "owner only" 400 "$(stat -c %a "$Q/3/$point")"
equal "the directory too" 700 "$(stat -c %a "$Q")"

# --- what a query sees ---
floats 3.25 0 0 0 >"$V/new"
equal "a vector just written" "p3${tab}0
new${tab}0.25" "$(cat "$Q/2/$point")"
rm "$V/new"
equal "a vector just removed" "p3${tab}0
p2${tab}1" "$(cat "$Q/2/$point")"
floats 100 0 0 0 >"$V/p4"
equal "a vector just overwritten" "p2${tab}1
p1${tab}2" "$(cat "$Q/2/like/p3")"
floats 4 0 0 0 >"$V/p4"
mv "$V/p2" "$V/zz"
equal "a vector just renamed" "p4${tab}1
zz${tab}1" "$(cat "$Q/2/like/p3")"
mv "$V/zz" "$V/p2"
exec 4<"$Q/2/like/p3"
rm "$V/p4"
equal "an answer is frozen at open" "p2${tab}1
p4${tab}1" "$(cat <&4)"
exec 4<&-
floats 4 0 0 0 >"$V/p4"

# --- options ---
equal "exact" "$three" "$(cat "$Q/3,exact/$point")"
equal "effort" "$three" "$(cat "$Q/3,effort=200/$point")"
equal "max" "$three" "$(cat "$Q/10,max=1.5/$point")"
equal "ids" "p3 p2 p4" "$(tr '\n' ' ' <"$Q/3,format=ids/$point" | sed 's/ $//')"
equal "json" '[{"id":"p3","distance":0},{"id":"p2","distance":1}]' \
	"$(tr -d ' ' <"$Q/2,exact,format=json/$point")"

# --- run ---
exec 3<>"$Q/2/run"
floats 3 0 0 0 >&3
equal "run" "p3${tab}0
p2${tab}1" "$(cat <&3)"
equal "run, read again: it is at its end" "" "$(cat <&3)"
floats 5 0 0 0 >&3
equal "run, the next vector" "p5${tab}0
p4${tab}1" "$(cat <&3)"
floats 0 0 0 0 >&3
floats 9 0 0 0 >&3
equal "run, a batch" "0${tab}p0${tab}0
0${tab}p1${tab}1
1${tab}p9${tab}0
1${tab}p8${tab}1" "$(cat <&3)"
floats 7 0 0 0 | head -c 5 >&3
floats 7 0 0 0 | tail -c +6 >&3
equal "run, in pieces" "p7${tab}0
p6${tab}1" "$(cat <&3)"
floats 7 0 0 0 | head -c 5 >&3
refused "run, half a vector" "Invalid argument" cat <&3
floats 7 0 0 0 | tail -c +6 >&3
equal "run, the other half" "p7${tab}0
p6${tab}1" "$(cat <&3)"
floats 1 0 0 0 >&3
floats 2 0 0 0 | head -c 3 >&3
refused "run, one and a half" "Invalid argument" cat <&3
exec 3>&-
exec 3<>"$Q/1,format=json/run"
floats 0 0 0 0 9 0 0 0 >&3
equal "run, JSON of a batch, an array a line" '[{"id":"p0","distance":0}] [{"id":"p9","distance":0}] ' \
	"$(tr '\n' ' ' <&3 | sed 's/": /":/g; s/, "/,"/g')"
exec 3>&-
exec 3<>"$Q/1,format=ids/run"
floats 0 0 0 0 9 0 0 0 >&3
equal "run, ids of a batch" "0${tab}p0
1${tab}p9" "$(cat <&3)"
refused "run, NaN" "Invalid argument" \
	bash -c "printf '\000\000\300\177\0\0\0\0\0\0\0\0\0\0\0\0' >&3"
exec 3>&-
contains "NaN on run stands in the errors" "query/1,format=ids/run	EINVAL" "$errors"
equal "a large batch" 20000 "$(exec 3<>"$Q/2/run"
	perl -e 'print pack("f<*", 3, 0, 0, 0) x 10000' >&3
	wc -l <&3)"

# --- refusals ---
refused "k of 0" "Invalid argument" cat "$Q/0/$point"
refused "k too large" "Invalid argument" cat "$Q/10001/$point"
refused "k that is no number" "Invalid argument" cat "$Q/ten/$point"
refused "an unknown option" "Invalid argument" cat "$Q/10,colour=red/$point"
refused "a bad effort" "Invalid argument" cat "$Q/10,effort=x/$point"
refused "an unknown format" "Invalid argument" cat "$Q/10,format=xml/$point"
refused "an odd number of digits" "No such file" cat "$Q/10/${point:1}"
refused "a query that nobody made" "No such file" cat "$Q/10/xyz"
refused "too many digits" "No such file" cat "$Q/10/${point}00"
refused "too many digits, split" "No such file" cat "$Q/10/${point:0:8}/${point}"
refused "a beginning is no file" "directory" cat "$Q/10/${point:0:8}"
refused "an answer is no directory" "Not a directory" ls "$Q/10/$point/00"
refused "bad base64url" "No such file" cat "$Q/10/b64:!!!!"
refused "unknown id" "No such file" cat "$Q/10/like/nobody"
refused "NaN" "Invalid argument" cat "$Q/10/0000c07f000000000000000000000000"
refused "writing to an answer" "Permission denied" bash -c "echo >'$Q/10/$point'"
refused "removing" "Operation not permitted" rm -f "$Q/10/run"
contains "a bad k stands in the errors" "query/0	EINVAL" "$errors"
contains "bad hex stands in the errors" "query/10/${point:1}	ENOENT" "$errors"
contains "an unknown id stands in the errors" "query/10/like/nobody	ENOENT" "$errors"

# --- listing ---
equal "what /query lists" "1 10 100" "$(ls "$Q" | sort -n | tr '\n' ' ' | sed 's/ $//')"
equal "what a k lists" "like run" "$(ls "$Q/10,exact" | tr '\n' ' ' | sed 's/ $//')"
equal "what a beginning lists" "" "$(ls "$Q/3/${point:0:8}")"
equal "what like lists" "" "$(ls "$Q/3/like")"
searched() {
	awk '$1 == "vecfs_query_seconds_count" { print $2 }' "$M/status/metrics"
}
before=$(searched)
ls -lR "$Q" >/dev/null
stat "$Q/3/$point" "$Q/3/like/p3" >/dev/null
equal "looking searches nothing" "$before" "$(searched)"
cat "$Q/3/$point" >/dev/null
ok "reading does" test "$(searched)" -gt "$before"

# --- many names ---
inodes() {
	awk '$1 == "fuse_inode" { print $2 }' /proc/slabinfo 2>/dev/null || echo 0
}
many=$(inodes)
# shellcheck disable=SC2016
ok "500 different queries" perl -e '
	for my $i (1 .. 500) {
		my $name = "$ARGV[0]/1/" . unpack("H*", pack("f<*", $i / 50, 0, 0, 0));
		open(my $f, "<", $name) or die "$name: $!";
		my $nearest = int($i / 50 + 0.5);
		$nearest = 9 if $nearest > 9;
		my $line = <$f>;
		next if abs($i / 50 - int($i / 50) - 0.5) < 1e-6;
		die "$i: $line" if $line !~ /^p$nearest\t/;
	}' "$Q"
few() {
	[ $(($(inodes) - many)) -lt 300 ]
}
ok "the kernel does not keep them" soon few

# --- a caller that is stopped for a moment ---
# Each batch must be searched within the second after which an interrupted caller counts as impatient.
batch=4000
[ -z "${SAN:-}" ] || batch=400
# shellcheck disable=SC2016
perl -e '
	open(my $run, "+<", "$ARGV[0]/1,exact/run") or die "run: $!";
	for my $round (1 .. 100) {
		my ($vectors, $answer) = (pack("f<*", 1, 2, 3, 4) x $ARGV[1], "");
		for (my $at = 0; $at < length $vectors;) {
			my $n = syswrite($run, $vectors, 1 << 18, $at) or die "write: $!";
			$at += $n;
		}
		my $got = sysread($run, $answer, 1 << 24);
		die "round $round: $!" if !defined $got;
	}' "$Q" "$batch" >"$scratch/stopped" 2>&1 &
asker=$!
while kill -STOP "$asker" 2>/dev/null; do
	sleep 0.01
	kill -CONT "$asker" 2>/dev/null
	sleep 0.05
done
if wait "$asker"; then
	pass "stopped and continued, it gets its answers"
else
	fail "stopped and continued, it gets its answers" "$(cat "$scratch/stopped")"
fi

ok "unmount" unmount_store "$M"

# --- the other distances ---
points() {
	floats 2 0 >"$V/same" && floats 0 3 >"$V/across" && floats -4 0 >"$V/against" &&
		floats 3 3 >"$V/between"
}
ok "mount, cosine" mount_store "$scratch/cosine.vecfs" "$M" dim=2,metric=cosine
points
equal "1 - cos, whatever the length" "same${tab}0
between${tab}0.292893219
across${tab}1
against${tab}2" "$(cat "$Q/10/$(hex 7 0)")"
equal "the zero vector has no direction" "No" "$(cat "$Q/10/$(hex 0 0)" 2>/dev/null && echo Yes || echo No)"
contains "the errors say so" "EINVAL" "$errors"
ok "unmount" unmount_store "$M"
ok "mount, ip" mount_store "$scratch/ip.vecfs" "$M" dim=2,metric=ip
points
equal "the dot product, negative" "between${tab}-6
same${tab}-4
across${tab}0
against${tab}8" "$(cat "$Q/10/$(hex 2 0)")"
equal "max, below 0" "between${tab}-6" "$(cat "$Q/10,max=-5/$(hex 2 0)")"
ok "unmount" unmount_store "$M"
tests_end
