#!/usr/bin/env bash
# A store whose disk gets full, by itself and by others: writers see ENOSPC and nothing else, reads
# and queries go on, what was refused is not there, what was acknowledged is, through an unmount, a
# kill and a disk that has room again. timeout: 600 s
#
#   SEED=N      what the writers draw (1)
#   SIZES=LIST  of the disk, in KiB (1024 4096; more with TORTURE=full)
set -uo pipefail
# shellcheck source=tests/crash/lib-disk.sh
. "$(dirname "$0")/lib-disk.sh"
disk_begin

# The store keeps room back: a removal is never refused for want of space, and a store on a full disk
# can be closed in order and opened.
[ "${TORTURE:-ci}" = full ] && sizes='1024 1536 2048 3072 4096 6144 8192' || sizes='1024 4096'
sizes=${SIZES:-$sizes}

fill_up() { # all the room there is, by a file that is not ours
	head -c 1G /dev/zero >>"$disk/filler" 2>/dev/null
}

room_again() {
	rm -f "$disk/filler"
}

write_until_full() {
	local i
	for ((i = 0; i < 100; i++)); do
		write_for 300 full "$@" || return
		[ "$n_refused" -eq 0 ] || return 0
	done
	return 1
}

# After removals there is room for new vectors, at the latest when a checkpoint has run.
write_again() {
	local i
	for ((i = 0; i < 20; i++)); do
		{ echo checkpoint >"$mnt/status/control"; } 2>"$work/checkpointed"
		write_for 200 full put || return
		[ "$n_done" -eq 0 ] || return 0
		sleep 0.2
	done
	return 1
}

# A checkpoint meanwhile may make room, as much as a log took: some are taken before one is refused. The
# other file grows with them.
plain_calls() {
	local i
	vector 3 >"$work/three"
	for ((i = 0; i < 500; i++)); do
		cp "$work/three" "$mnt/vectors/one-more-$i" 2>"$work/said" || break
		fill_up
	done
	grep -q 'No space left on device' "$work/said"
	judged $? "cp says: $(tail -n 1 "$work/said")"
	[ ! -e "$mnt/vectors/one-more-$i" ]
	judged $? "the vector that was refused is not there"
	while [ "$i" -gt 0 ] && rm "$mnt/vectors/one-more-$((i - 1))"; do
		i=$((i - 1))
	done
	[ "$i" -eq 0 ]
	judged $? "what was taken before it is removed again"
	error_says ENOSPC 'make room'
}

# Half of all: what one or two leave behind need not be room for a new one.
remove_on_full_disk() {
	local i all status=0 n=0
	all=$(find "$mnt/vectors" -type f | wc -l)
	for ((i = 0; i < 200 && 2 * n < all && status == 0; i++)); do
		write_for 300 deletions remove
		status=$?
		n=$((n + n_done))
	done
	[ "$status" -eq 0 ] && [ $((2 * n)) -ge "$all" ]
	judged $? "removals on a full disk: $n of $all done, none refused"
	judge_all "after removals"
}

on_a_disk_of() { # KIB
	echo "# a disk of $1 KiB"
	tmpfs_disk "$1k"
	must_mount
	write_until_full put
	judged $? "writers see ENOSPC and nothing else: $n_done done, $n_refused refused"
	judge_all "full"
	fill_up
	plain_calls
	judge_all "full of another file as well"
	remove_on_full_disk
	room_again
	write_again
	judged $? "new vectors after removals: $n_done, $n_refused refused $(cat "$work/checkpointed")"
	write_until_full
	judge_all "full again"
	fill_up
	disk_unmount
	check_clean
	must_mount
	judge_all "unmounted and mounted again"
	mount -o "remount,size=$((1 + $(du -sk "$disk" | cut -f 1)))k" "$disk"
	write_until_full
	fill_up
	disk_kill
	"$VECFS" check "$store" >"$work/said" 2>&1
	judged $? "vecfs check after a kill on a full disk: $(tail -n 1 "$work/said")"
	must_mount
	judge_all "killed while full"
	new_disk
}

# The disk was full of another file when it was filled: only that one has to go.
another_file() { # SYSTEM SIZE
	echo "# another file takes the disk: $1"
	if [ "$1" = tmpfs ]; then
		tmpfs_disk "$2"
	elif ! image_disk "$1" "$2"; then
		echo "skipped: $(cat "$work/said")"
		return
	fi
	must_mount
	write_for 200 never put
	judged $? "$n_done vectors"
	fill_up
	write_until_full
	judged $? "writers see ENOSPC and nothing else: $n_done done, $n_refused refused"
	echo checkpoint 2>"$work/said" >"$mnt/status/control"
	judge_all "full of another file"
	rm "$disk/filler"
	write_for 200 never
	judged $? "room again, without a mount: $n_done done"
	echo checkpoint >"$mnt/status/control"
	judged $? "a checkpoint"
	judge_all "room again"
	fill_up
	write_until_full
	disk_kill
	rm "$disk/filler"
	must_mount
	judge_all "killed while full, and then room again"
	disk_unmount
	check_clean
	new_disk
}

# A limit on the size of files, with the signal that comes with it.
size_of_files() {
	echo "# ulimit -f"
	tmpfs_disk 32m
	(ulimit -f 2000 && exec "$VECFS" "$store" "$mnt" -o "$options")
	judged $? "a mount under ulimit -f"
	daemon=$(daemon_of "$mnt")
	write_until_full put
	judged $? "writers see ENOSPC and nothing else: $n_done done, $n_refused refused"
	judge_all "at the limit"
	disk_kill
	must_mount
	judge_all "killed at the limit, mounted without one"
	write_for 100 never
	judged $? "and written to: $n_done done"
	disk_unmount
	check_clean
	new_disk
}

# A quota holds also for root without the capability that lifts it.
quota() {
	echo "# a quota"
	if ! tmpfs_disk 32m usrquota,usrquota_block_hardlimit=3m ||
		! setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource true; then
		echo "skipped: no tmpfs with quotas: $(cat "$work/said")"
		[ "$(mounts_at "$disk")" = 0 ] || umount "$disk"
		return
	fi
	setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource "$VECFS" "$store" "$mnt" -o "$options"
	judged $? "a mount under a quota"
	daemon=$(daemon_of "$mnt")
	write_until_full put
	judged $? "writers see ENOSPC and nothing else: $n_done done, $n_refused refused"
	judge_all "at the quota"
	disk_kill
	must_mount
	judge_all "killed at the quota, mounted without one"
	new_disk
}

for size in $sizes; do
	on_a_disk_of "$size"
done
another_file tmpfs 32m
another_file ext4 32m
if [ "${TORTURE:-ci}" = full ]; then
	another_file xfs 320m
	another_file btrfs 160m
fi
size_of_files
quota
disk_end "cases on a full disk"
