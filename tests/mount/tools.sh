#!/usr/bin/env bash
# Everyday tools on vectors. What this machine lacks is named as skipped.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

V=$M/vectors
J=$M/json
S=$scratch/files
mkdir "$S" "$scratch/out"
for i in 1 2 3 4 5 6 7 8; do floats "$i" 1 0 0 >"$S/v$i"; done

have() { # TOOL
	command -v "$1" >/dev/null && return
	echo "# $1 is not installed: skipped"
	return 1
}

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=l2

# --- copying and moving ---
touch -d '2001-02-03 04:05:06.789' "$S/v1"
chmod 604 "$S/v1"
ok "cp" cp "$S"/v? "$V"
ok "cp -a" cp -a "$S/v1" "$V/a"
equal "keeps mode and time" "$(stat -c '%a %y' "$S/v1")" "$(stat -c '%a %y' "$V/a")"
ok "cp --reflink=auto" cp --reflink=auto "$V/v2" "$V/b"
ok "has copied" cmp "$S/v2" "$V/b"
ok "cp -r of all" cp -r "$V" "$scratch/out/r"
ok "has copied all" diff -r "$V" "$scratch/out/r"
mv -n "$V/a" "$V/b"
ok "mv -n replaces nothing" cmp "$S/v2" "$V/b"
echo n | mv -i "$V/a" "$V/b" 2>/dev/null
ok "mv -i asks" cmp "$S/v2" "$V/b"
ok "mv -f" mv -f "$V/a" "$V/b"
ok "has replaced" cmp "$S/v1" "$V/b"
ok "mv out" mv "$V/b" "$scratch/out/b"
ok "mv in" mv "$scratch/out/b" "$V/b"
ok "is there" cmp "$S/v1" "$V/b"
ok "install -m" install -m 640 "$S/v3" "$V/i"
equal "has the mode" 640 "$(stat -c %a "$V/i")"
ok "tee" sh -c "tee '$V/t1' '$V/t2' <'$S/v4' >/dev/null"
ok "both are there" sh -c "cmp '$S/v4' '$V/t1' && cmp '$S/v4' '$V/t2'"
ok "dd conv=notrunc" sh -c "tail -c 4 '$S/v1' | dd of='$V/t1' bs=4 seek=0 conv=notrunc status=none"
equal "has changed one number" "0 1 0 0" "$(numbers "$V/t1")"
ok "touch -d" touch -d '1999-12-31 23:59:59.25' "$V/t1"
equal "sets the time" "1999-12-31 23:59:59.250000000" "$(stat -c %y "$V/t1" | cut -d ' ' -f 1,2)"
ok "truncate to its size" truncate -s 16 "$V/t1"
ok "write and rename, as editors do" sh -c "cat '$S/v5' >'$V/.t1.swp' && mv '$V/.t1.swp' '$V/t1'"
ok "has replaced it" cmp "$S/v5" "$V/t1"
ok "ln is refused" sh -c "! ln '$V/t1' '$V/t1~' 2>/dev/null"

# --- finding and listing ---
equal "find -size" "$(find "$S" -type f | wc -l)" "$(find "$V" -name 'v*' -size 1 | wc -l)"
equal "find -newer" "" "$(find "$V" -name 'b' -newer "$V/v2")"
equal "find | xargs" 8 "$(find "$V" -name 'v?' -print0 | xargs -0 cat | wc -c | awk '{ print $1 / 16 }')"
equal "ls -l" 8 "$(ls -l "$V" | grep -c ' v.$')"
equal "ls -U lists each once" "" "$(ls -U "$V" | sort | uniq -d)"
equal "du" "$(ls "$V" | wc -l)" "$(du -s --block-size=512 "$V" | cut -f 1)"
ok "df has room and use" sh -c "df --output=used,avail '$V' | awk 'NR == 2 { exit !(\$1 > 0 && \$2 > 0) }'"
equal "grep -r of bytes" "$V/v8" "$(grep -rlaP '\x00\x00\x00\x41\x00\x00\x80\x3f' "$V")"
equal "stat" "16 1 regular file" "$(stat -c '%s %b %F' "$V/v1")"

# --- archives ---
ok "tar out" tar -C "$V" -cf "$scratch/v.tar" .
mkdir "$scratch/out/tar"
ok "unpacked elsewhere" tar -C "$scratch/out/tar" -xf "$scratch/v.tar"
ok "has all" diff -r "$V" "$scratch/out/tar"
(cd "$V" && stat -c '%n %a %Y' -- * | sort) >"$scratch/attributes"
ok "rm -rf of all" sh -c "rm -rf '$V'/*"
equal "has removed all" "" "$(ls -A "$V")"
ok "tar in" tar -C "$V" -xf "$scratch/v.tar"
ok "has all again" diff -r "$V" "$scratch/out/tar"
(cd "$V" && stat -c '%n %a %Y' -- * | sort) >"$scratch/attributes2"
ok "with mode and time" cmp "$scratch/attributes" "$scratch/attributes2"
if have rsync; then
	ok "rsync -a" rsync -a "$S/" "$V/"
	equal "a second one copies nothing" "" "$(rsync -ai "$S/" "$V/" | grep '^[<>]')"
	ok "rsync from the mount" rsync -a "$V/" "$scratch/out/rsync/"
	equal "copies nothing the second time" "" "$(rsync -ai "$V/" "$scratch/out/rsync/")"
fi

# --- text ---
ok "sed -i" sed -i 's/^\[1,/[10,/' "$J/v1"
equal "has changed the vector" "10 1 0 0" "$(numbers "$V/v1")"
if have jq; then
	equal "jq over all" 8 "$(cat "$J"/v? | jq -c . | wc -l)"
	equal "jq" 11 "$(jq add "$J/v1")"
fi

# --- events, numbers ---
if have inotifywait; then
	inotifywait -m -e close_write,moved_to,delete --format '%e %f' "$V" >"$scratch/events" 2>"$scratch/watching" &
	background+=($!)
	soon grep -q 'Watches established' "$scratch/watching" || fail "inotifywait does not begin"
	cp "$S/v1" "$V/watched"
	mv "$V/watched" "$V/moved"
	rm "$V/moved"
	ok "inotifywait sees a delete" soon grep -q 'DELETE moved' "$scratch/events"
	contains "a close" "CLOSE_WRITE,CLOSE watched" "$scratch/events"
	contains "a rename" "MOVED_TO moved" "$scratch/events"
fi
python=
for name in python3 /usr/bin/python3; do
	"$name" -c 'import numpy' 2>/dev/null && python=$name
done
if [ -n "$python" ]; then
	equal "numpy.fromfile" "2.0 1.0 0.0 0.0" \
		"$("$python" -c 'import numpy, sys; print(*numpy.fromfile(sys.argv[1], "<f4"))' "$V/v2")"
	equal "numpy.memmap" "2.0 1.0 0.0 0.0" \
		"$("$python" -c 'import numpy, sys; print(*numpy.memmap(sys.argv[1], "<f4", "r"))' "$V/v2")"
	ok "tofile" "$python" -c 'import numpy, sys; numpy.arange(4, dtype="<f4").tofile(sys.argv[1])' "$V/np"
	equal "is read back" "0 1 2 3" "$(numbers "$V/np")"
else
	echo "# numpy is not installed: skipped"
fi

# --- removing ---
ok "find -delete" find "$V" -type f -name 'v*' -delete
equal "has removed those" "" "$(ls "$V" | grep '^v')"
perl -e 'for my $i (1 .. 5000) { open my $f, ">", "$ARGV[0]/n$i" or die $!; syswrite $f, pack "f<4", $i, 0, 0, 0 }' "$V"
ok "rm -rf of many" sh -c "cd '$V' && ls -U | grep '^n' | xargs rm -rf"
equal "leaves none" "" "$(ls "$V" | grep '^n[0-9]')"
ok "unmount" unmount_store "$M"
tests_end
