#!/bin/sh
# Each public header compiles alone, in every language that may include it, without a warning; and weft_go takes an
# argument of the type that its body has, and no other.
# Usage: headers.sh INCLUDE_DIR CC [CXX]
set -eu
include=$1 cc=$2 cxx=${3:-}
passed=0 failed=0

try() { # compiler language standard header
    if printf '#include <weft/%s>\n#include <weft/%s>\nint weft_api_unused;\n' "$4" "$4" |
        "$1" -x "$2" -std="$3" -Wall -Wextra -Wpedantic -Werror -I "$include" -fsyntax-only -; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: <weft/$4> as $3"
    fi
}

try_go() { # compiler language standard expected: 0 compiles, 1 does not; type of the argument
    status=0
    printf '#include <weft/task.h>\n%s\nWEFT_TASK(body, struct job) { return arg->n; }\n%s { return %s; }\n' \
        'struct job { int n; }; struct other { int n, m; };' "int start(weft_scope *s, $5 *job)" 'weft_go(s, body, job)' |
        "$1" -x "$2" -std="$3" -Wall -Wextra -Wpedantic -Werror -I "$include" -fsyntax-only - 2>/dev/null || status=1
    if [ "$status" -eq "$4" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: weft_go as $3 of $5"
    fi
}

for path in "$include"/weft/*.h; do
    header=${path##*/}
    for standard in c11 gnu11 c17 gnu17; do
        try "$cc" c "$standard" "$header"
    done
    [ -z "$cxx" ] || try "$cxx" c++ c++17 "$header"
done
try_go "$cc" c c11 0 'struct job'
try_go "$cc" c c11 1 'struct other'
if [ -n "$cxx" ]; then
    try_go "$cxx" c++ c++17 0 'struct job'
    try_go "$cxx" c++ c++17 1 'struct other'
fi
[ -n "$cxx" ] || echo "no C++ compiler: not tried as C++17"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
