#!/bin/sh
# The library under AddressSanitizer and UndefinedBehaviorSanitizer: tests/runtime and generated cases; under ThreadSanitizer: many threads.
# Usage: tests/fuzz/sanitize.sh PYTHON [CASES [PROCESSES]]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$1 cases=${2:-20000} processes=${3:-2} out=$root/build/sanitized
cd "$root"
mkdir -p "$out"
flags="-std=c11 -D_DEFAULT_SOURCE -g -O1 -Iruntime/include -Iruntime/src"
if ! gcc $flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fvisibility=hidden -fPIC -shared runtime/src/*/*.c -lpthread -o "$out/libre2na.so"; then
  echo "make test-sanitized needs gcc with libasan and libubsan" >&2
  exit 1
fi
gcc $flags -fsanitize=thread runtime/src/*/*.c tests/fuzz/threads.c -lpthread -o "$out/threads"
"$python" -m tests.fuzz.seeds --threads "$out/programs"
TSAN_OPTIONS=halt_on_error=1 "$out/threads" "$out"/programs/*.re2na
# Python itself leaks at exit; leaks of the library are what tests/runtime/test_faulty_memory.py and the fuzz targets look for
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:handle_segv=0 UBSAN_OPTIONS=print_stacktrace=1 RE2NA_SANITIZED=$out/libre2na.so
"$python" -m tests.fuzz.replay --generated "$cases" tests/fuzz/seeds tests/fuzz/found
"$python" -m pytest -q -n "$processes" --dist worksteal -p tests.fuzz.sanitized -p no:cacheprovider tests/runtime --deselect tests/runtime/test_faulty_memory.py --deselect tests/runtime/test_abi.py
