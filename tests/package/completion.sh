#!/usr/bin/env bash
# Completion: bash, and zsh and fish where they are, propose the commands, options, values and files
# that the program takes. What the program's help lists, each of them knows.
# shellcheck disable=SC2046,SC2086 # lists of words
# shellcheck disable=SC2016,SC2317 # what other shells run; functions that are given by name
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/package/lib-package.sh
. "$here/lib-package.sh"
package_begin
cd "$work" || exit 1
mkdir mnt
touch store.vecfs words.npy words.txt

commands=$("$VECFS" --help | sed -n '/^Commands/,$s/^  \([a-z][a-z]*\) .*/\1/p' | sort)
options=$("$VECFS" --help | sed -n '/^Options/,/^and/s/^  \([a-z-][a-z-]*=\{0,1\}\).*/\1/p' | sort)
[ "$(wc -w <<<"$commands")" -ge 8 ] && [ "$(wc -w <<<"$options")" -ge 9 ]
check $? "help has commands and options"

# The proposals are these, in any order.
proposes() { # SHELL LINE EXPECTED...
	local shell=$1 line=$2 got expected
	shift 2
	expected=$(printf '%s\n' "$@" | sort)
	got=$("$shell" "$line" | sort)
	[ "$got" = "$expected" ]
	check $? "${shell%_*}: '$line' gives $(xargs <<<"$expected")"
	[ "$got" = "$expected" ] || echo "got $(xargs <<<"$got")"
}

bash_completions() { # LINE
	bash --norc -c '
		. "$1"
		complete -p vecfs mkfs.vecfs fsck.vecfs >/dev/null || exit
		COMP_LINE=$2 COMP_POINT=${#2}
		_vecfs
		printf "%s\n" "${COMPREPLY[@]}"' bash "$top/scripts/packaging/completion/vecfs.bash" "$1"
}

proposes bash_completions "vecfs " $commands mnt store.vecfs words.npy words.txt
proposes bash_completions "vecfs c" check compress
proposes bash_completions "vecfs st" stat store.vecfs
proposes bash_completions "vecfs store.vecfs " mnt
proposes bash_completions "vecfs store.vecfs mnt -o " $options allow_other default_permissions nofail
proposes bash_completions "vecfs store.vecfs mnt --" --help --version $(printf -- '--%s\n' $options)
proposes bash_completions "vecfs store.vecfs mnt -o me" metric=
# Behind a "=", where bash breaks words, only what follows it.
proposes bash_completions "vecfs store.vecfs mnt -o metric=" cosine l2 ip
proposes bash_completions "vecfs store.vecfs mnt -o dim=8,du" 8,durability=
proposes bash_completions "vecfs store.vecfs mnt -o dim=8,durability=c" close
proposes bash_completions "vecfs store.vecfs mnt --code-bits=" auto 1 2 4 8
proposes bash_completions "vecfs mkfs store.vecfs --" --dim= --metric= --page-size= --help
proposes bash_completions "vecfs mkfs store.vecfs --page-size=6" 64K
proposes bash_completions "/usr/sbin/mkfs.vecfs x --metric=l" l2
proposes bash_completions "vecfs import s" store.vecfs
proposes bash_completions "vecfs import store.vecfs w" words.npy
proposes bash_completions "vecfs import store.vecfs words.npy --ids=words.t" words.txt
proposes bash_completions "vecfs check s" store.vecfs
proposes bash_completions "fsck.vecfs -" -a -p -y -n -f --help

# --- fish ---

fish_completions() { # LINE
	fish -N -c 'source $argv[1]; complete -C $argv[2]' "$top/scripts/packaging/completion/vecfs.fish" "$1" |
		cut -f 1
}

if command -v fish >/dev/null; then
	proposes fish_completions "vecfs c" check compress
	proposes fish_completions "vecfs store.vecfs mnt --m" --metric
	proposes fish_completions "vecfs store.vecfs mnt --metric=" --metric={cosine,l2,ip}
	proposes fish_completions "vecfs store.vecfs mnt -o dim=8,du" dim=8,durability={log,close,none}
	proposes fish_completions "vecfs store.vecfs mnt --" --help --version \
		$(printf -- '--%s\n' $options | tr -d =)
	proposes fish_completions "vecfs mkfs store.vecfs --" --dim --metric --page-size --help
	proposes fish_completions "vecfs import s" store.vecfs
	proposes fish_completions "fsck.vecfs -" -a -p -y -n -f --help
else
	echo "skipped: fish, which is not installed"
fi

# --- zsh ---

# What the line is after a TAB at its end, in a zsh at a terminal.
zsh_line() { # LINE
	zsh -f -c '
		zmodload zsh/zpty
		zpty shell zsh -f -i
		zpty -w shell "fpath=($1 \$fpath); autoload -U compinit; compinit -u -d $2/zcompdump"
		zpty -w shell "tell() { print -r -- \"\$BUFFER\" >$2/line; zle kill-whole-line }"
		zpty -w shell "zle -N tell; bindkey \"^X^A\" tell; print ready >$2/ready"
		for ((i = 0; i < 200; i++)) { [[ -e $2/ready ]] && break; sleep 0.05 }
		zpty -w -n shell "$3"$'"'\\t\\x18\\x01'"'
		for ((i = 0; i < 200; i++)) { [[ -s $2/line ]] && break; sleep 0.05 }
		cat $2/line
		zpty -d shell' zsh "$top/scripts/packaging/completion" "$work/zsh" "$1" 2>&1
}

completes_to() { # LINE EXPECTED
	local got
	rm -rf "$work/zsh"
	mkdir "$work/zsh"
	got=$(zsh_line "$1")
	[ "$got" = "$2" ]
	check $? "zsh: '$1' becomes '$2'"
	[ "$got" = "$2" ] || echo "got '$got'"
}

if command -v zsh >/dev/null; then
	completes_to "vecfs chec" "vecfs check "
	completes_to "vecfs store.vecfs m" "vecfs store.vecfs mnt/"
	completes_to "vecfs store.vecfs mnt -o metric=c" "vecfs store.vecfs mnt -o metric=cosine,"
	completes_to "vecfs store.vecfs mnt -o dim=8,du" "vecfs store.vecfs mnt -o dim=8,durability="
	completes_to "vecfs store.vecfs mnt --dura" "vecfs store.vecfs mnt --durability="
	completes_to "vecfs mkfs store.vecfs --page-size=6" "vecfs mkfs store.vecfs --page-size=64K "
	completes_to "vecfs import store.vecfs w" "vecfs import store.vecfs words.npy "
	completes_to "vecfs import store.vecfs words.npy --ids=words.t" \
		"vecfs import store.vecfs words.npy --ids=words.txt "
	completes_to "fsck.vecfs s" "fsck.vecfs store.vecfs "
	completes_to "mkfs.vecfs store.vecfs --metric=l" "mkfs.vecfs store.vecfs --metric=l2 "
else
	echo "skipped: zsh, which is not installed"
fi

# --- nobody has forgotten one ---

for file in "$top"/scripts/packaging/completion/*; do
	for word in $commands ${options//=/} page-size ids force; do
		grep -qE "(^|[^a-z-])(--)?$word([^a-z-]|\$)" "$file"
		check $? "${file##*/} knows $word"
	done
done
package_end
