#!/bin/sh
# The shared library exports weft_* and nothing else, and every function that the public headers declare.
# Usage: symbols.sh LIBWEFT.SO INCLUDE_DIR NM CC
set -eu
library=$1 include=$2 nm=$3 cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# Kind A is the version's own name (WEFT_0.1).
"$nm" -D --defined-only "$library" >"$work/nm"
awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' "$work/nm" | sort >"$work/exported"
if grep -v '^weft_' "$work/exported" >"$work/stray"; then
    sed 's/^/FAIL: exported, but not weft_*: /' "$work/stray"
    failed=$((failed + $(wc -l <"$work/stray")))
else
    passed=$((passed + 1))
fi

# gcc lists what a header declares; clang has no such option.
for path in "$include"/weft/*.h; do
    echo "#include <weft/${path##*/}>"
done >"$work/all.c"
if "$cc" -fsyntax-only -I "$include" -aux-info "$work/declared.X" "$work/all.c" 2>/dev/null &&
    [ -s "$work/declared.X" ]; then
    grep -F "$include/weft/" "$work/declared.X" | grep -v ' \*/ static ' |
        # "weft_x (*" is a return type.
        awk 'match($0, /weft_[a-z0-9_]+ \([^*]/) { print substr($0, RSTART, RLENGTH - 3) }' |
        sort -u >"$work/declared"
    comm -23 "$work/declared" "$work/exported" | sed 's/^/FAIL: declared, but not exported: /' >"$work/missing"
    cat "$work/missing"
    failed=$((failed + $(wc -l <"$work/missing")))
    passed=$((passed + $(wc -l <"$work/declared") - $(wc -l <"$work/missing")))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
