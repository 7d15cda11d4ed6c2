#!/bin/sh
# Colours as vectors in a vecfs mount: colours.sh MOUNT
set -e
cd "$1"

# Numbers as little-endian float32.
floats() { perl -e 'print pack "f<*", @ARGV' -- "$@"; }

floats 1 0 0 >vectors/red
floats 1 0.5 0 >vectors/orange
floats 0 0 1 >vectors/blue

exec 3<>query/2/run
floats 1 0.2 0.1 >&3
while read -r id distance; do
	printf '%s\t%.3f\n' "$id" "$distance"
done <&3
exec 3>&-

rm vectors/red vectors/orange vectors/blue
