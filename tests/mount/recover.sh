#!/usr/bin/env bash
# recover and compress on real files: damaged stores are saved, mounted and searched; a compressed
# copy has the same bytes under the same names; nothing is overwritten, nothing is left half done.
# timeout: 200 s, without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib-cases.sh
. "$here/lib-cases.sh"
cases_begin

# Writes vectors of 48 numbers: KIND random or picture (few values, long runs of zeros).
write_vectors() { # KIND COUNT FOLDER
	perl -e '
		my ($kind, $n, $dir) = @ARGV;
		srand 7;
		for my $i (0 .. $n - 1) {
			my @v = map { $kind eq "random" ? rand : $_ < 30 ? 0 : int(rand 4) / 4 } 0 .. 46;
			open my $f, ">", sprintf("%s/v%04d", $dir, $i) or die "$dir: $!";
			binmode $f;
			print $f pack "f<*", @v, $i + 1;
			close $f or die "close: $!";
		}' "$@"
}

# Names, bytes and attributes of all vectors of a mount.
picture_of() { # MOUNTPOINT
	(
		cd "$1/vectors" || exit
		find . -type f -printf '%P %m %U %G %T@\n' | sort
		find . -type f -print0 | sort -z | xargs -0 -r sha256sum
	)
}

# Mounts a copy, and compares it with what was seen before.
same_mounted() { # STORE ID
	mounted "$1" "$mnt"
	picture_of "$mnt" >"$work/seen.again"
	cmp "$work/seen" "$work/seen.again"
	check $? "same names, bytes and attributes"
	[ "$(wc -l <"$mnt/query/3/like/$2")" -eq 3 ]
	check $? "a search answers"
	unmounted "$mnt"
	gone "$1"
}

# --- a store, closed and killed ---

mounted "$work/s" "$mnt" -o dim=48,metric=l2
write_vectors random 600 "$mnt/vectors"
check $? "vectors written"
chmod 640 "$mnt/vectors/v0001"
touch -d '2020-02-03 04:05:06.789' "$mnt/vectors/v0002"
mv "$mnt/vectors/v0003" "$mnt/vectors/renamed"
rm "$mnt/vectors/v0004"
exits 8 "mounted at" "$VECFS" recover "$work/s" "$work/out"
exits 8 "mounted at" "$VECFS" compress "$work/s" "$work/out"
not_there "$work/out"
picture_of "$mnt" >"$work/seen"
unmounted "$mnt"
gone "$work/s"
sha256sum "$work/s" >"$work/sum"

# --- recover ---

exits 0 "599 vectors saved" "$VECFS" recover "$work/s" "$work/out"
[ "$(stat -c %a "$work/out")" = 600 ]
check $? "the new store is its owner's"
sha256sum --quiet -c "$work/sum"
check $? "recover leaves the store as it was"
exits 0 "clean" "$VECFS" check "$work/out"
same_mounted "$work/out" v0042
cp "$work/out" "$work/out.before"
exits 8 "exists" "$VECFS" recover "$work/s" "$work/out"
exits 8 "exists" "$VECFS" recover "$work/s" "$work/s"
cmp -s "$work/out" "$work/out.before"
check $? "recover overwrites nothing"
exits 8 "$work/none" "$VECFS" recover "$work/s" "$work/none/out"
exits 8 "no store" "$VECFS" recover "$work/none" "$work/out2"
head -c 100000 /dev/urandom >"$work/junk"
exits 8 "not a vecfs store" "$VECFS" recover "$work/junk" "$work/out2"
not_there "$work/out2"

# A vector is damaged where it lies: found by its bytes.
offset_of() { # FILE VECTORFILE: of the vector in the store
	perl -e '
		local $/;
		open my $f, "<", $ARGV[0] or die; my $store = <$f>;
		open my $v, "<", $ARGV[1] or die; my $vector = <$v>;
		print index $store, $vector;' "$1" "$2"
}
mounted "$work/out" "$mnt"
cp "$mnt/vectors/v0100" "$work/v0100"
unmounted "$mnt"
gone "$work/out"
cp "$work/s" "$work/bad"
at=$(offset_of "$work/bad" "$work/v0100")
[ "$at" -ge 16384 ]
check $? "the vector is found in the file"
dd if=/dev/urandom of="$work/bad" bs=1 seek="$at" count=16 conv=notrunc status=none
exits 4 "Page checksum mismatch" "$VECFS" check "$work/bad"
exits 4 "vectors/v0100 is lost" "$VECFS" recover "$work/bad" "$work/from-bad"
lost=$(grep -c '^lost: vectors/' <<<"$said")
exits 0 "$((599 - lost)) vectors" "$VECFS" check "$work/from-bad"
[ "$lost" -ge 1 ] && [ "$lost" -le 85 ]
check $? "only what stood on the page is lost ($lost)"
exits 4 "vecfs recover saves" "$VECFS" compress "$work/bad" "$work/from-bad2"
not_there "$work/from-bad2"

# Header, both slots in turn, a truncated file.
for block in 0 1 2; do
	cp "$work/s" "$work/bad"
	dd if=/dev/zero of="$work/bad" bs=4096 seek=$block count=1 conv=notrunc status=none
	exits 0 "599 vectors saved" "$VECFS" recover "$work/bad" "$work/block$block"
	exits 0 "clean" "$VECFS" check "$work/block$block"
done
cp "$work/s" "$work/bad"
truncate -s "$(($(stat -c %s "$work/bad") - 65536))" "$work/bad"
"$VECFS" recover "$work/bad" "$work/cut" >"$work/said" 2>&1
[ $? -le 4 ]
check $? "a truncated store is recovered: $(tail -n 1 "$work/said")"
exits 0 "clean" "$VECFS" check "$work/cut"

# Killed, the log damaged in the middle.
mounted "$work/k" "$mnt" -o dim=48,metric=l2
write_vectors random 300 "$mnt/vectors"
kill -9 "$(daemon_of "$work/k")"
unmounted "$mnt"
gone "$work/k"
sha256sum "$work"/k* >"$work/sum"
exits 0 "300 vectors saved" "$VECFS" recover "$work/k" "$work/from-k"
sha256sum --quiet -c "$work/sum"
check $? "recover leaves store and log as they were"
segment=$(ls -S "$work"/k-wal.* | head -n 1)
dd if=/dev/zero of="$segment" bs=1 seek=40000 count=8 conv=notrunc status=none
exits 1 "WAL replay failed" "$VECFS" "$work/k" "$mnt"
exits 4 "299 vectors saved" "$VECFS" recover "$work/k" "$work/from-k2"
[[ $said = *"it begins like the put of vectors/v0"* ]]
check $? "the lost vector is named"
exits 0 "clean" "$VECFS" check "$work/from-k2"

# --- compress ---

for kind in picture random; do
	rm -f "$work"/c*
	mounted "$work/c" "$mnt" -o dim=48,metric=cosine
	write_vectors $kind 2000 "$mnt/vectors"
	rm "$mnt"/vectors/v0[0-7]??
	picture_of "$mnt" >"$work/seen"
	# what the graph lacks, the first mount of a copy links, and leaves space where its pages were
	until grep -q '^vecfs_vectors_pending 0$' "$mnt/status/metrics"; do sleep 0.1; done
	unmounted "$mnt"
	gone "$work/c"
	sha256sum "$work/c" >"$work/sum"
	for size in 4096 16K 65536; do
		exits 0 "1200 vectors" "$VECFS" compress "$work/c" "$work/c.$size" --page-size=$size
		before=$(awk '/^before:/ { print $2 }' <<<"$said")
		after=$(awk '/^after:/ { print $2 }' <<<"$said")
		[ "$before" -eq "$(stat -c %s "$work/c")" ] && [ "$after" -eq "$(stat -c %s "$work/c.$size")" ]
		check $? "$kind, pages of $size: $before bytes before, $after after"
		# so small a store is mostly tables when its pages are large
		[ "$size" = 65536 ] || [ "$after" -lt "$before" ]
		check $? "it is smaller"
		exits 0 "clean" "$VECFS" check "$work/c.$size"
		same_mounted "$work/c.$size" v1042
	done
	sha256sum --quiet -c "$work/sum"
	check $? "compress leaves the store as it was"
	if [ $kind = picture ]; then
		"$VECFS" stat "$work/c.16K" | awk '/^compression/ { ok = $2 > 3 } END { exit !ok }'
		check $? "pages of pictures take less than a third"
	fi
	"$VECFS" stat "$work/c.16K" | awk '/^free in file/ { ok = $4 <= 16384 } END { exit !ok }'
	check $? "no space is left between pages"
done
# Codes that were made small for want of memory stay small.
mounted "$work/c" "$mnt" -o code-bits=1
unmounted "$mnt"
gone "$work/c"
exits 0 "1200 vectors" "$VECFS" compress "$work/c" "$work/c.low"
for store in c c.low; do
	"$VECFS" stat "$work/$store" | grep -q '^code bits *1 '
	check $? "$store has codes of 1 bit"
done
# An index that cannot be read costs the order, and this is said.
"$BUILD/tests/mount/damage" "$work/c.low" graph >"$work/said"
exits 0 "remark: the index cannot be read: " "$VECFS" compress "$work/c.low" "$work/c.anew"
[[ $said = *"which the first mount builds anew"* ]]
check $? "it is built anew"
exits 0 "clean" "$VECFS" check "$work/c.anew"
exits 8 "exists" "$VECFS" compress "$work/c" "$work/c.16K"
exits 2 "page-size" "$VECFS" compress "$work/c" "$work/x" --page-size=5000
exits 2 "needs a value" "$VECFS" compress "$work/c" "$work/x" --page-size
exits 8 "no store" "$VECFS" compress "$work/none" "$work/x"
"$VECFS" mkfs "$work/empty" --dim=3
exits 0 "0 vectors" "$VECFS" compress "$work/empty" "$work/empty.c"
exits 0 "0 vectors saved" "$VECFS" recover "$work/empty" "$work/empty.r"
exits 0 "0 vectors" "$VECFS" check "$work/empty.c"

# --- nothing is left of a run that does not end well ---

# A full disk: a limit on the size of files.
full() { # COMMAND
	(
		ulimit -f 100
		trap '' XFSZ
		exec "$VECFS" "$1" "$work/s" "$work/full"
	)
}
exits 8 "no space" full recover
exits 8 "no space" full compress
no_file "$work/full*"
check $? "nothing is left behind when the disk is full"

# Stopped by a signal at any moment. The search for leaks, which stops the program as it ends, cannot
# stand one itself: it hangs, or reports that it failed. The runs above are searched.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
for command in recover compress; do
	stopped=0
	for ((i = 0; i < 30; i++)); do
		timeout --preserve-status "$(printf '0.%03d' $((RANDOM % 40 + 1)))" "$VECFS" $command "$work/c" "$work/stopped" \
			>"$work/said" 2>&1
		status=$?
		if [ $status -ne 0 ] && no_file "$work/stopped*"; then
			stopped=$((stopped + 1))
		elif [ $status -ne 0 ] || ! "$VECFS" check "$work/stopped" >/dev/null; then
			check 1 "$command ended with $status: $(cat "$work/said")"
		fi
		rm -f "$work/stopped"
	done
	[ $stopped -gt 0 ]
	check $? "$command was stopped $stopped times of $i and left nothing"
	no_file "$work/stopped*"
	check $? "no unfinished file is left"
done

cases_end
