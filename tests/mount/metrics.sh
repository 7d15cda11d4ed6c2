#!/usr/bin/env bash
# status/metrics: every line is what Prometheus reads, everything promised is there, the numbers move
# as they should and reset-metrics sets them back.
# timeout: 120 s
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/mount/lib-damage.sh
. "$here/lib-damage.sh"
tests_begin
store=$scratch/store
"$program" mkfs "$store" --dim=64 --metric=l2 || fail "mkfs"
mount_store "$store" "$M" cache=4M || fail "mounting"

readable() { # DESCRIPTION
	ok "readable: $1" perl "$here/metrics.pl" <"$M/status/metrics"
}

get() {
	metric "$M" "$@"
}

# The number grew by at least 1 over the command, which succeeds.
moves() { # NAME COMMAND...
	local name=$1 before after
	shift
	before=$(get "$name")
	"$@" >/dev/null 2>"$scratch/said" || fail "$*" "$(cat "$scratch/said")"
	after=$(get "$name")
	if awk -v a="$after" -v b="$before" 'BEGIN { exit !(a > b) }'; then
		pass "$name moves: $before, $after"
	else
		fail "$name does not move: $before, $after" "$*"
	fi
}

readable "an empty store"
write_vectors "$M/vectors" 0 399
soon none_pending || fail "vectors stay pending"
readable "400 vectors"
for name in vecfs_vectors vecfs_vectors_pending vecfs_cache_hit_rate \
	vecfs_cache_{hits,misses,evictions}_total'{kind="graph"}' \
	vecfs_cache_{hits,misses,evictions}_total'{kind="vector"}' \
	vecfs_cache_{hits,misses,evictions}_total'{kind="map"}' \
	vecfs_wal_bytes vecfs_wal_syncs_total vecfs_wal_appends_total vecfs_checkpoint_seconds_sum \
	vecfs_checkpoint_seconds_count vecfs_checkpoint_failures_total vecfs_checkpoint_age_seconds \
	'vecfs_query_seconds_bucket{le="+Inf"}' vecfs_query_seconds_sum vecfs_query_seconds_count \
	vecfs_ops_total'{op="lookup"}' vecfs_ops_total'{op="write"}' vecfs_ops_total'{op="query"}' \
	vecfs_compression_ratio vecfs_memory_bytes'{part="codes"}' vecfs_memory_bytes'{part="resident"}' \
	vecfs_store_poisoned vecfs_store_read_only vecfs_damaged_pages vecfs_open_replayed_records \
	vecfs_open_cut_bytes vecfs_open_discarded_records vecfs_cache_thrashing vecfs_errors_total \
	vecfs_hops_total vecfs_distances_total; do
	[ -n "$(get "$name")" ] || fail "$name is missing"
done
equal "vecfs_vectors" 400 "$(get vecfs_vectors)"
codes=$(get 'vecfs_memory_bytes{part="codes"}')
ok "memory of the codes" [ "$codes" -gt 0 ]
# 400 codes of at most 64 + 16 bytes, in whole pages of at most 64 KiB; not what has room for more
ok "what they take, not what is reserved: $codes" [ "$codes" -le 65536 ]

moves vecfs_query_seconds_count cat "$M/query/3/like/v1"
moves vecfs_distances_total cat "$M/query/3,exact/like/v1"
moves 'vecfs_ops_total{op="query"}' cat "$M/query/3/like/v2"
moves vecfs_wal_appends_total cp "$M/vectors/v1" "$M/vectors/new"
moves vecfs_wal_bytes cp "$M/vectors/v1" "$M/vectors/new2"
# what is a second old is synced already
moves vecfs_wal_syncs_total bash -c 'cp "$1/vectors/v1" "$1/vectors/new3" && sync "$1/vectors/new3"' - "$M"
moves vecfs_store_lsn rm "$M/vectors/new" "$M/vectors/new2" "$M/vectors/new3"
moves vecfs_checkpoint_seconds_count bash -c "echo checkpoint >'$M/status/control'"
moves 'vecfs_cache_evictions_total{kind="vector"}' bash -c "echo drop-caches >'$M/status/control'"
moves 'vecfs_cache_misses_total{kind="vector"}' cat "$M/query/3,exact/like/v3"
moves 'vecfs_cache_hits_total{kind="vector"}' cat "$M/query/3,exact/like/v3"
moves vecfs_errors_total bash -c "! cat '$M/query/3/like/nobody' && ! bash -c \"echo no >'$M/status/control'\""
ok "the age of the last checkpoint" awk -v age="$(get vecfs_checkpoint_age_seconds)" 'BEGIN { exit !(age > 0 && age < 60) }'
readable "after that"

errors=$(get vecfs_errors_total)
echo reset-metrics >"$M/status/control"
for name in vecfs_query_seconds_count vecfs_query_seconds_sum vecfs_hops_total vecfs_distances_total \
	vecfs_wal_appends_total vecfs_checkpoint_seconds_count vecfs_checkpoint_seconds_sum \
	vecfs_graph_inserted_total 'vecfs_cache_misses_total{kind="vector"}' \
	'vecfs_cache_evictions_total{kind="vector"}' 'vecfs_ops_total{op="rename"}' vecfs_decompressions_total; do
	equal "reset: $name" 0 "$(get "$name")"
done
equal "reset: the state stays" 400 "$(get vecfs_vectors)"
equal "reset: status/errors stays" "$errors" "$(get vecfs_errors_total)"
readable "after reset-metrics"
moves vecfs_query_seconds_count cat "$M/query/3/like/v1"

# A kill, and the next mount counts what it replays.
write_vectors "$M/vectors" 400 409
kill_store "$store"
mount_store "$store" "$M" cache=4M || fail "mounting again"
ok "what was replayed" [ "$(get vecfs_open_replayed_records)" -ge 10 ]
readable "after a kill"
leave "$store"

# --- the cache is too small ---

"$program" mkfs "$scratch/wide" --dim=1024 --metric=l2 --page-size=4K || fail "mkfs"
mount_store "$scratch/wide" "$M" cache=1M || fail "mounting with a small cache"
perl -e 'for my $i (0 .. 899) { srand($i); open(my $f, ">", "$ARGV[0]/v$i") or die "v$i: $!\n";
	syswrite($f, pack("f<*", map { rand() } 1 .. 1024)) == 4096 or die "v$i: $!\n"; close($f) or die }' "$M/vectors"
for ((i = 0; i < 600; i++)); do # what links vectors looks pages up, too
	[ "$(get vecfs_vectors_pending)" -ne 0 ] || break
	sleep 0.1
done
echo checkpoint >"$M/status/control"
hits=$(get 'vecfs_cache_hits_total{kind="vector"}')
for ((i = 0; i < 25; i++)); do
	cat "$M/query/3,exact/like/v$i" >/dev/null
done
hits=$(($(get 'vecfs_cache_hits_total{kind="vector"}') - hits))
ok "the first use of what was read ahead is no hit: $hits" [ "$hits" -lt 7500 ] # of 22,500
contains "thrashing: status/errors" "Cache thrashing detected: " "$M/status/errors"
contains "thrashing: what to do" "raise cache= to at least " "$M/status/errors"
equal "thrashing: told once" 1 "$(grep -c 'Cache thrashing detected' "$M/status/errors")"
equal "thrashing: the metric" 1 "$(get vecfs_cache_thrashing)"
need=$(sed -n 's/.*raise cache= to at least \([0-9]*M\).*/\1/p' "$M/status/errors")
leave "$scratch/wide"
mount_store "$scratch/wide" "$M" "cache=$need" || fail "mounting with cache=$need"
for ((i = 0; i < 25; i++)); do
	cat "$M/query/3,exact/like/v$i" >/dev/null
done
equal "no thrashing with cache=$need, as it said" 0 "$(grep -c 'Cache thrashing detected' "$M/status/errors")"

# --- verify gives way to a signal, and to other work ---

for ((i = 0; i < 3; i++)); do
	echo verify >"$M/status/control" &
	background+=($!)
done
ok "reading beside verify" cmp "$M/vectors/v5" "$M/vectors/v5"
ok "writing beside verify" cp "$M/vectors/v5" "$M/vectors/again"
wait "${background[@]}"
background=()
equal "verify finds nothing" 0 "$(get vecfs_damaged_pages)"
leave "$scratch/wide"

# --- too little address space ---

# Sanitizers reserve far more than that for themselves.
if [ -z "${SAN:-}" ]; then
	for limit in 40000 64000 80000 100000; do
		said=$(ulimit -v $limit && "$program" "$store" "$M" 2>&1) && fail "mounting with ulimit -v $limit" "it succeeded"
		if [[ $said == "vecfs: "*"mmap failed: Cannot allocate memory; raise the limit on virtual memory (ulimit -v)"* ]] &&
			[ "$(wc -l <<<"$said")" -eq 1 ]; then
			pass "too little address space: ulimit -v $limit"
		else
			fail "too little address space: ulimit -v $limit" "$said"
		fi
	done
fi
# A limit that is nearly enough: refused in words before the command returns, or served.
if [ -z "${SAN:-}" ]; then
	refusals=0
	for ((limit = 120000; limit <= 240000; limit += 4000)); do
		if said=$(ulimit -v $limit && "$program" "$store" "$M" 2>&1); then
			[ -e "$M/status/metrics" ] || fail "ulimit -v $limit" "no mount, although the command returned 0"
			leave "$store"
		else
			refusals=$((refusals + 1))
			[[ $said == *"vecfs: "*"ulimit -v"* ]] || fail "ulimit -v $limit" "$said"
		fi
	done
	ok "some of these limits were too low ($refusals)" [ "$refusals" -gt 0 ]
fi
exits "and the store is whole" 0 clean -- "$program" check "$store"

tests_end
