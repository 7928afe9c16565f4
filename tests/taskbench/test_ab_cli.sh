#!/bin/sh
# `taskbench ab`, `calibrate`: two builds in turn. What depends on the machine's mood is asked with margins that no mood
# reaches: ten times as slow is something, and a build is never ten times as slow as itself.
# Usage: test_ab_cli.sh TASKBENCH PLANTED.so EXAMPLE.so
set -u
exec 3>&- 4>&- # of whoever runs this: taskbench would take them for its own
taskbench=$1 planted=$2
[ -x "$taskbench" ] && [ -e "$planted" ] || {
    echo "FAIL: no program '$taskbench' or no '$planted'"
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
export LC_ALL=C NO_COLOR=1
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

has() { # FILE TEXT
    if grep -qF -- "$2" "$work/$1"; then ok; else fail "$what: no '$2' in $1"; fi
}

lines() { # FILE NUMBER
    if [ "$(wc -l <"$work/$1")" -eq "$2" ]; then ok; else fail "$what: not $2 lines in $1"; fi
}

# A build that is the same but for what is planted.
build() { # PLANT
    printf '#!/bin/sh\nWEFT_PLANT=%s exec "%s" "$@"\n' "$1" "$(realpath "$taskbench")" >"$work/$1"
    chmod +x "$work/$1"
}
build alloc
build huge
build wrong
printf '#!/bin/sh\nexit 0\n' >"$work/other"
chmod +x "$work/other"

# --- what cannot be ---
try "no builds" 2 ab
has err "BASE and CAND"
lines err 1
try "a build that is not there" 2 ab "$taskbench" "$work/none" fib
has err "cannot run '$work/none'"
lines err 1
try "an unknown workload" 2 ab "$taskbench" "$taskbench" fbi
has err "did you mean 'fib'?"
try "a threshold that is none" 2 ab "$taskbench" "$taskbench" fib --threshold fast
has err "--threshold is a part of the time"
try "no such option" 2 ab "$taskbench" "$taskbench" fib --reps 3
has err "unknown option '--reps'"
try "a form that there is not" 2 ab "$taskbench" "$taskbench" fib --format bmf
has err "ab reports as"
try "floors that are none" 2 ab "$taskbench" "$taskbench" fib --floors "$work/other"
has err "is not JSON"
lines err 1

# --- measuring, briefly ---
brief="--workers 1 --restarts 6 --pairs 3"
# shellcheck disable=SC2086 # several words
{
    try "a build against itself" 0 ab "$taskbench" "$taskbench" "$planted" $brief --threshold 900%
    has out "planted "
    has out "0 slower"
    try "ten times as slow" 1 ab "$taskbench" "$work/huge" "$planted" $brief --threshold time=50%
    has out "SLOWER"
    has out "FAIL  planted, 1w: slower by"
    has out "confirmed by a second round"
    try "ten times as fast" 0 ab "$work/huge" "$taskbench" "$planted" $brief --threshold 50% --format json
    has out '"verdict": "faster"'
    try "a wrong result" 5 ab "$taskbench" "$work/wrong" "$planted" $brief
    has out "candidate: the planted fault"
    try "something else than taskbench" 5 ab "$taskbench" "$work/other" "$planted" $brief
    has out "candidate: ended without an answer"
    try "too few restarts for a verdict" 4 ab "$taskbench" "$taskbench" "$planted" --restarts 1 --pairs 1 --strict
    has out "unclear"
    if "$taskbench" run spawn $brief --reps 5 2>/dev/null | grep -q "no jemalloc"; then
        echo "note: allocations are not counted here"
    elif "$taskbench" run --workers 1 --reps 5 --seconds 0.01 spawn --assert-allocs 0 >/dev/null 2>&1; then
        try "an allocation more" 1 ab "$taskbench" "$work/alloc" "$planted" $brief --threshold 900%
        has out "FAIL  planted, 1w: allocs/op 0 -> 1, bytes/op 0 -> 112"
    fi
    try "calibrate" 0 calibrate "$planted" $brief --floors "$work/floors.json"
    has out "planted "
    cp "$work/floors.json" "$work/out"
    has out '"schema": "weft.taskbench.floors/1"'
    sed -i 's/"floor": [0-9.e-]*/"floor": 0.5/' "$work/floors.json"
    try "a threshold below the floor" 2 ab "$taskbench" "$taskbench" "$planted" --floors "$work/floors.json" --threshold 10%
    has err "means nothing for planted with 1 workers: it differs from itself by 50 %"
    lines err 1
    sed -i 's/"machine": "[^"]*"/"machine": "another"/' "$work/floors.json"
    try "another machine's floors" 2 ab "$taskbench" "$taskbench" "$planted" --floors "$work/floors.json"
    has err "is of another machine"
}

what="a comparison that is interrupted shows what it has"
"$taskbench" ab "$taskbench" "$taskbench" "$planted" --restarts 40 --pairs 100 >"$work/out" 2>"$work/err" &
run=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do # until it measures, or has had 10 s
    # shellcheck disable=SC2013 # words are what is wanted
    for child in $(cat "/proc/$run/task/$run/children" 2>/dev/null); do
        tr '\0' ' ' <"/proc/$child/cmdline" 2>/dev/null | grep -q "^taskbench paced" && break 2
    done
    sleep 0.5
done
kill -INT $run
wait $run
got=$?
if [ $got -eq 130 ]; then ok; else fail "$what: exit $got"; fi
has out "interrupted"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
