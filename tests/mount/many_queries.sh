#!/usr/bin/env bash
# 100,000 different queries: neither the kernel nor the daemon keeps their names.
set -u
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
tests_begin

count=100000
[ -z "${SAN:-}" ] || count=10000
inodes() {
	awk '$1 == "fuse_inode" { print $2 }' /proc/slabinfo 2>/dev/null
}
# From $1 to $2, each asked for once: by digits, by digits in two parts, in base64, and some by stat
# alone, whose names nobody closes.
# shellcheck disable=SC2016
ask='use MIME::Base64 "encode_base64url"; for my $i ($ARGV[1] .. $ARGV[2] - 1) {
	my $bytes = pack("f<*", $i, 1, 0, 0);
	my $digits = unpack("H*", $bytes);
	my $name = "$ARGV[0]/$digits";
	if ($i % 4 == 0) { stat($name) or die "$name: $!"; next }
	$name = "$ARGV[0]/" . substr($digits, 0, 10) . "/" . substr($digits, 10) if $i % 4 == 1;
	$name = "$ARGV[0]/b64:" . encode_base64url($bytes) if $i % 4 == 2;
	open(my $f, "<", $name) or die "$name: $!";
	my $line = <$f>;
	die "$i: $line" if $line !~ /^p\d\t/;
}'

ok "mount" mount_store "$scratch/s.vecfs" "$M" dim=4,metric=l2
for i in 0 1 2 3 4 5 6 7 8 9; do floats "$i" 0 0 0 >"$M/vectors/p$i"; done
# What caches take at most is taken before it is measured.
part=$((count / 5))
ok "the first of them" perl -e "$ask" "$M/query/1" 0 "$part"
memory=$(resident "$daemon")
before=$(inodes)
few() {
	[ $(($(inodes) - before)) -le 4500 ] # idle names are kept up to INODE_QUERY_SOFT
}
for i in 1 2 3 4; do
	ok "$part different queries" perl -e "$ask" "$M/query/1" $((i * part)) $(((i + 1) * part))
	grown=$((($(resident "$daemon") - memory) / 1024))
	if [ -z "${SAN:-}" ]; then
		ok "the daemon has grown by $grown KiB, 8 MiB at most" test "$grown" -le 8192
	fi
	if [ -n "$before" ]; then
		ok "the kernel has forgotten them" soon few
		echo "# inodes of the kernel: $before, then $(inodes)"
	fi
done
[ -n "$before" ] || echo "# the kernel does not show its inodes: skipped"
ok "unmount" unmount_store "$M"
tests_end
