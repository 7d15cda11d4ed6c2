#!/usr/bin/env bash
# Feeds hostile bytes to one target: fuzz.sh TARGET, where TARGET.c lies beside this script.
#
# First every input of corpus/TARGET and crashes/TARGET is run once, then libFuzzer goes on from them
# for FUZZ_SECONDS (20). A crash, a report of a sanitizer, a leak, an input that takes 10 s or more
# memory than 1 GiB, is a failure; the input is kept in build/logs and the command that repeats it
# printed.
#
#   FUZZ_SECONDS=N   how long
#   FUZZ_RUNS=N      that many executions instead
#   TORTURE=full     10 million executions for each SEED, from and into build/fuzz/corpus, which grows;
#                    run-tests wants TIMES=100 with it. They are made in slices, and what is done stands
#                    in build/fuzz/TARGET-SEED.count: a run that was stopped goes on with the slice it was in.
#                    TORTURE_END=SECONDS begins no slice after that moment, counted from 1970
#   SEED=N           the course of the mutations (1)
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
shopt -s nullglob
target=$1
program=build/fuzz/tests/fuzz/$target
temp=${TMPDIR:-/tmp}
seed=${SEED:-1}
slice=250000 # executions

if [ ! -x "$program" ]; then
	echo "it is not built: clang, or its fuzzing runtime (libclang-rt-*-dev), is missing"
	exit 77
fi

# Stacks of allocations cost much of the time; who repeats a failure as it is printed gets them.
export ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=2:malloc_context_size=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
unset TSAN_OPTIONS
mkdir -p build/logs
kept=build/logs/fuzz-$target-
options=(-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 -error_exitcode=1 -timeout_exitcode=1
	"-artifact_prefix=$kept")

failed() { # WHAT INPUT...
	echo "checked: ${executions:-0} fuzz executions of $target, 1 failed"
	echo "$1; again:"
	shift
	for input in "$@"; do
		echo "  make fuzz-build && $program $input"
	done
	exit 1
}

inputs=(tests/fuzz/corpus/"$target"/* tests/fuzz/crashes/"$target"/*)
executions=${#inputs[@]}
if [ "$executions" -gt 0 ]; then
	log=$temp/replay
	if ! "$program" "${options[@]}" "${inputs[@]}" >"$log" 2>&1; then
		tail -n 100 "$log"
		failed "an input that is kept fails" "$(sed -n 's/^Running: //p' "$log" | tail -n 1)"
	fi
fi

length=$(sed -n '1,30s/.*max_len: \([0-9][0-9]*\).*/\1/p' "tests/fuzz/$target.c" | head -n 1)
options+=("-max_len=${length:-4096}" -print_final_stats=1 -reload=0 -entropic=0 -len_control=0)
grown=$temp/grown
[ "${TORTURE:-ci}" != full ] || grown=build/fuzz/corpus/$target
mkdir -p "$grown"
folders=("$grown")
for folder in "tests/fuzz/corpus/$target" "tests/fuzz/crashes/$target"; do
	[ ! -d "$folder" ] || folders+=("$folder")
done

log=$temp/log
stat_of() { sed -n "s/^stat::$1: *//p" "$log"; }

go_on() { # OPTION...: fuzzes; sets count
	local status
	"$program" "${options[@]}" "$@" "${folders[@]}" >"$log" 2>&1
	status=$?
	count=$(stat_of number_of_executed_units)
	executions=$((executions + ${count:-0}))
	if [ "$status" -ne 0 ]; then
		tail -n 150 "$log"
		failed "the fuzzer ended with status $status" "$kept"{crash,leak,timeout,oom,slow-unit}-*
	fi
	grep -E 'INITED|DONE' "$log"
	echo "$(stat_of average_exec_per_sec) executions/s, at most $(stat_of peak_rss_mb) MiB"
}

if [ "${TORTURE:-ci}" = full ]; then
	all=${FUZZ_RUNS:-10000000}
	counted=build/fuzz/$target-$seed.count
	done=$(cat "$counted" 2>/dev/null)
	done=${done:-0}
	executions=$((executions + done))
	while [ "$done" -lt "$all" ]; do
		if [ "$(date +%s)" -ge "${TORTURE_END:-9999999999}" ]; then
			echo "checked: $executions fuzz executions of $target, 0 failed"
			echo "the time is over; it goes on from here"
			exit 77
		fi
		go_on "-runs=$slice" "-seed=$((seed * 1000 + done / slice))"
		done=$((done + count))
		echo "$done" >"$counted"
	done
elif [ -n "${FUZZ_RUNS:-}" ]; then
	go_on "-runs=$FUZZ_RUNS" "-seed=$seed"
else
	go_on "-max_total_time=${FUZZ_SECONDS:-20}" "-seed=$seed"
fi
echo "checked: $executions fuzz executions of $target, 0 failed"
