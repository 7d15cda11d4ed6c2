#!/usr/bin/env bash
# The manual pages: made of their sources, free of warnings, and with the options that the program's
# own help has, no more and no less.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/package/lib-package.sh
. "$here/lib-package.sh"
package_begin
cd "$here/../../docs/man" || exit 1

# --- made of their sources ---

said=$(../../scripts/man-pages --check 2>&1)
case $? in
77) echo "not looked at, whether pages are current: $said" ;;
*) check $? "the pages are made of their sources: $said" ;;
esac

# --- every command has its page ---

commands=$("$VECFS" --help | sed -n '/^Commands/,$s/^  \([a-z][a-z]*\) .*/\1/p')
[ "$(wc -w <<<"$commands")" -ge 8 ]
check $? "help names the commands: $(xargs <<<"$commands")"
for command in $commands; do
	[ -e "vecfs-$command.1" ]
	check $? "there is a page of $command"
	"$VECFS" "$command" --help | grep -q "^usage: vecfs $command"
	check $? "$command has help"
done
for page in vecfs-*.1; do
	name=${page#vecfs-}
	grep -qx "${name%.1}" <<<"$commands"
	check $? "$page is of a command"
done

# --- options ---

# The names that stand before an indented text in a section, one a line, with a "=" when a value follows.
page_options() { # PAGE SECTION...
	local page=$1
	shift
	perl -e '
		local $/;
		my ($text, %wanted) = (scalar <STDIN>, map { $_ => 1 } @ARGV);
		for (split /^\.SH /m, $text) {
			my ($title, $body) = /^([^\n]*)\n(.*)/s or next;
			next unless $wanted{$title};
			while ($body =~ /^(\\fB.*)\n\.RS 4/mg) {
				my $line = $1;
				$line =~ s/\\-/-/g;
				print "$1$2\n" while $line =~ /(?:^|, )\\fB([a-z-]+)\\fR(=?)/g;
			}
		}' "$@" <"$page" | sort
}

# Those that help has: at the start of an indented line, and in brackets in the usage.
help_options() { # COMMAND...
	"$VECFS" "$@" --help | perl -ne '
		$usage = 1 if /^usage/;
		$usage = 0 if /^$/;
		print "$1\n" while $usage && /\[(--?[a-z-]+=?)/g;
		if (/^  ([a-z-].*)/) {
			my $names = $1;
			print "$1\n" while $names =~ /\G(?:, )?([a-z-]+=?)[A-Z|a-z]*/g;
		}
		if (/^of fsck\(8\) /) { print "$1\n" while /(-[a-z])\b/g }' | sort -u
}

same_options() { # WHAT PAGE-OPTIONS HELP-OPTIONS
	local missing
	missing=$(diff <(echo "$2") <(echo "$3") | sed -n -e 's/^</only in the page:/p' -e 's/^>/only in help:/p')
	[ -z "$missing" ]
	check $? "page and help have the same options of $1${missing:+: $missing}"
}

page_options vecfs.1 "OPTIONS" "COMMANDS" "MOUNT OPTIONS" | grep -vxe --help -e -h -e -V >"$work/page"
help_options | grep -vx -e --help >"$work/help"
[ "$(wc -l <"$work/help")" -ge 20 ]
check $? "help has options and commands"
same_options vecfs "$(cat "$work/page")" "$(cat "$work/help")"
for command in $commands; do
	same_options "$command" "$(page_options "vecfs-$command.1" OPTIONS)" "$(help_options "$command")"
done
same_options fsck.vecfs "$(grep -o '\[\\fB\\-[a-z]' fsck.vecfs.8 | tr -d '[\\fB' | sort)" \
	"$(help_options check | tr -d f | sort)"

# --- every page can be read ---

if command -v groff >/dev/null; then
	for page in *.[1-8]; do
		mkdir -p "$work/man/man${page##*.}"
		cp "$page" "$work/man/man${page##*.}"
	done
	for page in *.[1-8]; do
		said=$(cd "$work/man" && groff -ww -man -Tutf8 -P-cbou -rLL=80n "man${page##*.}/$page" 2>&1 >"$work/text")
		[ -z "$said" ]
		check $? "$page has no warnings${said:+: $said}"
		wide=$(perl -CSD -ne 'chomp; print if length > 80' "$work/text")
		[ -z "$wide" ]
		check $? "$page fits a terminal of 80 columns${wide:+: $wide}"
	done
else
	echo "not looked at: warnings of groff, which is not there"
fi

# --- what they refer to is there ---

for page in *.[1-8]; do
	for other in $(perl -ne 's/\\-/-/g; print "$1.$2\n" while /\\fB((?:[a-z.]+\.)?vecfs(?:-[a-z]+)?)\\fR\((\d)\)/g' "$page" | sort -u); do
		[ -e "$other" ]
		check $? "$page refers to $other"
	done
done
package_end
