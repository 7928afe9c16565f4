#!/bin/sh
# What `taskbench mem` says of weft's memory is what there is: within 1 % of what /proc adds up to, mapping by mapping,
# and of what a preloaded library counts (counting.c); and none of it hides in malloc.
# Usage: test_mem.sh TASKBENCH COUNTING.so
taskbench=$1 counting=$2
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"
[ -e "$counting" ] || {
    echo "FAIL: no '$counting'"
    exit 1
}

# near A B: they differ by 1 % of B at most.
near() {
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(b > 0 && d <= b / 100) }'
}

what="the yardstick itself"
if near 1009 1000 && near 991 1000 && ! near 1011 1000 && ! near 989 1000 && ! near 0 0; then ok; else fail "$what"; fi

# What each more weighs by the library's log, by least squares over the processes: column 2 of a line is the program's own
# mappings, 3 others', 4 and 5 the sums of /proc, 6 jemalloc's. A process looks before the first and when all wait.
slope() { # COLUMNS, MOST: as in "2 3"
    awk -v columns="$1" -v most="$2" '
        function sum(  i, n, at, all) { n = split(columns, at); for (i = 1; i <= n; i++) all += $at[i]; return all }
        $1 == -1 { exit }
        $1 != pid { pid = $1; before = sum(); looks = 1; next }
        ++looks == 2 { y[++points] = sum() - before }
        END {
            for (i = 1; i <= points; i++) { x[i] = most * i / points; mx += x[i] / points; my += y[i] / points }
            for (i = 1; i <= points; i++) { xx += (x[i] - mx) ^ 2; xy += (x[i] - mx) * (y[i] - my) }
            printf "%.3f", points == 5 ? xy / xx : 0
        }' "$work/log"
}

# agrees WHAT ITS: the tool and whoever else counted.
agrees() {
    what="$kind: $1 is $2 bytes each, taskbench says $says"
    if near "$says" "$2"; then ok; else fail "$what"; fi
}

# KIND, how many at most, the columns of /proc that its bytes are of
while read -r kind most proc; do
    rm -f "$work/log"
    export COUNTING_LOG="$work/log"
    LD_PRELOAD="$counting" try "mem $kind" 0 mem "$kind" --max "$most" --format json
    unset COUNTING_LOG
    says=$(sed -n "/\"name\": \"${kind}_bytes\"/,/}/s/.*\"value\": \([0-9.]*\).*/\1/p" "$work/out")
    agrees "what the preloaded library counts" "$(slope "2 3" "$most")"
    agrees "what the program itself has mapped" "$(slope 2 "$most")"
    agrees "what /proc/self/smaps adds up to" "$(slope "$proc" "$most")"
    what="$kind: $(slope 6 "$most") bytes of each are in malloc"
    if awk -v a="$(slope 6 "$most")" -v b="$says" 'BEGIN { exit a > b / 100 }'; then ok; else fail "$what"; fi
done <<'END'
timer 800000 4 5
frame 800000 4 5
fiber 30000 4
END

finish
