#!/usr/bin/env bash
# The line that shows how far a long command is: on a terminal alone, never wider than it, and gone
# at the end; elsewhere not a byte of it.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin
command -v script >/dev/null || {
	echo "there is no script(1), which makes a terminal"
	exit 77
}
cd "$work" || exit 1

# Runs the command on a terminal of COLUMNS x 24. `shown`: all that was sent; `screen`: the lines that
# stand there at the end, `last`: what is behind them; `strange`: control bytes that are not for
# writing over a line.
on_terminal() { # COLUMNS COMMAND...
	local columns=$1 command
	shift
	command=$(printf '%q ' "$@")
	TERM=${terminal:-xterm} script -qec "stty cols $columns rows 24; $command" /dev/null >shown 2>&1
	code=$?
	perl -e '
		local $/;
		my ($text, $at, @lines) = (scalar <STDIN>, 0, "");
		while ($text =~ /\G(?:(\r)|(\n)|(\e\[K)|([ -~])|(.))/gs) {
			if (defined $1) { $at = 0 }
			elsif (defined $2) { push @lines, "" }
			elsif (defined $3) { $lines[-1] = substr $lines[-1], 0, $at }
			elsif (defined $4) { substr($lines[-1], $at++, 1) = $4 }
			else { print STDERR sprintf "%02x ", ord $5 }
		}
		print map { "$_\n" } @lines' <shown >lines 2>strange
	shown=$(tr '\r' '\n' <shown)
	screen=$(sed '$d' lines)
	last=$(tail -n 1 lines)
	strange=$(cat strange)
}

# The command says the same on a terminal and without one, but for numbers, and shows PATTERN on the
# terminal meanwhile.
shows() { # PATTERN COMMAND...
	local pattern=$1 columns name="vecfs $3"
	shift
	again
	"$@" >out 2>err
	[ $? -eq 0 ] && [ ! -s err ] && ! LC_ALL=C grep -q '[^ -~]' out
	check $? "$name shows nothing without a terminal: $(cat -v err)"
	for columns in 132 24; do
		again
		on_terminal "$columns" "$@"
		[ "$code" -eq 0 ] && grep -qE -- "$pattern" <<<"$shown"
		check $? "$name shows how far it is on $columns columns"
		grep -qE -- "$pattern" <<<"$shown" || echo "shown: $shown"
		said=$(grep -E -- "$pattern" <<<"$shown" | sed 's/\x1b\[K//g' | awk -v most="$columns" 'length >= most')
		[ -z "$said" ]
		check $? "each such line of $name is narrower than $columns columns${said:+: $said}"
		[ -z "$last" ] && [ -z "$strange" ] && ! grep -qE -- "$pattern" <<<"$screen"
		check $? "nothing of it is left, and the end is a new line: $last $strange"
		[ "$(sed 's/[0-9.]\+/N/g' out)" = "$(sed 's/[0-9.]\+/N/g' <<<"$screen")" ]
		check $? "$name ends with the same words on a terminal and without one"
	done
	terminal=dumb
	again
	on_terminal 132 "$@"
	terminal=
	[ "$code" -eq 0 ] && [[ $shown != *$'\e'* ]]
	check $? "$name sends no sequences to a terminal that knows none"
}

again() { # before the command is run once more
	rm -f new.vecfs new.vecfs-wal.*
	[ "$command_now" != import ] || cp empty.vecfs new.vecfs
}

rows=6000
[ -z "${SAN:-}" ] || rows=1000 # which are linked as slowly then
perl -e 'srand 1; print pack "V2", $ARGV[0], 32; print pack "f<*", map { rand } 1 .. 32 for 1 .. $ARGV[0]' $rows >rows.fbin
"$VECFS" mkfs empty.vecfs --metric=l2
command_now=import
shows '^.\[K\[[#.]{10}\] +[0-9]+ %' "$VECFS" import new.vecfs rows.fbin
cp new.vecfs full.vecfs
command_now=check
shows "^.\[Kvectors: [0-9]+ of $rows" "$VECFS" check full.vecfs
command_now=compress
shows "^.\[Kvectors: [0-9]+ of $rows" "$VECFS" compress full.vecfs new.vecfs
command_now=recover
shows "^.\[Kvectors: [0-9]+ of $rows" "$VECFS" recover full.vecfs new.vecfs

# What went wrong stands on a line of its own, with nothing of the bar before it.
cp full.vecfs bad.vecfs
printf 'XXXXXXXX' | dd of=bad.vecfs bs=1 seek=150000 conv=notrunc status=none
on_terminal 80 "$VECFS" check bad.vecfs
[ "$code" -eq 4 ] && grep -q '^damage: ' <<<"$screen" && [ -z "$last" ]
check $? "a finding begins a line"
cases_end
