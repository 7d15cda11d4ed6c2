#!/usr/bin/env bash
# SIGKILL through a real mount: four writers write down outside of the mount what they begin and
# what returned 0, the daemon is killed at a random moment, sometimes again while it recovers, and
# the next mount must hold exactly what the writers were told. timeout: 3000 s
#
#   KILLS=N    so many kills (12)
#   SEED=N     the delays, and what the writers draw
#   KEEP=DIR   after a failure, store and journals are copied there
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/../mount/lib-cases.sh"
cases_begin
: "${BUILD:?the folder of the helper programs}"

kills=${KILLS:-12}
seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
RANDOM=$seed
writer=$BUILD/tests/crash/kill_writer
store=$work/store
journals=$work/journals
mkdir "$journals"
options=dim=768,metric=$([ $((seed % 2)) -eq 0 ] && echo cosine || echo l2)
done_kills=0 in_recovery=0 rounds=0 acknowledged=0 verified=0 asked=0 missed=0

echo "seed $seed, $kills kills, $options"

give_up() { # WHAT
	check 1 "$1 (seed $seed, after $done_kills kills)"
	if [ -n "${KEEP:-}" ]; then
		fusermount3 -uz "$mnt"
		daemons_end
		cp -a "$work" "$KEEP"
	fi
	cases_end
}

milliseconds() { # LOW HIGH
	sleep "$(printf '0.%03d' $(($1 + RANDOM % ($2 - $1 + 1))))"
}

mount_again() {
	"$VECFS" "$store" "$mnt" -o "$options" 2>"$work/said" || {
		cat "$work/said"
		give_up "the store cannot be mounted"
	}
}

# Waits until a killed process has let go of its files: later than of its name.
died() { # PID
	local i tasks
	for ((i = 0; i < 1000; i++)); do
		tasks=("/proc/$1/task"/*)
		[ -e "/proc/$1" ] || return 0
		[ ${#tasks[@]} -eq 1 ] && grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null && return 0
		sleep 0.01
	done
	give_up "the killed daemon does not end"
}

# The first kill comes late: then there are so many vectors that the graph is searched.
kill_at_work() {
	local pid child
	pid=$(daemon_of "$mnt")
	"$writer" work "$mnt" "$journals" $((seed + rounds)) &
	child=$!
	[ "$rounds" -gt 1 ] || sleep 3
	milliseconds 5 150
	kill -9 "$pid" || give_up "the daemon is gone"
	wait "$child" || give_up "the writers saw something wrong"
	died "$pid"
	done_kills=$((done_kills + 1))
}

kill_at_mount() {
	local child
	"$VECFS" "$store" "$mnt" -f -o "$options" 2>/dev/null &
	child=$!
	milliseconds 0 30
	kill -9 "$child"
	wait "$child" 2>/dev/null
	done_kills=$((done_kills + 1))
	in_recovery=$((in_recovery + 1))
}

verify() {
	local said counts
	if ! said=$("$writer" verify "$mnt" "$journals" 2>&1); then
		head -n 60 <<<"$said"
		give_up "the mount does not hold what was acknowledged"
	fi
	read -ra counts <<<"$said"
	acknowledged=$((acknowledged + counts[0]))
	verified=$((verified + counts[1]))
	asked=$((asked + counts[2]))
	missed=$((missed + counts[3]))
}

mount_again
while [ "$done_kills" -lt "$kills" ]; do
	rounds=$((rounds + 1))
	kill_at_work
	while [ "$done_kills" -lt "$kills" ] && [ $((RANDOM % 3)) -eq 0 ]; do
		kill_at_mount
	done
	if [ $((RANDOM % 4)) -eq 0 ]; then
		"$VECFS" check "$store" >"$work/said" 2>&1 || {
			cat "$work/said"
			give_up "vecfs check after a kill"
		}
	fi
	mount_again
	verify
	if [ $((RANDOM % 5)) -eq 0 ]; then
		fusermount3 -u "$mnt" || give_up "unmount"
		mount_again
		verify
	fi
done
check 0 "$done_kills kills ($in_recovery of them while mounting)"
check 0 "$acknowledged operations acknowledged, $verified vectors verified"
check 0 "$asked of them asked for with themselves, $missed found by the exact search only"
unmounted "$mnt"
gone "$store"
"$VECFS" check "$store"
check $? "vecfs check at the end"
"$VECFS" wal "$store" >/dev/null
check $? "vecfs wal at the end"
cases_end
