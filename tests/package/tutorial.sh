#!/usr/bin/env bash
# docs/tutorial.md: its commands, taken out of the page and run one after the other as pasted, first
# over the project's own texts, then over manual pages where the machine has them; and what is found
# is what anybody would expect.
# timeout: 600 s
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/../mount/lib.sh"
tests_begin
top=$(cd "$here/../.." && pwd)
mkdir "$scratch/bin"
ln -s "$program" "$scratch/bin/vecfs"
awk '/^```sh$/ { code = 1; next } /^```$/ { code = 0 } code' "$top/docs/tutorial.md" >"$scratch/commands"
equal "there are commands" yes "$([ "$(wc -l <"$scratch/commands")" -gt 100 ] && echo yes)"

# Runs them over a folder of texts, in a home of its own, then asks on.
follow() { # TEXTS QUESTION...
	local texts=$1 status
	shift
	rm -rf "${scratch:?}/home"
	mkdir "$scratch/home"
	{
		echo set -e
		cat "$scratch/commands"
		echo 'vecfs texts.vecfs mnt'
		for question in "$@"; do
			printf 'echo "== %s"\nask %s\n' "$question" "$question"
		done
		echo 'fusermount3 -u mnt'
	} >"$scratch/script"
	HOME=$scratch/home TEXTS=$texts PATH=$scratch/bin:$PATH bash "$scratch/script" >"$scratch/found" 2>"$scratch/said"
	status=$?
	equal "the commands of the tutorial work over $texts" 0 "$status"
	[ "$status" -eq 0 ] || tail -n 5 "$scratch/found" "$scratch/said"
	contains "the store is clean" ": clean" "$scratch/found"
}

# One of the expected is among the five found.
finds() { # QUESTION EXPECTED...
	local question=$1 found
	shift
	found=$(sed -n "/^== $question\$/,/^== /p" "$scratch/found" | sed -n 's/\t.*//p')
	if grep -qxF -f <(printf '%s\n' "$@") <<<"$found"; then
		pass "$question: $(xargs <<<"$found")"
	else
		fail "$question" "expected one of $*, got $(xargs <<<"$found")"
	fi
}

mkdir "$scratch/project"
cp -r "$top/docs" "$top/store" "$top/ann" "$top/fs" "$scratch/project"
follow "$scratch/project" "what a power cut leaves behind" "which lock is taken before which" \
	"evict pages from the cache"
finds "what a power cut leaves behind" docs:durability.md store:wal_scan.c store:room.h store:recover.c
finds "which lock is taken before which" docs:locking.md ann:pending.h store:wal.h store:store_private.h
finds "evict pages from the cache" store:pager_evict.c store:pager_evict.h store:pager.c

mkdir "$scratch/pages"
if command -v dpkg >/dev/null; then
	for package in coreutils util-linux procps passwd login diffutils gzip tar findutils grep sed mount; do
		dpkg -L "$package" 2>/dev/null
	done | grep -E '/man[18]/.*\.gz$' | while read -r page; do
		[ ! -f "$page" ] || cp "$page" "$scratch/pages"
	done
fi
pages=$(find "$scratch/pages" -type f | wc -l)
if [ "$pages" -ge 200 ]; then
	follow "$scratch/pages" "who is logged in" "change the password of a user" "compare two texts line by line" \
		"compress a file"
	finds "who is logged in" w.1.gz who.1.gz last.1.gz users.1.gz
	finds "change the password of a user" passwd.1.gz chpasswd.8.gz expiry.1.gz pwconv.8.gz
	finds "compare two texts line by line" diff.1.gz comm.1.gz cmp.1.gz sdiff.1.gz
	finds "compress a file" gzip.1.gz gzexe.1.gz znew.1.gz
else
	echo "not looked at: manual pages, of which only $pages are here"
fi
tests_end
