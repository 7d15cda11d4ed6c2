# lib-package.sh - what the tests of that which is installed share. Read by them; they call
# package_begin first and package_end last.
#
# Sets `work`, an empty folder that is removed at the end, with all that is mounted below it unmounted.
# shellcheck shell=bash

# shellcheck source=tests/support/lib-check.sh
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib-check.sh"

package_begin() {
	: "${VECFS:?the path of the program}"
	VECFS=$(realpath "$VECFS")
	# shellcheck disable=SC2034 # for the scripts that read this file
	top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	work=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/vecfs-package.XXXXXX")")
	failed=0
	trap package_clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

package_clean() {
	unmount_below "$work"
	rm -rf --one-file-system "$work"
}

package_end() {
	[ "$failed" -eq 0 ]
	exit
}

# `make install` below a folder, of the program under test, whatever else is built here.
install_below() { # FOLDER PREFIX [TARGET]
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make --no-print-directory -C "$top" -o "$VECFS" \
		program="$VECFS" DESTDIR="$1" PREFIX="$2" "${3:-install}"
}
