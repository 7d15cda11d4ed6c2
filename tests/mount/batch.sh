#!/usr/bin/env bash
# Batches through `run`: larger than a request, in pieces of any size, refused, given up. timeout: 240 s
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

stored=6500 # more than are scanned, so that the graph answers
spec=5,effort=8
case ${SAN:-} in *thread*) stored=300 ;; esac

# A file of vectors, and queries among them.
perl -e '
	my ($n, $vectors, $queries) = @ARGV;
	srand 7;
	open my $v, ">", $vectors or die;
	open my $q, ">", $queries or die;
	for my $i (1 .. $n) {
		my @at = map { int(rand 8) * 10 + rand } 1 .. 16;
		print $v pack "Vf<*", 16, @at;
		print $q pack "f<*", map { $_ + rand 0.5 } @at if $i <= 200;
	}' $stored "$scratch/v.fvecs" "$scratch/queries"
ok "import" "$program" mkfs "$scratch/s.vecfs" --dim=16 --metric=l2
ok "import" "$program" import "$scratch/s.vecfs" "$scratch/v.fvecs"
ok "mount" mount_store "$scratch/s.vecfs" "$M"

# ask SPEC TIMES SIZE: the queries TIMES over, written SIZE bytes at a time, answered as a batch.
ask() {
	# shellcheck disable=SC2016
	perl -e '
		my ($run, $file, $times, $size) = @ARGV;
		local $/;
		open my $in, "<", $file or die;
		my $all = <$in> x $times;
		open my $f, "+<", $run or die "$run: $!";
		for (my $at = 0; $at < length $all;) {
			my $n = syswrite $f, $all, $size, $at;
			die "write: $!\n" if !defined $n;
			$at += $n;
		}
		my $got;
		while ($got = sysread $f, my $text, 1 << 20) { print $text }
		die "read: $!\n" if !defined $got;
	' "$M/query/$1/run" "$scratch/queries" "$2" "$3"
}

# Each query on its own is what the others are compared with.
# shellcheck disable=SC2016
perl -e '
	my ($run, $file) = @ARGV;
	open my $in, "<", $file or die;
	open my $f, "+<", $run or die "$run: $!";
	for (my $i = 0; sysread $in, my $query, 64; $i++) {
		syswrite $f, $query;
		sysread $f, my $text, 1 << 20;
		print map { "$i\t$_\n" } split /\n/, $text;
	}' "$M/query/$spec/run" "$scratch/queries" >"$scratch/one"
equal "one by one" 1000 "$(wc -l <"$scratch/one")"
for size in 1048576 64 2048 2112 1000 7 3333; do
	ask "$spec" 1 "$size" >"$scratch/batch"
	ok "a batch in pieces of $size bytes" cmp "$scratch/one" "$scratch/batch"
done

# 1.3 MB: several requests, and vectors that two of them share.
for size in 4194304 300001; do
	ask "$spec" 100 "$size" >"$scratch/large"
	# The queries come again every 200.
	awk -F '\t' '{ print $1 % 200 "\t" $2 "\t" $3 }' "$scratch/large" | split -l 1000 - "$scratch/part."
	equal "a large batch in pieces of $size, numbers" "0 19999 100000" \
		"$(sed -n '1p;$p' "$scratch/large" | cut -f 1 | tr '\n' ' ')$(wc -l <"$scratch/large")"
	parts=("$scratch"/part.*)
	ok "all of its answers" cmp "$scratch/one" "${parts[0]}"
	equal "100 times the same" "100 1" "${#parts[@]} $(sha1sum "${parts[@]}" | cut -c 1-40 | sort -u | wc -l)"
	rm -f "$scratch"/part.*
done

# --- refusals ---
exec 3<>"$M/query/$spec/run"
head -c 6400 "$scratch/queries" >&3
refused "NaN among many" "Invalid argument" \
	bash -c "{ head -c 6400 '$scratch/queries'; perl -e 'print pack(\"f<*\", (\"nan\") x 16)'; } |
		dd bs=6464 iflag=fullblock >&3"
tail -c +6401 "$scratch/queries" | head -c 6399 >&3
refused "half a vector after many" "Invalid argument" cat <&3
tail -c 1 "$scratch/queries" >&3
cat <&3 >"$scratch/batch"
ok "what was not refused is answered" cmp "$scratch/one" "$scratch/batch"
exec 3>&-
contains "NaN stands in the errors" "number 1 of 16 is NaN" "$M/status/errors"
refused "too many neighbours at once" "File too large" ask 10000,max=0.001 3 1048576
equal "as many as are allowed" 0 "$(ask 10000,max=0.001 2 1048576 2>&1 | wc -l)"

# --- given up ---
# shellcheck disable=SC2016
ok "callers that leave with nothing read" perl -e '
	local $/;
	open my $in, "<", $ARGV[1] or die;
	my $all = <$in>;
	for (1 .. 20) {
		open my $f, "+<", $ARGV[0] or die "$!";
		syswrite $f, $all or die "$!";
		close $f or die "$!";
	}' "$M/query/10,exact/run" "$scratch/queries"
(ask 10,exact 8000 1048576 >"$scratch/killed") &
asker=$!
sleep 0.5
kill -INT "$asker" "$(pgrep -P "$asker" | head -n 1)" 2>/dev/null
begin=$(date +%s%N)
wait "$asker" 2>/dev/null
ok "who is interrupted ends soon" test "$(seconds_since "$begin" | cut -d . -f 1)" -lt 10
ask "$spec" 1 4096 >"$scratch/batch"
ok "the next caller is answered" cmp "$scratch/one" "$scratch/batch"

ok "unmount" unmount_store "$M"
tests_end
