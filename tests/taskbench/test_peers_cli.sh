#!/bin/sh
# `taskbench peers` over a source tree whose scripts only pretend, and then bench/peers/io itself, briefly: its bare
# servers and weft's answer, and are measured.
# Usage: test_peers_cli.sh TASKBENCH SOURCE_FOLDER [LIBWEFT.A]       without the library: the first half
taskbench=$1 source=$2 library=${3:-}
asan_options=${ASAN_OPTIONS:-}
# shellcheck source=tests/taskbench/cli.sh
. "$(dirname "$0")/cli.sh"
export ASAN_OPTIONS="$asan_options" # leaks are looked for here: nothing is traced

# --- a tree that pretends ---
tree=$work/tree
mkdir -p "$tree/bench/peers" "$tree/build/peers/io"
printf '#!/bin/sh\n' >"$tree/bench/peers/run"
chmod +x "$tree/bench/peers/run"

# dev says what it was asked for, and writes what it is told to by $work/io.json and compute.json.
cat >"$tree/dev" <<END
#!/bin/sh
echo "\$*" >>"$work/asked"
echo "peers: rows are measured" >&2
case \$2 in
io) cp "$work/io.json" "$tree/build/peers/io/io.json" ;;
compute) cp "$work/compute.json" "$tree/build/peers/compute.json" ;;
esac || { echo "nothing is installed" >&2; exit 1; }
[ ! -e "$work/code" ] || { echo "a program failed" >&2; exit "\$(cat "$work/code")"; }
END
chmod +x "$tree/dev"

try "nowhere" 3 peers --dir "$work"
has err "no bench/peers/run here"
lines err 1
try "a folder that is not there" 3 peers --dir "$work/none"
lines err 1
try "nothing stored" 3 peers --dir "$tree" --stored io
has err "io has not been measured"
lines err 1
try "the scripts fail" 3 peers --dir "$tree" --quiet io
has err "bench/peers failed: nothing is installed"
lines err 1
lines out 0

cat >"$work/io.json" <<'END'
{"schema": "weft.peers/1", "part": "io", "written": "2026-01-02T03:04:05Z",
 "machine": {"cpu": "a processor", "cpus": 2, "kernel": "6.1"}, "missing": ["asio", "node"],
 "rows": [{"row": "echo", "title": "echo, so many", "rounds": 3, "programs": [
  {"program": "bare_ring", "metrics": {"cpu_us": 5, "of_ring": 1, "requests_s": 200000, "p99_us": 400}},
  {"program": "weft", "metrics": {"cpu_us": 5.5, "of_ring": 1.1, "requests_s": 180000, "p99_us": 450}},
  {"program": "tokio", "metrics": {"cpu_us": 6, "of_ring": 1.2, "requests_s": 170000}}]},
 {"row": "idle", "title": "idle ones", "rounds": 1, "programs": [
  {"program": "weft", "metrics": {"idle_rss_bytes": 900, "idle_cpu_ms": 0.5}}]}]}
END
cat >"$work/compute.json" <<'END'
{"schema": "weft.peers/1", "part": "compute", "written": "2026-01-02T03:04:05Z",
 "machine": {"cpu": "a processor", "cpus": 2, "kernel": "6.1"}, "missing": [],
 "rows": [{"row": "fib/1", "title": "fib, threads: 1", "rounds": 5, "programs": [
  {"program": "serial", "metrics": {"ns": 1.5, "of_weft": 0.5}},
  {"program": "weft", "metrics": {"ns": 3, "of_weft": 1}},
  {"program": "go", "metrics": {"ns": 300, "of_weft": 100}}]}]}
END
: >"$work/asked"
try "both parts" 0 peers --dir "$tree" --rounds 2
has out "fib, threads: 1"
has out "100"
has out "echo, so many"
has out "1.10"
has err "peers: rows are measured"
has err "io: not installed here: asio, node"
cp "$work/asked" "$work/out"
has out "peers compute 2"
has out "peers io 2"
try "what is stored" 0 peers --dir "$tree" --stored io
hasnt err "rows are measured"
hasnt out "fib"
widest=$(awk '{ if (length($0) > n) n = length($0) } END { print n }' "$work/out")
if [ "$widest" -le 80 ]; then ok; else fail "$what: $widest columns"; fi
: >"$work/asked"
try "a row" 0 peers --dir "$tree" --quiet echo
hasnt out "idle ones"
cp "$work/asked" "$work/out"
has out "peers io echo"
try "a row that was not measured" 3 peers --dir "$tree" --stored nothing
has err "no such row was measured"
lines out 0
try "rows of compute" 2 peers --dir "$tree" compute echo
try "csv" 0 peers --dir "$tree" --stored --format csv
has out 'part,row,program,metric,value'
has out '"io","echo","weft","of_ring",1.1'
lines out 20
try "markdown" 0 peers --dir "$tree" --stored --format md io
has out "| tokio | 6.00 us | 1.20 |"
try "json" 0 peers --dir "$tree" --stored --format json -o "$work/all.json"
cp "$work/all.json" "$work/out"
has out '"schema": "weft.taskbench.peers/1"'
try "a full disk" 3 peers --dir "$tree" --stored -o /dev/full
has err "could not be written"
try "no rival in it" 3 peers --dir "$tree" --stored idle
has err "no rival is installed here"
echo 5 >"$work/code"
try "an answer was wrong" 5 peers --dir "$tree" --quiet io
has err "a program failed"
echo 2 >"$work/code"
try "the scripts refuse" 2 peers --dir "$tree" --quiet io
echo '{"schema": "weft.peers/1", "part": "io"' >"$tree/build/peers/io/io.json"
try "not JSON" 3 peers --dir "$tree" --stored io
lines err 1
echo '{"schema": "weft.peers/1", "part": "io", "written": "x", "rows": [{"row": "echo"}]}' >"$tree/build/peers/io/io.json"
try "not what a script writes" 3 peers --dir "$tree" --stored io
has err "is not what bench/peers writes"

# --- bench/peers/io itself ---
if [ -n "$library" ] && [ "$(nproc)" -ge 2 ] && "$taskbench" doctor 2>&1 | grep -q '^ok *io_uring'; then
    what="bench/peers/io"
    "$source/bench/peers/io/run" --brief "$library" "$work/peers" 1 echo pipelined accept http mixed idle cached copy \
        >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" -eq 0 ]; then ok; else fail "$what: exit $got"; fi
    hasnt err "failed"
    has out "| **weft** |"
    has out "| **weft**, frames |"
    has out "| **weft**, epoll |"
    has out "| **weft**, rescue off |"
    mkdir -p "$tree/build/peers/io"
    cp "$work/peers/io.json" "$tree/build/peers/io/io.json"
    try "what it wrote" 3 peers --dir "$tree" --stored io # it was told to leave the rivals out
    has out "bare_ring"
    has err "no rival"
    printf 'before\n<!-- peers io: from here -->\nold\n<!-- peers io: to here -->\nafter\n' >"$work/docs.md"
    "$source/bench/peers/io/report" "$work/peers" "$work/docs.md" >"$work/out" 2>"$work/err"
    cp "$work/docs.md" "$work/out"
    what="the table in the docs"
    has out "before"
    has out "| **weft** |"
    has out "after"
    hasnt out "old"
    printf 'no marks\n' >"$work/docs.md"
    if "$source/bench/peers/io/report" "$work/peers" "$work/docs.md" >"$work/out" 2>"$work/err"; then
        fail "docs without marks are accepted"
    else
        has err "no marks"
    fi
fi

# --- bench/peers: graphs ---
# The fastest of some runs says what it costs; here only that what has run is right: not so is exit 1. Where nothing is
# fast enough, because others run, it is 2.
graph() { # PROGRAM
    for pattern in trivial stencil fft tree random; do
        what="$1 metg-$pattern"
        "$work/$1" "metg-$pattern" 1 >"$work/out" 2>"$work/err" </dev/null
        got=$?
        if [ "$got" -eq 0 ] || [ "$got" -eq 2 ]; then ok; else fail "$what: exit $got"; fi
    done
}
if [ -n "$library" ]; then
    what="bench/peers/weft.c"
    if cc -O2 -I"$source/include" "$source/bench/peers/weft.c" "$library" -luring -lpthread -o "$work/weft" 2>"$work/err"; then
        graph weft
    else
        fail "it does not compile"
    fi
    if gcc -O2 -fopenmp "$source/bench/peers/omp.c" -o "$work/omp" 2>"$work/err"; then graph omp; fi
fi

finish
