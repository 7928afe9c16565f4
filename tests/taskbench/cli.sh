# What the tests of taskbench's command line begin with; read by them, not run. They have set $taskbench, and have a
# $work folder from here on, which goes when they end.
set -u
exec 3>&- 4>&- # of whoever runs this: taskbench would take them for its own

[ -x "$taskbench" ] || {
    echo "FAIL: no program '$taskbench'"
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
export LC_ALL=C NO_COLOR=1
export TMPDIR="$work" ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # none under ptrace
unset WEFT_IO TASKBENCH_LOADS WEFT_PLANT

ok() { passed=$((passed + 1)); }

fail() {
    failed=$((failed + 1))
    echo "FAIL: $1"
    sed 's/^/    out: /' "$work/out"
    sed 's/^/    err: /' "$work/err"
}

# try WHAT EXIT ARGUMENT...: runs it, keeps its output in $work/out and $work/err.
try() {
    what=$1 want=$2
    shift 2
    "$taskbench" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" -eq "$want" ]; then ok; else fail "$what: exit $got, not $want"; fi
}

# has FILE TEXT: a line of out or err contains it.
has() {
    if grep -qF -- "$2" "$work/$1"; then ok; else fail "$what: no '$2' in $1"; fi
}

# hasnt FILE TEXT: none does.
hasnt() {
    if grep -qF -- "$2" "$work/$1"; then fail "$what: '$2' in $1"; else ok; fi
}

lines() { # FILE NUMBER
    if [ "$(wc -l <"$work/$1")" -eq "$2" ]; then ok; else fail "$what: not $2 lines in $1"; fi
}

# The last line of a test.
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
