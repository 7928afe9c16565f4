#!/bin/sh
# scripts/acceptance, with an `ab` that only pretends.
# Usage: test_acceptance.sh TASKBENCH SOURCE_FOLDER
taskbench=$1 source=$2
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"

# The build folder. Its taskbench finds what is planted, unless it is told to miss it in a run; $work/N says in which run it
# does something else: calls the build itself slower, misses the planted, or ends with a code.
mkdir -p "$work/build/tests"
: >"$work/build/tests/planted.so"
cat >"$work/build/taskbench" <<END
#!/bin/sh
echo "\$*" >>"$work/asked"
n=\$(wc -l <"$work/asked")
case "\$*" in *slow*) is_planted=1 ;; *) is_planted=0 ;; esac
verdict=same change=1.00
[ \$is_planted -eq 0 ] || { verdict=SLOWER change=1.05; }
if [ -e "$work/\$n" ]; then
    case \$(cat "$work/\$n") in
    alarm) verdict=SLOWER ;;
    miss) verdict=unclear ;;
    *) exit "\$(cat "$work/\$n")" ;;
    esac
fi
while [ "\$1" != -o ]; do shift; done
printf 'head\na,b,c,d,%s,f,g,h,%s\n' "\$change" "\$verdict" >"\$2"
[ "\$verdict" != SLOWER ]
END
chmod +x "$work/build/taskbench"

accept() { # WHAT EXIT ARGUMENT...
    what=$1 want=$2
    shift 2
    rm -f "$work/asked"
    "$source/scripts/acceptance" "$work/build" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" -eq "$want" ]; then ok; else fail "$what: exit $got, not $want"; fi
}

accept "as it should be" 0 3 2 --restarts 9
has out "against itself, 3 of 3 runs: 3 rows: 3 same, 0 unclear, 0 faster, 0 SLOWER"
has out "slower by 5 %, 2 of 2 runs: 2 rows: 0 same, 0 unclear, 0 faster, 2 SLOWER,  median change +5.00 %"
has out "every one found"
cp "$work/asked" "$work/out"
has out "--restarts 9 --workers 1"
echo alarm >"$work/2"
accept "a false alarm" 1 3 2
has out "NOT as it should be"
rm "$work/2"
echo miss >"$work/5"
accept "one is missed" 1 3 2
has out "1 unclear, 0 faster, 1 SLOWER"
echo 130 >"$work/5"
accept "interrupted" 130 3 2
has out "3 of 3 runs"
has out "slower by 5 %, 1 of 2 runs: 1 rows"
has out "until then no false alarm"
rm "$work/5"
echo 130 >"$work/1"
accept "interrupted before anything was measured" 130 3 2
has err "nothing was measured"
hasnt out "false alarm"
echo 3 >"$work/1"
accept "ab fails" 3 3 2
has err "ab ended with 3"

finish
