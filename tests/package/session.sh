#!/usr/bin/env bash
# The session at the top of README.md: typed again, it says the same, but for the time of day and the
# sizes of files.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mount/lib.sh
. "$here/../mount/lib.sh"
tests_begin
mkdir "$scratch/bin" "$scratch/home"
ln -s "$program" "$scratch/bin/vecfs"
awk '/^```console$/ { n++; next } /^```$/ { n += n == 1 } n == 1' "$here/../../README.md" >"$scratch/session"
equal "there is a session" yes "$([ "$(grep -c '^\$ ' "$scratch/session")" -gt 10 ] && echo yes)"

# Prints each command as a terminal shows it, then runs it.
while IFS= read -r line; do
	case $line in
	'$ '*) printf 'printf "%%s\\n" %q\n%s\n' "$line" "${line#'$ '}" ;;
	esac
done <"$scratch/session" >"$scratch/typed"
(cd "$scratch/home" && PATH=$scratch/bin:$PATH LC_ALL=C bash "$scratch/typed") >"$scratch/said" 2>&1

same() {
	sed -E -e 's/^[0-9-]{10}T[0-9:.]+Z/TIME/' -e 's/[0-9]+ pages, [0-9]+ bytes/SIZE/' "$1"
}
equal "it says what README shows" "$(same "$scratch/session")" "$(same "$scratch/said")"
tests_end
