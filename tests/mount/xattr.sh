#!/usr/bin/env bash
# user.* extended attributes of vectors through the mount: each system call and its errnos, what keeps
# them and what drops them, the tools that copy them, and what they cost in requests of the kernel.
# timeout: 120 s
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
tests_begin
for tool in setfattr getfattr python3 rsync; do
	command -v "$tool" >/dev/null || {
		echo "there is no $tool here"
		exit 77
	}
done
store=$scratch/store
ok "mounting" mount_store "$store" "$M" dim=4
V=$M/vectors

vector() { # N FILE
	floats "$1" 2 3 4 >"$2"
}

get() { # NAME FILE
	getfattr -h --absolute-names --only-values -n "$1" -- "$2" 2>&1
}

names() { # FILE
	getfattr -h -m - -- "$1" 2>/dev/null | grep -v -e '^#' -e '^$' | tr '\n' ' '
}

# Runs a line of python3 with os; says the name of the errno it ends with, or what it returns.
call() { # EXPRESSION
	python3 - "$1" "$V" "$M" <<-'END'
		import errno, os, sys
		V, M = sys.argv[2:4]
		CREATE, REPLACE = os.XATTR_CREATE, os.XATTR_REPLACE
		def size(path, name, n):
		    import ctypes
		    libc = ctypes.CDLL(None, use_errno=True)
		    buffer = ctypes.create_string_buffer(65536)
		    got = libc.getxattr(path.encode(), name.encode(), buffer, ctypes.c_size_t(n))
		    if got < 0:
		        raise OSError(ctypes.get_errno(), "")
		    return got
		def names_size(path, n):
		    import ctypes
		    libc = ctypes.CDLL(None, use_errno=True)
		    buffer = ctypes.create_string_buffer(65536)
		    got = libc.listxattr(path.encode(), buffer, ctypes.c_size_t(n))
		    if got < 0:
		        raise OSError(ctypes.get_errno(), "")
		    return got
		try:
		    print(eval(sys.argv[1]))
		except OSError as e:
		    print(errno.errorcode[e.errno])
	END
}

# --- the calls ---

vector 1 "$V/a"
equal "a new vector has none" "[]" "$(call 'os.listxattr(V + "/a")')"
ok "setfattr" setfattr -n user.colour -v red "$V/a"
equal "getfattr" red "$(get user.colour "$V/a")"
ok "a second one" setfattr -n user.bytes -v 0x00ff0a00 "$V/a"
equal "its bytes" "b'\\x00\\xff\\n\\x00'" "$(call 'os.getxattr(V + "/a", "user.bytes")')"
equal "both are listed" "user.bytes user.colour " "$(names "$V/a")"
ok "replaced" setfattr -n user.colour -v green "$V/a"
equal "the new value" green "$(get user.colour "$V/a")"
ok "an empty value" setfattr -n user.empty "$V/a"
equal "is empty" "b''" "$(call 'os.getxattr(V + "/a", "user.empty")')"
equal "the length by size 0" 5 "$(call 'size(V + "/a", "user.colour", 0)')"
equal "with room enough" 5 "$(call 'size(V + "/a", "user.colour", 5)')"
equal "with too little" ERANGE "$(call 'size(V + "/a", "user.colour", 4)')"
equal "the length of the list" 34 "$(call 'names_size(V + "/a", 0)')"
equal "the list with too little room" ERANGE "$(call 'names_size(V + "/a", 33)')"
equal "one that is not there" ENODATA "$(call 'os.getxattr(V + "/a", "user.none")')"
equal "removing one that is not there" ENODATA "$(call 'os.removexattr(V + "/a", "user.none")')"
equal "XATTR_CREATE of one that is there" EEXIST \
	"$(call 'os.setxattr(V + "/a", "user.colour", b"x", CREATE)')"
equal "XATTR_REPLACE of one that is not" ENODATA \
	"$(call 'os.setxattr(V + "/a", "user.none", b"x", REPLACE)')"
equal "XATTR_CREATE of a new one" None "$(call 'os.setxattr(V + "/a", "user.new", b"x", CREATE)')"
equal "XATTR_REPLACE of it" None "$(call 'os.setxattr(V + "/a", "user.new", b"y", REPLACE)')"
ok "removed" setfattr -x user.new "$V/a"
equal "it is gone" "user.bytes user.colour user.empty " "$(names "$V/a")"
equal "by a descriptor" "b'green'" "$(call 'os.getxattr(os.open(V + "/a", os.O_RDONLY), "user.colour")')"

for name in security.foo trusted.foo system.foo; do
	equal "setting $name" EOPNOTSUPP "$(call "os.setxattr(V + '/a', '$name', b'x')" | sed s/ENOTSUP$/EOPNOTSUPP/)"
	equal "getting $name" EOPNOTSUPP "$(call "os.getxattr(V + '/a', '$name')" | sed s/ENOTSUP$/EOPNOTSUPP/)"
done
equal "refused names are not remembered" "" "$(grep -F xattr "$M/status/errors")"
equal "no vector" ENOENT "$(call 'os.getxattr(V + "/none", "user.colour")')"

# --- limits ---

equal "a name of 255 bytes" None "$(call 'os.setxattr(V + "/a", "user." + 250 * "n", b"x")')"
equal "it is there" "b'x'" "$(call 'os.getxattr(V + "/a", "user." + 250 * "n")')"
equal "a name of 256 bytes" ERANGE "$(call 'os.setxattr(V + "/a", "user." + 251 * "n", b"x")')"
vector 2 "$V/full"
equal "as much as there is room for" None "$(call 'os.setxattr(V + "/full", "user.a", 2039 * b"x")')"
equal "all of it is there" True "$(call 'os.getxattr(V + "/full", "user.a") == 2039 * b"x"')"
equal "a byte more in one value" E2BIG "$(call 'os.setxattr(V + "/full", "user.a", 2040 * b"x")')"
equal "another one" ENOSPC "$(call 'os.setxattr(V + "/full", "user.b", b"")')"
equal "what was there has stayed" "user.a " "$(names "$V/full")"
contains "the sentence names the limit" "take up to 2048 bytes here" "$M/status/errors"

# --- other files ---

equal "the text of a vector has the same" "user.a " "$(names "$M/json/full")"
ok "set by way of the text" setfattr -n user.b -v text "$M/json/a"
equal "read from the vector" text "$(get user.b "$V/a")"
for file in . vectors json query README status/metrics status; do
	equal "no attributes: $file" "[]" "$(call "os.listxattr(M + '/$file')")"
	equal "none can be set: $file" EOPNOTSUPP \
		"$(call "os.setxattr(M + '/$file', 'user.a', b'x')" | sed 's/^\(ENOTSUP\|EPERM\|EACCES\)$/EOPNOTSUPP/')"
done
equal "before the vector is written" "EOPNOTSUPP" "$(call \
	'os.setxattr(os.open(V + "/young", os.O_WRONLY | os.O_CREAT), "user.a", b"x")' | sed s/ENOTSUP$/EOPNOTSUPP/)"

# --- what keeps them ---

all_of_a=$(getfattr -h -d -m - -e hex --absolute-names "$V/a" | grep =)
same() { # DESCRIPTION FILE
	equal "$1" "$all_of_a" "$(getfattr -h -d -m - -e hex --absolute-names "$2" | grep =)"
}
vector 3 "$V/a"
same "an overwrite keeps them" "$V/a"
vector 4 "$scratch/other"
cp "$scratch/other" "$V/a"
same "cp over it keeps them" "$V/a"
chmod 600 "$V/a"
touch -d 2001-02-03 "$V/a"
same "mode and time leave them" "$V/a"
mv "$V/a" "$V/b"
same "mv takes them along" "$V/b"
vector 5 "$V/a"
equal "a new vector of the old name has none" "" "$(names "$V/a")"
python3 - "$V/a" "$V/b" <<-'END'
	import ctypes, sys
	a, b = (p.encode() for p in sys.argv[1:3])
	sys.exit(ctypes.CDLL(None).renameat2(-100, a, -100, b, 2))
END
same "exchanged" "$V/a"
equal "exchanged, the other side" "" "$(names "$V/b")"
mv "$V/b" "$V/full"
equal "what is replaced takes its own away" "" "$(names "$V/full")"
rm "$V/full"
vector 6 "$V/full"
equal "what is removed too" "" "$(names "$V/full")"

# --- tools ---

mkdir "$scratch/plain"
if setfattr -n user.probe -v 1 "$scratch/plain" 2>/dev/null; then
	plain=$scratch/plain
else
	plain= # the folder for temporary files keeps none: only copies within the mount can be looked at
fi
cp -a "$V/a" "$V/copy"
same "cp -a within the mount" "$V/copy"
cp --preserve=all "$V/a" "$V/copy2"
same "cp --preserve=all" "$V/copy2"
mkdir "$scratch/m2"
ok "a second store" mount_store "$scratch/store2" "$scratch/m2" dim=4
second=$daemon
ok "rsync -aX" rsync -aX "$V/" "$scratch/m2/vectors/"
same "rsync -aX brings them" "$scratch/m2/vectors/a"
equal "a second rsync -aX has nothing to do" "" "$(rsync -aXi "$V/" "$scratch/m2/vectors/")"
setfattr -n user.colour -v blue "$V/copy"
equal "but brings an attribute alone" ".f........x copy" "$(rsync -aXi "$V/" "$scratch/m2/vectors/")"
equal "which is there" blue "$(get user.colour "$scratch/m2/vectors/copy")"
if [ -n "$plain" ]; then
	cp -a "$V/a" "$plain/a"
	same "cp -a out of the mount" "$plain/a"
	cp -a "$plain/a" "$V/again"
	same "cp -a into the mount" "$V/again"
	ok "tar --xattrs out of the mount" tar --xattrs -C "$V" -cf "$scratch/tar" a copy
	ok "unpacked elsewhere" tar --xattrs --xattrs-include='user.*' -C "$plain" -xf "$scratch/tar"
	same "tar keeps them" "$plain/a"
fi
fusermount3 -u "$scratch/m2"
soon eval "! kill -0 $second 2>/dev/null"

# --- what they cost ---

requests() { # OPERATION
	sed -n "s/^vecfs_ops_total{op=\"$1\"} //p" "$M/status/metrics"
}
before=$(requests getxattr)
for i in 1 2 3 4 5; do
	vector "$i" "$V/cheap$i"
	vector "$i" "$scratch/v"
	dd if="$scratch/v" of="$V/cheap$i" conv=notrunc status=none
	cp "$scratch/v" "$V/new$i"
	cat "$V/new$i" >/dev/null
	mv "$V/new$i" "$V/newer$i"
done
equal "creating, writing, reading, renaming: none is asked for" 0 $(($(requests getxattr) - before))
before=$(requests getxattr)
for i in 1 2 3 4 5; do
	cp "$scratch/v" "$V/cheap$i"
done
equal "truncating an existing one: one each" 5 $(($(requests getxattr) - before))
before=$(requests getxattr)
ls -l "$V" >/dev/null
equal "ls -l asks no more than twice in all" 1 $(($(requests getxattr) - before <= 2))

# --- crashes and mounts ---

sync -f "$V/a"
kill -9 "$(daemons "$store" | head -n 1)"
soon eval "[ -z \"\$(daemons '$store')\" ]"
fusermount3 -uz "$M"
ok "the log has them" grep -q 'setxattr [1-9]' <("$program" wal "$store")
ok "mounting after kill -9" mount_store "$store" "$M"
same "kill -9 keeps them" "$V/a"
ok "unmounting" unmount_store "$M"
ok "mounting again" mount_store "$store" "$M"
same "another mount keeps them" "$V/a"
ok "unmounting" unmount_store "$M"
ok "check" "$program" check "$store"
ok "compress" "$program" compress "$store" "$scratch/small"
ok "recover" "$program" recover "$store" "$scratch/saved"
for made in small saved; do
	ok "mounting $made, ro" mount_store "$scratch/$made" "$M" ro
	same "$made has them" "$V/a"
	equal "$made: not to be changed" EROFS "$(call 'os.setxattr(V + "/a", "user.x", b"x")')"
	equal "$made: not to be removed" EROFS "$(call 'os.removexattr(V + "/a", "user.colour")')"
	ok "unmounting $made" unmount_store "$M"
done
ok "mounting with nouser_xattr" mount_store "$store" "$M" nouser_xattr
equal "then there are none" EOPNOTSUPP "$(call 'os.getxattr(V + "/a", "user.colour")' | sed s/ENOTSUP$/EOPNOTSUPP/)"
equal "and none can be set" EOPNOTSUPP \
	"$(call 'os.setxattr(V + "/a", "user.colour", b"x")' | sed s/ENOTSUP$/EOPNOTSUPP/)"
vector 7 "$V/a"
before=$(requests getxattr)
vector 8 "$V/a"
equal "and the kernel asks for none" 0 $(($(requests getxattr) - before))
ok "unmounting" unmount_store "$M"
ok "mounting again" mount_store "$store" "$M"
same "they have stayed" "$V/a"
chmod 604 "$V/a"
ok "unmounting" unmount_store "$M"

# --- import and export know of vectors alone ---

perl -e 'print pack "V2f<8", 2, 4, 1 .. 8' >"$scratch/rows.fbin"
printf 'a\nimported\n' >"$scratch/ids"
ok "import" "$program" import "$store" "$scratch/rows.fbin" --ids="$scratch/ids"
ok "export" "$program" export "$store" "$scratch/out.fbin"
ok "a new store" "$program" mkfs "$scratch/moved"
ok "import of what was exported" "$program" import "$scratch/moved" "$scratch/out.fbin" --ids="$scratch/out.ids"
ok "mounting again" mount_store "$store" "$M"
equal "an import over a vector" "1 2 3 4 604" "$(numbers "$V/a") $(stat -c %a "$V/a")"
same "keeps its attributes" "$V/a"
equal "a new one has none" "" "$(names "$V/imported")"
ok "unmounting" unmount_store "$M"
ok "mounting the other" mount_store "$scratch/moved" "$M"
equal "they have not come along" "1 2 3 4 " "$(numbers "$V/a") $(names "$V/a")"
ok "unmounting" unmount_store "$M"
for command in import export; do
	"$program" $command --help >"$scratch/help"
	contains "$command says so" 'attributes' "$scratch/help"
done
tests_end
