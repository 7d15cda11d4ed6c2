#!/usr/bin/env bash
# A disk that fails under a mount: blocks that cannot be read, writes that fail or are cut short,
# syncs that fail and lose what was written. faultfs.c lies between the store and its disk. Nothing
# that can be read is wrong, no answer is short, and after the disk is well again the next mount has
# everything that was acknowledged (after a lost sync: everything that was synced). timeout: 300 s
#
#   SEED=N      which blocks are tried (1)
#   BLOCKS=N    so many blocks of the head (24; all with TORTURE=full)
#   BLOCK=N     this block alone
set -uo pipefail
# shellcheck source=tests/crash/lib-disk.sh
. "$(dirname "$0")/lib-disk.sh"
disk_begin
[ "${TORTURE:-ci}" = full ] && blocks=all || blocks=24
blocks=${BLOCKS:-$blocks}
calls=$BUILD/tests/crash/fault_calls
n=80
RANDOM=$seed

put() { # FROM TO [sync]: sets `said`
	said=$("$calls" put "$mnt" "$@")
}

# What can be read is right. Sets good, unreadable, absent.
read_back() { # N
	local said status
	said=$("$calls" read "$mnt" "$1")
	status=$?
	read -r good unreadable absent < <(tail -n 1 <<<"$said")
	[ $status -eq 0 ] || echo "$said" | head -n 5
	return $status
}

all_there() { # WHAT N
	read_back "$2" && [ "$good" -eq "$2" ]
	judged $? "$1: $good of $2 can be read"
}

# Sets `whole`, `refused_asks`.
ask() { # N
	local said status
	said=$("$calls" ask "$mnt" "$1")
	status=$?
	read -r whole refused_asks < <(tail -n 1 <<<"$said")
	[ $status -eq 0 ] || echo "$said"
	return $status
}

control() { # WORD: sets `said`
	said=$({ echo "$1" >"$mnt/status/control"; } 2>&1 | sed "s/.*: //"; exit "${PIPESTATUS[0]}")
}

# A mount ends, however it can, and the next one on a disk that is well has the first N vectors.
well_again() { # WHAT N kill|unmount
	if [ "$3" = kill ]; then disk_kill; else disk_unmount; fi
	faults
	must_mount
	all_there "$1, $3, mounted again" "$2"
	"$calls" put "$mnt" 900 901 | grep -qx '1 0'
	judged $? "$1: and takes new vectors"
	disk_unmount
	check_clean
}

# --- reading ---

# One block of the head cannot be read: the mount is refused and says what it cannot read, or what it gives is
# right. Every vector is right or EIO, never absent; an answer is whole or EIO.
bad_block() { # BLOCK
	local from=$(($1 * 4096)) ret=0
	faults "read store $from $((from + 4096)) EIO 0"
	if ! disk_mount; then
		mount_refusals=$((mount_refusals + 1))
		faults
		grep '^vecfs: .*cannot be read' "$work/said" >"$work/names_it" && return
		cat "$work/said"
		return 1
	fi
	control drop-caches
	read_back $n && [ "$absent" -eq 0 ] && ask $n || ret=1
	if [ $ret -eq 0 ] && [ "$unreadable" -gt 0 ]; then
		hidden=$((hidden + unreadable))
		[ "$refused_asks" -eq 2 ] || {
			echo "$unreadable vectors are unreadable, but a query for all was answered"
			ret=1
		}
		grep -q "$(printf '\tEIO\t.*kernel')" "$mnt/status/errors" || {
			echo "no sentence for EIO"
			ret=1
		}
	fi
	faults
	[ $ret -ne 0 ] || { read_back $n && [ "$good" -eq $n ] && ask $n && [ "$whole" -eq 2 ]; } || {
		echo "not everything is there although every block can be read again"
		ret=1
	}
	disk_unmount
	return $ret
}

draw_blocks() { # N OF
	awk -v n="$1" -v of="$2" -v seed="$seed" 'BEGIN {
		srand(seed)
		for (i = 0; i < n; i++)
			print int(rand() * of)
	}' | sort -nu
}

bad_blocks() {
	local all block tried=0 bad=0 list
	hidden=0 mount_refusals=0
	fault_disk
	must_mount
	put 0 $n
	control checkpoint
	disk_unmount
	all=$(($(stat -c %s "$store") / 4096))
	list=${BLOCK:-$(seq 0 $((all - 1)))}
	[ "$blocks" = all ] || [ -n "${BLOCK:-}" ] || list=$(draw_blocks "$blocks" "$all")
	cp "$work/folder/store" "$work/copy"
	for block in $list; do
		tried=$((tried + 1))
		cp "$work/copy" "$work/folder/store"
		bad_block "$block" || {
			bad=$((bad + 1))
			echo "not ok - block $block cannot be read (again: BLOCK=$block SEED=$seed)"
		}
	done
	failed=$((failed + bad))
	echo "# $hidden vectors could not be read, $mount_refusals mounts were refused"
	echo "checked: $tried unreadable blocks, $bad failed"
	[ "$blocks" != all ] || [ $hidden -ge $n ]
	judged $? "each vector was hidden once"
	new_disk
}

short_reads() {
	fault_disk
	must_mount
	put 0 $n
	disk_kill
	faults "read * 0 0 short 0"
	must_mount
	all_there "recovered through short reads" $n
	control drop-caches
	all_there "short reads" $n
	well_again "short reads" $n unmount
	new_disk
}

# An error while the log is read is never taken for its end.
unreadable_log() {
	fault_disk
	must_mount
	put 0 $n
	disk_kill
	cp -a "$work/folder" "$work/before"
	faults "read store-wal.* 100000 104096 EIO 0"
	! disk_mount
	judged $? "a mount with an unreadable log is refused: $(cat "$work/said")"
	"$VECFS" check "$store" >"$work/said" 2>&1
	[ $? -eq 4 ]
	judged $? "to a check it is damage: $(tail -n 1 "$work/said")"
	"$VECFS" wal "$store" >"$work/said" 2>&1
	[ $? -eq 8 ] && grep -q "cannot be read: input/output error" "$work/said"
	judged $? "wal says why it cannot tell: $(tail -n 1 "$work/said")"
	faults
	diff -r "$work/folder" "$work/before"
	judged $? "nothing was changed"
	must_mount
	all_there "the log can be read again" $n
	new_disk
	rm -rf "$work/before"
}

# --- writing ---

short_writes() {
	fault_disk
	faults "write * 0 0 short 0"
	must_mount
	put 0 $n
	[ "$said" = "$n 0" ]
	judged $? "writes that are cut short: $said"
	control checkpoint
	judged $? "and a checkpoint: $said"
	well_again "short writes" $n kill
	new_disk
}

# The log has no room, then it has: a write fails, and is as if it had never been.
no_room() { # ERRNO
	fault_disk
	must_mount
	put 0 40
	faults "write store-wal.* 0 0 $1 0"
	put 40 $n
	[ "$said" = "0 ENOSPC" ]
	judged $? "$1 for the log: $said"
	faults
	error_says ENOSPC 'make room'
	read_back $n && [ "$good $absent" = "40 40" ]
	judged $? "the vector is not there"
	put 40 $n
	[ "$said" = "40 0" ]
	judged $? "and the next try: $said"
	faults "write store 0 0 $1 0"
	! control checkpoint
	judged $? "$1 for a checkpoint: $said"
	put $n 100
	[ "$said" = "20 0" ]
	judged $? "writing goes on: $said"
	faults
	control checkpoint
	judged $? "and the next checkpoint: $said"
	well_again "$1" 100 "$2"
	new_disk
}

# A write or a sync that failed: nothing more is written until the next mount, but everything read.
refuses_writes() { # WHAT N
	put 500 501
	[ "$said" = "0 EROFS" ]
	judged $? "$1: a later write: $said"
	[ "$("$calls" sync "$mnt" 0)" != 0 ]
	judged $? "$1: a later sync fails as well"
	error_says EROFS 'mount it again'
	rm "$mnt/vectors/v-0000" 2>"$work/said"
	grep -q 'Read-only file system' "$work/said"
	judged $? "$1: a removal: $(cat "$work/said")"
	all_there "$1: reading goes on" "$2"
	ask "$2" && [ "$whole" -eq 2 ]
	judged $? "$1: and asking"
}

failed_log_write() { # ERRNO kill|unmount
	fault_disk
	must_mount
	put 0 $n
	faults "write store-wal.* 0 0 $1 1"
	put $n 100
	[ "$said" = "0 EIO" ] || [ "$said" = "0 EROFS" ]
	judged $? "a log write fails with $1: $said"
	refuses_writes "failed log write" $n
	well_again "failed log write" $n "$2"
	new_disk
}

# lose: the kernel gave the pages up. What was synced before stays, the rest is a prefix.
failed_sync() { # EIO|lose kill|unmount
	fault_disk
	must_mount
	put 0 20 sync
	put 20 $n
	faults "sync store-wal.* 0 0 $1 1"
	said=$("$calls" sync "$mnt" 5)
	[ "$said" = EIO ] || [ "$said" = EROFS ]
	judged $? "a sync of the log fails ($1): $said"
	refuses_writes "failed sync ($1)" $n
	if [ "$2" = kill ]; then disk_kill; else disk_unmount; fi
	faults
	must_mount
	read_back $n && [ "$good" -ge 20 ] && [ $((good + absent)) -eq $n ]
	judged $? "failed sync ($1), $2, mounted again: $good of $n, 20 were synced"
	[ "$1" = lose ] || [ "$good" -eq $n ]
	judged $? "failed sync ($1): what was not lost is there"
	put 0 $n
	all_there "failed sync ($1): and takes new vectors" $n
	disk_unmount
	check_clean
	new_disk
}

# The same in a checkpoint: the log has everything.
failed_checkpoint() { # RULE kill|unmount
	fault_disk
	must_mount
	put 0 $n
	faults "$1"
	! control checkpoint
	judged $? "a checkpoint with '$1': $said"
	faults
	refuses_writes "failed checkpoint" $n
	well_again "failed checkpoint ($1)" $n "$2"
	new_disk
}

# The file system is cut from its disk: whatever it had not written is gone.
shut_down() { # SYSTEM SIZE kill|unmount
	if ! image_disk "$1" "$2"; then
		echo "skipped: $(cat "$work/said")"
		return
	fi
	must_mount
	put 0 20 sync
	put 20 $n
	perl -e 'my $how = pack("L", 2); # without writing its own log
		open(F, "<", $ARGV[0]) and ioctl(F, 0x8004587d, $how) or die "$!\n"' \
		"$store" 2>"$work/said" || {
		echo "skipped: $1 cannot be shut down: $(cat "$work/said")"
		disk_unmount
		umount "$disk"
		return
	}
	put $n 100
	[ "$said" = "0 EIO" ] || [ "$said" = "0 EROFS" ]
	judged $? "$1 was shut down: a write: $said"
	refuses_writes "$1 was shut down" $n
	if [ "$3" = kill ]; then disk_kill; else disk_unmount; fi
	umount "$disk"
	mount -o loop "$work/image" "$disk"
	must_mount
	read_back $n && [ "$good" -ge 20 ] && [ $((good + absent)) -eq $n ]
	judged $? "$1 was shut down, $3, mounted again: $good of $n, 20 were synced"
	put 0 $n
	all_there "$1: and takes new vectors" $n
	disk_unmount
	check_clean
	umount "$disk"
}

# --- the folder ---

read_only_disk() {
	tmpfs_disk 16m
	must_mount
	put 0 $n
	cp -r "$mnt/vectors" "$work/vectors"
	disk_unmount
	mount -o remount,ro "$disk"
	! disk_mount
	judged $? "a mount on a read-only disk: $(cat "$work/said")"
	grep -q 'read-only' "$work/said"
	judged $? "says so"
	must_mount ro
	diff -r "$work/vectors" "$mnt/vectors"
	judged $? "mounted with ro: the same vectors"
	said=$(cp "$work/vectors/v-0000" "$mnt/vectors/new" 2>&1)
	grep -q 'Read-only file system' <<<"$said"
	judged $? "a write there: $said"
	disk_unmount
	mount -o remount,rw "$disk"
	well_again_now
	umount "$disk"
}

well_again_now() {
	must_mount
	all_there "mounted again" $n
	disk_unmount
	check_clean
}

# The folder of the store is removed under the mount: what is in memory and in the open files goes on.
removed_folder() {
	mkdir "$disk/inner"
	store=$disk/inner/store
	must_mount
	put 0 $n
	rm -rf "$disk/inner"
	all_there "the folder was removed: reading" $n
	! control checkpoint && [ "$said" = "Input/output error" ]
	judged $? "a checkpoint: $said"
	put $n 100
	[ "$said" = "0 EROFS" ]
	judged $? "a write after it: $said"
	all_there "reading goes on" $n
	disk_unmount
	store=$disk/store
}

bad_blocks
short_reads
unreadable_log
short_writes
no_room ENOSPC kill
no_room EDQUOT unmount
no_room EFBIG kill
failed_log_write EIO kill
failed_log_write EIO unmount
failed_log_write EROFS kill
failed_sync EIO kill
failed_sync EIO unmount
failed_sync lose kill
failed_sync lose unmount
failed_checkpoint "write store 0 0 EIO 1" kill
failed_checkpoint "write store 16384 0 EIO 1" unmount
failed_checkpoint "sync store 0 0 EIO 1" kill
failed_checkpoint "sync store 0 0 lose 1" kill
failed_checkpoint "sync store 0 0 lose 1" unmount
failed_checkpoint "write store 4096 12288 EIO 1" kill
failed_checkpoint "create store-wal.* 0 0 EIO 1" kill
failed_checkpoint "sync store-wal.* 0 0 EIO 1" unmount
failed_checkpoint "sync store-wal.* 0 0 EIO 1" kill
shut_down ext4 32m kill
shut_down ext4 32m unmount
[ "${TORTURE:-ci}" != full ] || shut_down xfs 320m kill
read_only_disk
removed_folder
disk_end "cases on a failing disk"
