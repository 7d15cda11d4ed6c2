# Completion for bash of vecfs, mkfs.vecfs and fsck.vecfs.
# shellcheck shell=bash

# What may follow "name=": words, or nothing when it is free.
_vecfs_values() { # NAME
	case $1 in
	metric) echo "cosine l2 ip" ;;
	durability) echo "log close none" ;;
	code-bits) echo "auto 1 2 4 8" ;;
	cache) echo "auto 64M 256M 1G 4G" ;;
	recover) echo "prefix" ;;
	page-size) echo "4K 8K 16K 32K 64K" ;;
	esac
}

# COMPREPLY of candidates for the whole word, of which the shell replaces only what stands behind the
# last "=" where that breaks words.
_vecfs_reply() { # WORD CANDIDATES
	local word=$1 before='' i
	mapfile -t COMPREPLY < <(compgen -W "$2" -- "$word")
	[[ $COMP_WORDBREAKS != *=* || $word != *=* ]] || before=${word%=*}=
	for i in "${!COMPREPLY[@]}"; do
		COMPREPLY[i]=${COMPREPLY[i]#"$before"}
		[[ ${COMPREPLY[i]} != *= ]] || compopt -o nospace 2>/dev/null
	done
}

_vecfs_files() { # WORD [EXTENSIONS]
	local file
	COMPREPLY=()
	compopt -o filenames 2>/dev/null
	while IFS= read -r file; do
		if [ -z "${2-}" ] || [ -d "$file" ] || [[ " $2 " == *" .${file##*.} "* ]]; then
			COMPREPLY+=("$file")
		fi
	done < <(compgen -f -- "$1")
}

_vecfs_directories() { # WORD
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -d -- "$1")
}

# One option of a list, "name" or "name=" or "name=value", behind what stands before it in the word.
_vecfs_option() { # WORD BEFORE NAMES
	local rest=${1#"$2"} value candidates=()
	if [[ $rest == *=* ]]; then
		for value in $(_vecfs_values "${rest%%=*}"); do
			candidates+=("$2${rest%%=*}=$value")
		done
	else
		for value in $3; do
			candidates+=("$2$value")
		done
	fi
	_vecfs_reply "$1" "${candidates[*]}"
}

_vecfs_command() { # COMMAND WORD OPERANDS
	local names=()
	case $1 in
	mkfs) names=(--dim= --metric= --page-size=) ;;
	import) names=(--ids=) ;;
	export) names=(--force) ;;
	compress) names=(--page-size=) ;;
	check) names=(-a -p -y -n -f) ;;
	esac
	if [[ $2 == --ids=* ]]; then
		_vecfs_files "${2#--ids=}"
	elif [[ $2 == --*=* ]]; then
		_vecfs_option "$2" -- ''
	elif [[ $2 == -* ]]; then
		_vecfs_reply "$2" "${names[*]} --help"
	elif [ "$1" = import ] && [ "$3" -gt 0 ]; then
		_vecfs_files "$2" ".fvecs .bvecs .fbin .u8bin .npy"
	else
		_vecfs_files "$2"
	fi
}

_vecfs() {
	local commands="mkfs import export check wal recover compress stat"
	local valued="dim= metric= cache= durability= effort= threads= code-bits= recover="
	local options="$valued ro allow_other default_permissions nofail"
	local words word command='' first=1 operands=0 before i
	read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
	[[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]] || words+=('')
	word=${words[-1]}
	before=${words[-2]-}
	COMPREPLY=()
	case ${words[0]##*/} in
	mkfs.vecfs) command=mkfs ;;
	fsck.vecfs) command=check ;;
	*)
		if [ ${#words[@]} -gt 2 ] && [[ " $commands " == *" ${words[1]} "* ]]; then
			command=${words[1]}
			first=2
		fi
		;;
	esac
	for ((i = first; i < ${#words[@]} - 1; i++)); do
		[[ ${words[i]} == -* || ${words[i - 1]} == -o ]] || operands=$((operands + 1))
	done
	if [ -n "$command" ]; then
		_vecfs_command "$command" "$word" "$operands"
	elif [ "$before" = -o ]; then
		if [[ $word == *,* ]]; then
			_vecfs_option "$word" "${word%,*}," "$options"
		else
			_vecfs_option "$word" '' "$options"
		fi
	elif [[ $word == --*=* ]]; then
		_vecfs_option "$word" -- ''
	elif [[ $word == -* ]]; then
		# shellcheck disable=SC2086 # words
		_vecfs_reply "$word" "-f -d -s -o $(printf -- '--%s ' $valued) --ro --help --version"
	elif [ "$operands" -eq 0 ]; then
		_vecfs_files "$word"
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$commands" -- "$word")
	elif [ "$operands" -eq 1 ]; then
		_vecfs_directories "$word"
	fi
}

complete -o default -F _vecfs vecfs mkfs.vecfs fsck.vecfs
