#!/usr/bin/env bash
# import and export: every format against what a mount shows, ids, what is refused and what stays then,
# interruption and kills at several moments, round trips byte for byte.
# timeout: 300 s, without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin
cd "$work" || exit 1

# A file of rows of whole numbers, in the format that its name says; and FILE.f32, all its numbers as
# float32.
make_rows() { # FILE ROWS DIM [SEED]
	perl -e '
		my ($file, $rows, $dim, $seed) = @ARGV;
		my ($end) = $file =~ /\.(\w+)$/;
		srand($seed);
		open(my $out, ">:raw", $file) or die;
		open(my $plain, ">:raw", "$file.f32") or die;
		print $out pack("V2", $rows, $dim) if $end =~ /bin$/;
		if ($end eq "npy") {
			my $text = "{\x27descr\x27: \x27<f4\x27, \x27fortran_order\x27: False, \x27shape\x27: ($rows, $dim), }";
			$text .= " " x (63 - (10 + length $text) % 64) . "\n";
			print $out "\x93NUMPY\1\0", pack("v", length $text), $text;
		}
		for (1 .. $rows) {
			my @row = map { 1 + int rand 200 } 1 .. $dim;
			my $floats = pack "f<*", @row;
			print $out pack("V", $dim) if $end =~ /vecs$/;
			print $out $end =~ /^(bvecs|u8bin)$/ ? pack("C*", @row) : $floats;
			print $plain $floats;
		}' "$@" "${4:-1}"
}

# Row N, from 0 on, of FILE.f32.
row() { # FILE DIM N
	dd if="$1.f32" bs=$(($2 * 4)) skip="$3" count=1 status=none
}

new_store() { # STORE [OPTION...]
	rm -f "$1" "$1"-wal.*
	"$VECFS" mkfs "$@" || check 1 "mkfs $*"
}

imports() { # WHAT WORDS ARGUMENT...: succeeds and says WORDS
	local what=$1 words=$2
	shift 2
	said=$("$VECFS" import "$@" 2>&1) && grep -qF -- "$words" <<<"$said"
	check $? "$what"
	grep -qF -- "$words" <<<"$said" || echo "said: $said"
}

# The store holds exactly these ids, in the order of their rows, and the file's numbers.
holds() { # WHAT STORE FILE IDS
	rm -f held.*
	"$VECFS" export "$2" held.fbin >/dev/null && tail -c +9 held.fbin | cmp - "$3.f32" &&
		cmp held.ids "$4"
	check $? "$1"
}

# --- usage ---

for command in import export; do
	"$VECFS" $command --help | grep -q "^usage: vecfs $command"
	check $? "$command --help"
	refused 2 "missing" "$VECFS" $command
	refused 2 "missing" "$VECFS" $command s
	refused 2 "--colour" "$VECFS" $command s --colour f
done
refused 2 "needs a file" "$VECFS" import s f --ids
refused 2 "needs a file" "$VECFS" import s f --ids=
refused 2 "twice" "$VECFS" import s f --ids a --ids=b
refused 2 "too many" "$VECFS" export s a.npy b.npy
refused 2 ".fvecs, .fbin or .npy" "$VECFS" export s a.bvecs
refused 2 ".fvecs, .fbin or .npy" "$VECFS" export s a

# --- every format, through a mount ---

seq 0 299 >numbers
for end in fvecs bvecs fbin u8bin npy; do
	make_rows "in.$end" 300 6
	new_store "s.$end" --metric=l2
	imports "import of .$end" "300 rows: 300 stored" "s.$end" "in.$end"
	"$VECFS" check "s.$end" | grep -q "300 vectors.*clean"
	check $? "the store of .$end is clean"
	mounted "$work/s.$end" "$mnt"
	wrong=0
	for n in 0 1 17 298 299; do
		row "in.$end" 6 $n | cmp - "$mnt/vectors/$n" || wrong=1
	done
	[ "$(ls "$mnt/vectors" | wc -l)" = 300 ] || wrong=1
	grep -q "^17	0$" "$mnt/query/3/$(row "in.$end" 6 17 | od -An -v -tx1 | tr -d ' \n')" || wrong=1
	check $wrong "the mount shows what .$end held, and finds it"
	unmounted "$mnt"
	gone "s.$end"
	holds "export of what .$end held" "s.$end" "in.$end" numbers
done
mode=$(printf '%o' $((0666 & ~$(umask))))
mounted "$work/s.npy" "$mnt"
refused 1 "is mounted at $mnt" "$VECFS" import s.npy in.npy
refused 8 "is mounted at $mnt" "$VECFS" export s.npy out.npy
[ "$(stat -c '%a %u %g' "$mnt/vectors/5")" = "$mode $(id -u) $(id -g)" ]
check $? "new vectors have the owner and the mode of new files"
chmod 604 "$mnt/vectors/7"
unmounted "$mnt"
gone s.npy
not_there out.npy

# --- what does not fit together is refused before anything is written ---

cp s.npy s.npy.before
make_rows four.fvecs 10 4
make_rows six.fbin 10 6
refused 1 "there is no store none" "$VECFS" import none six.fbin
not_there none
refused 1 "must end in" "$VECFS" import s.npy numbers
refused 1 "No such file" "$VECFS" import s.npy six.fbin absent.npy
mkdir dir.npy
refused 1 "not a regular file" "$VECFS" import s.npy dir.npy
refused 1 "four.fvecs has vectors of 4 numbers, six.fbin of 6" "$VECFS" import s.npy six.fbin four.fvecs
head -c 100 six.fbin >short.fbin
refused 1 "short.fbin is cut off: the header says 10 rows" "$VECFS" import s.npy six.fbin short.fbin
seq 9 >nine
refused 1 "nine has 9 ids, but there are 10 rows" "$VECFS" import s.npy six.fbin --ids nine
seq 11 >eleven
refused 1 "eleven has 11 ids, but there are 10 rows" "$VECFS" import s.npy six.fbin --ids=eleven
{ seq 4; echo a/b; seq 5; } >slash
refused 1 "slash, line 5: an id has no '/'" "$VECFS" import s.npy six.fbin --ids=slash
refused 1 "absent" "$VECFS" import s.npy six.fbin --ids=absent
head -c 20000 /dev/urandom >noise
refused 1 "noise" "$VECFS" import noise six.fbin
cmp s.npy s.npy.before
check $? "the store was not touched"
refused 1 "has vectors of 4 numbers, the store s.npy has dim=6" "$VECFS" import s.npy four.fvecs
"$VECFS" export s.npy after.npy >/dev/null && cmp after.npy in.npy
check $? "and holds what it held"

# --- ids, several files, overwriting ---

new_store s --metric=l2
make_rows a.fvecs 40 6 7
make_rows b.npy 25 6 8
cat a.fvecs.f32 b.npy.f32 >ab.f32
seq 0 64 >sixty-five
imports "two files" "65 rows: 65 stored, 0 there already" s a.fvecs b.npy
holds "row numbers go on over all files" s ab sixty-five
imports "the same again" "65 rows: 0 stored, 65 there already" s a.fvecs b.npy
seq -f "picture %g ä" 65 >names
new_store s --metric=l2 --dim=6
imports "ids from lines" "65 rows: 65 stored" s a.fvecs b.npy --ids names
holds "each row has its line" s ab names
imports "ids from a pipe" "65 there already" s a.fvecs b.npy --ids <(cat names)
imports "other numbers under the same ids" "40 rows: 40 stored" s a.fvecs --ids <(tail -n 40 names)
"$VECFS" export s over.fvecs >/dev/null && [ "$(wc -l <over.ids)" = 65 ]
check $? "they replaced what was there"
imports "resumes" "resumed at row 40" s.npy in.npy --ids=<(seq 0 39; seq 1000 1259)
mounted "$work/s.npy" "$mnt"
[ "$(stat -c %a "$mnt/vectors/7")" = 604 ]
check $? "an import leaves the mode of what exists"
unmounted "$mnt"
gone s.npy
{ seq 0 19; seq 10 29; } >twice
new_store s --metric=l2
imports "ids that stand there twice" "30 stored, 0 there already, 10 superseded" s a.fvecs --ids twice
grep -q "^remark: 10 rows have an id" <<<"$said"
check $? "are counted"
mounted "$work/s" "$mnt"
row a.fvecs 6 20 | cmp - "$mnt/vectors/10" && row a.fvecs 6 39 | cmp - "$mnt/vectors/29" &&
	row a.fvecs 6 9 | cmp - "$mnt/vectors/9"
check $? "the last one counts"
unmounted "$mnt"
gone s
imports "and again nothing is to be done" "0 stored, 30 there already, 10 superseded" s a.fvecs --ids twice

# --- a pipe is no file of vectors ---

mkfifo pipe.npy
refused 1 "pipe.npy is not a regular file" timeout 10 "$VECFS" import s pipe.npy

# --- a file that changes while an import runs ---

# The pipe is opened when all files were looked at: then the first one gets shorter.
new_store s --metric=l2 --dim=6
mkfifo pipe
cp a.fvecs shrinks.fvecs
"$VECFS" import s shrinks.fvecs b.npy --ids pipe >said 2>&1 &
import=$!
{
	truncate -s -28 shrinks.fvecs
	cat names
} >pipe
! wait $import && grep -q "shrinks.fvecs has changed since it was looked at" said
check $? "a file with fewer rows than before is refused: $(tail -n 1 said)"
"$VECFS" check s | grep -q "^s: 0 vectors.*clean"
check $? "no row got the id of another"

# --- a wrong row: what is before it stays ---

new_store s --metric=l2
cp a.fvecs bad.fvecs
printf '\0\0\300\177' | dd of=bad.fvecs bs=1 seek=$((33 * 28 + 4 + 8)) conv=notrunc status=none
refused 1 "bad.fvecs: row 33 (the first is 0), number 3 of 6 is NaN" "$VECFS" import s bad.fvecs
[[ $said = *"33 of 40 rows are done with; the same command run again goes on there"* ]]
check $? "it says how far it came"
"$VECFS" check s | grep -q "^s: 33 vectors.*clean"
check $? "33 rows are stored"
imports "when it is right it goes on" "remark: resumed at row 33" s a.fvecs
seq 0 39 >forty
holds "and is complete" s a.fvecs forty
new_store s
head -c 28 /dev/zero | tr '\0' '\0' >zero.part
{ head -c 56 a.fvecs; printf '\6\0\0\0'; head -c 24 zero.part; } >zero.fvecs
refused 1 "row 2 (vectors/2): all numbers are 0" "$VECFS" import s zero.fvecs

# --- export ---

new_store s --metric=l2
imports "something to export" "65 stored" s a.fvecs b.npy --ids names
"$VECFS" export s x.fvecs >/dev/null
check $? "export"
[ "$(stat -c %a x.fvecs)" = 600 ] && [ "$(stat -c %a x.ids)" = 600 ]
check $? "what is exported is its owner's"
cp x.fvecs x.before
refused 8 "x.fvecs exists already" "$VECFS" export s x.fvecs
refused 8 "x.ids exists already" "$VECFS" export s x.npy
not_there x.npy
cmp -s x.fvecs x.before
check $? "nothing was overwritten"
echo other >x.ids
"$VECFS" export s x.fvecs --force >/dev/null && cmp -s x.ids names
check $? "--force overwrites"
cp s data.ids
cp s data.npy
refused 8 "data.ids is the store itself" "$VECFS" export data.ids data.fvecs --force
refused 8 "data.npy is the store itself" "$VECFS" export ./data.npy data.npy --force
cmp -s s data.ids && cmp -s s data.npy
check $? "--force does not overwrite the store"
rm -f data.*
# mounted under another name the store is waited for, after both names were found free
mounted s "$mnt" -o fsname=other
"$VECFS" export s both.fvecs >/dev/null 2>said &
export=$!
for ((i = 0; i < 200; i++)); do # it sleeps between its tries, and nowhere before
	awk '/^voluntary/ { exit !($2 >= 8) }' "/proc/$export/status" && break
	sleep 0.05
done
echo theirs >both.fvecs
unmounted "$mnt"
! wait $export && grep -q "both.fvecs came into being meanwhile" said
check $? "a name that is taken while an export runs is refused"
[ "$(cat both.fvecs)" = theirs ] && not_there both.ids
check $? "and nothing is made"
refused 8 "No such file" "$VECFS" export s nowhere/x.fvecs
refused 8 "none" "$VECFS" export none y.npy
for end in fvecs fbin npy; do
	"$VECFS" export s "first.$end" >/dev/null
	new_store t --metric=l2
	imports "import of an exported .$end" "65 stored" t "first.$end" --ids first.ids
	"$VECFS" export t "second.$end" >/dev/null
	cmp "first.$end" "second.$end" && cmp first.ids second.ids
	check $? ".$end comes back byte for byte"
	rm -f first.ids second.ids
done
cp first.npy numpy.npy
python3 -c '
import sys
try:
	import numpy
except ImportError:
	sys.exit()
numpy.save("numpy.npy", numpy.load("first.npy"))' 2>/dev/null
cmp first.npy numpy.npy
check $? ".npy is what numpy writes, where it is installed"
new_store empty
for end in fvecs fbin npy; do
	"$VECFS" export empty "empty.$end" --force >/dev/null && "$VECFS" import empty "empty.$end" |
		grep -q "^empty: 0 rows"
	check $? "an empty store as .$end"
done
no_file "*.new-*"
check $? "no file of another name is left"

# --- interrupted and killed ---

part=1 # a sanitizer makes it several times as slow: a sixth of the rows, of the log, of the store
[ -z "${SAN:-}" ] || part=6
rows=$((24000 / part))
make_rows many.fbin $rows 16
seq 0 $((rows - 1)) >all-numbers

# Bytes of the log of s.
log_bytes() {
	cat s-wal.* 2>/dev/null | wc -c
}

# Starts an import, and ends it by a signal once CONDITION holds.
cut_short() { # SIGNAL CONDITION...
	local signal=$1 i pid
	shift
	# bash has its background processes ignore SIGINT
	env --default-signal=INT "$VECFS" import s many.fbin >cut.out 2>&1 &
	pid=$!
	for ((i = 0; i < 6000; i++)); do
		[ -e "/proc/$pid" ] || break
		"$@" && break
		sleep 0.01
	done
	kill "-$signal" $pid 2>/dev/null
	{ wait $pid; } 2>/dev/null
	code=$?
}

log_has() { # BYTES
	[ "$(log_bytes)" -ge $(($1 / part)) ]
}

head_has() { # BYTES
	[ "$(stat -c %s s)" -ge $(($1 / part)) ]
}

for signal in INT TERM; do
	new_store s --metric=l2
	cut_short $signal log_has 1000000
	[ $code -eq 1 ] && grep -q "^vecfs: interrupted; .* of $rows rows are done with\|^vecfs: interrupted; all rows are stored" cut.out
	check $? "SIG$signal ends it in order: $(tail -n 1 cut.out)"
	no_file "s-wal.*"
	check $? "no log is left"
	"$VECFS" check s | grep -q clean
	check $? "the store is clean"
done
imports "what was interrupted goes on" "$rows rows: " s many.fbin
holds "and is complete" s many.fbin all-numbers

new_store s --metric=l2
for moment in "log_has 1" "log_has 400000" "log_has 2500000" "head_has 1000000" "head_has 5000000"; do
	# shellcheck disable=SC2086 # words
	cut_short KILL $moment
	# the last publication of the graph may be over before the signal comes
	[ $code -eq 137 ] || [[ $code -eq 0 && $moment = "head_has 5000000" ]]
	check $? "killed when: $moment ($(log_bytes) bytes of log, $(stat -c %s s) of the store)"
	"$VECFS" check s >check.out
	grep -q "clean$" check.out
	check $? "sound: $(cat check.out)"
done
imports "what was killed goes on" "$rows rows: " s many.fbin
holds "and is complete" s many.fbin all-numbers
imports "nothing is left to do" "$rows rows: 0 stored, $rows there already" s many.fbin
mounted "$work/s" "$mnt"
[ "$(sed -n 's/^vecfs_vectors_pending \(.*\)/\1/p' "$mnt/status/metrics")" = 0 ]
check $? "and all is linked"
found=0
for n in 0 $((rows / 3)) $((rows * 5 / 6)) $((rows - 1)); do
	hex=$(row many.fbin 16 $n | od -An -v -tx1 | tr -d ' \n')
	head -n 1 "$mnt/query/1/$hex" | grep -q "	0$" && found=$((found + 1))
done
[ $found -eq 4 ]
check $? "each vector finds itself"
unmounted "$mnt"

cases_end
