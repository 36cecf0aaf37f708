#!/bin/sh
# sanitize.sh PYTHON [TARGET...]: the compiled parts under the sanitizers; every target if none is named.
# A target is a function at the end of this file, and TARGETS lists it. What is built goes to .cache/sanitize.
set -eu
cd "$(dirname "$0")/.."
TARGETS="codec_alone codec_in_python"
CC=${CC:-cc}
python=$1
shift
out=.cache/sanitize
mkdir -p "$out"
export ASAN_OPTIONS=abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1

# program NAME SANITIZERS SOURCE...: build a C program with the sanitizers; prints where it is.
program() {
    name=$1 sanitizers=$2
    shift 2
    "$CC" -std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize="$sanitizers" -fno-sanitize-recover=all \
        -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Werror -Isrc/hubbub/native -o "$out/$name" "$@" -pthread
    echo "$out/$name"
}

# package SANITIZERS: build the whole package with them, for `in_python` to use.
package() {
    HUBBUB_NATIVE=1 HUBBUB_WERROR=1 HUBBUB_SANITIZE=$1 "$python" setup.py -q build \
        --build-lib "$out/lib" --build-temp "$out/temp" --force >"$out/build.log" 2>&1 || { cat "$out/build.log"; exit 1; }
}

# in_python RUNTIME ARGUMENT...: run pytest on that package. The runtime has to be loaded before Python; Python's own
# allocator hides overflows, so it is left out; and Python itself leaks at its end, so leaks are told by programs only.
in_python() {
    runtime=$("$CC" -print-file-name="$1")
    shift
    env LD_PRELOAD="$runtime" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH="$out/lib" HUBBUB_NATIVE=1 \
        "$python" -m pytest -q -p no:cacheprovider "$@"
}

# The parsers without Python, leaks included.
codec_alone() {
    "$(program codec address,undefined tests/native/codec.c src/hubbub/native/codec.c src/hubbub/native/utf8.c)"
    "$(program head address,undefined tests/native/head.c src/hubbub/native/head.c)"
}

# Its binding, under the tests of both twins.
codec_in_python() {
    package address,undefined
    in_python libasan.so tests/unit/native tests/unit/wire tests/property
}

for target in ${*:-$TARGETS}; do
    echo "=== $target"
    "$target"
done
