#!/bin/sh
# `taskbench ab`, `calibrate`: two builds in turn. What depends on the machine's mood is asked with margins that no mood
# reaches: ten times as slow is something, and a build is never ten times as slow as itself.
# Usage: test_ab_cli.sh TASKBENCH PLANTED.so
taskbench=$1 planted=$2
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"
[ -e "$planted" ] || {
    echo "FAIL: no '$planted'"
    exit 1
}

# A build that is the same but for what is planted.
build() { # PLANT
    printf '#!/bin/sh\nWEFT_PLANT=%s exec "%s" "$@"\n' "$1" "$(realpath "$taskbench")" >"$work/$1"
    chmod +x "$work/$1"
}
build alloc
build call
build work
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

try "floors of too few restarts" 2 calibrate fib --restarts 5 --floors "$work/few.json"
has err "6 restarts at least"
lines err 1
try "an object and a build" 2 ab "$planted" "$taskbench"
has err "two builds of taskbench, or two of a shared object"
lines err 1
try "an object that is not there" 2 ab "$planted" "$work/none.so"
has err "cannot use '$work/none.so'"
lines err 1

# --- measuring, briefly ---
brief="--workers 1 --restarts 6 --pairs 3 --no-exact"
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
    cp "$planted" "$work/planted-wrong.so"
    try "an object with a wrong result" 5 ab "$planted" "$work/planted-wrong.so" $brief
    has out "candidate: the planted fault"
    try "a wrong result" 5 ab "$taskbench" "$work/wrong" "$planted" $brief
    has out "candidate: the planted fault"
    hasnt out "counted"
    try "something else than taskbench" 5 ab "$taskbench" "$work/other" "$planted" $brief
    has out "candidate: ended without an answer"
    try "too few restarts for a verdict" 4 ab "$taskbench" "$taskbench" "$planted" --restarts 1 --pairs 1 --strict
    has out "unclear"
    try "calibrate" 0 calibrate "$planted" --workers 1 --restarts 6 --pairs 3 --floors "$work/floors.json"
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

# --- counting ---
# more PLANT METRIC TEXT...: the build with the plant has more of the metric, and a line has each text.
more() {
    plant=$1 metric=$2
    shift 2
    if grep -A 6 "\"$metric\"" "$work/itself" | grep -q '"is": "unknown"'; then
        echo "note: $metric is not counted here"
        return
    fi
    try "more of $metric" 1 ab "$taskbench" "$work/$plant" "$planted" --exact
    for text in "$@"; do
        has out "$text"
    done
}
try "a build against itself, counted" 0 ab "$taskbench" "$taskbench" "$planted" --exact --format json -o "$work/itself"
has out "0 of 1 rows cost more by count"
hasnt out "timed"
try "its report" 0 report "$work/itself" -o "$work/itself.html"
cp "$work/itself.html" "$work/out"
has out "<th>instr/op</th>"
hasnt out 'class="n more"'
hasnt out '<ul class="places">'
cp "$planted" "$work/planted-alloc.so"
if ! grep -A 6 '"allocs_per_op"' "$work/itself" | grep -q '"is": "unknown"'; then
    try "an object that allocates more" 1 ab "$planted" "$work/planted-alloc.so" planted --exact --threshold instructions=1%
    has out "FAIL  planted, 1w: allocs/op 0 -> 1"
    grep -A 6 '"instructions_per_op"' "$work/itself" | grep -q '"is": "unknown"' || has out "FAIL  planted, 1w: instr/op"
fi
more alloc allocs_per_op "FAIL  planted, 1w: allocs/op 0 -> 1" "x 112 bytes in planted_alloc (planted.c:"
"$taskbench" ab "$taskbench" "$work/alloc" "$planted" --exact --quiet -o "$work/alloc.json"
try "the report of an allocation more" 0 report "$work/alloc.json" -o "$work/alloc.html"
cp "$work/alloc.html" "$work/out"
grep -q '"is": "more"' "$work/alloc.json" && {
    has out '<b>1 of 1 rows cost more by count; 0 slower, 0 unclear</b>'
    has out '<td class="n more">0 → 1</td>'
    has out '<ul class="places">'
    has out "<li>planted 1w, allocs/op: "
    has out "x 112 bytes in planted_alloc (planted.c:"
}
more call syscalls_per_op "FAIL  planted, 1w: syscalls/op 0 -> 1" "x getppid in "
more work instructions_per_op "FAIL  planted, 1w: instr/op " " in mix"
try "a wrong result, counted" 5 ab "$taskbench" "$work/wrong" "$planted" --exact
has out "candidate: the planted fault"
try "something else, counted" 5 ab "$taskbench" "$work/other" "$planted" --exact
has out "ended with exit code 0"
printf '#!/bin/sh\nexit 2\n' >"$work/older"
chmod +x "$work/older"
try "a build that does not know how" 3 ab "$work/older" "$taskbench" "$planted" --exact
has out "this build is of another version"
try "nothing to do" 2 ab "$taskbench" "$taskbench" "$planted" --exact --no-exact
has err "nothing is left"
lines err 1

what="a comparison that is interrupted shows what it has"
"$taskbench" ab "$taskbench" "$taskbench" "$planted" --no-exact --restarts 40 --pairs 100 >"$work/out" 2>"$work/err" &
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

finish
