#!/bin/sh
# The command line of taskbench as a user meets it: output, exit codes, what happens when something goes wrong.
# Usage: test_cli.sh TASKBENCH
taskbench=$1
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"

# --- without measuring ---
try "--version" 0 --version
has out "taskbench 0."
try "no command is help" 0
has out "usage: taskbench COMMAND"
try "help run" 0 help run
has out "--assert-allocs"
try "list" 0 list
has out "fork-join"
has out "  yield/1000"

# narrow WHAT: what was printed fits 80 columns. Names of files may be as long as they are.
narrow() {
    if awk 'length > 80 { print "    too wide: " $0; bad = 1 } END { exit bad }' "$work/out"; then ok; else fail "$1"; fi
}
narrow "list"
try "help" 0 help
narrow "help"
for command in $(sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' "$work/out"); do
    try "help $command" 0 help "$command"
    narrow "help $command"
    cp "$work/out" "$work/help"
    try "$command --help is help $command" 0 "$command" --help
    if cmp -s "$work/out" "$work/help"; then ok; else fail "$what"; fi
done
"$taskbench" doctor >"$work/out" 2>"$work/err" </dev/null
narrow "doctor"

try "unknown command" 2 rnu
has err "unknown command 'rnu' (did you mean 'run'?)"
try "unknown workload" 2 run fbi
has err "unknown workload 'fbi' (did you mean 'fib'?)"
lines err 1
try "unknown option" 2 run --wrokers 2
has err "did you mean '--workers'?"
try "bad value" 2 run --reps none
has err "--reps is a number"
try "bad parameter" 2 run go -p taks=1
has err "did you mean 'tasks'?"
try "cannot write" 2 run fib -o "$work/none/x.json"
has err "cannot write"
try "internal command" 2 agent
has err "for taskbench's own use"

# --- where weft cannot run ---
WEFT_IO=nothing
export WEFT_IO
try "the runtime does not start" 3 run fib
has err "nothing can be measured"
unset WEFT_IO

# --- measuring, briefly ---
brief="--workers 1 --reps 5 --seconds 0.01"
# shellcheck disable=SC2086 # several words
{
    try "a table" 0 run fib spawn $brief
    has out "workload "
    has out "fib "
    has out "2 measured"
    if grep -q "$(printf '\033')" "$work/out"; then fail "escapes with NO_COLOR"; else ok; fi
    try "csv" 0 run spawn $brief --format csv
    lines out 2
    has err "[1/1] spawn, 1 worker:"
    try "quiet" 0 run spawn $brief --format csv --quiet
    lines err 0
    try "markdown" 0 run spawn $brief --format md
    has out "| spawn | 1 |"
    try "json into a file, table on the terminal" 0 run spawn $brief -o "$work/a.json"
    has out "spawn "
    cp "$work/a.json" "$work/out"
    has out '"schema": "weft.taskbench/1"'
    has out '"check": "ok"'
    try "several workers" 0 run spawn --workers 1,2 --reps 5 --format csv
    lines out 3
    try "requests beside those that compute" 0 run net/mixed --workers 2 --reps 1 -p rate=5000 -p long_ms=1
    has out "rescued"
    has out "1 measured"
    try "they need two workers" 3 run net/mixed --workers 1
    has out "needs two workers"
    try "a full disk" 3 run spawn $brief --format csv -o /dev/full
    has err "could not be written"
}

# --- report and history ---
what="a report of what was measured"
rm -f "$work/h.jsonl"
# shellcheck disable=SC2086
{
    try "a line of history" 0 run spawn $brief --history "$work/h.jsonl" --label c1 --quiet
    try "another" 0 run spawn $brief --history "$work/h.jsonl" --label c2 --quiet
    try "a history that cannot be written" 3 run spawn $brief --history "$work/none/h" --quiet
    has err "cannot add to"
}
try "a report" 0 report "$work/a.json" --history "$work/h.jsonl" -o "$work/out.html"
lines err 0
cp "$work/out.html" "$work/out"
has out "spawn 1w"
has out "</html>"
try "to stdout" 0 report "$work/a.json" "$work/a.json" -o -
has out "<!DOCTYPE html>"
try "help report" 0 help report
has out "--history FILE"
try "a report of nothing" 2 report
has err "report needs a result"
try "a report to nowhere" 2 report "$work/a.json"
has err "report needs -o FILE"
try "an option that there is not" 2 report --hsitory x
has err "did you mean '--history'?"
try "a file that is not there" 3 report "$work/none.json" -o "$work/x.html"
has err "cannot read"
lines err 1
printf '{"schema":"weft.taskbench/9"}' >"$work/b.json"
try "another schema" 3 report "$work/a.json" "$work/b.json" -o "$work/x.html"
has err "is of schema 'weft.taskbench/9'"
lines err 1
if [ -e "$work/x.html" ]; then fail "$what: a file in spite of that"; else ok; fi
try "no history" 3 report --history "$work/none" -o "$work/x.html"
has err "cannot read"
try "a place that cannot be written" 2 report "$work/a.json" -o "$work/none/x.html"
has err "cannot write"
try "a full disk" 3 report "$work/a.json" -o /dev/full
has err "could not be written"

# --- net ---
try "requests in a closed loop" 0 net echo http --seconds 1 --connections 4
has out "net/echo"
has out "net/http"
has out "p99.9"
try "and in an open one" 0 net echo --seconds 1 --connections 4 --rate 500 --arrivals poisson -o "$work/n.json"
has out "service p99"
try "a report of them" 0 report "$work/n.json" -o -
has out "Latency"
has out "intended"
try "no kind" 2 net
has err "net needs echo or http"
try "another kind" 2 net smtp
has err "not 'smtp'"
try "no rate" 2 net echo --rate 0
has err "--rate is a whole number from 1"
try "somebody else's machine" 2 net echo --connect 192.0.2.1:80
has err "an address of loopback"
try "nobody there" 3 net echo --connect 127.0.0.1:1 --seconds 0.2
has out "no connection number 1"
try "not for people" 2 serve echo 1 64
has err "for taskbench's own use"

# --- io and metg ---
small="--seconds 0.5 --size 1m --depth 4"
# shellcheck disable=SC2086
{
    try "blocks of a file" 0 io randread seqread seqwrite $small
    has out "io/randread"
    has out "io/seqwrite"
    try "a file that is made" 0 io seqwrite $small --file "$work/made"
    if [ -e "$work/made" ]; then fail "$what: it is still there"; else ok; fi
    head -c 100000 /dev/zero >"$work/mine"
    try "a file that is there is read" 0 io seqread $small --file "$work/mine"
    try "and not written" 3 io seqwrite $small --file "$work/mine"
    has out "is there already"
    if [ "$(head -c 100000 /dev/zero | cksum)" = "$(cksum <"$work/mine")" ]; then ok; else fail "$what: it has changed"; fi
    if command -v fio >/dev/null; then
        try "beside fio" 0 io seqwrite $small --vs-fio
        has out "fio p99"
    fi
    PATH_KEPT=$PATH
    PATH=$work/none
    try "without fio" 3 io randread $small --vs-fio
    PATH=$PATH_KEPT
    has err "fio, which is not installed"
}
try "another kind of block" 2 io randwrite
has err "not 'randwrite'"
try "half a sector" 2 io randread --bs 1000
has err "--bs is a multiple of 512"
try "another kind of what waits" 2 mem thread
has err "mem knows timer, frame, fiber, conn, conn-frame and conn-serve, not 'thread'"
try "too few of them" 2 mem --max 5
try "another pattern" 2 metg stencil
has err "metg has no pattern 'stencil'"
what="the smallest task" # on a busy machine the sweep may be refused: then nothing was measured
"$taskbench" metg no_comm --reps 2 --steps 100 -o "$work/m.json" >"$work/out" 2>"$work/err"
got=$?
if [ $got -eq 0 ] || [ $got -eq 3 ]; then ok; else fail "$what: exit $got"; fi
has out "metg/no_comm"

# --- what this machine is ---
try "doctor" 0 doctor
has out "io_uring"
has out "callgrind"
try "doctor takes nothing" 2 doctor now
lines err 1

# --- stored results ---
# shellcheck disable=SC2086
try "a result" 0 run spawn go --workers 1 --reps 6 --seconds 0.01 -o "$work/old.json" --quiet
try "a result against itself" 0 compare "$work/old.json" "$work/old.json"
has out "2 rows: "
has out "2 timed"
has out "0 slower"
sed 's/"key": "[^"]*"/"key": "another"/' "$work/old.json" >"$work/far.json"
sed 's/"allocs_per_op": [0-9.e-]*/"allocs_per_op": 7/' "$work/old.json" >"$work/more.json"
if grep -q '"allocs_per_op"' "$work/old.json"; then
    try "another machine's times are not compared" 0 compare "$work/old.json" "$work/far.json"
    has out "times are not compared"
    has out "0 timed"
    try "more allocations fail, whatever the machine" 1 compare "$work/far.json" "$work/more.json"
    has out "-> 7 !"
else
    try "another machine's times are all that there is" 3 compare "$work/old.json" "$work/far.json"
fi
try "another machine is not enough with --strict" 3 compare "$work/old.json" "$work/far.json" --strict
sed 's/"workload": "[^"]*"/"workload": "other"/' "$work/far.json" >"$work/none.json"
try "nothing in common is not fine" 3 compare "$work/old.json" "$work/none.json"
has out "is not in NEW"
echo '{"schema": "weft.taskbench/9"}' >"$work/other.json"
try "another schema" 2 compare "$work/old.json" "$work/other.json"
lines err 1
try "a file that is not there" 2 compare "$work/old.json" "$work/nowhere.json"
lines err 1
head -c 300 "$work/old.json" >"$work/half.json"
try "half a file" 2 compare "$work/half.json" "$work/old.json"
lines err 1
try "one file" 2 compare "$work/old.json"
has err "OLD.json and NEW.json"

# --- allocations ---
# shellcheck disable=SC2086
if "$taskbench" run spawn $brief | grep -q "no jemalloc"; then
    try "what cannot be counted holds no limit" 3 run spawn $brief --assert-allocs 0
    has out "could not be counted"
else
    try "where it allocates" 0 alloc gen
    has out "by place"
    has out "weft_gen_new_"
    has out "by task"
    try "alloc needs a workload" 2 alloc
    try "no allocation" 0 run spawn go $brief --assert-allocs 0
    has out "0 of 2 rows allocate more than 0 per op"
fi

# --- a row that dies, a run that is interrupted ---
# The measuring process of a run in the background; it appears soon.
agent_of() {
    child=
    tries=300 # a busy machine needs a while; a signal that came earlier would not be heard
    while [ $((tries -= 1)) -gt 0 ]; do
        # shellcheck disable=SC2013 # words are what is wanted
        for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
            if tr '\0' ' ' <"/proc/$child/cmdline" 2>/dev/null | grep -q "^taskbench agent"; then
                echo "$child"
                return
            fi
        done
        sleep 0.1
    done
}

what="a row whose process is killed is wrong"
"$taskbench" run spawn --workers 1 --seconds 20 >"$work/out" 2>"$work/err" &
run=$!
kill -KILL "$(agent_of $run)"
wait $run
got=$?
if [ $got -eq 5 ]; then ok; else fail "$what: exit $got"; fi
has out "died of signal 9"

what="a run that is interrupted shows what it has"
"$taskbench" run spawn go --workers 1 --reps 1000 -o "$work/b.json" >"$work/out" 2>"$work/err" &
run=$!
agent=$(agent_of $run)
kill -INT $run
wait $run
got=$?
if [ $got -eq 130 ]; then ok; else fail "$what: exit $got"; fi
has out "interrupted"
if [ -n "$agent" ] && [ ! -e "/proc/$agent" ]; then ok; else fail "$what: its measuring process lives on"; fi
cp "$work/b.json" "$work/out"
has out '"interrupted": true'

what="net that is interrupted shows what it has"
"$taskbench" net echo --seconds 60 --connections 2 >"$work/out" 2>"$work/err" &
run=$!
server=
tries=300
while [ $((tries -= 1)) -gt 0 ]; do
    for child in $(cat "/proc/$run/task/$run/children" 2>/dev/null); do
        tr '\0' ' ' <"/proc/$child/cmdline" 2>/dev/null | grep -q "^taskbench serve" && server=$child
    done
    [ -n "$server" ] && break
    sleep 0.1
done
sleep 1 # so that there is something to show: samples are 20 ms and more
kill -INT $run
wait $run
got=$?
if [ $got -eq 130 ]; then ok; else fail "$what: exit $got"; fi
has out "interrupted"
if [ -n "$server" ] && [ ! -e "/proc/$server" ]; then ok; else fail "$what: its server lives on"; fi

finish
