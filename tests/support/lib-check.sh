# lib-check.sh - what the libraries of tests share that count their checks in `failed`. Read by them.
# shellcheck shell=bash

check() { # STATUS WHAT
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=$((failed + 1))
	fi
}

unmount_below() { # FOLDER
	local dir
	while read -r dir; do
		fusermount3 -u "$dir" 2>/dev/null || fusermount3 -uz "$dir" 2>/dev/null || umount -l "$dir"
	done < <(awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
}
