#!/usr/bin/env bash
# Answers as folders of symbolic links: format=links for hex, base64url, like and named queries.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

errors=$M/status/errors
V=$M/vectors
Q=$M/query
L=$Q/3,format=links

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=l2
for i in 0 1 2 3 4 5 6 7 8 9; do floats "$i" 0 0 0 >"$V/p$i"; done
point=$(hex 3 0 0 0)
b64=b64:$(floats 3 0 0 0 | base64 -w0 | tr '+/' '-_' | tr -d '=')
names="001-p3 002-p2 003-p4"

searched() {
	awk '$1 == "vecfs_query_seconds_count" { print $2 }' "$M/status/metrics"
}

# Each way to ask gives the same folder.
floats 3 0 0 0 >"$L/q"
ok "a named query is a folder" test -d "$L/q"
floats 3 0 0 0 >"$Q/3/same"
for path in "$point" "${point:0:10}/${point:10}" "$b64" q same; do
	equal "names: $path" "$names" "$(ls "$L/$path" | xargs)"
	equal "content: $path" "2 0 0 0" "$(numbers "$L/$path/002-p2")"
done
equal "like" "001-p2 002-p4 003-p1" "$(ls "$L/like/p3" | xargs)"
equal "relative" "../../../vectors/p3" "$(readlink "$L/$point/001-p3")"
equal "deeper" "../../../../../vectors/p3" "$(readlink "$L/${point:0:8}/${point:8:8}/${point:16}/001-p3")"
equal "of like" "../../../../vectors/p2" "$(readlink "$L/like/p3/001-p2")"
equal "resolves to the vector" "$V/p2" "$(realpath "$L/like/p3/001-p2")"
equal "a folder" "500 directory" "$(stat -c '%a %F' "$L/$point")"
equal "of links" "symbolic link" "$(stat -c %F "$L/$point/001-p3")"
equal "with the length of the target" "$(readlink "$L/$point/001-p3" | tr -d '\n' | wc -c)" \
	"$(stat -c %s "$L/$point/001-p3")"
ok "ls -l" ls -l "$L/$point"
equal "ls -lL shows vectors" 3 "$(ls -lL "$L/$point" | grep -c '^-.* 16 ')"
mkdir "$scratch/copies"
ok "cp -L" cp -L "$L/$point/"* "$scratch/copies"
ok "has copied" cmp "$V/p2" "$scratch/copies/002-p2"
ok "cp -r" cp -r "$L/like/p3" "$scratch/tree"
equal "find" 3 "$(find "$L/$point" -type l | wc -l)"
equal "find -L" 3 "$(find -L "$L/$point" -type f | wc -l)"
equal "d_ino is st_ino" "$(ls -iU "$L/$point" | awk '{ print $1 }' | sort | xargs)" \
	"$(stat -c %i "$L/$point"/* | sort | xargs)"
equal "each link has a number of its own" 3 "$(stat -c %i "$L/$point"/* | sort -u | wc -l)"
equal "also in the listing" 3 "$(ls -iU "$L/$point" | awk '{ print $1 }' | sort -u | wc -l)"
equal "and none of another folder" 6 \
	"$(stat -c %i "$L/$point"/* "$L/like/p3"/* | sort -u | wc -l)"
mkdir "$scratch/other"
if mount --bind "$M" "$scratch/other" 2>/dev/null; then
	equal "below another mount point" "2 0 0 0" \
		"$(numbers "$scratch/other/query/3,format=links/$point/002-p2")"
	umount "$scratch/other"
fi

# --- what is searched when ---
before=$(searched)
stat "$L/$point" "$L/like/p3" >/dev/null
ls "$L" >/dev/null
equal "stat of a folder searches nothing" "$before" "$(searched)"
ls -l "$L/$point" >/dev/null
ok "listing one searches at most once or twice" test $(($(searched) - before)) -le 2
rm "$V/p2"
equal "listed anew after a removal" "001-p3 002-p4 003-p1" \
	"$(ls "$L/$point" | xargs | sed 's/003-p5/003-p1/')"
refused "what is no answer any more" "No such file" cat "$L/$point/002-p2"
floats 2 0 0 0 >"$V/p2"
sleep 1.1
equal "named without a listing" "2 0 0 0" "$(numbers "$L/$point/002-p2")"
refused "a name that is no answer" "No such file" stat "$L/$point/001-p9"
refused "a rank that it has not" "No such file" stat "$L/$point/003-p3"

# --- options ---
equal "max" "001-p3" "$(ls "$Q/10,max=0.5,format=links/$point")"
equal "exact" "$names" "$(ls "$Q/3,exact,format=links/$point" | xargs)"
floats 0 0 0 0 9 0 0 0 >"$Q/2,format=links/batch"
equal "a batch" "0-001-p0 0-002-p1 1-001-p9 1-002-p8" "$(ls "$Q/2,format=links/batch" | xargs)"
equal "its links" "8 0 0 0" "$(numbers "$Q/2,format=links/batch/1-002-p8")"
equal "the same as text" 4 "$(wc -l <"$Q/2/batch")"
refused "run has no links" "No such file" cat "$L/run"
contains "the errors say why" "run answers with text" "$errors"
equal "what a spec lists" "like q same" "$(ls "$L" | xargs)"

# --- refusals ---
refused "creating in an answer" "Operation not permitted" cp "$V/p1" "$L/$point/new"
refused "removing a link" "Operation not permitted" rm -f "$L/$point/001-p3"
refused "an answer is no file" "Is a directory" cat "$L/$point"
refused "unknown id" "No such file" ls "$L/like/nobody"
ok "rmdir of a named query" rmdir "$L/q"
ok "removes it" absent "$Q/3/q"
refused "rmdir of an answer" "Operation not permitted" rmdir "$L/$point"

# --- ids with odd characters ---
long=$(printf 'y%.0s' $(seq 255))
ids=(" a b " "it's" '"quoted"' "-rf" ".hidden" "001-x" "emoji 🦆" 'back\slash' "*?[a]" "$long")
rm "$V"/p*
for i in "${!ids[@]}"; do floats "$i" 5 0 0 >"$V/${ids[$i]}"; done
all=$Q/100,format=links/$(hex 0 5 0 0)
equal "all are there" ${#ids[@]} "$(find "$all" -type l -printf x | wc -c)"
for i in "${!ids[@]}"; do
	equal "id ${ids[$i]:0:20}" "$i 5 0 0" "$(numbers "$all/$(printf %03d $((i + 1)))-${ids[$i]}")"
done

# --- many ---
perl -e 'for my $i (1 .. 1500) { open my $f, ">", "$ARGV[0]/n$i" or die $!; syswrite $f, pack "f<4", $i, 0, 0, 0 }' "$V"
many=$Q/1200,format=links/$(hex 0 0 0 0)
equal "ranks have as many digits as needed" "0001-n1 1200-n1195" \
	"$(ls "$many" | sed -n '1p;$p' | sed 's/-n119[0-9]/-n1195/' | xargs)"
equal "each once" 1200 "$(find "$many" -type l -printf '%f\n' | sort -u | wc -l)"
ok "ls -l of many" ls -l "$many"
ok "unmount" unmount_store "$M"
tests_end
