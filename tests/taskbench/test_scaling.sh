#!/bin/sh
# `taskbench scaling`: one worker against more. What depends on the machine's mood is asked with margins that no mood reaches.
# Usage: test_scaling.sh TASKBENCH PLANTED.so
taskbench=$1 planted=$2
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"

try "an unknown workload" 2 scaling nonsense
has err "unknown workload"
try "no such option" 2 scaling val --floors x
has err "unknown option '--floors'"
try "a form that there is not" 2 scaling val --format bmf
has err "scaling reports as"
try "help" 0 scaling --help
has out "slower on more workers than on one"

brief="--restarts 6 --pairs 3 --no-pin"
# shellcheck disable=SC2086 # several words
{
    try "one that does not care, of one's own" 0 scaling "$planted" $brief --threshold 900%
    has out "base this build, 1w"
    has out "planted        2"
    has out " same"
    hasnt out "counted"
    export WEFT_PLANT=crowded
    try "slower on two" 1 scaling "$planted" $brief --threshold 100% --format junit
    has out 'testsuite name="taskbench scaling" tests="1" failures="1"'
    try "as JSON, by the file's ending" 1 scaling "$planted" $brief --threshold 100% -o "$work/scaling.json"
    has out "SLOWER"
    cp "$work/scaling.json" "$work/out"
    has out '"command": "scaling"'
    has out '"base_workers": 1'
    has out '"verdict": "slower"'
    unset WEFT_PLANT
    try "as a report" 0 report "$work/scaling.json" -o "$work/scaling.html"
    cp "$work/scaling.html" "$work/out"
    has out "More workers against one"
}

finish
