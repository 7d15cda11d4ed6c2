#!/usr/bin/env bash
# status/config and status/errors as programs read them: the one is JSON and agrees with the options,
# the other keeps the last 1,000 lines. And cache=auto, which stays below a quarter of the memory that
# the process may use: what a control group or a limit of the process leaves it.
# timeout: 120 s
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin

# --- status/config ---

# A field of status/config; nothing unless all of it is JSON.
field() { # NAME
	if command -v jq >/dev/null; then
		jq -r --arg name "$1" '.[$name] | tostring' "$mnt/status/config"
	else
		perl -MJSON::PP -e '
			local $/;
			my $value = decode_json(<STDIN>)->{$ARGV[0]};
			binmode STDOUT, ":utf8";
			print JSON::PP::is_bool($value) ? ($value ? "true" : "false") : $value' "$1" <"$mnt/status/config"
	fi
}

fields() { # WHAT NAME=VALUE...
	local what=$1 pair
	shift
	for pair in "$@"; do
		got=$(field "${pair%%=*}")
		[ "$got" = "${pair#*=}" ]
		check $? "$what: status/config says $pair, got '$got'"
	done
}

store="$work/a \"b\\c\" ü s"
mounted "$store" "$mnt"
fields "no options" "store=$store" "mountpoint=$mnt" "version=$("$VECFS" --version | sed 's/^vecfs //')" \
	"pid=$(daemon_of "$mnt")" dim=0 metric=cosine cache=auto durability=log "threads=$(nproc)" \
	read_only=false allow_other=false page_size=16384
unmounted "$mnt"
mounted "$store" "$mnt" --cache=auto --durability=none --effort=1000
fields "--name=value" cache=auto durability=none effort=1000
printf '\0\0\200\077\0\0\0\100' >"$mnt/vectors/a"
fields "the first vector" dim=2
echo checkpoint >"$mnt/status/control"
no_file "$store-wal.*"
check $? "--durability=none writes no log"
unmounted "$mnt"
gone "$store"
for form in o name; do
	rm -f "$work/t"
	options=(dim=3 metric=ip cache=33M durability=close effort=123 threads=3 code-bits=2)
	if [ $form = o ]; then
		mounted "$work/t" "$mnt" -o "$(IFS=, && echo "${options[*]}")"
	else
		mounted "$work/t" "$mnt" "${options[@]/#/--}"
	fi
	fields "$form" dim=3 metric=ip cache=fixed cache_bytes=34603008 durability=close effort=123 threads=3 code_bits=2
	unmounted "$mnt"
	gone "$work/t"
done
mounted "$work/t" "$mnt" -o ro
fields "ro" dim=3 metric=ip read_only=true durability=log
unmounted "$mnt"
gone "$work/t"

# --- status/errors ---

mounted "$work/t" "$mnt"
for i in 1 2 3; do
	printf 'ten bytes!' >"$mnt/vectors/one-$i"
done 2>/dev/null
[ "$(cut -f 3 "$mnt/status/errors")" = "$(printf 'vectors/one-%d\n' 1 2 3)" ]
check $? "each refused operation is a line"
perl -e '
	for my $i (1 .. 1100) {
		open(my $file, ">", "$ARGV[0]/vectors/bad-$i") or die $!;
		syswrite($file, "ten bytes!") == 10 or die $!;
		close($file) and die "it was taken";
	}' "$mnt"
cp "$mnt/status/errors" "$work/errors"
[ "$(wc -l <"$work/errors")" -eq 1000 ]
check $? "the last 1,000 are kept: $(wc -l <"$work/errors")"
[ "$(cut -f 3 "$work/errors")" = "$(seq -f 'vectors/bad-%.0f' 101 1100)" ]
check $? "the newest, in their order"
[ "$(cut -f 4 "$work/errors" | sort -u)" = EINVAL ] &&
	[ "$(grep -cP '^\d{4}-\d\d-\d\dT[0-9:.]+Z\t\w+\t[^\t]+\tEINVAL\t[^\t]*got 10 bytes, a vector here is 12 \(3 × float32\)' "$work/errors")" -eq 1000 ]
check $? "time, operation, path, errno, and a sentence: $(head -n 1 "$work/errors")"
unmounted "$mnt"
gone "$work/t"

# --- cache=auto ---

usable_is() { # BYTES WHAT
	local cache
	cache=$(field cache_bytes)
	[ "$cache" -gt 0 ] && [ "$cache" -le $(($1 / 4)) ]
	check $? "cache=auto under $2 is at most a quarter of $1: $cache"
}

memory=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
mounted "$work/t" "$mnt" --cache=auto
usable_is "$memory" "the memory of the machine"
unmounted "$mnt"
gone "$work/t"
if [ -z "${SAN:-}" ]; then
	(failed=0 && ulimit -v 1500000 && mounted "$work/t" "$mnt" -o cache=auto && usable_is 1536000000 "a limit of the process"
		exit "$failed")
	check $? "a mount under ulimit -v"
	unmounted "$mnt"
	gone "$work/t"
else
	echo "# under sanitizers address space cannot be limited: skipped"
fi

# What control groups say, as the program reads it: both versions, in a mount namespace of its own.
# The group's own path names nothing there, as in a container, so that the limit of the root counts.
cat >"$work/inside" <<'END'
set -uo pipefail
. "$1/lib-cases.sh"
work=$2 mnt=$3 version=$4 failed=0
mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory || exit 1
case $version in
1) echo 16777216 >/sys/fs/cgroup/memory/memory.limit_in_bytes ;;
2) echo 16777216 >/sys/fs/cgroup/memory.max ;;
esac
"$VECFS" "$work/big" "$mnt" --metric=l2 --dim=1024 || exit 1
cat "$mnt/status/config" >"$work/config"
perl -e '
	for my $i (1 .. 2000) {
		open(my $file, ">", "$ARGV[0]/vectors/$i") or die $!;
		syswrite($file, pack("f<*", map { rand } 1 .. 1024)) == 4096 or die $!;
		close($file) or die $!;
	}' "$mnt" || exit 1
# A page that changed stays until it is written, also beyond the bound: nothing is to change any more.
quiet() {
	[ "$(sed -n 's/^vecfs_vectors_pending //p' "$mnt/status/metrics")" = 0 ] &&
		echo checkpoint >"$mnt/status/control" &&
		[ "$(sed -n 's/^vecfs_cache_dirty_bytes //p' "$mnt/status/metrics")" = 0 ]
}
for ((i = 0; i < 1000; i++)); do
	quiet && break
	sleep 0.05
done
echo drop-caches >"$mnt/status/control" || exit 1
cat "$mnt"/vectors/* | wc -c >"$work/read"
cat "$mnt/status/metrics" >"$work/metrics"
umount "$mnt"
END
if unshare -m true 2>/dev/null; then
	for version in 1 2; do
		grep -q '^0::' /proc/self/cgroup || [ $version = 1 ] || continue
		grep -q '^[0-9]*:memory:' /proc/self/cgroup || [ $version = 2 ] || continue
		rm -f "$work/big"
		unshare -m --propagation private bash "$work/inside" "$here" "$work" "$mnt" $version
		check $? "a mount under a control group, version $version"
		gone "$work/big"
		grep -q '"cache": "auto"' "$work/config" && grep -q '"cache_bytes": 4194304,' "$work/config"
		check $? "cache=auto is a quarter of what the group may use: $(grep cache_bytes "$work/config")"
		[ "$(cat "$work/read")" = 8192000 ]
		check $? "twice as much was read"
		held=$(awk '/^vecfs_memory_bytes.part="cache_/ { n += $2 } END { print n }' "$work/metrics")
		# and a page of 16 KiB more for each thread that has just brought one in
		[ "$held" -gt 2097152 ] && [ "$held" -le $((4194304 + 16 * 16384)) ]
		check $? "and the cache holds no more: $held"
	done
else
	echo "# mounting in a namespace is not permitted: control groups are skipped"
fi
cases_end
