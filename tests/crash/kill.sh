#!/usr/bin/env bash
# SIGKILL through a real mount: four writers write down outside of the mount what they begin and
# what returned 0, two more threads ask for what those own, and the daemon is killed: at work, in a
# checkpoint, while it closes, while its disk is full, and again while it recovers. The next mount
# must hold exactly what the writers were told. timeout: 400 s
#
#   KILLS=N    so many kills (52; 500 with TORTURE=full)
#   SEED=N     the delays, and what the writers draw (1)
#   ONLY_KILL=WHEN  this kind alone: work, checkpoint, close or full
#   KEEP=DIR   after a failure, store and journals are copied there (build/failed/kill-SEED)
#
# The first half works on a store beside the journals, the second on a copy of it in a small tmpfs,
# which can be full. Without the right to mount one, no disk gets full.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/../mount/lib-cases.sh"
cases_begin
: "${BUILD:?the folder of the helper programs}"

[ "${TORTURE:-ci}" = full ] && kills=500 || kills=52
kills=${KILLS:-$kills}
seed=${SEED:-1}
RANDOM=$seed
writer=$BUILD/tests/crash/kill_writer
judge=$BUILD/tests/crash/kill_judge
keep=${KEEP:-build/failed/kill-$seed}
disk=$work/disk
store=$work/store
journals=$work/journals
mkdir "$journals" "$disk"
metric=$([ $((seed % 2)) -eq 0 ] && echo cosine || echo l2)
done_kills=0 rounds=0 verifications=0 acknowledged=0 verified=0 asked=0 missed=0 refused=0
moved=false
declare -A by_kind=()

echo "seed $seed, $kills kills, $metric"

give_up() { # WHAT
	check 1 "$1 (seed $seed, after $done_kills kills)"
	echo "checked: $done_kills kills through the mount, 1 failed"
	fusermount3 -uz "$mnt"
	daemons_end
	mkdir -p "$keep"
	cp -a --sparse=always "$work/." "$keep"
	echo "store and journals are in $keep"
	cases_end
}

between() { # LOW HIGH
	echo $(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1)))
}

milliseconds() { # LOW HIGH
	sleep "$(printf '0.%03d' "$(between "$1" "$2")")"
}

count_kill() { # KIND
	done_kills=$((done_kills + 1))
	by_kind[$1]=$((${by_kind[$1]:-0} + 1))
}

# Sets `options`: mostly the usual ones.
draw_options() {
	options=dim=768,metric=$metric
	[ $((RANDOM % 4)) -ne 0 ] || options+=,cache=1M
	[ $((RANDOM % 4)) -ne 0 ] || options+=,durability=close
}

# Sets `daemon`.
mount_again() {
	draw_options
	"$VECFS" "$store" "$mnt" -o "$options" 2>"$work/said" || {
		cat "$work/said"
		give_up "the store cannot be mounted with $options"
	}
	daemon=$(daemon_of "$mnt")
}

write_until() { # WHEN MICROSECONDS [full|deletions]
	local said
	said=$("$writer" "$mnt" "$journals" $((seed * 1000 + rounds)) "$daemon" "$@") ||
		give_up "the writers saw something wrong ($options)"
	refused=$((refused + ${said#* }))
}

# The first kill comes late: then there are so many vectors that the graph is searched.
kill_at_work() {
	if [ "$rounds" -eq 1 ]; then
		write_until work 3000000
	else
		write_until work "$(between 5000 150000)"
	fi
	died "$daemon"
	count_kill work
}

kill_in_checkpoint() {
	write_until checkpoint "$(between 0 60000)"
	died "$daemon"
	count_kill checkpoint
}

# The work is done and the mount is gone; the daemon links, flushes and runs two checkpoints.
kill_while_closing() {
	write_until stop "$(between 5000 50000)"
	fusermount3 -u "$mnt" || give_up "unmount"
	milliseconds 0 100
	kill -9 "$daemon" 2>/dev/null && count_kill close
	died "$daemon"
}

# Next to nothing is free while it works, and the disk is still full when it dies.
kill_while_full() {
	local free
	free=$(df --output=avail -B1 "$disk" | tail -n 1)
	free=$((free - $(between 0 600000)))
	[ "$free" -le 0 ] || head -c "$free" /dev/zero >"$disk/filler"
	write_until work "$(between 5000 150000)" deletions
	died "$daemon"
	count_kill full
}

kill_at_mount() {
	local child
	draw_options
	"$VECFS" "$store" "$mnt" -f -o "$options" 2>/dev/null &
	child=$!
	milliseconds 0 80
	kill -9 "$child"
	wait "$child" 2>/dev/null
	count_kill mount
}

verify() {
	local said counts ask=8
	verifications=$((verifications + 1))
	[ $((verifications % 10)) -ne 1 ] || ask=1
	if ! said=$("$judge" "$mnt" "$journals" "$ask" 2>&1); then
		head -n 60 <<<"$said"
		give_up "the mount does not hold what was acknowledged"
	fi
	read -ra counts <<<"$said"
	acknowledged=$((acknowledged + counts[0]))
	verified=$((verified + counts[1]))
	asked=$((asked + counts[2]))
	missed=$((missed + counts[3]))
}

# A closed store is one file, which can be copied.
move_to_tmpfs() {
	mount -t tmpfs -o size=96m,mode=700 vecfs-crash "$disk" 2>"$work/said" || {
		echo "no disk gets full: $(cat "$work/said")"
		return
	}
	fusermount3 -u "$mnt" || give_up "unmount"
	gone "$store"
	cp "$store" "$disk/store"
	store=$disk/store
	mount_again
	verify
}

draw_kind() {
	local kinds=(work work checkpoint close)
	[ "$store" != "$disk/store" ] || kinds+=(full full)
	echo "${kinds[RANDOM % ${#kinds[@]}]}"
}

mount_again
while [ "$done_kills" -lt "$kills" ]; do
	rounds=$((rounds + 1))
	kind=${ONLY_KILL:-$(draw_kind)}
	[ "$rounds" -gt 1 ] || kind=work
	case $kind in
	work) kill_at_work ;;
	checkpoint) kill_in_checkpoint ;;
	close) kill_while_closing ;;
	full) kill_while_full ;;
	esac
	while [ "$done_kills" -lt "$kills" ] && [ $((RANDOM % 3)) -eq 0 ]; do
		kill_at_mount
	done
	if [ $((RANDOM % 6)) -eq 0 ]; then
		"$VECFS" check "$store" >"$work/said" 2>&1 || {
			cat "$work/said"
			give_up "vecfs check after a kill"
		}
	fi
	mount_again
	verify
	rm -f "$disk/filler"
	if [ $((RANDOM % 12)) -eq 0 ]; then
		fusermount3 -u "$mnt" || give_up "unmount"
		mount_again
		verify
	fi
	if [ "$done_kills" -ge $((kills / 2)) ] && ! $moved; then
		moved=true
		move_to_tmpfs
	fi
done
summary=
for kind in "${!by_kind[@]}"; do
	summary+=", ${by_kind[$kind]} $kind"
done
check 0 "kills: ${summary#, }"
check 0 "$acknowledged operations acknowledged, $refused refused by a full disk, $verified vectors verified"
check 0 "$asked of them asked for with themselves, $missed found by the exact search only"
unmounted "$mnt"
gone "$store"
"$VECFS" check "$store"
check $? "vecfs check at the end"
"$VECFS" wal "$store" >/dev/null
check $? "vecfs wal at the end"
echo "checked: $done_kills kills through the mount, $failed failed"
cases_end
