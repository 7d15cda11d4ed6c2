#!/usr/bin/env bash
# SIGTERM while a verification is under way: it is given up, so that the mount ends and not hours later.
# without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
tests_begin
if [ -n "${SAN:-}" ]; then
	echo "faultfs is not built with sanitizers"
	exit 77
fi

mkdir "$scratch/folder" "$scratch/disk"
"$BUILD/tests/crash/faultfs" "$scratch/folder" "$scratch/disk" "$scratch/none" 2>/dev/null &
disk=$!
background+=("$disk")
ok "a disk that can be halted" soon mountpoint -q "$scratch/disk"
ok "mount" mount_store "$scratch/disk/s.vecfs" "$M" dim=512
for ((i = 0; i < 1000; i++)); do
	head -c 2048 /dev/zero | tr '\0' '?' >"$M/vectors/$i"
done
ok "all is linked" soon grep -qx 'vecfs_vectors_pending 0' "$M/status/metrics"
ok "checkpoint" bash -c "echo checkpoint >'$M/status/control'"

ended() { # PID
	! kill -0 "$1" 2>/dev/null
}
reads() { # the only thread of low priority
	awk '$19 == 19 { found = 1 } END { exit !found }' "/proc/$daemon/task"/*/stat
}
kill -STOP "$disk"
echo verify 2>"$scratch/said" >"$M/status/control" &
verify=$!
ok "a verification reads from a disk that does not answer" soon reads
kill -TERM "$daemon"
sleep 0.5 # whoever ends the mount has no more to do than that
kill -CONT "$disk"
wait "$verify"
equal "the verification is given up" 1 $?
contains "as one that was interrupted" "Interrupted system call" "$scratch/said"
ok "the daemon ends" soon ended "$daemon"
ok "the disk is given back" fusermount3 -u "$scratch/disk"
ok "the store is whole" "$program" check "$scratch/folder/s.vecfs"
tests_end
