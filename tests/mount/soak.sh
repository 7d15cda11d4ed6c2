#!/usr/bin/env bash
# 16 processes on one mount, each with its own mix of everything, on the same ids: no error but that an
# id is gone, and no growth of the daemon's memory once it has warmed up. timeout: 900 s
#
#   TORTURE=full    10 minutes instead of 30 s (12 s under sanitizers), growth after the first of them
#   SECONDS_ALL=N   so long
#   SEED=N          what the processes draw
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin
long=30 warm=10
[ -z "${SAN:-}" ] || { long=12 && warm=4; }
[ "${TORTURE:-ci}" != full ] || { long=600 && warm=60; }
long=${SECONDS_ALL:-$long}
[ "$warm" -lt "$long" ] || warm=$((long / 2))
seed=${SEED:-1}
echo "# $long s, seed $seed"

# Each line of its output is a failure; the last one says how much was done.
cat >"$scratch/client.pl" <<'END'
use strict;
use Errno qw(EBUSY ENOENT);
my ($mount, $seconds, $seed, $dim) = @ARGV;
srand($seed);
my ($end, $done) = (time + $seconds, 0);
my $ids = 500;
sub id { "v" . int(rand($ids)) }
sub vector { my $c = int(rand(50)); pack "f<*", map { $c + rand } 1 .. $dim }
# An id may be gone by another's doing.
sub fine { my ($what) = @_; print "$what: $!\n" unless $! == ENOENT; return undef }
sub get {
	my ($path) = @_;
	open(my $f, "<", $path) or return fine("open $path");
	local $/;
	my $all = <$f>;
	$! = 0;
	print "read $path: got nothing\n" if !defined $all;
	return $all;
}
my @work = (
	sub {
		my $id = id();
		open(my $f, ">", "$mount/vectors/$id") or return fine("create $id");
		syswrite($f, vector()) == 4 * $dim or return fine("write $id");
		close($f) or fine("close $id");
	},
	sub {
		my $id = id();
		my $all = get("$mount/vectors/$id") // return;
		print "$id has " . length($all) . " bytes\n" if length($all) != 4 * $dim && length($all) != 0; # 0: under creation
	},
	# What another is just writing for the first time cannot replace a vector yet: EBUSY.
	sub {
		my ($a, $b) = (id(), id());
		rename("$mount/vectors/$a", "$mount/vectors/$b") or $! == EBUSY or fine("rename $a $b");
	},
	sub { my $id = id(); unlink("$mount/vectors/$id") or fine("unlink $id") if rand() < 0.5 },
	sub { my $id = id(); stat("$mount/vectors/$id") or fine("stat $id") },
	sub { get("$mount/query/10/" . unpack("H*", vector())) },
	sub { get("$mount/query/5/like/" . id()) },
	sub { get("$mount/json/" . id()) },
	sub {
		open(my $f, "+<", "$mount/query/10/run") or return fine("run");
		my $n = 1 + int(rand(40));
		syswrite($f, join("", map { vector() } 1 .. $n)) or return fine("write to run");
		defined(sysread($f, my $answer, 1 << 20)) or fine("read from run");
	},
	sub { opendir(my $d, "$mount/vectors") or return fine("opendir"); my @all = readdir($d) if rand() < 0.1 },
	sub { my $id = id(); utime(1, 2, "$mount/vectors/$id") || fine("utime $id") },
	sub { get("$mount/status/metrics") if rand() < 0.1 },
);
while (time < $end) {
	$work[int(rand(@work))]->() for 1 .. 20;
	$done += 20;
}
print "done $done\n";
END

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=32,metric=l2,cache=16M
for i in {1..16}; do
	perl "$scratch/client.pl" "$M" "$long" $((seed * 100 + i)) 32 >"$scratch/out.$i" 2>&1 &
	background+=($!)
done
highest() { # SECONDS: the most memory in KiB that was seen meanwhile
	local end=$((SECONDS + $1)) most=0 now
	while [ "$SECONDS" -lt "$end" ]; do
		now=$(awk '/^VmRSS:/ { print $2 }' "/proc/$daemon/status")
		[ "$now" -le "$most" ] || most=$now
		sleep 0.5
	done
	echo "$most"
}
before=$(highest "$warm")
after=$(highest $((long - warm - 1)))
wait "${background[@]}"
background=()
total=$(awk '/^done / { n += $2 } END { print n + 0 }' "$scratch"/out.*)
equal "all 16 came to their end" 16 "$(grep -c '^done ' <(cat "$scratch"/out.*))"
wrong=$(cat "$scratch"/out.* | grep -vc '^done ')
equal "no operation of $total failed" 0 "$wrong"
[ "$wrong" -eq 0 ] || cat "$scratch"/out.* | grep -v '^done ' | sort | uniq -c | sort -rn | head -n 20
echo "# memory: $before KiB at most in the first $warm s, $after KiB afterwards"
# Room for what is only now and then in use at once; a leak of 100 bytes an operation shows in 10 minutes.
[ -n "${SAN:-}" ] || ok "no growth" test "$after" -le $((before + before / 10 + 4096))
ok "unmount" unmount_store "$M"
ok "the store is whole" "$program" check "$scratch/s.vecfs"
echo "checked: $total operations of 16 processes, $wrong failed"
tests_end
