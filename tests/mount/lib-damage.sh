# lib-damage.sh - a store to be damaged. Read by tests after lib.sh, within tests_begin and tests_end.
#
# Sets `good`, a closed store of 600 vectors of 64 numbers (v0 ... v599, with a graph), and `bad`, the
# path at which `spoil` puts a copy of it with damage.
# shellcheck shell=bash disable=SC2154,SC2034 # variables of lib.sh, and for those who read this

# Writes vectors v FIRST ... v LAST of 64 numbers into DIR; each is near none of the others.
write_vectors() { # DIR FIRST LAST
	perl -e 'my ($dir, $first, $last) = @ARGV;
		for my $i ($first .. $last) {
			srand($i);
			open(my $f, ">", "$dir/v$i") or die "v$i: $!\n";
			syswrite($f, pack("f<*", map { int(rand(4096)) / 64 } 1 .. 64)) == 256 or die "v$i: $!\n";
			close($f) or die "v$i: $!\n";
		}' "$@"
}

# A file of vector v N.
vector_file() { # N FILE
	perl -e 'srand($ARGV[0]); print pack("f<*", map { int(rand(4096)) / 64 } 1 .. 64)' "$1" >"$2"
}

pending() { # MOUNTPOINT
	sed -n 's/^vecfs_vectors_pending //p' "$1/status/metrics"
}

metric() { # MOUNTPOINT NAME: the value of a sample
	awk -v name="$2" '$1 == name { print $2 }' "$1/status/metrics"
}

none_pending() {
	[ "$(pending "$M")" = 0 ]
}

good_store() {
	good=$scratch/good
	bad=$scratch/bad
	"$program" mkfs "$good" --dim=64 --metric=l2 --page-size=4K || return
	mount_store "$good" "$M" || return
	write_vectors "$M/vectors" 0 599
	soon none_pending || echo "vectors are still pending"
	leave "$good"
}

# A copy of the good store with damage; sets `spoilt` to what damage says.
spoil() { # WHAT [ID]
	rm -f "$bad" "$bad"-wal.*
	cp "$good" "$bad"
	spoilt=$("$BUILD/tests/mount/damage" "$bad" "$@")
}

# The command exits with CODE and says all of the WORDS. Sets `said`.
exits() { # DESCRIPTION CODE WORDS... -- COMMAND...
	local what=$1 code=$2 got words=()
	shift 2
	while [ "$1" != -- ]; do
		words+=("$1")
		shift
	done
	shift
	said=$("$@" 2>&1)
	got=$?
	[ "$got" -eq "$code" ] || {
		fail "$what" "exit $got, expected $code: $said"
		return
	}
	for word in "${words[@]}"; do
		[[ $said == *"$word"* ]] || {
			fail "$what" "'$word' is not in: $said"
			return
		}
	done
	pass "$what"
}

# Waits until no daemon has the store any more.
closed() { # STORE
	local i
	for ((i = 0; i < 600; i++)); do
		[ -n "$(daemons "$1")" ] || return 0
		sleep 0.05
	done
	fail "the daemon of $1 does not end"
	return 1
}

# Unmounts $M and waits until the store is closed.
leave() { # STORE
	fusermount3 -u "$M" && closed "$1"
}

# Kills the daemon of the mount at $M and detaches what is left.
kill_store() { # STORE
	kill -9 "$daemon"
	closed "$1"
	fusermount3 -u "$M" 2>/dev/null || fusermount3 -uz "$M"
}

no_file_like() { # BEGINNING
	! compgen -G "$1*" >/dev/null
}
