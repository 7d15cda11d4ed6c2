#!/usr/bin/env bash
# What one client can do to the others: it opens much, writes without end, stops in the middle, never
# reads, gives up, or the daemon goes while it is at work. timeout: 240 s
set -uo pipefail
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin
: "${BUILD:?the folder of the helper programs}"
hold=$BUILD/tests/mount/hold
many=10000
[ -z "${SAN:-}" ] || many=1000

# Starts a client that holds; sets `said`, and `kept` for `let_go`.
holding() { # ARGUMENTS of hold...
	coproc holder { exec "$hold" "$@"; }
	kept=$holder_PID
	read -r said <&"${holder[0]}"
	background+=("$kept")
}

let_go() {
	local input=${holder[1]}
	exec {input}>&-
	wait "$kept"
	background=()
}

# Somebody else, in the meantime.
others() {
	timeout 5 cat "$M/query/3/like/7" >"$scratch/others" && [ -s "$scratch/others" ] &&
		floats {1..16} >"$M/vectors/other" && timeout 5 ls "$M/vectors" >"$scratch/others"
}

mebibytes() {
	echo $(($(resident "$daemon") >> 20))
}

# What the daemon holds does not rise above a bound, and is given back. Sanitizers keep memory.
bounded() { # DESCRIPTION EXPECTED ALLOWED ARGUMENTS...
	local what=$1 expected=$2 allowed=$3 before held
	shift 3
	before=$(mebibytes)
	holding "$@"
	equal "$what" "$expected" "$said"
	held=$(($(mebibytes) - before))
	ok "others are answered meanwhile" others
	let_go
	if [ -z "${SAN:-}" ]; then
		ok "it took $held MiB, $allowed at most" test "$held" -le "$allowed"
		back() { [ $(($(mebibytes) - before)) -le 16 ]; }
		ok "which are given back" soon back
	fi
}

# The sentence of what was refused last.
because() { # TEXT
	if tail -n 3 "$M/status/errors" | grep -qF -- "$1"; then
		pass "status/errors says: $1"
	else
		fail "status/errors says: $1" "$(tail -n 3 "$M/status/errors")"
	fi
}

# --- many handles ---

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=16,metric=l2
# shellcheck disable=SC2016
ok "vectors" perl -e 'for my $i (0 .. $ARGV[1] - 1) {
	open(my $f, ">", "$ARGV[0]/$i") or die $!;
	print $f pack("f<*", ($i) x 16);
	close($f) or die $!;
}' "$M/vectors" 500
{ echo "not a vector" >"$M/vectors/0"; } 2>/dev/null # what a first error takes is taken before

bounded "$many times a vector" "$many held, 0 refused" 24 again "$M/vectors/5" "$many"
bounded "$many vectors written in part" "$many held, 0 refused" 40 part "$M/vectors" "$many" 32
equal "none of them is there" 0 "$(find "$M/vectors" -name 'part*' | wc -l)"
bounded "$many descriptors of run, each with half a vector" "$many held, 0 refused" 24 \
	batch "$M/query/10/run" "$many" 32
bounded "$many answers" "$many held, 0 refused" 48 queries "$M/query/10" "$many" 16
bounded "$many listings" "$many held, 0 refused" 24 again "$M/vectors" "$many"
long=$(printf '%0200d' 0)
for i in {0..399}; do floats "$i" {2..16} >"$M/vectors/$long$i"; done
folders=4000
[ -z "${SAN:-}" ] || folders=300
holding folders "$M/query/900,format=links" "$folders" 16
ok "folders of links are counted like files" others
if [ -z "${SAN:-}" ]; then
	ok "they are refused in time: $said" grep -q 'refused: ENOMEM$' <<<"$said"
	because "all open files together hold more than 256 MiB: close some"
	ok "the daemon holds $(mebibytes) MiB, 400 at most" test "$(mebibytes)" -le 400
fi
let_go
small() { [ "$(mebibytes)" -le 64 ]; }
[ -n "${SAN:-}" ] || ok "which are given back" soon small
ok "then there is room again" ls "$M/query/900,format=links/$(hex {1..16})"

# More than may be open at once, by several.
if [ -z "${SAN:-}" ]; then
	mkfifo "$scratch/hold"
	for i in 1 2 3 4; do
		"$hold" again "$M/vectors/5" 17000 <"$scratch/hold" >"$scratch/holds.$i" &
		background+=($!)
	done
	exec 9>"$scratch/hold"
	all_held() { [ "$(cat "$scratch"/holds.* | wc -l)" -eq 4 ]; }
	for i in 1 2 3 4 5 6; do soon all_held && break; done
	n=$(awk '{ n += $1 } END { print n }' "$scratch"/holds.*)
	ok "$n are open, 65536 may be" test "$n" -le 65536 -a "$n" -ge 65500
	ok "more are refused" grep -q 'ENFILE$' "$scratch"/holds.*
	because "65536 files are open in this mount, as many as may be: close some"
	ok "who has a descriptor goes on" ls "$M/vectors"
	exec 9>&-
	wait "${background[@]}"
	background=()
	ok "then there is room again" others
fi

# --- clients that stop ---

stopped() { # DESCRIPTION ARGUMENTS...
	local what=$1
	shift
	"$@" &
	background=($!)
	sleep 0.3
	kill -STOP "${background[0]}"
	ok "$what, and others are answered" others
	ok "a checkpoint waits for nobody" timeout 20 bash -c "echo checkpoint >'$M/status/control'"
	kill -KILL "${background[0]}"
	wait "${background[0]}" 2>/dev/null
	background=()
}

# shellcheck disable=SC2016
half='open(my $f, "+<", $ARGV[0]) or die $!; syswrite($f, pack("f<*", (1) x (16 * 40 + 8))); sleep 100'
stopped "one stopped with half a batch written" perl -e "$half" "$M/query/10/run"
# shellcheck disable=SC2016
unread='open(my $f, "+<", $ARGV[0]) or die $!;
	syswrite($f, pack("f<*", (1) x 16) x 2000); sysread($f, my $b, 10); sleep 100'
stopped "one that never reads its answer" perl -e "$unread" "$M/query/100/run"
# shellcheck disable=SC2016
writing='for (my $i = 0; ; $i++) {
	open(my $f, ">", "$ARGV[0]/w" . $i % 50) or die $!; print $f pack("f<*", ($i) x 16); close($f) }'
stopped "one stopped in the middle of writing" perl -e "$writing" "$M/vectors"
stopped "one stopped in the middle of a listing" bash -c "while ls -l '$M/vectors'; do :; done >/dev/null"

# --- many long searches at once ---

# shellcheck disable=SC2016
perl -e 'print pack("f<*", map { rand } 1 .. 16) x 20000' >"$scratch/long"
ok "a long question" cp "$scratch/long" "$M/query/200,exact,max=0/long"
background=()
for ((i = 0; i < 4 * $(nproc) + 6; i++)); do
	cat "$M/query/200,exact,max=0/long" &
	background+=($!)
done 2>"$scratch/long.errors"
sleep 1
ok "others are answered beside $i of them" others
kill -0 "${background[0]}" 2>/dev/null || fail "they are long enough to be in the way"
begin=$(date +%s)
{
	kill -KILL "${background[@]}"
	wait "${background[@]}"
} 2>/dev/null
ok "they end when they are killed" test $(($(date +%s) - begin)) -le 10
background=()
ok "unmount" unmount_store "$M"

# --- writers without end, of large vectors, as a search costs little beside few of them ---

ok "mount" mount_store "$scratch/l.vecfs" "$M" dim=4096,metric=l2
for i in {1..8}; do
	perl -e 'print pack "f<*", ($ARGV[0]) x 4096' "$i" >"$M/vectors/$i"
done
large=100000000
others() { timeout 5 cat "$M/query/3/like/7" >"$scratch/others" && [ -s "$scratch/others" ]; }
bounded "a vector without end" "0 held, 1 refused: EFBIG" 24 part "$M/vectors" 1 "$large"
because "a vector here is 16384 (4096 × float32)"
bounded "text without end" "0 held, 1 refused: EFBIG" 64 part "$M/json" 1 "$large"
bounded "a batch without end" "0 held, 3 refused: EFBIG" 160 batch "$M/query/2/run" 3 "$large"
because "a batch is at most 32 MiB: read its answer, then go on"
holding part "$M/query/2" 3 "$large"
equal "a named query without end" "0 held, 3 refused: EFBIG" "$said"
because "a named query has at most 32 MiB of vectors"
ok "others are answered meanwhile" others
let_go
rm -f "$M"/query/2/part*
small() { [ "$(mebibytes)" -le 64 ]; }
[ -n "${SAN:-}" ] || ok "what it took is given back" soon small
holding part "$M/query/2" 10 30000000
ok "many large ones are refused in time: $said" grep -q 'refused: ENOMEM$' <<<"$said"
because "all open files together hold more than 256 MiB: close some"
ok "a vector can still be written, read and asked about" others
let_go
rm -f "$M"/query/2/part*
[ -n "${SAN:-}" ] || ok "which are given back" soon small
refused "more neighbours than may be asked for" "Invalid argument" ls "$M/query/10001"
because "10000"
refused "a wider search than there is" "Invalid argument" ls "$M/query/3,effort=100001"
because "100000"
ok "unmount" unmount_store "$M"
refused "more threads than may be" "threads=1025" "$program" "$scratch/l.vecfs" "$M" -o threads=1025
refused "a wider search as the default" "effort=100001" "$program" "$scratch/l.vecfs" "$M" \
	-o effort=100001

# --- ending with work in flight ---

# shellcheck disable=SC2016
long_batch='open(my $f, "+<", $ARGV[0]) or die $!;
	my $q = pack("f<*", map { rand } 1 .. 16);
	while (1) { syswrite($f, $q x 4096) or exit; sysread($f, my $b, 1 << 20) or exit }'
ended() { # DESCRIPTION COMMAND...: the daemon ends within 10 s
	local what=$1 begin i
	shift
	begin=$(date +%s%N)
	ok "$what" "$@"
	for ((i = 0; i < 1000; i++)); do
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.01
	done
	if kill -0 "$daemon" 2>/dev/null; then
		fail "the daemon ends within 10 s"
		kill -KILL "$daemon"
	else
		pass "the daemon ended after $(seconds_since "$begin") s"
	fi
}

work() { # mounts, and has two clients at work
	ok "mount" mount_store "$scratch/s.vecfs" "$M"
	perl -e "$long_batch" "$M/query/10,exact/run" 2>/dev/null &
	background=($!)
	perl -e "$writing" "$M/vectors" 2>/dev/null &
	background+=($!)
	sleep 0.5
}

idle() {
	kill "${background[@]}" 2>/dev/null
	wait "${background[@]}" 2>/dev/null
	background=()
}

ok "mount" mount_store "$scratch/s.vecfs" "$M"
perl -e "\$SIG{INT} = 'DEFAULT'; $long_batch" "$M/query/1000,effort=100000/run" &
background=($!)
sleep 0.5
begin=$(date +%s%N)
kill -INT "${background[0]}"
wait "${background[0]}" 2>/dev/null
background=()
ok "Ctrl-C ends a long query, after $(seconds_since "$begin") s" test $((($(date +%s%N) - begin) / 1000000000)) -lt 5
ok "unmount" unmount_store "$M"
work
ended "SIGTERM" kill -TERM "$daemon"
idle
work
ok "fusermount3 -u -z" fusermount3 -u -z "$M"
idle
ended "nobody is left" true
# Each thread stops when it runs next.
halted() {
	! grep -h '^State:' "/proc/$daemon/task"/*/status | grep -qv 'T (stopped)'
}
# The kernel drops what it has not told yet: closes of directories, here.
ok "mount" mount_store "$scratch/s.vecfs" "$M"
holding again "$M/vectors" 100
equal "a folder opened 100 times" "100 held, 0 refused" "$said"
kill -STOP "$daemon"
ok "the daemon does nothing" soon halted
let_go
ok "unmounted before the daemon has heard of any close" fusermount3 -u -z "$M"
kill -CONT "$daemon"
ended "and it gives all back" true
work
kill -STOP "$daemon"
ok "the daemon does nothing" soon halted
timeout 20 stat "$M/vectors/nobody-has-asked" 2>"$scratch/waited" &
waiting=$!
sleep 0.5 # it waits for a daemon that does nothing
kill -0 "$waiting" || fail "nobody waits for a stopped daemon"
kill -KILL "$daemon"
wait "$waiting"
equal "who waited for a daemon that hangs is let go by its death" 1 $?
contains "with an error" "Software caused connection abort" "$scratch/waited"
idle
refused "the daemon's death is told" "not connected" ls "$M/vectors"
ok "a mount on the same mount point repairs it" mount_store "$scratch/s.vecfs" "$M"
equal "what was written is there" 500 "$(find "$M/vectors" -regex '.*/[0-9][0-9]?[0-9]?' | wc -l)"
ok "unmount" unmount_store "$M"
ok "the store is whole" "$program" check "$scratch/s.vecfs"
tests_end
