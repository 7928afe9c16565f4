#!/bin/sh
# Installs a build into a scratch folder and uses it the way a user's project would: by find_package, shared and
# static, and by pkg-config, shared and static.
# Usage: run.sh BUILD_DIR CMAKE CC
set -eu
build=$1 cmake=$2 CC=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
export CC

try() { # what command...
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "PASS: $what"
    else
        failed=$((failed + 1))
        echo "FAIL: $what"
        cat "$work/log"
    fi
}

with_pkg_config() { # output flags...
    output=$1
    shift
    # shellcheck disable=SC2046 # the flags are words
    "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror "$here/main.c" -o "$output" $(pkg-config --cflags weft) "$@" && "$output"
}

try "install" "$cmake" --install "$build" --prefix "$work/prefix"
try "find_package: configure" "$cmake" -G Ninja -S "$here" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/prefix"
try "find_package: build" "$cmake" --build "$work/consumer"
try "find_package: run with the shared library" "$work/consumer/consumer_shared"
try "find_package: run with the static library" "$work/consumer/consumer_static"
try "find_package: run with the library that looks for held mutexes" "$work/consumer/consumer_debug"

for with_tls in "$work"/consumer/consumer_tls*; do
    [ ! -x "$with_tls" ] || try "find_package: run ${with_tls##*/}" "$with_tls"
done

try "taskbench and its manual" test -x "$work/prefix/bin/taskbench" -a -s "$work/prefix/share/man/man1/taskbench.1"
try "taskbench runs" "$work/prefix/bin/taskbench" run val --workers 1 --seconds 0.01

pc=$(find "$work/prefix" -name weft.pc)
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
try "pkg-config: shared" with_pkg_config "$work/shared" $(pkg-config --libs weft) "-Wl,-rpath,$libdir"
# -l:libweft.a: the archive of weft, but libc and liburing as they come.
# shellcheck disable=SC2046
try "pkg-config: static" with_pkg_config "$work/static" \
    $(pkg-config --libs --static weft | sed 's/-lweft/-l:libweft.a/')

# Where the library was built with valgrind's header it chooses the driver that valgrind can run.
if command -v valgrind >/dev/null && printf '#include <valgrind/valgrind.h>\n' | "$CC" -E - >/dev/null 2>&1; then
    try "under valgrind" timeout 120 valgrind -q --error-exitcode=1 "$work/static"
fi

if pkg-config --exists weft_tls; then
    # shellcheck disable=SC2046
    try "pkg-config: weft_tls" "$CC" "$here/tls.c" -o "$work/tls" $(pkg-config --cflags --libs weft_tls) \
        "-Wl,-rpath,$libdir"
    try "pkg-config: weft_tls runs" "$work/tls"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
