#!/usr/bin/env bash
# Listings beside changes: nobody misses what is there or sees what is gone.
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

helper=${BUILD:-build/plain}/tests/mount/listing
if [ ! -x "$helper" ]; then
	helper=$scratch/listing
	${CC:-cc} -D_GNU_SOURCE -std=c11 -O2 -o "$helper" "$(dirname "$0")/listing.c"
fi
ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=l2
# What the kernel does not take for a change of the folder: a vector that was created before is written
# whole, or one is removed by way of json/. Each kind of listing has to show it afterwards.
# shellcheck disable=SC2016
turns='use Fcntl; use POSIX; my $m = shift;
	my $v = pack "f<*", 1, 2, 3, 4;
	my (%there, $n);
	sub loose { my $id = "v" . ++$n; sysopen(my $f, "$m/vectors/$id", O_WRONLY | O_CREAT) or die "$id: $!";
		[$id, $f] }
	sub whole { my ($id, $f) = @{$_[0]}; syswrite($f, $v) == 16 or die; close $f or die "$id: $!";
		$there{$id} = 1 }
	sub gone { my $id = shift; unlink("$m/json/$id") or die "$id: $!"; delete $there{$id} }
	sub shows { my ($dir, $when) = @_;
		my $got = join " ", sort grep { !/^\.\.?$/ } readdir $dir;
		my $want = join " ", sort keys %there;
		return if $got eq $want;
		print "not ok - $when: got $got; expected $want\n"; exit 1 }
	sub fresh { opendir(my $d, "$m/vectors") or die "$!"; $d }
	sub all { my $d = fresh(); shows($d, $_[0]); closedir $d }
	sub early { my $d = fresh(); readdir $d; closedir $d }
	for my $round (1 .. 20) {
		my @old = map { loose() } 1 .. 5;
		whole(loose()) for 1 .. 5;
		my @more = map { loose() } 1 .. 20;
		all("before, round $round"); all("kept, round $round");
		whole(shift @more); all("written whole, round $round");
		gone((sort keys %there)[0]); all("removed by way of json, round $round");

		my $d = fresh(); shows($d, "open, round $round");
		rewinddir $d; shows($d, "rewound, round $round");
		whole(shift @more); rewinddir $d; shows($d, "written whole and rewound, round $round");
		gone((sort keys %there)[-1]); rewinddir $d; shows($d, "removed and rewound, round $round");
		closedir $d;

		whole(shift @more); early(); whole(shift @more);
		whole($_) for splice @old; $d = fresh(); shows($d, "after a partial one, round $round");
		rewinddir $d; shows($d, "after a partial one and rewound, round $round");
		whole(shift @more); rewinddir $d; shows($d, "and written whole, round $round");
		my $e = fresh(); shows($e, "of another, round $round"); whole(shift @more);
		rewinddir $e; shows($e, "of another, rewound, round $round");
		rewinddir $d; shows($d, "of the one, rewound, round $round");
		closedir $d; closedir $e;
		unlink "$m/vectors/$_" or die for keys %there; %there = ();
		all("removed, round $round");
	}'
# After a new mount the kernel knows by name only the first of many, so that it also does not see how
# others go by way of json/.
# shellcheck disable=SC2016
strangers='my $m = shift; my (%there, $d);
	sub start { opendir($d, "$m/vectors") or die "$!" }
	sub some { map { scalar readdir $d } 1 .. $_[0] }
	sub gone { my $id = shift; unlink("$m/json/$id") or die "$id: $!"; delete $there{$id} }
	sub shows { my ($got, $when) = (0, @_);
		while (defined(my $id = readdir $d)) { next if $id =~ /^\.\.?$/; $got++;
			$there{$id} or do { print "not ok - $when: $id shows\n"; exit 1 } }
		return if $got == keys %there;
		print "not ok - $when: $got names\n"; exit 1 }
	%there = map { ("s$_", 1) } 1 .. 3000;
	start(); my @names = some(2500); closedir $d;
	gone($names[2000]); start(); shows("after a partial one");
	rewinddir $d; shows("after a partial one, rewound");
	gone($names[2001]); rewinddir $d; shows("rewound");
	closedir $d; start(); shows("kept"); closedir $d;
	gone($names[2002]); start(); shows("kept and removed"); closedir $d;'
ok "changes that the kernel does not see show in the next listing" perl -e "$turns" "$M"
exec 7>"$M/vectors/late"
before=$(stat -c %.9Y "$M/vectors")
floats 1 2 3 4 >&7
equal "a vector that was created before is written whole" late "$(ls "$M/vectors")"
ok "and its folder has another time" test "$(stat -c %.9Y "$M/vectors")" != "$before"
exec 7>&-
rm "$M/vectors/late"
for ((i = 1; i <= 3000; i++)); do printf '0123456789abcdef' >"$M/vectors/s$i"; done
ok "unmount" unmount_store "$M"
ok "mount" mount_store "$scratch/s.vecfs" "$M"
ok "nor by names that it does not know" perl -e "$strangers" "$M"
find "$M/vectors" -type f -delete
seconds=${SECONDS_OF_LISTING:-8}
[ -z "${SAN:-}" ] || seconds=4
ok "six processes write, list, remove, list" "$helper" "$M/vectors" 16 "$seconds"
equal "nothing is left" "" "$(ls "$M/vectors")"
ok "unmount" unmount_store "$M"
tests_end
