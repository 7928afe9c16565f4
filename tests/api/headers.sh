#!/bin/sh
# Each public header compiles alone, in every language that may include it, without a warning.
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

for path in "$include"/weft/*.h; do
    header=${path##*/}
    for standard in c11 gnu11 c17 gnu17; do
        try "$cc" c "$standard" "$header"
    done
    [ -z "$cxx" ] || try "$cxx" c++ c++17 "$header"
done
[ -n "$cxx" ] || echo "no C++ compiler: not tried as C++17"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
