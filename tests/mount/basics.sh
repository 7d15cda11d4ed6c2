#!/usr/bin/env bash
# Vectors as files: the commands that people use on files, and what must be refused.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

errors=$M/status/errors
V=$M/vectors
S=$scratch/files
mkdir "$S"
floats 1 2 3 4 >"$S/a"
floats 5 6 7 8 >"$S/b"
floats -1 0.5 0.25 8 >"$S/c"

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=cosine

# --- writing and reading ---
ok "cat into a file" sh -c "cat '$S/a' >'$V/a'"
ok "it reads back" cmp "$S/a" "$V/a"
equal "its size" 16 "$(stat -c %s "$V/a")"
ok "cp" cp "$S/b" "$V/b"
ok "cp reads back" cmp "$S/b" "$V/b"
ok "cp over it" cp "$S/c" "$V/b"
ok "the new content is read" cmp "$S/c" "$V/b"
ok "cp again" cp "$S/b" "$V/b"
ok "the newest content is read" cmp "$S/b" "$V/b"
ok "tee" sh -c "tee '$V/t' <'$S/c' >/dev/null"
ok "tee reads back" cmp "$S/c" "$V/t"
ok "in small pieces" dd if="$S/a" of="$V/pieces" bs=3
ok "the pieces are one vector" cmp "$S/a" "$V/pieces"
ok "install" install -m 640 "$S/a" "$V/installed"
equal "install sets the mode" 640 "$(stat -c %a "$V/installed")"
ok "appending in two steps" sh -c "{ head -c 7 '$S/c'; tail -c +8 '$S/c'; } >'$S/joined' &&
	cat '$S/joined' >>'$V/appended'"
ok "the appended one" cmp "$S/c" "$V/appended"
equal "a new file's mode obeys the umask" 600 "$(umask 077; cp "$S/a" "$V/mode"; stat -c %a "$V/mode")"

# --- changing a part ---
ok "dd conv=notrunc in the middle" \
	sh -c "printf '\000\000\040\101' | dd of='$V/a' bs=4 seek=2 conv=notrunc status=none"
equal "one number has changed" "1 2 10 4" "$(numbers "$V/a")"
ok "dd conv=notrunc at the start" \
	sh -c "printf '\000\000\040\101' | dd of='$V/a' bs=4 conv=notrunc status=none"
equal "the first number has changed" "10 2 10 4" "$(numbers "$V/a")"
ok "dd conv=notrunc of all, byte by byte" dd if="$S/a" of="$V/a" bs=1 conv=notrunc status=none
ok "all have changed" cmp "$S/a" "$V/a"

# --- truncation leaves the stored vector alone ---
ok "truncating by redirection" sh -c ": >'$V/a'"
ok "the vector is still there" cmp "$S/a" "$V/a"
ok "truncate to 0" truncate -s 0 "$V/a"
ok "and is still there" cmp "$S/a" "$V/a"
ok "truncate to its size" truncate -s 16 "$V/a"
refused "truncate to half" "Invalid argument" truncate -s 8 "$V/a"
refused "truncate beyond" "File too large" truncate -s 20 "$V/a"
ok "and is unchanged" cmp "$S/a" "$V/a"

# --- attributes ---
touch -d '2001-02-03 04:05:06.789' "$S/c"
chmod 604 "$S/c"
ok "cp -a" cp -a "$S/c" "$V/kept"
equal "cp -a keeps the time" "$(stat -c %y "$S/c")" "$(stat -c %y "$V/kept")"
equal "cp -a keeps the mode" 604 "$(stat -c %a "$V/kept")"
ok "touch -d" touch -d '1999-12-31 23:59:59' "$V/a"
equal "touch -d sets the time" "$(date -d '1999-12-31 23:59:59' +%s)" "$(stat -c %Y "$V/a")"
ok "chmod" chmod 600 "$V/a"
equal "chmod sets the mode" 600 "$(stat -c %a "$V/a")"
if [ "$(id -u)" -eq 0 ]; then
	ok "chown" chown 12:34 "$V/a"
	equal "chown sets the owner" 12:34 "$(stat -c %u:%g "$V/a")"
fi
ok "an overwrite" cp "$S/b" "$V/a"
equal "keeps the mode" 600 "$(stat -c %a "$V/a")"
ok "the time is of the write" test "$(stat -c %Y "$V/a")" -gt 1700000000
equal "blocks are counted" 1 "$(stat -c %b "$V/a")"

# --- names ---
ok "mv" mv "$V/b" "$V/moved"
ok "mv keeps the content" cmp "$S/b" "$V/moved"
ok "the old name is gone" absent "$V/b"
ok "mv over another" mv "$V/t" "$V/moved"
ok "the other is replaced" cmp "$S/c" "$V/moved"
cp "$S/a" "$V/n1"
cp "$S/b" "$V/n2"
mv -n "$V/n1" "$V/n2" 2>/dev/null
ok "mv -n does not replace" cmp "$S/b" "$V/n2"
ok "nor lose the source" cmp "$S/a" "$V/n1"
ok "rm" rm "$V/n1"
ok "rm removes it" absent "$V/n1"
refused "rm of what is not there" "No such file" rm "$V/n1"
ok "an id with spaces and letters beyond ASCII" cp "$S/a" "$V/ein Wörtchen"
ok "is read back" cmp "$S/a" "$V/ein Wörtchen"
long=$(printf 'x%.0s' $(seq 255))
ok "an id of 255 bytes" cp "$S/a" "$V/$long"
ok "an id may begin with a dot" cp "$S/a" "$V/.hidden"
equal "find finds all" 11 "$(find "$V" -type f | wc -l)"
equal "ls lists all" 11 "$(ls -A "$V" | wc -l)"
ok "ls -l" ls -la "$V"
ok "find -delete" find "$V" -name 'x*' -delete
ok "has deleted" absent "$V/$long"
equal "listed once each" "" "$(ls -AU "$V" | sort | uniq -d)"

# --- tar, rsync ---
tar -C "$V" -cf "$scratch/v.tar" kept moved
ok "tar x" tar -C "$V" --transform 's/^/tar-/' -xf "$scratch/v.tar"
ok "tar x reads back" cmp "$V/tar-kept" "$V/kept"
equal "tar x keeps the time" "$(stat -c %Y "$V/kept")" "$(stat -c %Y "$V/tar-kept")"
if command -v rsync >/dev/null; then
	ok "rsync -a" rsync -a "$S/a" "$S/c" "$V/"
	ok "rsync reads back" cmp "$S/c" "$V/c"
	equal "a second rsync copies nothing" "" "$(rsync -ai "$S/a" "$S/c" "$V/" | grep '^[<>]')"
fi

# --- refusals ---
refused "too short" "Invalid argument" sh -c "head -c 10 '$S/a' | cat >'$V/short'"
ok "it is not there" soon absent "$V/short"
contains "the errors say how long it should be" \
	"vectors/short	EINVAL	got 10 bytes, a vector here is 16 (4 × float32)" "$errors"
cat "$S/a" "$S/b" >"$S/two"
refused "too long" "File too large" cp "$S/two" "$V/long"
ok "it is not there either" soon absent "$V/long"
refused "too short over a good one" "Invalid argument" sh -c "head -c 10 '$S/a' | cat >'$V/moved'"
ok "the good one stays" cmp "$S/c" "$V/moved"
refused "NaN" "Invalid argument" sh -c "printf '\000\000\300\177\0\0\0\0\0\0\0\0\0\0\0\0' >'$V/nan' ||
	{ echo Invalid argument; exit 1; }"
contains "NaN stands in the errors" "vectors/nan	EINVAL" "$errors"
head -c 16 /dev/zero >"$S/zero"
refused "the zero vector, with cosine" "Invalid argument" cp "$S/zero" "$V/zero"
ok "is not there" soon absent "$V/zero"
refused "an id that is not UTF-8" "Invalid argument" cp "$S/a" "$V/$(printf 'bad\377')"
refused "an id with a control character" "Invalid argument" cp "$S/a" "$V/$(printf 'a\nb')"
refused "an id of 256 bytes" "File name too long" cp "$S/a" "$V/x$long"
refused "mkdir" "Operation not permitted" mkdir "$V/dir"
refused "symlink" "Operation not permitted" ln -s a "$V/link"
refused "link" "Operation not permitted" ln "$V/a" "$V/link"
refused "mkfifo" "Operation not permitted" mkfifo "$V/pipe"
refused "a file in the root" "Operation not permitted" cp "$S/a" "$M/file"
refused "writing to README" "Permission denied" sh -c "echo x >'$M/README'"
refused "moving out of vectors" "Operation not permitted" mv "$V/a" "$M/status/a"
refused "an unknown command" "Invalid argument" bash -c "echo nonsense >'$M/status/control'"
ok "a known command" bash -c "echo checkpoint >'$M/status/control'"
touch "$V/touched"
ok "a file without content goes when it is closed" soon absent "$V/touched"

# --- the other files ---
contains "README" "4" "$M/README"
equal "README's size is not guessed" 0 "$(stat -c %s "$M/README")"
contains "metrics" "vecfs_vectors" "$M/status/metrics"
contains "config" '"dim"' "$M/status/config"
ok "df" df "$V"
ok "df -i" df -i "$V"
equal "df counts the vectors" "$(ls -A "$V" | wc -l)" "$(df --output=iused "$V" | tail -n 1 | tr -d ' ')"

# --- what stays after another mount ---
(cd "$V" && sha256sum -- * >"$scratch/sums" && stat -c '%n %a %u %g %y' -- * >"$scratch/attributes")
ok "unmount" unmount_store "$M"
ok "mount again" mount_store "$scratch/s.vecfs" "$M" ""
ok "all contents" sh -c "cd '$V' && sha256sum -c --quiet '$scratch/sums'"
(cd "$V" && stat -c '%n %a %u %g %y' -- *) >"$scratch/attributes2"
ok "all attributes" cmp "$scratch/attributes" "$scratch/attributes2"
ok "unmount again" unmount_store "$M"

# --- read-only ---
ok "mount read-only" mount_store "$scratch/s.vecfs" "$M" ro
ok "reading" cmp "$S/c" "$V/moved"
refused "writing" "Read-only file system" cp "$S/a" "$V/a"
refused "removing" "Read-only file system" rm "$V/a"
refused "renaming" "Read-only file system" mv "$V/a" "$V/z"
ok "unmount" unmount_store "$M"

# --- the first vector sets the dimension ---
ok "mount without dim" mount_store "$scratch/new.vecfs" "$M" metric=l2
refused "no whole number of float32" "Invalid argument" sh -c "head -c 10 '$S/a' | cat >'$V/a'"
head -c 70000 /dev/zero >"$S/photo"
refused "what is no vector" "File too large" cp "$S/photo" "$V/photo"
refused "nor in steps" "File too large" dd if="$S/photo" of="$V/photo" bs=4096
ok "is not there" soon absent "$V/photo"
contains "the errors say that nothing of it is" "more than 16384 float32 were written: nothing is kept" "$errors"
ok "the first vector" cp -a "$S/c" "$V/first"
ok "reads back" cmp "$S/c" "$V/first"
equal "with its time" "$(stat -c %y "$S/c")" "$(stat -c %y "$V/first")"
refused "another length" "Invalid argument" sh -c "floats() { perl -e 'print pack q(f<*), 1, 2, 3'; }; floats | cat >'$V/x'"
ok "the zero vector is one with l2" cp "$S/zero" "$V/zero"
ok "unmount" unmount_store "$M"

tests_end
