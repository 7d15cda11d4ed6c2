# metrics.pl - reads the Prometheus text exposition format on stdin and says what is wrong with it.
# Prints one line a fault and exits with 1; nothing when all is well.
use strict;
use warnings;

my (%help, %type, %seen, %values, %done, $last, $faults);

sub fault { print "line $.: @_\n"; $faults = 1 }

# The name that HELP and TYPE are given under.
sub family {
	my ($name) = @_;
	for my $suffix (qw(_bucket _sum _count)) {
		(my $base = $name) =~ s/$suffix$// or next;
		return $base if ($type{$base} // "") =~ /^(histogram|summary)$/;
	}
	return $name;
}

while (my $line = <STDIN>) {
	chomp $line;
	if ($line =~ /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$/) {
		fault("second HELP of $1") if $help{$1}++;
	} elsif ($line =~ /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/) {
		fault("second TYPE of $1") if $type{$1};
		fault("TYPE of $1 before its HELP") unless $help{$1};
		$type{$1} = $2;
	} elsif ($line =~ /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})? (\S+)$/) {
		my ($name, $labels, $value) = ($1, $2 // "", $3);
		my $family = family($name);
		fault("$name does not start with vecfs_") unless $name =~ /^vecfs_/;
		fault("$name has no TYPE before it") unless $type{$family};
		fault("$name$labels stands twice") if $seen{"$name$labels"}++;
		fault("$name: '$value' is no number") unless $value =~ /^[-+]?(\d+(\.\d*)?([eE][-+]?\d+)?|Inf|NaN)$/;
		fault("samples of $family are not together") if $family ne ($last // $family) && $done{$family};
		$done{$last} = 1 if defined $last && $last ne $family;
		$last = $family;
		fault("the counter $name does not end in _total")
			if $type{$family} eq "counter" && $name !~ /_total$/;
		push @{ $values{$name} }, [$labels, $value];
	} elsif ($line ne "") {
		fault("cannot be read: $line");
	}
}
for my $name (grep { $type{$_} eq "histogram" } keys %type) {
	my ($before, $bound, $inf) = (0, -1, undef);
	for my $sample (@{ $values{"${name}_bucket"} // [] }) {
		my ($le) = $sample->[0] =~ /^\{le="([^"]+)"\}$/ or fault("a bucket of $name without le");
		my $number = $le eq "+Inf" ? 9e99 : $le;
		fault("the buckets of $name are not in order") if $number <= $bound;
		fault("the buckets of $name are not cumulative") if $sample->[1] < $before;
		($before, $bound) = ($sample->[1], $number);
		$inf = $sample->[1] if $le eq "+Inf";
	}
	fault("$name has no bucket +Inf") unless defined $inf;
	fault("the last bucket of $name is not its count") if ($inf // -1) != ($values{"${name}_count"}[0][1] // -2);
	fault("$name has no sum") unless $values{"${name}_sum"};
}
for my $name (keys %help) {
	fault("$name has no sample") unless $values{$name} || $values{"${name}_count"};
}
exit($faults ? 1 : 0);
