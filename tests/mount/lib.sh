# lib.sh - what the tests through a mount share. Read by them; they begin with `tests_begin`.
#
# The program under test is $VECFS. Every check prints a line that starts with "ok" or "not ok"; a
# test ends with `tests_end`.
# shellcheck shell=bash

export LC_ALL=C

tests_begin() {
	if [ ! -e /dev/fuse ]; then
		echo "there is no /dev/fuse here"
		exit 77
	fi
	# shellcheck source=scripts/lib-mount.sh
	. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib-mount.sh"
	mounts_begin "${VECFS:-./vecfs}"
	failed=0
	M=$scratch/m
	mkdir "$M"
}

tests_end() {
	[ "$failed" -eq 0 ] || echo "$failed checks failed"
	exit $((failed > 0))
}

pass() { # DESCRIPTION
	echo "ok - $1"
}

fail() { # DESCRIPTION [DETAIL]
	echo "not ok - $1${2:+: $2}"
	failed=$((failed + 1))
}

# The command succeeds.
ok() { # DESCRIPTION COMMAND...
	local what=$1
	shift
	if "$@" >"$scratch/said" 2>&1; then pass "$what"; else fail "$what" "$(cat "$scratch/said")"; fi
}

# The command fails, and says TEXT.
refused() { # DESCRIPTION TEXT COMMAND...
	local what=$1 text=$2 out
	shift 2
	if out=$("$@" 2>&1); then
		fail "$what" "it succeeded"
	elif [[ $out == *"$text"* ]]; then
		pass "$what"
	else
		fail "$what" "$out"
	fi
}

equal() { # DESCRIPTION EXPECTED GOT
	if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "expected '$2', got '$3'"; fi
}

contains() { # DESCRIPTION TEXT FILE
	if grep -qF -- "$2" "$3"; then pass "$1"; else fail "$1" "'$2' is not in $3"; fi
}

# The numbers as little-endian float32.
floats() { # NUMBER...
	perl -e 'print pack "f<*", @ARGV' -- "$@"
}

# The same as hex digits.
hex() { # NUMBER...
	floats "$@" | od -An -v -tx1 | tr -d ' \n'
}

# The numbers in a file of float32, with a space between them.
numbers() { # FILE
	perl -e 'local $/; print join " ", unpack "f<*", <STDIN>' <"$1"
}

# Waits up to 5 s until the command succeeds.
soon() { # COMMAND...
	local i
	for ((i = 0; i < 100; i++)); do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}

absent() { # FILE
	[ ! -e "$1" ]
}
