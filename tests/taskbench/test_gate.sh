#!/bin/sh
# `taskbench gate`: what is within its budget passes; an allocation, a system call and 3 % of instructions more
# fail, each with its workload and its place; what cannot be compared is never "fine".
# And workloads from shared objects.
# Usage: test_gate.sh TASKBENCH PLANTED.so EXAMPLE.so
taskbench=$1 planted=$2 example=$3
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"
[ -e "$planted" ] || {
    echo "FAIL: no '$planted'"
    exit 1
}

planting() { # PLANT
    WEFT_PLANT=$1
    export WEFT_PLANT
}

budgets=$work/budgets.json

# --- what cannot be read ---
try "no budgets" 2 gate
has err "--budgets"
lines err 1
try "no such file" 2 gate --budgets "$work/none.json"
has err "cannot read"
lines err 1
echo '{"schema": "something/1"}' >"$work/other.json"
try "another schema" 2 gate --budgets "$work/other.json"
has err "its schema is 'something/1'"
lines err 1
echo '{"schema": "weft.taskbench.budgets/1", "rows": [' >"$work/cut.json"
try "half a file" 2 gate --budgets "$work/cut.json"
has err "is not JSON"
lines err 1
echo '{"schema": "weft.taskbench.budgets/1", "rows": [{"workload": "frobnicate"}]}' >"$work/unknown.json"
try "an unknown workload" 2 gate --budgets "$work/unknown.json"
has err "there is no workload 'frobnicate' (if it is of a shared object, name that too: ./mine.so)"
echo '{"schema": "weft.taskbench.budgets/1", "rows": []}' >"$work/empty.json"
try "nothing compared is not fine" 3 gate --budgets "$work/empty.json"
has out "0 figures compared"
echo '{"schema": "weft.taskbench.budgets/1", "rows": [{"workload": "spawn", "limits": {}}]}' >"$work/blank.json"
try "a row without limits compares nothing" 3 gate --budgets "$work/blank.json"
try "list of a shared object" 0 list "$planted"
has out "  planted "
hasnt out "fork-join"
hasnt out "quick set"
try "list of what is none" 2 list planted
has err "list takes shared objects only"
cp "$planted" "$work/here.so"
try "an object without its slash" 2 run here.so
has err "a shared object is named with a slash: ./here.so"
try "a shared object that is none" 2 gate "$work/none.so" --budgets "$budgets"
has err "cannot use"

# --- budgets ---
try "the first budgets" 0 gate "$planted" --budgets "$budgets" --update
cp "$budgets" "$work/out"
has out '"workload": "planted"'
try "as it was" 0 gate "$planted" --budgets "$budgets"
has out "0 exceeded"
counts_allocs=0 counts_calls=0 counts_instructions=0
grep -q '"allocs_per_op"' "$budgets" && counts_allocs=1
grep -q '"syscalls_per_op"' "$budgets" && counts_calls=1
grep -q '"instructions_per_op"' "$budgets" && counts_instructions=1
try "as JSON" 0 gate "$planted" --budgets "$budgets" --format json
has out '"schema": "weft.taskbench.gate/1"'
try "as Markdown, into a file" 0 gate "$planted" --budgets "$budgets" --format md -o "$work/gate.md" --quiet
lines out 0
cp "$work/gate.md" "$work/out"
has out "| planted | 1 |"
try "a file whose name says how" 0 gate "$planted" --budgets "$budgets" -o "$work/gate.md"
has out "0 exceeded"
cp "$work/gate.md" "$work/out"
has out "| planted | 1 |"

# --- planted regressions ---
planting alloc
if [ $counts_allocs -eq 1 ]; then
    try "an allocation more" 1 gate "$planted" --budgets "$budgets"
    has out "FAIL  planted, 1 worker: allocs/op is 1, its budget 0"
    has out "x 112 bytes in planted_alloc (planted.c:"
    has out "task run_op (started in sample, "
    try "an allocation more, as JUnit" 1 gate "$planted" --budgets "$budgets" -o "$work/gate.xml" --quiet
    cp "$work/gate.xml" "$work/out"
    has out 'tests="1" failures="1" skipped="0" time="'
    has out 'name="planted/workers:1" time="'
    has out '<failure message="allocs/op is 1, its budget 0. '
    has out "      2000 x 112 bytes in planted_alloc (planted.c:"
    has out "planted.c:"
fi
planting call
if [ $counts_calls -eq 1 ]; then
    try "a system call more" 1 gate "$planted" --budgets "$budgets"
    has out "FAIL  planted, 1 worker: syscalls/op is 1, its budget 0"
    has out "x getppid in "
fi
planting work
if [ $counts_instructions -eq 1 ]; then
    try "3 % of instructions more" 1 gate "$planted" --budgets "$budgets"
    has out "FAIL  planted, 1 worker: instr/op is "
    has out " in mix"
fi
planting wrong
try "a wrong result" 5 gate "$planted" --budgets "$budgets"
has out "the planted fault"
cp "$budgets" "$work/before.json"
try "a wrong result is no budget" 5 gate "$planted" --budgets "$budgets" --update
if cmp -s "$budgets" "$work/before.json"; then ok; else fail "the budgets were written"; fi
planting ""

# --- what cannot be compared ---
if [ $counts_instructions -eq 1 ]; then
    sed 's/"build": "[^"]*"/"build": "another"/' "$budgets" >"$work/build.json"
    planting work
    try "another compiler's instructions are not compared" 0 gate "$planted" --budgets "$work/build.json"
    has out "taken with another build"
    has err "warning: passed with 1 figure not compared"
    lines err 1
    try "which --strict does not accept" 3 gate "$planted" --budgets "$work/build.json" --strict
    lines err 0
    try "which JUnit says too" 0 gate "$planted" --budgets "$work/build.json" -o "$work/gate.xml" --quiet
    has err "not compared: 1 figure: the budgets were taken with another build"
    has err "warning: passed with 1 figure not compared"
    cp "$work/gate.xml" "$work/out"
    has out "<system-out>instr/op was not compared: the budgets were taken with another build"
    try "and Markdown" 0 gate "$planted" --budgets "$work/build.json" --format md
    has out "- not compared: 1 figure: the budgets were taken with another build"
    planting ""
    mkdir "$work/bin"
    PATH="$work/bin" try "without valgrind" 0 gate "$planted" --budgets "$budgets"
    has out "not compared: 1 figure: valgrind is not installed"
fi

# --- shared objects ---
brief="--workers 1 --reps 5 --seconds 0.01"
# shellcheck disable=SC2086 # several words
{
    try "the example" 0 run "$example" $brief
    has out "cache/mutex"
    has out "cache/rwlock"
    has out "2 measured"
    try "one of its workloads, with a parameter" 0 run "$example" cache/mutex -p tasks=7 $brief --format json
    has out '"tasks": 7'
    hasnt out 'cache/rwlock'
    planting wrong
    try "a wrong result of a shared object" 5 run "$planted" $brief
    has out "the planted fault"
    planting ""
}
echo "int nothing;" >"$work/none.c"
if cc -shared -fPIC -o "$work/none.so" "$work/none.c" 2>"$work/err"; then
    try "a shared object without workloads" 2 run "$work/none.so"
    has err "it defines no WEFT_BENCHES"
    lines err 1
fi

[ $counts_calls -eq 1 ] || echo "note: system calls are not counted here"
finish
