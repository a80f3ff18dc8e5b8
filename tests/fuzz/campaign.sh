#!/bin/sh
# Fuzzing for some minutes: programs for four fifths of the time, the ABI for a tenth, then the corpus against the reference.
# Usage: tests/fuzz/campaign.sh PYTHON MINUTES
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$1 seconds=$(($2 * 60)) out=$root/build/fuzz
cd "$root"
OUT=$out tests/fuzz/build.sh
mkdir -p "$out/corpus" "$out/corpus_abi" "$out/found"
common="-print_final_stats=1 -artifact_prefix=$out/found/ -verbosity=0"
# shellcheck disable=SC2086
"$out/fuzz_program" "$out/corpus" tests/fuzz/seeds tests/fuzz/found $common -max_len=16384 -max_total_time=$((seconds * 8 / 10))
# shellcheck disable=SC2086
"$out/fuzz_abi" "$out/corpus_abi" $common -max_len=600 -max_total_time=$((seconds / 10))
"$python" -m tests.fuzz.replay "$out/corpus" tests/fuzz/found --limit $((seconds * 10)) --generated $((seconds * 5))
