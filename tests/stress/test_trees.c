/* Trees of forks: sections in every place that a section may lie in (variables, arrays, two of
 * them, arrays of variable length, alloca, the heap, a caller's frame, the frame of another task,
 * whose stack is the next one), with anything that waits between a fork and its join: scopes,
 * tasks, generators, deadlines, cancellations. Each section must run once, under the env in which
 * it was forked.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <alloca.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/fork.h>
#include <weft/weft.h>

#define ROUND_NS INT64_C(1000000000) /* rounds of one number of workers go on for so long */
#define DEPTH    5
#define FAILURE  (-EPROTO)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ENERGY     500 /* nodes of a round */
#define ROOM_BYTES 90000
#else
#define ENERGY     5000
#define ROOM_BYTES 50000
#endif

/* What can have cancelled the running code: a chain through the scopes that are open. It is bound
 * in each of them, so weft_get tells whether a section runs where it was forked. */
struct extent {
    struct extent *outer;
    bool may_be_cancelled;
};

static const weft_key extent_key = {"extent"};
static atomic_long energy, forked, ran;

/* Where the dice are, and under what. A copy for each strand. */
struct place {
    uint64_t dice;
    struct extent *in;
    int depth;
};

struct section {
    struct place place;
    atomic_int runs;
    weft_event *tells, *waits_for; /* or NULL */
};

static unsigned pick(struct place *at, unsigned n)
{
    return below(&at->dice, n);
}

static bool chance(struct place *at, unsigned n)
{
    return pick(at, n) == 0;
}

/* Bytes of the stack that are left: stacks have 256 KiB, and are aligned. */
static bool has_room(void)
{
    uintptr_t offset = (uintptr_t)__builtin_frame_address(0) % (256 * 1024);
    return offset > ROOM_BYTES;
}

static bool may_start(void)
{
    return has_room() && atomic_fetch_sub(&energy, 1) > 0;
}

static void act(struct place *at);
static void node(struct place *at);

/* Does the code run in that extent? And is it only cancelled if something there was? */
static void check_extent(const struct extent *in)
{
    wt_eq(weft_get(&extent_key), in);
    bool may_be = false;
    for (const struct extent *at = in; at != NULL; at = at->outer) {
        may_be |= at->may_be_cancelled;
    }
    wt_true(may_be || weft_check() == 0);
}

/* --- sections --------------------------------------------------------------------------------- */

static long answer_of(const struct section *section)
{
    uint64_t dice = section->place.dice;
    return (long)(roll(&dice) >> 34);
}

static long body(struct section *section)
{
    wt_eq(atomic_fetch_add(&section->runs, 1), 0);
    atomic_fetch_add(&ran, 1);
    struct place at = section->place;
    check_extent(at.in);
    if (section->waits_for != NULL) {
        int rc = weft_event_wait(section->waits_for);
        wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
    }
    if (section->tells != NULL) {
        wt_eq(weft_event_set(section->tells), 0);
    }
    if (at.depth > 0 && has_room()) {
        at.depth--;
        node(&at);
    }
    check_extent(at.in);
    return answer_of(section);
}

struct words {
    uint64_t word[7];
};

static long small(struct section *section);
WEFT_FORKABLE1(long, small, struct section *)
static long small(struct section *section)
{
    return body(section);
}

static long large(struct section *section, struct words words, int seven);
WEFT_FORKABLE3(long, large, struct section *, struct words, int)
static long large(struct section *section, struct words words, int seven)
{
    for (int i = 0; i < seven; i++) {
        wt_eq(words.word[i], section->place.dice + (uint64_t)i);
    }
    return body(section);
}

static int through_pointer(void *arg)
{
    struct section *section = arg;
    long answer = body(section);
    return answer % 2 != 0 ? weft_fail(FAILURE, "as %ld tells", answer) : (int)answer;
}

static void prepare(struct section *section, struct place *at)
{
    *section = (struct section){.place = *at};
    section->place.dice = roll(&at->dice);
    section->place.depth = (int)pick(at, (unsigned)at->depth + 1);
    atomic_fetch_add(&forked, 1);
}

static void fork_small(struct small_branch *branch, struct section *section, struct place *at)
{
    prepare(section, at);
    small_fork(branch, section);
}

static void join_small(struct small_branch *branch, const struct section *section)
{
    wt_eq(small_join(branch), answer_of(section));
    wt_eq(atomic_load(&section->runs), 1);
}

static struct words words_of(const struct section *section)
{
    struct words words;
    for (int i = 0; i < 7; i++) {
        words.word[i] = section->place.dice + (uint64_t)i;
    }
    return words;
}

/* --- where they lie --------------------------------------------------------------------------- */

__attribute__((noinline)) static void in_variables(struct place *at)
{
    struct section a, b, c;
    struct small_branch first;
    struct large_branch second;
    weft_call_branch third;
    fork_small(&first, &a, at);
    if (chance(at, 3)) {
        act(at);
    }
    prepare(&b, at);
    large_fork(&second, &b, words_of(&b), 7);
    prepare(&c, at);
    weft_fork(&third, through_pointer, &c);
    act(at);
    long answer = answer_of(&c);
    wt_eq(weft_join(&third), answer % 2 != 0 ? FAILURE : answer);
    if (chance(at, 3)) {
        act(at);
    }
    wt_eq(large_join(&second), answer_of(&b));
    join_small(&first, &a);
}

__attribute__((noinline)) static void in_two_arrays(struct place *at)
{
    struct section a[5], b[5];
    struct small_branch first[5], second[5];
    int n = 1 + (int)pick(at, 5), m = (int)pick(at, 6);
    for (int i = 0; i < n; i++) {
        fork_small(&first[i], &a[i], at);
        if (chance(at, 5)) {
            act(at);
        }
    }
    for (int i = 0; i < m; i++) {
        fork_small(&second[i], &b[i], at);
    }
    act(at);
    for (int i = m; i-- > 0;) {
        join_small(&second[i], &b[i]);
    }
    for (int i = n; i-- > 0;) {
        join_small(&first[i], &a[i]);
    }
}

__attribute__((noinline)) static void with_alloca(struct place *at)
{
    struct section sections[4];
    struct small_branch *branches[4];
    int n = 1 + (int)pick(at, 4);
    for (int i = 0; i < n; i++) {
        branches[i] = alloca(sizeof *branches[i] + 8 * (size_t)pick(at, 500));
        fork_small(branches[i], &sections[i], at);
        if (chance(at, 4)) {
            act(at);
        }
    }
    for (int i = n; i-- > 0;) {
        join_small(branches[i], &sections[i]);
    }
}

__attribute__((noinline)) static void on_the_heap(struct place *at)
{
    struct section sections[3], mine;
    struct small_branch branch;
    struct small_branch *volatile block = malloc(3 * sizeof *block);
    struct small_branch *branches = block; /* of which the compiler knows nothing */
    fork_small(&branch, &mine, at);
    int n = 1 + (int)pick(at, 3);
    for (int i = 0; i < n; i++) {
        fork_small(&branches[i], &sections[i], at);
    }
    act(at);
    for (int i = n; i-- > 0;) {
        join_small(&branches[i], &sections[i]);
    }
    free(branches);
    join_small(&branch, &mine);
}

/* In a caller's frame, or another task's. */
__attribute__((noinline)) static void in_frame_of_another(struct small_branch *branch,
                                                          struct place *at)
{
    struct section section;
    fork_small(branch, &section, at);
    act(at);
    join_small(branch, &section);
}

/* The forker waits for what its section does, and that for what the forker does. Else nobody runs
 * it: with one worker, for ever. */
__attribute__((noinline)) static void and_wait_for_each_other(struct place *at)
{
    weft_event there, back;
    weft_event_init(&there, WEFT_EVENT_MANUAL);
    weft_event_init(&back, WEFT_EVENT_AUTO);
    struct section section;
    struct small_branch branch;
    prepare(&section, at);
    section.waits_for = &there;
    section.tells = &back;
    small_fork(&branch, &section);
    if (chance(at, 3)) {
        act(at);
    }
    wt_eq(weft_event_set(&there), 0);
    int rc = weft_event_wait(&back);
    wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
    join_small(&branch, &section);
    weft_event_fini(&back);
    weft_event_fini(&there);
}

static void node(struct place *at)
{
    if (!may_start()) {
        return;
    }
    struct small_branch branch;
    switch (pick(at, 8)) {
    case 0:
    case 1:
        in_variables(at);
        break;
    case 2:
    case 3:
        in_two_arrays(at);
        break;
    case 4:
        with_alloca(at);
        break;
    case 5:
        on_the_heap(at);
        break;
    case 6:
        in_frame_of_another(&branch, at);
        break;
    default:
        and_wait_for_each_other(at);
        break;
    }
}

/* --- what happens between fork and join ------------------------------------------------------- */

struct errand {
    struct place place;
    struct small_branch *foreign; /* in the frame of who gave it out; or NULL */
};

static int run_errand(void *arg)
{
    struct errand errand = *(struct errand *)arg;
    struct place *at = &errand.place;
    check_extent(at->in);
    if (chance(at, 5)) {
        weft_task_name("named");
    }
    if (errand.foreign != NULL) {
        in_frame_of_another(errand.foreign, at);
    } else {
        node(at);
    }
    check_extent(at->in);
    return chance(at, 7) ? weft_fail(FAILURE, "the dice said so") : 0;
}

WEFT_TASK(pooled_errand, struct errand)
{
    return run_errand(arg);
}

static struct errand new_errand(struct place *at, struct small_branch *foreign)
{
    return (struct errand){{roll(&at->dice), at->in, at->depth}, foreign};
}

static void check_end(int rc)
{
    wt_true(rc == 0 || rc == FAILURE || rc == -ECANCELED || rc == -ETIME, "%d", rc);
}

static void spawn_some(struct place *at)
{
    weft_task tasks[3];
    struct errand errands[3];
    struct small_branch branches[3];
    int n = 1 + (int)pick(at, 3);
    for (int i = 0; i < n; i++) {
        errands[i] = new_errand(at, chance(at, 3) ? &branches[i] : NULL);
        (void)weft_spawn(&tasks[i], run_errand, &errands[i]);
    }
    if (chance(at, 2)) {
        (void)weft_yield(); /* so that they begin on stacks of their own */
        node(at);
    }
    for (int i = 0; i < n; i++) {
        check_end(weft_await(&tasks[i]));
    }
}

static void in_a_scope(struct place *outer)
{
    struct place inner = *outer, *at = &inner;
    bool fails = chance(at, 3), cancels = chance(at, 3);
    weft_time timeout = chance(at, 4) ? WEFT_US(1 + pick(at, 200)) : 0;
    struct extent extent = {outer->in, fails || cancels || timeout != 0};
    inner.in = &extent;
    weft_binding binding;
    weft_bind(&binding, &extent_key, &extent);
    WEFT_SCOPE(s, .on_error = fails ? WEFT_FAILFAST : WEFT_CONTINUE, .timeout = timeout);
    struct section section;
    struct small_branch mine, foreign;
    fork_small(&mine, &section, at);
    for (int i = 0, n = (int)pick(at, 5); i < n; i++) {
        struct errand errand = new_errand(at, i == 0 ? &foreign : NULL);
        int rc = weft_go(&s, pooled_errand, &errand);
        wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
    }
    act(at);
    if (cancels) {
        (void)weft_scope_cancel(&s, "the dice said so");
        wt_eq(weft_check(), -ECANCELED);
        node(at);
    }
    join_small(&mine, &section);
    check_end(weft_scope_end(&s));
    weft_unbind(&binding);
    outer->dice = inner.dice;
}

static int emit_and_fork(void *arg)
{
    struct place at = *(struct place *)arg;
    int rc = 0;
    for (int i = 0; i < 4 && rc == 0; i++) {
        struct section section;
        struct small_branch branch;
        fork_small(&branch, &section, &at);
        rc = weft_emit(&i);
        join_small(&branch, &section);
    }
    return rc;
}

static void generate(struct place *outer)
{
    struct extent extent = {outer->in, true}; /* by its close */
    struct place at = {roll(&outer->dice), &extent, outer->depth};
    weft_binding binding;
    weft_bind(&binding, &extent_key, &extent);
    weft_gen *gen;
    if (weft_gen_new(&gen, emit_and_fork, &at, sizeof(int)) == 0) {
        int item, rc = 1;
        for (int i = 0, n = (int)pick(outer, 6); i < n && rc == 1; i++) {
            rc = weft_gen_next(gen, &item);
            wt_true(rc != 1 || item == i, "%d, not %d", item, i);
        }
        check_end(weft_gen_close(gen));
    }
    weft_unbind(&binding);
}

static int some_of_range(size_t from, size_t to, void *ctx)
{
    struct place at = *(struct place *)ctx;
    at.dice += from * 977;
    for (size_t i = from; i < to; i++) {
        check_extent(at.in);
        if (chance(&at, 4)) {
            node(&at);
        }
    }
    return 0;
}

static void act(struct place *at)
{
    if (!has_room()) {
        return;
    }
    struct place deeper = {roll(&at->dice), at->in, at->depth - (at->depth > 0)};
    switch (pick(at, 16)) {
    case 0:
    case 1:
    case 2:
        (void)weft_yield();
        break;
    case 3:
        (void)weft_sleep(WEFT_US(pick(at, 60)));
        break;
    case 4:
    case 5:
        if (may_start()) {
            in_a_scope(&deeper);
        }
        break;
    case 6:
    case 7:
        if (may_start()) {
            spawn_some(&deeper);
        }
        break;
    case 8:
        node(&deeper);
        break;
    case 9:
        if (may_start()) {
            check_end(weft_for(0, 1 + pick(at, 30), some_of_range, &deeper));
        }
        break;
    case 10:
        if (may_start()) {
            generate(&deeper);
        }
        break;
    default:
        break;
    }
}

/* --- a round ---------------------------------------------------------------------------------- */

static int root(void *arg)
{
    struct extent extent = {NULL, false};
    struct place at = {*(uint64_t *)arg, &extent, DEPTH};
    weft_binding binding;
    weft_bind(&binding, &extent_key, &extent);
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    while (atomic_load(&energy) > 0) { /* ends: each turn takes from it, or its tasks do */
        struct errand errand = new_errand(&at, NULL);
        wt_eq(weft_go(&s, pooled_errand, &errand), 0);
        node(&at);
    }
    check_end(weft_scope_end(&s));
    weft_unbind(&binding);
    return 0;
}

static void trees_round(int workers, uint64_t seed)
{
    atomic_store(&energy, ENERGY);
    wt_eq(weft_run(root, &seed, .workers = workers), 0);
    wt_eq(atomic_load(&ran), atomic_load(&forked));
}

Test(trees, each_section_runs_once_where_it_was_forked_with_one_worker, .timeout = 60)
{
    play(1, ROUND_NS, trees_round);
}

Test(trees, each_section_runs_once_where_it_was_forked_with_two_workers, .timeout = 60)
{
    play(2, ROUND_NS, trees_round);
}

Test(trees, each_section_runs_once_where_it_was_forked_with_eight_workers, .timeout = 60)
{
    play(8, ROUND_NS, trees_round);
}
