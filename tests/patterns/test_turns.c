/* The order among more ready tasks than a worker's queue holds (1,024): each has its turn before
 * another has its second, or nearly so, since what comes from outside, which waits behind the same
 * queue, may be a little early. That new tasks without end do not keep an old one from its first
 * turn; and how often a task goes on that starts more than the queue of new ones holds. */
#include "pattern.h"
#include <stdlib.h>
#include <string.h>
#include <weft/stackless.h>
#include <weft/sync.h>

#define STRANDS 1200
#define TURNS   8

static struct {
    int begun;
    bool over;
    int turns[STRANDS];
} order; /* plain: one worker runs them all */

/* Counts from when all are there until one has had all its turns. */
static void take_turn(int self)
{
    if (order.begun == STRANDS && !order.over) {
        order.over = ++order.turns[self] == TURNS;
    }
}

/* The most served have had TURNS. */
static void check_turns(void)
{
    int least = TURNS;
    for (int i = 0; i < STRANDS; i++) {
        least = order.turns[i] < least ? order.turns[i] : least;
    }
    wt_true(order.over && least >= TURNS / 2, "one had %d turns, another %d", TURNS, least);
}

static int turn_with_a_stack(void *arg)
{
    order.begun++;
    while (!order.over) { /* ends: TURNS of somebody */
        take_turn((int)(intptr_t)arg);
        if (weft_yield() < 0) {
            return -1;
        }
    }
    return 0;
}

TaskTest(turns, no_task_has_twice_as_many_as_another, 1)
{
    memset(&order, 0, sizeof order);
    weft_task *tasks = calloc(STRANDS, sizeof *tasks);
    for (int i = 0; i < STRANDS; i++) {
        weft_spawn(&tasks[i], turn_with_a_stack, (void *)(intptr_t)i);
    }
    for (int i = 0; i < STRANDS; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    free(tasks);
    check_turns();
    return 0;
}

struct strand {
    weft_frame sm;
    weft_event *set;
    int number, hits, rc;
};

/* A turn ends when the frame has not had to wait for WEFT_FRAME_HITS_ times in a row. */
WEFT_STEP(turn_without_a_stack, struct strand)
{
    WEFT_BEGIN(&f->sm);
    order.begun++;
    while (!order.over) { /* ends: TURNS of somebody */
        take_turn(f->number);
        for (f->hits = 0; f->hits < WEFT_FRAME_HITS_; f->hits++) {
            WEFT_AWAIT(&f->sm, f->rc, weft_event_wait_v(f->set));
        }
    }
    return 0;
}

TaskTest(turns, no_frame_has_twice_as_many_as_another, 1)
{
    memset(&order, 0, sizeof order);
    struct strand *strands = calloc(STRANDS, sizeof *strands);
    weft_event set;
    weft_event_init(&set, WEFT_EVENT_MANUAL);
    wt_eq(weft_event_set(&set), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < STRANDS; i++) {
        strands[i].set = &set;
        strands[i].number = i;
        wt_eq(weft_go_frame(&s, turn_without_a_stack, &strands[i]), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_event_fini(&set);
    free(strands);
    check_turns();
    return 0;
}

/* --- new tasks without end -------------------------------------------------------------------- */

#define NEWER_MAX 1000000

static struct {
    weft_scope *scope;
    int newer; /* that have begun before the old one */
    bool old_begun;
} endless; /* plain: one worker runs them all */

WEFT_TASK(begin_old, int)
{
    endless.old_begun = true;
    return 0;
}

WEFT_TASK(start_the_next, int)
{
    if (endless.old_begun || endless.newer == NEWER_MAX) {
        return 0;
    }
    endless.newer++;
    return weft_go(endless.scope, start_the_next, arg);
}

TaskTest(turns, an_old_task_begins_though_newer_ones_do_not_cease, 1)
{
    WEFT_SCOPE(scope);
    endless.scope = &scope;
    wt_eq(weft_go(&scope, begin_old, &(int){0}), 0);
    wt_eq(weft_go(&scope, start_the_next, &(int){0}), 0);
    wt_eq(weft_scope_end(&scope), 0);
    wt_lt(endless.newer, NEWER_MAX / 100);
    return 0;
}

/* --- a task that starts more than the queue of new tasks holds -------------------------------- */

#define FLOOD 9000

static struct {
    int ran, most_at_once; /* in one weft_go */
    int last_turn, most_between;
    bool over;
} flood; /* plain: one worker runs them all */

WEFT_TASK(be_one_of_many, int)
{
    flood.ran += 1 + *arg;
    return 0;
}

static int take_turns_meanwhile(void *arg)
{
    (void)arg;
    while (!flood.over) { /* ends: with the flood */
        int between = flood.ran - flood.last_turn;
        flood.most_between = between > flood.most_between ? between : flood.most_between;
        flood.last_turn = flood.ran;
        (void)weft_yield();
    }
    return 0;
}

static void start_many(void)
{
    WEFT_SCOPE(scope);
    for (int i = 0; i < FLOOD; i++) {
        int before = flood.ran;
        wt_eq(weft_go(&scope, be_one_of_many, &(int){0}), 0);
        int at_once = flood.ran - before;
        flood.most_at_once = at_once > flood.most_at_once ? at_once : flood.most_at_once;
    }
    flood.over = true;
    wt_eq(weft_scope_end(&scope), 0);
    wt_eq(flood.ran, FLOOD);
}

TaskTest(turns, who_has_filled_the_queue_lets_a_good_part_of_it_run, 1)
{
    memset(&flood, 0, sizeof flood);
    start_many();
    wt_ge(flood.most_at_once, 50, "not a dozen or two");
    wt_le(flood.most_at_once, 200, "nor all");
    return 0;
}

TaskTest(turns, who_has_filled_the_queue_is_in_nobodys_way, 1)
{
    memset(&flood, 0, sizeof flood);
    weft_task other;
    weft_spawn(&other, take_turns_meanwhile, NULL);
    (void)weft_yield();
    start_many();
    wt_eq(weft_await(&other), 0);
    wt_ge(flood.most_between, 1);
    wt_le(flood.most_between, 40, "each dozen somebody has a turn, and there are two");
    return 0;
}
