#!/usr/bin/env bash
# Everyday tools on vectors. What this machine lacks is named as skipped.
# without: thread
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
cp "$S/v6" "$V/i1"
cp "$S/v7" "$V/i2"
ok "cp --reflink=auto" cp --reflink=auto "$V/v2" "$V/b"
ok "has copied" cmp "$S/v2" "$V/b"
ok "cp -r of all" cp -r "$V" "$scratch/out/r"
ok "has copied all" diff -r "$V" "$scratch/out/r"
mv -n "$V/a" "$V/b"
ok "mv -n replaces nothing" cmp "$S/v2" "$V/b"
ok "and keeps the other" cmp "$S/v1" "$V/a"
echo n | mv -i "$V/a" "$V/b" 2>"$scratch/asked"
contains "mv -i asks" overwrite "$scratch/asked"
ok "and obeys a no" cmp "$S/v2" "$V/b"
ok "mv -i with a yes" sh -c "echo y | mv -i '$V/i1' '$V/i2' 2>/dev/null"
ok "replaces" cmp "$S/v6" "$V/i2"
ok "and leaves no old name" absent "$V/i1"
ok "mv -f" mv -f "$V/a" "$V/b"
ok "has replaced" cmp "$S/v1" "$V/b"
ok "and leaves no old name" absent "$V/a"
ok "mv out" mv "$V/b" "$scratch/out/b"
ok "mv in" mv "$scratch/out/b" "$V/b"
ok "is there" cmp "$S/v1" "$V/b"
ok "install over another" install "$S/v4" "$V/i"
ok "install -m" install -m 640 "$S/v3" "$V/i"
ok "has installed" cmp "$S/v3" "$V/i"
equal "has the mode" 640 "$(stat -c %a "$V/i")"
ok "tee" sh -c "tee '$V/t1' '$V/t2' <'$S/v4' >/dev/null"
ok "both are there" sh -c "cmp '$S/v4' '$V/t1' && cmp '$S/v4' '$V/t2'"
ok "dd conv=notrunc" sh -c "tail -c 4 '$S/v1' | dd of='$V/t1' bs=4 seek=0 conv=notrunc status=none"
equal "has changed one number" "0 1 0 0" "$(numbers "$V/t1")"
ok "touch -d" touch -d '1999-12-31 23:59:59.25' "$V/t1"
equal "sets the time" "1999-12-31 23:59:59.250000000" "$(stat -c %y "$V/t1" | cut -d ' ' -f 1,2)"
ok "truncate to its size" truncate -s 16 "$V/t1"
equal "leaves it as it is" "0 1 0 0" "$(numbers "$V/t1")"
refused "truncate to another" "Invalid argument" truncate -s 12 "$V/t1"
ok "write and rename, as editors do" sh -c "cat '$S/v5' >'$V/.t1.swp' && mv '$V/.t1.swp' '$V/t1'"
ok "has replaced it" cmp "$S/v5" "$V/t1"
ok "and leaves no other name" absent "$V/.t1.swp"
ok "ln is refused" sh -c "! ln '$V/t1' '$V/t1~' 2>/dev/null"

# --- finding and listing ---
all="a1 b i i2 t1 t2 v1 v2 v3 v4 v5 v6 v7 v8"
cp "$S/v1" "$V/a1"
equal "ls" "$all" "$(ls "$V" | xargs)"
equal "ls -U" "$all" "$(ls -U "$V" | sort | xargs)"
equal "ls -l" "16 v1 16 v2 16 v3 16 v4 16 v5 16 v6 16 v7 16 v8" \
	"$(ls -l "$V" | awk '$NF ~ /^v/ { print $5, $NF }' | xargs)"
equal "find" "$all" "$(cd "$V" && find . -type f | sort | sed 's/^..//' | xargs)"
equal "find -size" 14 "$(find "$V" -type f -size 16c -size 1 | wc -l)"
equal "find -size of others" "" "$(find "$V" -type f \( -size +16c -o -size -16c \))"
touch -d '2033-01-01' "$scratch/later"
touch -d '2034-01-01' "$V/v3"
equal "find -newer" "$V/v3" "$(find "$V" -type f -newer "$scratch/later")"
equal "find -newer, another way" 13 "$(find "$V" -type f ! -newer "$scratch/later" | wc -l)"
equal "find | xargs" 8 "$(find "$V" -name 'v?' -print0 | xargs -0 cat | wc -c | awk '{ print $1 / 16 }')"
equal "du" 14 "$(du -s --block-size=512 "$V" | cut -f 1)"
equal "du --apparent-size" $((14 * 16)) "$(du -sb "$V" | cut -f 1)"
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
	ok "has all" diff -r "$S" "$V" -x '[abit]*'
	equal "a second one copies nothing" "" "$(rsync -ai "$S/" "$V/" | grep '^[<>]')"
	ok "rsync from the mount" rsync -a "$V/" "$scratch/out/rsync/"
	ok "has all" diff -r "$V" "$scratch/out/rsync"
	equal "copies nothing the second time" "" "$(rsync -ai "$V/" "$scratch/out/rsync/")"
	floats 77 1 0 0 >"$scratch/out/rsync/v7"
	touch -d '2031-01-01 12:00:00' "$scratch/out/rsync/v7" # rsync looks at length and seconds
	equal "what has changed alone" ">f..t...... v7" "$(rsync -ai --inplace "$scratch/out/rsync/" "$V/")"
	equal "has changed" "77 1 0 0" "$(numbers "$V/v7")"
	rm "$scratch/out/rsync/v8"
	ok "rsync --delete" rsync -a --delete "$scratch/out/rsync/" "$V/"
	ok "has removed" absent "$V/v8"
	cp "$S/v7" "$S/v8" "$V"
fi

# --- text ---
ok "sed -i" sed -i 's/^\[1,/[10,/' "$J/v1"
equal "has changed the vector" "10 1 0 0" "$(numbers "$V/v1")"
equal "grep -r" "$J/v8" "$(grep -r -l '^.8,' "$J")"
if have jq; then
	equal "jq over all" 8 "$(cat "$J"/v? | jq -c . | wc -l)"
	equal "jq" 11 "$(jq add "$J/v1")"
	ok "what jq writes" sh -c "jq -c '.[3] = 2.5' '$J/v2' >'$scratch/jq' && cp '$scratch/jq' '$J/v2'"
	equal "is the vector" "2 1 0 2.5" "$(numbers "$V/v2")"
	cp "$S/v2" "$V/v2"
fi
if have vim; then
	ok "vim" vim -u NONE -i NONE -es -c '%s/^.3,/[33,/' -c wq "$J/v3"
	equal "has changed the vector" "33 1 0 0" "$(numbers "$V/v3")"
fi
if have ed; then
	ok "ed" sh -c "printf '1s/^.33,/[34,/\nw\nq\n' | ed -s '$J/v3'"
	equal "has changed the vector" "34 1 0 0" "$(numbers "$V/v3")"
fi
ok "perl -i" perl -pi -e 's/^.3\d*,/[35,/' "$J/v3"
equal "has changed the vector" "35 1 0 0" "$(numbers "$V/v3")"
equal "editors leave nothing behind" "$(ls "$V")" "$(ls -A "$J")"

# --- extended attributes ---
if have setfattr && have getfattr; then
	ok "setfattr" setfattr -n user.colour -v red "$V/v4"
	ok "cp -a" cp -a "$V/v4" "$V/b"
	equal "getfattr" red "$(getfattr --absolute-names --only-values -n user.colour "$V/b")"
	ok "setfattr -x" setfattr -x user.colour "$V/b"
	equal "getfattr finds none" "" "$(getfattr "$V/b")"
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
	equal "numpy.memmap to be changed in memory" "9.0 2.0" "$("$python" -c 'import numpy, sys
a = numpy.memmap(sys.argv[1], "<f4", "c"); a[0] = 9
print(a[0], numpy.memmap(sys.argv[1], "<f4", "r")[0])' "$V/v2")"
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

# --- du against df: on a disk of its own, as others write to the one below ---
mkdir "$scratch/disk"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=64m none "$scratch/disk" 2>/dev/null; then
	usage() { # of the mount, in KiB
		echo checkpoint >"$M/status/control"
		df -k --output=used,avail "$M" | tail -n 1
	}
	ok "mount on a disk of its own" mount_store "$scratch/disk/s.vecfs" "$M" dim=1024,metric=l2
	read -r used avail <<<"$(usage)"
	equal "df has the size of the disk" 65536 "$(df -k --output=size "$M" | tail -n 1 | tr -d ' ')"
	perl -e 'srand 1; for my $i (1 .. 3000) { open my $f, ">", "$ARGV[0]/$i" or die $!;
		syswrite $f, pack "f<*", map { rand } 1 .. 1024 }' "$V"
	read -r used2 avail2 <<<"$(usage)"
	equal "du of 3,000 vectors of 4 KiB" 12000 "$(du -sk "$V" | cut -f 1)"
	echo "# df says used $used, then $used2; available $avail, then $avail2"
	ok "df says at least nine tenths of it" [ $((used2 - used)) -ge 10800 ]
	ok "and not half as much again" [ $((used2 - used)) -le 18000 ]
	equal "what is used is not available" "$((used2 - used))" "$((avail - avail2))"
	ok "unmount" unmount_store "$M"
	ok "the disk is free again" umount "$scratch/disk"
else
	echo "# no right to mount a tmpfs: du against df is skipped"
fi
tests_end
