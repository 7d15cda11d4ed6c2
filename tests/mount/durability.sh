#!/usr/bin/env bash
# durability=log, close and none: what has been synced when, what a kill leaves, changing between them.
# timeout: 180 s
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/mount/lib-damage.sh
. "$here/lib-damage.sh"
tests_begin
store=$scratch/store
"$program" mkfs "$store" --dim=64 --metric=l2 || fail "mkfs"

syncs() {
	metric "$M" vecfs_wal_syncs_total
}

is_durable() {
	[ "$(metric "$M" vecfs_store_durable_lsn)" = "$(metric "$M" vecfs_store_lsn)" ]
}

count() {
	find "$M/vectors" -type f | wc -l
}

# --- close ---

mount_store "$store" "$M" durability=close || fail "mounting with durability=close"
bad=0
for ((i = 0; i < 20; i++)); do
	before=$(syncs)
	write_vectors "$M/vectors" "$i" "$i"
	{ is_durable && [ "$(syncs)" -gt "$before" ]; } || bad=$((bad + 1))
done
equal "close: 20 times durable as soon as close has returned" 0 "$bad"

before=$(syncs)
for ((i = 0; i < 8; i++)); do
	write_vectors "$M/vectors" $((100 + i * 50)) $((149 + i * 50)) &
	background+=($!)
done
wait "${background[@]}"
background=()
made=$(($(syncs) - before))
ok "close: 400 closes of 8 writers share syncs ($made syncs)" [ "$made" -lt 400 ]
ok "close: and all are durable" is_durable
equal "close: none is missing" 420 "$(count)"
kill_store "$store"

# --- log ---

mount_store "$store" "$M" durability=log || fail "mounting with durability=log"
equal "log: after a kill all that was closed is there" 420 "$(count)"
write_vectors "$M/vectors" 20 20
ok "log: durable within a few seconds, unasked" soon is_durable
bad=0
for ((i = 21; i < 31; i++)); do
	write_vectors "$M/vectors" "$i" "$i"
	sync "$M/vectors/v$i" || bad=$((bad + 1))
	is_durable || bad=$((bad + 1))
done
equal "log: fsync of a file makes it durable" 0 "$bad"
for ((i = 21; i < 26; i++)); do
	rm "$M/vectors/v$i"
	sync "$M/vectors" || bad=$((bad + 1))
	is_durable || bad=$((bad + 1))
	mv "$M/vectors/v$((i + 5))" "$M/vectors/w$i"
	sync "$M/vectors" || bad=$((bad + 1))
	is_durable || bad=$((bad + 1))
done
equal "log: fsync of the folder makes removing and renaming durable" 0 "$bad"
before=$(syncs)
write_vectors "$M/vectors" 700 799
ok "log: closing does not wait for syncs" [ $(($(syncs) - before)) -lt 50 ]
kill_store "$store"

# --- none ---

mount_store "$store" "$M" durability=none || fail "mounting with durability=none"
equal "none: what was closed before is there" 526 "$(count)"
before=$(syncs)
write_vectors "$M/vectors" 800 849
equal "none: no sync" "$before" "$(syncs)"
ok "none: checkpoint" bash -c "echo checkpoint >'$M/status/control'"
echo checkpoint >"$M/status/control"
ok "none: no log is written" no_file_like "$store-wal."
write_vectors "$M/vectors" 850 899
equal "none: all are there" 626 "$(count)"
kill_store "$store"
mount_store "$store" "$M" durability=none 2>"$scratch/said" || fail "mounting after a kill with none"
contains "none: it is said what is left" "last used with durability=none; this is its last checkpoint" "$scratch/said"
contains "none: in status/errors too" "this is its last checkpoint" "$M/status/errors"
equal "none: that is the last checkpoint" 576 "$(count)"
leave "$store"

# --- from one to the other ---

expected=576
for mode in log none close none log close log; do
	mount_store "$store" "$M" "durability=$mode" || fail "mounting with durability=$mode"
	contains "status/config says $mode" "\"durability\": \"$mode\"" "$M/status/config"
	write_vectors "$M/vectors" $((1000 + expected)) $((1000 + expected))
	expected=$((expected + 1))
	equal "changed to $mode" "$expected" "$(count)"
	if [ "$mode" = none ]; then leave "$store"; else kill_store "$store"; fi
done
exits "and the store is whole" 0 "$expected vectors" clean -- "$program" check "$store"

tests_end
