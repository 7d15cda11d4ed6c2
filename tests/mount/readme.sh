#!/usr/bin/env bash
# /README of the mount: its examples work as pasted, in each shell that is here, for each metric, with
# small and large vectors, before the dimension is known, at an odd mount point, and read-only.
# without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
tests_begin
M="$scratch/it's \$HOME here"
mkdir "$M"
shells=(sh bash)
for shell in zsh ksh busybox; do
	command -v "$shell" >/dev/null && shells+=("$shell")
done
# What a sanitizer looks at is the daemon, which sees the same requests of every shell.
[ -z "${SAN:-}" ] || shells=(sh)

# Runs what README says, in an empty mount; every question has an answer, nothing is left behind.
pasted() { # WHAT SHELL
	local shell=$2 answers
	grep '^  [^ ]' "$M/README" | sed 's/^  //' >"$scratch/commands"
	[ "$shell" != busybox ] || shell="busybox sh"
	# shellcheck disable=SC2086 # busybox sh
	if ! (cd / && $shell -e "$scratch/commands") >"$scratch/out" 2>"$scratch/err" || [ -s "$scratch/err" ]; then
		fail "$1 in $2" "$(tail -n 3 "$scratch/out" "$scratch/err")"
		return
	fi
	answers=$(grep -c '^readme-first	' "$scratch/out")
	if [ "$answers" -lt "$(grep -c 'query/3/' "$scratch/commands")" ]; then
		fail "$1 in $2" "$answers answers"
	elif ! grep -q '^\[{"id":"readme-first","distance":' "$scratch/out"; then
		fail "$1 in $2" "no answer as JSON"
	elif [ -n "$(ls "$M/vectors")" ] || [ -s "$M/status/errors" ]; then
		fail "$1 in $2" "left: $(ls "$M/vectors") $(tail -n 1 "$M/status/errors")"
	else
		pass "$1 in $2"
	fi
}

for metric in cosine l2 ip; do
	dims=(2 784)
	# 480 is the most that README spells out in a path.
	[ "$metric" != cosine ] || dims=(1 2 480 481 16384)
	for dim in "${dims[@]}"; do
		rm -f "$scratch"/store*
		mount_store "$scratch/store" "$M" "dim=$dim,metric=$metric" || exit 1
		contains "README names dim $dim" "A vector here is $dim numbers" "$M/README"
		contains "and $metric" "The distance is $metric" "$M/README"
		for shell in "${shells[@]}"; do
			pasted "dim $dim, $metric" "$shell"
		done
		unmount_store "$M"
	done
	for shell in "${shells[@]}"; do
		rm -f "$scratch"/store*
		mount_store "$scratch/store" "$M" "metric=$metric" || exit 1
		contains "README says that the dimension is open" "The first vector written decides" "$M/README"
		pasted "no dim, $metric" "$shell"
		contains "then it is known" "A vector here is 4 numbers" "$M/README"
		unmount_store "$M"
	done
done

# Read-only: of the vectors that are there, which may have any name.
mount_store "$scratch/store" "$M" || exit 1
floats 1 2 3 4 >"$M/vectors/it's \"a\" \$b"
floats 1 2 3 5 >"$M/vectors/other"
unmount_store "$M"
mount_store "$scratch/store" "$M" ro || exit 1
grep '^  [^ ]' "$M/README" | sed 's/^  //' >"$scratch/commands"
for shell in sh bash; do
	ok "read-only in $shell" "$shell" -e "$scratch/commands"
	equal "with answers in $shell" 3 "$(grep -c '^other	\|^\[{"id":"other"' "$scratch/said")"
done
unmount_store "$M"
tests_end
