#!/bin/sh
# In the child of fork(2) every public call says -ENOSYS, or does nothing, and returns (E44): whether a task has forked
# or a thread that is none. The calls are those that the headers declare, so that none can be forgotten.
# Usage: forked.sh LIBWEFT.SO INCLUDE_DIR CC
set -eu
library=$1 include=$2 cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# NAME RESULT WHY: what returns something else, or ends otherwise. "skip": not callable by a program.
cat >"$work/exceptions" <<'END'
weft_version 100 it needs no runtime
weft_error_format 0 it writes what it is given, here nothing
weft_describe any it writes what it is given
weft_addr_parse any it reads what it is given, and needs no runtime
weft_addr_format any it writes what it is given
weft_addr_port any likewise
weft_addr_local any a system call, for which no runtime is needed
weft_addr_peer any likewise
weft_leave 1 its value is its result
weft_within_end_ 1 its value is its result
weft_shield_end_ 1 its value is its result
weft_chan_check_ skip a cast that checks
weft_fail_ 1 its code is its result
weft_panic_ skip it aborts, in a child too
weft_branch_run_ skip called by workers
weft_fork_slow_ skip called by the inline code of fork.h, in a task
weft_join_slow_ skip called by the inline code of fork.h, in a task
weft_frame_run_ skip called by workers
weft_frame_wait_ skip called by steps, which workers call
weft_frame_end_ skip called by steps, which workers call
weft_frame_yield_ skip called by steps, which workers call
weft_copy skip it works on the caller's memory; its stream says so
weft_reader_frame skip it works on the caller's memory; its stream says so
weft_reader_line skip it works on the caller's memory; its stream says so
weft_reader_prefix skip it works on the caller's memory; its stream says so
weft_reader_until skip it works on the caller's memory; its stream says so
weft_writer_flush skip it works on the caller's memory; its stream says so
weft_writer_frame skip it works on the caller's memory; its stream says so
weft_writer_printf skip it works on the caller's memory; its stream says so
weft_writer_vprintf skip it works on the caller's memory; its stream says so
weft_writer_write skip it works on the caller's memory; its stream says so
weft_reader_exact skip it works on the caller's memory; its stream says so
weft_reader_peek skip it works on the caller's memory; its stream says so
weft_reader_read skip it works on the caller's memory; its stream says so
weft_reader_consume skip it works on the caller's memory; its stream says so
weft_writer_error 0 it says what it was told
weft_server_stopping 0 it looks at the caller's memory
END

for path in "$include"/weft/*.h; do
    echo "#include <weft/${path##*/}>"
done >"$work/all.h"
cp "$work/all.h" "$work/all.c"
if ! "$cc" -fsyntax-only -I "$include" -aux-info "$work/declared" "$work/all.c" 2>/dev/null ||
    [ ! -s "$work/declared" ]; then # clang has no such option
    echo "0 passed, 0 failed (needs gcc)"
    exit 0
fi

# "int weft_sleep (weft_time);" -> a function that calls it, and a line of the table.
grep -F "$include/weft/" "$work/declared" | grep -v ' \*/ static ' | sed 's,^.*\*/ extern ,,' | sort -u |
    awk -v exceptions="$work/exceptions" -v calls="$work/calls.h" -v table="$work/table.h" '
        BEGIN { while ((getline line <exceptions) > 0) { split(line, word, " "); expected[word[1]] = word[2] } }
        {
            sub(/^[a-z_]+ [(][*]/, "void ") # returns a function pointer
            match($0, /weft_[a-z0-9_]+ \(/)
            name = substr($0, RSTART, RLENGTH - 2)
            returns = substr($0, 1, RSTART - 1)
            rest = substr($0, RSTART + RLENGTH)
            want = (name in expected) ? expected[name] : "-ENOSYS"
            if (want == "skip") next
            gsub(/\(\*\)/, "@", rest) # a function pointer
            gsub(/[();]/, "", rest)
            n = rest == "void" ? 0 : split(rest, types, ", ")
            call = name "("
            for (i = 1; i <= n; i++) {
                type = types[i]
                if (type == "...") break
                if (i > 1) call = call ", "
                if (type ~ /@/) call = call "(void *)never_called"
                else if (type ~ /weft_place \*/) call = call "WEFT_HERE"
                else if (type ~ /weft_error \*/) call = call "NULL"
                else if (type ~ /char \*$/ && type ~ /const/) call = call "\"text\""
                else if (type ~ /\*/) call = call "(void *)zeroed[" i "]"
                else if (type ~ /^weft_/ && type !~ /^weft_time/) call = call "(" type "){0}" # a struct
                else call = call "1"
            }
            call = call ")"
            printf "static int call_%s(void)\n{\n", name >calls
            if (returns ~ /^weft_val $/)
                printf "    weft_val val = %s;\n    return val.source_ == WEFT_VAL_DONE_ && val.word_ == -ENOSYS;\n", call >calls
            else if (returns ~ /^(int|ssize_t|int64_t) $/ && want != "any")
                printf "    return said = (long)%s, said == %s;\n", call, want >calls
            else
                printf "    (void)%s;\n    return 1;\n", call >calls
            print "}" >calls
            printf "    {\"%s\", call_%s},\n", name, name >table
        }'

cat >"$work/forked.c" <<'END'
#include "all.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char zeroed[10][65536] __attribute__((aligned(64)));
static long said;

static void never_called(void)
{
    _exit(77);
}

#include "calls.h"

static const struct {
    const char *name;
    int (*call)(void);
} table[] = {
#include "table.h"
};

static int passed, failed;

/* In a child: each call in a child of its own, so that one that crashes or hangs does no more than fail. */
static void call_all(const char *where)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int pipes[2];
        if (pipe(pipes) != 0) {
            abort();
        }
        pid_t pid = fork();
        if (pid == 0) {
            alarm(10);
            int good = table[i].call();
            if (write(pipes[1], &said, sizeof said) < 0) {
                abort();
            }
            _exit(good ? 0 : 1);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            passed++;
        } else {
            failed++;
            long result = 0;
            if (WIFSIGNALED(status)) {
                printf("FAIL: %s, forked %s: signal %d\n", table[i].name, where, WTERMSIG(status));
            } else if (WEXITSTATUS(status) == 77) {
                printf("FAIL: %s, forked %s: called its function\n", table[i].name, where);
            } else if (read(pipes[0], &result, sizeof result) > 0) {
                printf("FAIL: %s, forked %s: %ld\n", table[i].name, where, result);
            }
        }
        close(pipes[0]);
        close(pipes[1]);
    }
}

static int fork_and_call_all(const char *where)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        call_all(where);
        printf("%d passed, %d failed (forked %s)\n", passed, failed, where);
        fflush(stdout);
        _exit(failed == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status == 0 ? 0 : 1;
}

static int in_a_task(void *arg)
{
    (void)arg;
    return fork_and_call_all("by a task");
}

int main(void)
{
    weft_rt *rt;
    weft_rt_opts opts = {.workers = 1};
    if (weft_rt_start(&rt, &opts) < 0) {
        return 2;
    }
    int bad = weft_call(rt, in_a_task, NULL);
    bad += fork_and_call_all("by another thread");
    weft_rt_free(rt);
    return bad == 0 ? 0 : 1;
}
END
"$cc" -std=gnu17 -Wall -Wextra -Werror -Wno-nonnull -I "$include" -I "$work" -o "$work/forked" "$work/forked.c" "$library" \
    -Wl,-rpath,"$(dirname "$library")"
"$work/forked"
