#!/bin/sh
# sanitize.sh PYTHON [TARGET...]: the compiled parts under the sanitizers; every target if none is named.
# A target is a function at the end of this file, and TARGETS lists it. What is built goes to .cache/sanitize.
# SECONDS_EACH is how long those go on that hammer: a few seconds if left out, minutes to be sure.
set -eu
cd "$(dirname "$0")/.."
TARGETS="codec_alone codec_in_python fanout_races fanout_memory fanout_in_python sessions_in_python"
CC=${CC:-cc}
SECONDS_EACH=${SECONDS_EACH:-3}
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
    "$(program head address,undefined tests/native/head.c src/hubbub/native/head.c src/hubbub/native/accept.c)"
}

# Its binding, under the tests of both twins.
codec_in_python() {
    package address,undefined
    in_python libasan.so tests/unit/native tests/unit/wire tests/property
}

# fanout NAME SANITIZERS SOURCE...: a program over the fan-out's core.
fanout() {
    name=$1 sanitizers=$2
    shift 2
    core=
    for part in frame counts backlog outlet notices poller shard batch turn writers; do
        core="$core src/hubbub/native/$part.c"
    done
    program "$name" "$sanitizers" -D_GNU_SOURCE -Wno-shadow "$@" $core
}

# The fan-out hammered without Python, for data races and for locks taken in the wrong order.
fanout_races() {
    "$(fanout threadless_races thread tests/native/threadless.c)"
    "$(fanout stress_races thread tests/native/stress.c tests/native/world.c tests/native/peer.c)" "$SECONDS_EACH"
}

# And for misuse of memory, leaks included.
fanout_memory() {
    "$(fanout threadless_memory address,undefined tests/native/threadless.c)"
    "$(fanout stress_memory address,undefined tests/native/stress.c tests/native/world.c tests/native/peer.c)" "$SECONDS_EACH"
}

# The bindings: hubs and channels, sockets read, plainly and over TLS, and a server hammered from many threads.
fanout_in_python() {
    package address,undefined
    HAMMER_SECONDS=$SECONDS_EACH in_python libasan.so tests/unit/hub tests/property/test_backlog_twins.py \
        tests/unit/native/test_reactor.py tests/integration/test_channels.py tests/integration/test_hammer.py \
        tests/attack/test_tls*.py tests/integration/test_tls.py
}

# Servers of sessions: what clients say to them, whatever it is, and those that are slow, cut and come back.
sessions_in_python() {
    package address,undefined
    in_python libasan.so tests/property/test_realtime_commands.py tests/integration/realtime/test_recovery.py \
        tests/integration/realtime/test_slow.py tests/integration/realtime/test_unsteady_clients.py \
        tests/attack/test_sessions.py -k 'not floods and not memory'
}

for target in ${*:-$TARGETS}; do
    echo "=== $target"
    "$target"
done
