#!/usr/bin/env bash
# The examples in docs/examples: each whose language is here prints what all must print, on a real
# mount, and leaves no vector behind. Those skipped are named.
# without: thread
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/lib.sh"
tests_begin
examples=$here/../../docs/examples
mount_store "$scratch/store" "$M" dim=3 || exit 1
expected=$(printf 'red\t0.024\norange\t0.040')
skipped=()

# The table of the README and the folder have the same programs.
equal "README names all" "$(cd "$examples" && printf '%s\n' [cC]olours* | xargs)" \
	"$(grep -o '\[[cC]olours[a-z_.]*\]' "$examples/README.md" | tr -d '[]' | LC_ALL=C sort | xargs)"
equal "README says what they print" "$expected" "$(sed -n 's/^    \([a-z]*\t.*\)/\1/p' "$examples/README.md")"

runs() { # FILE COMMAND...
	local file=$1
	shift
	equal "$file" "$expected" "$("$@" 2>&1)"
	equal "$file leaves nothing" "" "$(ls "$M/vectors")"
	equal "$file was refused nothing" "" "$(cat "$M/status/errors")"
}

# Runs it when all the tools are there.
with() { # TOOLS FILE COMMAND...
	local tool file=$2
	for tool in $1; do
		if ! command -v "$tool" >/dev/null || ! "$tool" --version >/dev/null 2>&1 && ! "$tool" version >/dev/null 2>&1; then
			skipped+=("$file ($tool)")
			return
		fi
	done
	shift 2
	runs "$file" "$@"
}

cd "$examples" || exit 1
export GOCACHE=$scratch/go GOPATH=$scratch/gopath GOTELEMETRY=off PYTHONDONTWRITEBYTECODE=1
runs colours.sh sh colours.sh "$M"
with perl colours.pl perl colours.pl "$M"
if [ -n "${SAN:-}" ]; then
	echo "the daemon sees the same of all others"
	unmount_store "$M"
	tests_end
fi
with python3 colours.py python3 colours.py "$M"
if python3 -c 'import numpy' 2>/dev/null; then
	with python3 colours_numpy.py python3 colours_numpy.py "$M"
elif /usr/bin/python3 -c 'import numpy' 2>/dev/null; then
	runs colours_numpy.py /usr/bin/python3 colours_numpy.py "$M"
else
	skipped+=("colours_numpy.py (numpy)")
fi
with gcc colours.c sh -c "gcc -Wall -Wextra -Werror -o '$scratch/colours-c' colours.c && '$scratch/colours-c' '$M'"
with node colours.js node colours.js "$M"
with go colours.go go run colours.go "$M"
with rustc colours.rs sh -c "rustc -o '$scratch/colours-rs' colours.rs && '$scratch/colours-rs' '$M'"
with java Colours.java java Colours.java "$M"
with ruby colours.rb ruby colours.rb "$M"

[ ${#skipped[@]} -eq 0 ] || printf 'skipped: %s\n' "${skipped[@]}"
unmount_store "$M"
tests_end
