#!/usr/bin/env bash
# What each everyday operation costs in requests of the kernel, counted at the real mount.
#
# libfuse prints each request when the daemon runs with -d; with -s it prints them in the order in
# which the kernel sent them. A request to statfs before and after an operation marks where it begins
# and ends. FORGET is not counted: nobody waits for it, and the kernel sends it when it likes.
# without: thread
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

log=$scratch/requests

start() { # OPTIONS
	"$program" "$scratch/s.vecfs" "$M" -s -d -o "$1" >"$scratch/out" 2>"$log" &
	daemon=$!
	background+=("$daemon")
	soon mountpoint -q "$M"
}

marks() {
	awk '/opcode: STATFS / { n++ } END { print n + 0 }' "$log"
}

marked() { # NUMBER
	[ "$(marks)" -ge "$1" ]
}

mark() {
	local n
	n=$(($(marks) + 1))
	stat -f "$M" >/dev/null && soon marked "$n"
}

# The requests after the mark of that number and before the last, as "LOOKUP CREATE ...".
requests() { # NUMBER
	awk -v first="$1" '/^unique: .* opcode: / && !/FORGET/ {
			sub(/^.*opcode: /, ""); sub(/ .*/, "")
			if (n >= first)
				seen[++last] = $0
			n += $0 == "STATFS"
		}
		END { for (i = 1; i < last; i++) printf "%s%s", (i > 1 ? " " : ""), seen[i] }' "$log"
}

# A command succeeds, with MOST requests at most and none of those in the pattern NEVER.
costs() { # DESCRIPTION MOST NEVER COMMAND...
	local what=$1 most=$2 never=$3 seen n first
	shift 3
	mark
	first=$(marks)
	if ! "$@" >"$scratch/said" 2>&1; then
		fail "$what" "$(cat "$scratch/said")"
		return
	fi
	mark
	seen=$(requests "$first")
	n=$(wc -w <<<"$seen")
	echo "# requests: $what: $n ($(cut -c 1-300 <<<"${seen:-none}"))"
	if [ "$n" -gt "$most" ]; then
		fail "$what: at most $most requests" "$n: ${seen:0:2000}"
	elif [ -n "$never" ] && grep -qwE -- "$never" <<<"$seen"; then
		fail "$what: none of $never" "$seen"
	else
		pass "$what: $n of at most $most requests"
	fi
}

# open(2), write(2), close(2) and nothing else, as what Perl opens is asked whether it is a terminal.
# shellcheck disable=SC2016
client='use POSIX; my ($what, $path, $from) = @ARGV; my $bytes;
	sub slurp { open(my $in, "<:raw", $_[0]) or die; local $/; <$in> }
	sub check { defined $_[0] or die "$path: $!\n" }
	if ($what eq "rename") { rename($path, $from) or die "$path: $!\n"; exit }
	if ($what eq "unlink") { unlink($path) or die "$path: $!\n"; exit }
	$bytes = slurp($from) if $from;
	my %flags = (create => O_WRONLY | O_CREAT | O_TRUNC, overwrite => O_WRONLY, take => O_RDONLY,
		ask => O_RDWR);
	check(my $fd = POSIX::open($path, $flags{$what}));
	for (1 .. ($what eq "ask" ? 10 : 1)) {
		check(POSIX::write($fd, $bytes, length $bytes)) if $what ne "take";
		check(POSIX::read($fd, my $got, 65536)) if $what =~ /take|ask/;
	}
	check(POSIX::close($fd));'
does() { # create|overwrite|take|ask|rename|unlink PATH [FROM]
	perl -e "$client" "$@"
}

ok "mount" start dim=128,metric=l2
perl -e 'print pack "f<*", map { $_ % 7 } 1 .. 128' >"$scratch/v"
for i in {1000..1099}; do cp "$scratch/v" "$M/vectors/n$i"; done
V=$M/vectors
ls -l "$M" "$V" "$M/status" >/dev/null

does take "$V/n1050"
stat "$V/n1050" >/dev/null # the kernel learns once that there is no STATX

costs "cp of a new vector" 6 '' cp "$scratch/v" "$V/new"
costs "create, write, close" 5 '' does create "$V/made" "$scratch/v"
costs "stat of a file that is known" 0 '' stat "$V/n1000"
costs "stat of a vector just written" 1 '' stat "$V/new"
costs "and again" 0 '' stat "$V/new"
costs "stat of what is not there" 1 '' test ! -e "$V/nothing"
costs "access(2)" 1 '' perl -e 'use filetest "access"; exit !-r $ARGV[0]' "$V/n1000"
costs "the first cat" 3 FLUSH cat "$V/n1000"
# A READ makes the kernel ask for the time of access once; no later cat does.
costs "the second cat" 3 'READ|FLUSH|LOOKUP' cat "$V/n1000"
costs "the third cat" 2 'READ|FLUSH|LOOKUP|GETATTR' cat "$V/n1000"
costs "the first open, read, close" 3 'FLUSH|LOOKUP|GETATTR' does take "$V/n1001"
costs "the second open, read, close" 2 'READ|FLUSH|LOOKUP|GETATTR' does take "$V/n1001"
costs "overwrite: open, write, close" 4 GETXATTR does overwrite "$V/n1002" "$scratch/v"
costs "overwrite by O_TRUNC of a new vector" 6 'LOOKUP|GETATTR' does create "$V/made" "$scratch/v"
# A truncation may take away security.capability: the kernel asks for it, whatever was answered before.
costs "overwrite by O_TRUNC" 6 'LOOKUP|GETATTR' does create "$V/n1003" "$scratch/v"
costs "cp over a vector" 6 'LOOKUP|GETATTR' cp "$scratch/v" "$V/n1004"
costs "cat after an overwrite" 4 'FLUSH|LOOKUP' cat "$V/n1004"
costs "chmod" 1 '' chmod 600 "$V/n1005"
costs "touch -d" 5 '' touch -d '2001-02-03 04:05:06' "$V/n1005"
costs "rename" 2 '' does rename "$V/n1006" "$V/renamed"
costs "mv" 2 '' mv "$V/n1007" "$V/moved"
costs "mv over a vector" 3 '' mv "$V/n1008" "$V/n1009"
costs "unlink" 1 '' does unlink "$V/n1010"
costs "rm" 1 '' rm "$V/n1011"
costs "rm -rf of 20 vectors" 20 LOOKUP rm -rf "$V"/n102? "$V"/n103?

# After a READDIR the kernel asks for the time of access of the directory once, as after a READ.
costs "ls after changes" 5 '' ls "$V"
costs "ls again" 3 'READDIR|READDIRPLUS|LOOKUP' ls "$V"
costs "ls once more" 2 'READDIR|READDIRPLUS|LOOKUP|GETATTR' ls "$V"
# ls asks the folder for two attributes of others' name spaces, which no file here has, and then no file.
costs "ls -l again" 4 'READDIR|READDIRPLUS|LOOKUP|GETATTR' ls -l "$V"
costs "find -size again" 3 'READDIR|READDIRPLUS|LOOKUP|GETATTR' find "$V" -size +100
costs "ls of the top again" 3 'READDIR|READDIRPLUS|LOOKUP' ls "$M"
costs "ls -l of the top" 5 'READDIR|READDIRPLUS|LOOKUP' ls -l "$M"
costs "df" 3 '' df "$M"

h=$(od -An -v -tx1 "$scratch/v" | tr -d ' \n')
# The kernel relies on names below query/ for a second: what took longer asks for them again.
costs "a query by its digits" 7 'FLUSH|GETATTR' cat "$M/query/10/$h"
costs "the same again" 6 'FLUSH|GETATTR' cat "$M/query/10/$h"
costs "a query like a vector" 7 'FLUSH|GETATTR' cat "$M/query/10/like/n1000"
costs "ten queries on one open run" 25 GETATTR does ask "$M/query/10/run" "$scratch/v"
equal "each of them is WRITE and READ" "$(printf 'WRITE READ %.0s' {1..10})" \
	"$(requests "$(($(marks) - 1))" | grep -oE '(WRITE READ ?)+' | sed 's/ *$/ /')"

# What indexers do: nothing is searched, and no answer is made.
asked() {
	awk '$1 == "vecfs_ops_total{op=\"query\"}" { print $2 }' "$M/status/metrics"
}
before=$(asked)
costs "find over the whole tree" 250 'OPEN|READ' find "$M" -ls
equal "nobody has searched" "$before" "$(asked)"

# The kernel keeps names alone. When somebody wants attributes of names that it does not know, what it
# keeps is dropped after the first of them, at leisure, so that the others do not come one by one.
for i in {2000..3499}; do cp "$scratch/v" "$V/n$i"; done
ok "unmount" fusermount3 -u "$M"
wait "$daemon"
ok "mount" start ''
costs "ls -U of 1,600 unknown vectors" 30 LOOKUP\ LOOKUP\ LOOKUP ls -U "$V"
costs "ls -U again" 3 'READDIR|READDIRPLUS|LOOKUP' ls -U "$V"
costs "ls -lU of them" 1700 '' ls -lU "$V"
costs "ls -lU again" 60 LOOKUP ls -lU "$V"
costs "ls -lU once more" 5 'READDIR|READDIRPLUS|LOOKUP' ls -lU "$V"

# What somebody left in the middle is completed by who comes next, and then kept.
begin() {
	# shellcheck disable=SC2016
	perl -e 'opendir(my $d, $ARGV[0]) or die "$!"; readdir $d; closedir $d' "$V"
}
kept_again() { # DESCRIPTION
	local i
	for i in 1 2 3; do ls -U "$V" >/dev/null; done
	costs "ls -U after $1" 3 'READDIR|READDIRPLUS|LOOKUP' ls -U "$V"
}
does create "$V/later" "$scratch/v"
begin
kept_again "a part"
does create "$V/later2" "$scratch/v"
begin
cp "$M/json/n1000" "$M/json/other"
kept_again "a part, and a file made in json"
does create "$V/later3" "$scratch/v"
begin
chmod 755 "$M/json"
kept_again "a part, and a mode of json"
does create "$V/later4" "$scratch/v"
begin
mv "$M/json/other" "$M/json/another"
kept_again "a part, and a name changed in json"
exec 7>"$V/loose" # the kernel throws a whole listing away, though it has not changed
begin
exec 7>&-
rm "$V/later"
kept_again "a part of a listing that the kernel had thrown away"
ok "unmount" fusermount3 -u "$M"
wait "$daemon"
tests_end
