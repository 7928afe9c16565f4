#!/bin/sh
# A C++ exception that leaves a task's body ends the process, also where a handler of another task is further up on the
# same stack; one that is caught inside does not.
# Usage: throws.sh SOURCE.cpp INCLUDE_DIR LIBWEFT.SO CXX
set -eu
source=$1 include=$2 library=$3 cxx=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

"$cxx" -std=c++17 -Wall -Wextra -Werror -I "$include" -o "$work/throws" "$source" "$library" \
    -Wl,-rpath,"$(dirname "$library")"

expect() { # case, exit status, text on stderr
    status=0
    "$work/throws" "$1" 2>"$work/stderr" || status=$?
    if [ "$status" -eq "$2" ] && { [ -z "$3" ] || grep -qF "$3" "$work/stderr"; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: $1: status $status, expected $2; stderr:"
        cat "$work/stderr"
    fi
}

# 134: 128 + SIGABRT
expect uncaught 134 "terminate called after throwing"
expect above 134 "an exception left the body of a task (task throw_it)"
expect callback 134 "an exception left a callback"
expect loop 134 "an exception left a callback"
expect once 134 "an exception left a callback"
expect misuse 134 "an exception left a callback"
expect hook 134 "terminate called after throwing" # no handler above it: it ends where it was thrown
expect inside 0 ""
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
