#!/usr/bin/env bash
# A folder of very many ids: each is listed once, also beside removals; one is found; a fifth of them
# are removed, then all; the daemon's memory stays bounded. timeout: 3600 s, in full.
#
#   COUNT=N  so many ids (20000; 1000000 with TORTURE=full)
#
# One name is removed at a time, in requests that nothing runs beside: on a machine with more to do than it
# has cores each of them waits its turn, and the time of this test is that of waiting.
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

[ "${TORTURE:-ci}" = full ] && count=1000000 || count=20000
[ -z "${SAN:-}" ] || count=5000
count=${COUNT:-$count}
V=$M/vectors
listings=0

# List a folder TIMES times, each from a descriptor of its own. Ids are numbers with seven digits. Those
# whose last digit is in GONE must not show, those whose last digit is in GOING may show once, all others
# below COUNT show exactly once.
# shellcheck disable=SC2016
list='my ($folder, $count, $times, $gone, $going) = @ARGV;
	for my $time (1 .. $times) {
		my $seen = "\0" x $count;
		opendir(my $d, $folder) or die "$folder: $!\n";
		while (defined(my $id = readdir $d)) {
			next if $id =~ /^\.\.?$/;
			$id =~ /^id-(\d{7})$/ && $1 < $count or die "stranger: $id\n";
			substr($seen, $1, 1) eq "\0" or die "twice: $id\n";
			index($gone, substr($1, -1)) < 0 or die "removed: $id\n";
			substr($seen, $1, 1) = "\1";
		}
		closedir $d;
		for (my $i = index $seen, "\0"; $i >= 0; $i = index $seen, "\0", $i + 1) {
			index("$gone$going", $i % 10) >= 0 or die sprintf("skipped: id-%07d\n", $i);
		}
	}'
each_once() { # DESCRIPTION TIMES GONE GOING
	listings=$((listings + $2))
	ok "$1" perl -e "$list" "$V" "$count" "${@:2}"
}

# Small vectors, as it is the ids that count.
# shellcheck disable=SC2016
perl -e 'my $n = shift; open(my $v, ">:raw", "$ARGV[0].fbin"); open(my $i, ">", "$ARGV[0].ids");
	print $v pack "L<2", $n, 4;
	for (0 .. $n - 1) { print $v pack "f<4", map { rand } 1 .. 4; printf $i "id-%07d\n", $_ }' \
	"$count" "$scratch/rows"
ok "mkfs" "$program" mkfs "$scratch/s.vecfs" --dim=4 --metric=l2
begin=$(date +%s%N)
ok "import of $count vectors" "$program" import "$scratch/s.vecfs" "$scratch/rows.fbin" \
	--ids="$scratch/rows.ids"
echo "# imported in $(seconds_since "$begin") s"
ok "mount" mount_store "$scratch/s.vecfs" "$M" cache=256M
memory=$(resident "$daemon")

begin=$(date +%s%N)
each_once "each of $count ids is listed once" 1 '' ''
echo "# listed in $(seconds_since "$begin") s"
begin=$(date +%s%N)
each_once "and again" 1 '' ''
echo "# listed again in $(seconds_since "$begin") s"
equal "one is found" "$V/id-0001234" "$(find "$V" -name id-0001234)"
ok "and read" cmp <(tail -c +$((9 + 1234 * 16)) "$scratch/rows.fbin" | head -c 16) "$V/id-0001234"
ls -lU "$V" >/dev/null
grown=$(($(resident "$daemon") - memory))
echo "# the daemon has grown by $(megabytes $grown)"
# A name that the kernel knows costs the daemon a node; pages of the store are in its cache. The sanitizers
# keep what is freed, and have memory of their own.
[ -n "${SAN:-}" ] || ok "listed with attributes it takes at most 700 bytes an id and 16 MB" \
	test "$grown" -le $((700 * count + 16000000))

begin=$(date +%s%N)
find "$V" -name '*[05]' -delete &
removing=$!
while kill -0 "$removing" 2>/dev/null; do
	perl -e "$list" "$V" "$count" 1 '' 05 >"$scratch/said" 2>&1 || fail "a listing beside removals" "$(cat "$scratch/said")"
	listings=$((listings + 1))
done
ok "a fifth are removed, beside $((listings - 2)) listings" wait "$removing"
echo "# removed in $(seconds_since "$begin") s"
each_once "the others are listed once" 2 05 ''

# One that removes what it lists as it goes on, and one after all names are known.
# shellcheck disable=SC2016
ok "what is removed as it is listed is listed once" perl -e 'my %seen; opendir(my $d, $ARGV[0]) or die;
	while (defined(my $id = readdir $d)) { next if $id !~ /[16]$/; $seen{$id}++ and die "twice: $id\n";
		unlink("$ARGV[0]/$id") or die "$id: $!\n" }' "$V"
each_once "the others are listed once" 1 0516 ''
ok "rm of a fifth by their names" bash -c 'printf "%s\0" "$1"/*[27] | xargs -0 rm -f' - "$V"
each_once "the others are listed once" 1 051627 ''
ok "find -delete of all" find "$V" -type f -delete
equal "none is left" "" "$(ls -A "$V")"
grown=$(($(resident "$daemon") - memory))
echo "# in the end the daemon has grown by $(megabytes $grown)"
[ -n "${SAN:-}" ] || ok "its memory is bounded" test "$grown" -le $((700 * count + 16000000))
ok "unmount" unmount_store "$M"
echo "checked: $listings listings of $count ids, $failed failed"
tests_end
