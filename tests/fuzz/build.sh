#!/bin/sh
# Builds the fuzz targets, as OSS-Fuzz does: CC, CFLAGS, LIB_FUZZING_ENGINE and OUT come from there, or are what libFuzzer needs.
# Usage: OUT=FOLDER tests/fuzz/build.sh
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${CC:-}" ]; then
  for CC in clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 none; do
    if command -v "$CC" >/dev/null; then break; fi
  done
fi
if [ "$CC" = none ]; then
  echo "fuzzing needs clang with libFuzzer (compiler-rt): none was found; CC=... names one" >&2
  exit 1
fi
: "${OUT:=$root/build/fuzz}"
# comparisons are not traced: the mutator knows the fields, and half the time would go there
: "${CFLAGS:=-g -O2 -fsanitize=address,undefined -fno-sanitize-recover=all -fsanitize-coverage=inline-8bit-counters,pc-table}"
: "${LIB_FUZZING_ENGINE:=-fsanitize=fuzzer,address,undefined}"
objects=$OUT/objects
mkdir -p "$objects"

# Compiles what is older than its source or a header; prints the object.
compile() {
  object=$objects/$(basename "$(dirname "$1")")_$(basename "$1" .c).o
  newer=$(find "$1" "$root"/runtime/include "$root"/runtime/src/*/*.h "$root"/tests/fuzz/*.h "$0" -newer "$object" 2>/dev/null || true)
  if [ ! -e "$object" ] || [ -n "$newer" ]; then
    # shellcheck disable=SC2086
    $CC $CFLAGS -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror=incompatible-pointer-types -I"$root/runtime/include" -I"$root/runtime/src" -c "$1" -o "$object" >&2
  fi
  echo "$object"
}

shared=
for file in "$root"/runtime/src/*/*.c "$root"/tests/fuzz/parts.c "$root"/tests/fuzz/repair.c "$root"/tests/fuzz/mutate.c; do
  shared="$shared $(compile "$file")"
done
for target in fuzz_program fuzz_abi; do
  # shellcheck disable=SC2086
  ${CXX:-$CC} $shared "$(compile "$root/tests/fuzz/$target.c")" $LIB_FUZZING_ENGINE -lpthread -o "$OUT/$target"
done
if command -v zip >/dev/null; then zip -qj "$OUT/fuzz_program_seed_corpus.zip" "$root"/tests/fuzz/seeds/*; fi
