#!/usr/bin/env perl
# Colours as vectors in a vecfs mount: colours.pl MOUNT
use strict;
use warnings;

chdir $ARGV[0] or die "$ARGV[0]: $!\n";
my %colours = (red => [1, 0, 0], orange => [1, 0.5, 0], blue => [0, 0, 1]);

# Numbers as little-endian float32.
sub floats { return pack 'f<*', @_ }

for my $name (keys %colours) {
	open my $file, '>:raw', "vectors/$name" or die "$name: $!\n";
	print $file floats(@{$colours{$name}});
	close $file or die "$name: $!\n";
}

open my $run, '+<:raw', 'query/2/run' or die "query/2/run: $!\n";
defined syswrite $run, floats(1, 0.2, 0.1) or die "query/2/run: $!\n";
my $answer = '';
while (sysread $run, my $part, 4096) {
	$answer .= $part;
}
close $run;
printf "%s\t%.3f\n", split /\t/ for split /\n/, $answer;

unlink map { "vectors/$_" } keys %colours;
