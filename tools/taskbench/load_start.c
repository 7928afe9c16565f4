/* load_start.c: what it costs to start tasks from a task: one by one, in small groups, and a flood.
 *
 * Each task of a group has a place of its own in `seen` and adds one to it: a task that is lost or
 * runs twice shows, and no two tasks write the same word. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

/* --- spawn ------------------------------------------------------------------------------------ */

static int count_up(void *arg)
{
    ++*(uint64_t *)arg;
    return 0;
}

static int spawn_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        weft_task task;
        weft_spawn(&task, count_up, &count);
        int rc = weft_await(&task);
        if (rc < 0) {
            return rc;
        }
    }
    if (count != rounds) {
        return tb_wrong(trial, "%llu tasks were awaited, %llu ran", (unsigned long long)rounds,
                        (unsigned long long)count);
    }
    return 0;
}

/* --- go, storm -------------------------------------------------------------------------------- */

/* One byte per task of a round, which wraps; 256 rounds without a look at it would hide nothing but
 * an exact multiple. */
struct group {
    uint8_t *seen;
};

WEFT_TASK(mark, uint8_t *)
{
    ++**arg;
    return 0;
}

static int group_open(struct tb_trial *trial)
{
    trial->ops_per_round = trial->params[0];
    trial->state = malloc(trial->params[0]);
    return trial->state ? 0 : tb_skip(trial, "no memory for the results");
}

static void group_close(struct tb_trial *trial)
{
    free(trial->state);
}

static int one_group(uint8_t *seen, uint64_t tasks)
{
    int rc = 0;
    WEFT_SCOPE(scope);
    for (uint64_t i = 0; i < tasks && rc == 0; i++) {
        uint8_t *mine = &seen[i];
        rc = weft_go(&scope, mark, &mine);
    }
    int end = weft_scope_end(&scope);
    return rc < 0 ? rc : end;
}

static int group_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint8_t *seen = trial->state;
    memset(seen, 0, trial->params[0]);
    int rc = 0;
    for (uint64_t i = 0; i < rounds && rc == 0; i++) {
        rc = one_group(seen, trial->params[0]);
    }
    return rc;
}

static int group_check(struct tb_trial *trial, uint64_t rounds)
{
    const uint8_t *seen = trial->state;
    for (uint64_t i = 0; i < trial->params[0]; i++) {
        if (seen[i] != (uint8_t)rounds) {
            return tb_wrong(trial, "task %llu ran %u times (modulo 256), not %llu",
                            (unsigned long long)i, seen[i], (unsigned long long)rounds);
        }
    }
    return 0;
}

const struct tb_load tb_loads_start[] = {
    {
        .name = "spawn",
        .group = "start",
        .about = "weft_spawn and weft_await of one task at a time",
        .op = "task",
        .flags = TB_LOAD_QUICK,
        .sample = spawn_sample,
    },
    {
        .name = "go",
        .group = "start",
        .about = "weft_go of a few tasks in a scope of their own",
        .op = "task",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 64, 1, 1 << 24, "tasks in a scope"}},
        .open = group_open,
        .sample = group_sample,
        .check = group_check,
        .close = group_close,
    },
    {
        .name = "storm",
        .group = "start",
        .about = "weft_go of a flood of tasks in one scope",
        .op = "task",
        .flags = TB_LOAD_QUICK,
        .params = {{"tasks", 1000000, 1, 1 << 28, "tasks in a scope"}},
        .open = group_open,
        .sample = group_sample,
        .check = group_check,
        .close = group_close,
    },
    {.name = NULL},
};
