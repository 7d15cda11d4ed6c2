#!/usr/bin/env bash
# scripts/words on a few made words: it imports, prints neighbours and an analogy, leaves no mount
# unless told to, and says why when it cannot.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/../mount/lib.sh"
tests_begin
top=$(cd "$here/../.." && pwd)

# Without node it is skipped, whatever else is there.
mkdir "$scratch/bin"
for tool in bash env dirname basename mktemp mkdir rm realpath sort awk cat readlink pgrep sleep; do
	ln -s "$(command -v "$tool")" "$scratch/bin/$tool"
done
said=$(PATH=$scratch/bin "$top/scripts/words" -d "$scratch/none" 2>&1)
equal "77 without node" 77 $?
equal "which is said" "skipped: node is not there, so there are no words as vectors" "$(tail -n 1 <<<"$said")"
if ! command -v node >/dev/null; then
	echo "node is not there"
	[ "$failed" -ne 0 ] || exit 77
	tests_end
fi

cat >"$scratch/words.json" <<'END'
{"dimensions": 3, "words": ["paris", "italy", "france", "rome", "a/b", "none", "pizza", "rare"],
 "vectors": {"paris": [4, 1, 0], "france": [4, 0, 1], "rome": [1, 4, 0], "italy": [1, 3, 1], "a/b": [1, 1, 1],
 "none": [0, 0, 0], "pizza": [0, 4, 4], "rare": [1, 2, 3]}}
END
words() {
	WORDS=$scratch/words.json "$top/scripts/words" -d "$scratch/data" -n 5 "$@" 2>&1
}
ok "it runs" words paris rare
words paris rare >"$scratch/said"
equal "neighbours of a word" "france italy rome pizza" \
	"$(sed -n '/like\/paris$/,/^$/s/\t.*//p' "$scratch/said" | xargs)"
contains "a word that is not among them" "rare is not among the 5 words" "$scratch/said"
equal "an analogy" rome "$(sed -n '/^# paris is to france/,$s/\t.*//p' "$scratch/said" | head -n 1)"
equal "ids are words" "france italy paris pizza rome" "$("$program" export "$scratch/data/words-5.vecfs" \
	"$scratch/out.fvecs" >/dev/null && sort "$scratch/out.ids" | xargs)"
equal "no mount is left" "" "$(mounts_below "$scratch")"
ok "left mounted where told" words -m "$M" paris
equal "it is a mount like any other" "france	" "$(head -c 7 "$M/query/1/like/paris")"
fusermount3 -u "$M"
refused "an option it does not have" usage words -x
tests_end
