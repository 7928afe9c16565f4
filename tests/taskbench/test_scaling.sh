#!/bin/sh
# scripts/scaling, with a program that only pretends to measure, and once with taskbench itself.
# Usage: test_scaling.sh TASKBENCH SOURCE_FOLDER
taskbench=$1 source=$2
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"
unset WORKERS ROUNDS LIMIT SECONDS_EACH

scale() { # WHAT EXIT ARGUMENT...
    what=$1 want=$2
    shift 2
    "$source/scripts/scaling" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" -eq "$want" ]; then ok; else fail "$what: exit $got, not $want"; fi
}

# In the second round `slow` is slow again, `unlucky` is not, and `gone` was skipped.
cat >"$work/pretend" <<'END'
#!/bin/sh
echo "$*" >>"$0.asked"
n=$(wc -l <"$0.asked")
echo 'workload,workers,check,ops_per_s,ns_per_op'
row() { printf '"%s",1,%s,1,%s\n"%s",2,ok,1,%s\n' "$1" "${4:-ok}" "$2" "$1" "$3"; }
row fast 10 5
row slow 10 $((11 + n))
row unlucky 10 $((n == 1 ? 30 : 9))
row gone 10 30 skipped
[ "$n" -ne "$(cat "$0.ends" 2>/dev/null || echo 0)" ] || exit "$(cat "$0.code")"
END
chmod +x "$work/pretend"
again() { rm -f "$work/pretend.asked"; }

scale "no program" 2
has err "Usage"
ROUNDS=2 scale "one is slower in every round" 1 "$work/pretend"
has out "slow                 1.20  1.20..1.30            10         12  SLOWER"
has out "unlucky              0.90  0.90..3.00            10          9  ok"
has out "fast                 0.50  0.50..0.50            10          5  ok"
hasnt out "gone"
lines out 4
cp "$work/pretend.asked" "$work/out"
has out "run --set quick --workers 1,2 --seconds 0.1"
again
ROUNDS=2 LIMIT=1.25 WORKERS=2 scale "the limit is for the best round" 0 "$work/pretend" slow fast
hasnt out "SLOWER"
cp "$work/pretend.asked" "$work/out"
has out "run slow fast --workers"
again
WORKERS=3 scale "not with so many" 3 "$work/pretend"
lines out 0
again
echo 3 >"$work/pretend.ends"
echo 130 >"$work/pretend.code"
ROUNDS=9 scale "interrupted in the third round" 1 "$work/pretend"
has out "1.20..1.30"
has err "round 2 of 9"
hasnt err "round 3 of 9"
again
echo 5 >"$work/pretend.code"
ROUNDS=9 scale "a wrong result" 5 "$work/pretend"

ROUNDS=1 LIMIT=1e9 SECONDS_EACH=0.01 scale "taskbench itself" 0 "$taskbench" val sem
has out "val/pending"
has out "sem/queue"
lines out 5
scale "a word that is no workload" 2 "$taskbench" nonsense
has err "unknown workload"

finish
