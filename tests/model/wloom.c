/* wloom.c: runs the executions of one scenario under one search and one memory. See wloom.h for the
 * terms.
 *
 * A thread runs until its next step and announces it (announce()): what kind of operation, on which
 * location. Only then is it decided who goes on. So at every decision the next step of each thread
 * is known, which is what sleep sets need, and a thread whose next step cannot be taken (a lock
 * that is held) is simply not a candidate.
 *
 * Weak memory, after Kang et al., "A promising semantics" (2017), without promises. A location is
 * its list of messages, oldest first; the index in the list is the time. A view says for each
 * location which message the thread (or message, or fence) has at least seen. Each thread has
 * three: `current` bounds its loads from below; `acquired` is what an acquire fence would add to
 * it; `released` is what its relaxed stores hand on, from its last release fence. A view also has
 * the vector clock that finds data races; that one does not pass through seq_cst fences, which
 * order but do not synchronise. */
#include "tests/model/wloom_engine.h"

#include "pool/base/compiler.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LOCATIONS_MAX 96
#define MESSAGES_MAX  120 /* in one location in one execution */
#define PLAINS_MAX    64
#define RETIRED_MAX   8
#define TABLE_SIZE    512  /* addresses: twice as many slots as entries */
#define NODES_MAX     8192 /* open choices of a DFS */
#define STEPS_MAX     4000 /* in one execution: more is a livelock */
#define YIELDS_MAX    6    /* rounds in which all that can run yield, and nothing was written */
#define EXPLAINED_MAX 250  /* lines of a replay */
#define CHANGES_MAX   16   /* PCT */
#define STACK_BYTES   65536

struct view {
    uint8_t seen[LOCATIONS_MAX];
    uint16_t clock[WLOOM_THREADS];
};

struct message {
    uint64_t value;
    struct view view; /* what an acquiring reader learns */
};

struct location {
    const void *address;
    size_t size;
    uint16_t used[WLOOM_THREADS]; /* each thread's clock at its last access */
    int messages;
    struct message message[MESSAGES_MAX];
};

struct plain {
    int writer;
    uint16_t written;             /* the writer's clock; 0: never */
    uint16_t read[WLOOM_THREADS]; /* each reader's clock */
};

/* The step that a thread has announced. */
enum step {
    STEP_LOAD,
    STEP_STORE,
    STEP_RMW,
    STEP_FENCE_SC,
    STEP_FENCE_IN, /* a full fence in another thread, see wloom_fence_heavy */
    STEP_LOCK,     /* a read-modify-write that needs the newest value to be 0 */
    STEP_EVENT,    /* one that needs it to be other than 0 */
    STEP_FUTEX_WAIT,
    STEP_FUTEX_WAKE,
    STEP_YIELD,
    STEP_RETIRE,
    STEP_JOIN,
};
static const char *const step_names[] = {"load",  "store", "rmw",  "fence", "fence in", "lock",
                                         "event", "wait",  "wake", "yield", "retire",   "join"};

enum status { ABSENT, READY, IN_FUTEX, ENDED };

struct thread {
    void *sp;
    void (*run)(void *);
    void *arg;
    struct view current, acquired, released;
    enum status status;
    enum step step;
    int location;  /* of the step; or the thread to be joined */
    int creator;   /* while starting */
    bool seq_cst;  /* the step is a load or store of that order */
    bool yielded;  /* not a candidate until something is written */
    bool starting; /* runs ahead to its first step, on its creator's time */
    uint64_t priority;
};

/* One open choice of a DFS. */
struct node {
    uint8_t options, current; /* how many; which one is being explored */
    bool is_thread;
    uint8_t thread[WLOOM_THREADS];
    uint8_t done, asleep; /* sets of threads */
};

static struct {
    struct wloom_plan plan;
    struct wloom_result *result;
    /* this execution */
    struct thread threads[WLOOM_THREADS];
    int count, me;
    struct location locations[LOCATIONS_MAX];
    int located;
    struct plain plains[PLAINS_MAX];
    int plain_count;
    struct {
        const void *address;
        size_t bytes;
    } retired[RETIRED_MAX];
    int retired_count;
    /* what seq_cst fences hand to each other; its clock is unused */
    struct view fences;
    uint8_t last_sc[LOCATIONS_MAX]; /* the newest seq_cst store */
    int steps, preemptions, old_reads, yields, choices, explained;
    bool observing;
    /* DFS: threads whose next step has been tried already, and commutes with all since */
    uint8_t asleep;
    int decisions, changes, change_at[CHANGES_MAX];
    uint64_t low_priority;
    /* all executions */
    struct node nodes[NODES_MAX];
    int open, depth; /* nodes that exist; the next to be replayed */
    int decisions_max;
    uint64_t random;
    void *host; /* the stack of wloom_check_plan */
    char *stacks[WLOOM_THREADS];
} w;

struct wloom_site *wloom_sites;

/* --- small things ----------------------------------------------------------------------------- */

static uint64_t random_next(void)
{
    uint64_t x = w.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return w.random = x;
}

static int random_below(int n)
{
    return (int)((random_next() >> 33) % (uint64_t)n);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void join_seen(struct view *a, const struct view *b)
{
    for (int i = 0; i < LOCATIONS_MAX; i++) {
        a->seen[i] = a->seen[i] > b->seen[i] ? a->seen[i] : b->seen[i];
    }
}

static void join_views(struct view *a, const struct view *b)
{
    join_seen(a, b);
    for (int i = 0; i < WLOOM_THREADS; i++) {
        a->clock[i] = a->clock[i] > b->clock[i] ? a->clock[i] : b->clock[i];
    }
}

/* Leaves this execution; its stacks are simply used again. */
static WF_NORETURN void abandon(void)
{
    wloom_switch(&w.threads[w.me].sp, w.host);
    __builtin_unreachable();
}

static void say_why(const char *format, va_list arguments)
{
    if (!w.result->failed) {
        w.result->failed = true;
        vsnprintf(w.result->why, sizeof w.result->why, format, arguments);
    }
}

static WF_NORETURN WF_PRINTF(1, 2) void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_why(format, arguments);
    va_end(arguments);
    abandon();
}

void wloom_fail(const char *file, int line, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fail("%s (%s:%d)", text, base_name(file), line);
}

/* wf_unreachable comes here. */
void wf_panic(const char *file, int line, const char *format, ...)
{
    (void)format;
    fail("panic (%s:%d)", base_name(file), line);
}

static WF_PRINTF(2, 3) void explain(const struct wloom_site *site, const char *format, ...)
{
    if (!w.plan.explain || ++w.explained > EXPLAINED_MAX) {
        return;
    }
    printf("  T%d ", w.me);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    if (site != NULL) {
        printf("   %s:%d", base_name(site->file), site->line);
    }
    printf("\n");
}

/* --- choices ---------------------------------------------------------------------------------- */

static void record_choice(char c)
{
    if (w.choices < WLOOM_CHOICES - 1) {
        w.result->choices[w.choices++] = c;
        w.result->choices[w.choices] = '\0';
    }
}

/* A replay's next choice: a number below n, or 0 when the string is at its end. */
static int replayed(char base, int n)
{
    char c = w.plan.choices[w.choices];
    if (c == '\0') {
        return 0;
    }
    int value = c - base;
    if (value < 0 || value >= n) {
        fail("the choices do not fit this program (at %d)", w.choices);
    }
    return value;
}

static struct node *node_next(void)
{
    if (w.depth == NODES_MAX) {
        fail("more than %d open choices", NODES_MAX);
    }
    return &w.nodes[w.depth++];
}

/* 0 <= result < n; 0 is the choice that surprises least. is_old: the others are old values of a
 * location. */
static int choose_value(int n, bool is_old)
{
    if (n <= 1 || (is_old && w.plan.search == WLOOM_BOUND && w.old_reads >= w.plan.old_bound)) {
        if (n > 1) {
            record_choice('a');
        }
        return 0;
    }
    int value = 0;
    switch (w.plan.search) {
    case WLOOM_REPLAY:
        value = replayed('a', n);
        break;
    case WLOOM_RANDOM:
    case WLOOM_PCT:
        value = random_below(n);
        break;
    case WLOOM_DFS:
    case WLOOM_BOUND: {
        bool is_new = w.depth == w.open;
        struct node *node = node_next();
        if (is_new) {
            w.open++;
            *node = (struct node){.options = (uint8_t)n};
        }
        value = node->current;
        break;
    }
    }
    w.old_reads += is_old && value != 0;
    record_choice((char)('a' + value));
    return value;
}

/* Can the two steps that were announced not be exchanged? */
static bool depends(const struct thread *a, const struct thread *b)
{
    if (a->step == STEP_YIELD || b->step == STEP_YIELD) {
        return true; /* a yield ends with the next write, whatever it writes */
    }
    if (a->step == STEP_RETIRE || b->step == STEP_RETIRE) {
        return true; /* it may hold any location */
    }
    if (a->step == STEP_FENCE_IN || b->step == STEP_FENCE_IN) {
        return true; /* it changes what the other may read next */
    }
    if (a->step == STEP_JOIN || b->step == STEP_JOIN) {
        return false;
    }
    bool a_sc = a->seq_cst || a->step == STEP_FENCE_SC;
    bool b_sc = b->seq_cst || b->step == STEP_FENCE_SC;
    if (a_sc && b_sc) {
        return true;
    }
    if (a->step == STEP_FENCE_SC || b->step == STEP_FENCE_SC || a->location != b->location) {
        return false;
    }
    return a->step != STEP_LOAD || b->step != STEP_LOAD;
}

/* DFS: of the candidates, one that is not asleep; and who sleeps from here on. */
static int choose_by_dfs(const int *candidates, int n)
{
    uint8_t asleep = w.asleep;
    int chosen = candidates[0];
    if (n > 1) {
        bool is_new = w.depth == w.open;
        struct node *node = node_next();
        if (is_new) {
            *node = (struct node){.is_thread = true, .asleep = w.asleep};
            for (int i = 0; i < n; i++) {
                if ((w.asleep >> candidates[i] & 1) == 0) {
                    node->thread[node->options++] = (uint8_t)candidates[i];
                }
            }
            if (node->options == 0) {
                w.depth--;
                abandon(); /* every continuation has been tried in another order */
            }
            w.open++;
        }
        chosen = node->thread[node->current];
        asleep = node->asleep | node->done;
    } else if ((asleep >> chosen & 1) != 0) {
        abandon(); /* every continuation has been tried in another order */
    }
    w.asleep = 0;
    for (int i = 0; i < w.count; i++) {
        if ((asleep >> i & 1) != 0 && !depends(&w.threads[i], &w.threads[chosen])) {
            w.asleep |= (uint8_t)(1 << i);
        }
    }
    return chosen;
}

/* BOUND: candidates[0] is the running thread if it can go on. */
static int choose_by_bound(const int *candidates, int n, bool can_stay)
{
    if (n == 1 || (can_stay && w.preemptions >= w.plan.bound)) {
        return candidates[0];
    }
    bool is_new = w.depth == w.open;
    struct node *node = node_next();
    if (is_new) {
        w.open++;
        *node = (struct node){.is_thread = true, .options = (uint8_t)n};
        for (int i = 0; i < n; i++) {
            node->thread[i] = (uint8_t)candidates[i];
        }
    }
    int chosen = node->thread[node->current];
    w.preemptions += can_stay && chosen != candidates[0];
    return chosen;
}

static int choose_by_priority(const int *candidates, int n)
{
    if (n > 1) {
        w.decisions++;
        for (int i = 0; i < w.changes; i++) {
            if (w.change_at[i] == w.decisions) {
                w.threads[w.me].priority = w.low_priority--;
            }
        }
    }
    int chosen = candidates[0];
    for (int i = 1; i < n; i++) {
        if (w.threads[candidates[i]].priority > w.threads[chosen].priority) {
            chosen = candidates[i];
        }
    }
    return chosen;
}

static int choose_thread(uint32_t enabled, bool may_stay)
{
    int candidates[WLOOM_THREADS];
    int n = 0;
    bool can_stay = may_stay && (enabled >> w.me & 1) != 0;
    if (can_stay) {
        candidates[n++] = w.me;
    }
    for (int i = 0; i < w.count; i++) {
        if ((enabled >> i & 1) != 0 && !(can_stay && i == w.me)) {
            candidates[n++] = i;
        }
    }
    int chosen = candidates[0];
    switch (w.plan.search) {
    case WLOOM_DFS:
        chosen = choose_by_dfs(candidates, n);
        break;
    case WLOOM_BOUND:
        chosen = choose_by_bound(candidates, n, can_stay);
        break;
    case WLOOM_RANDOM:
        chosen = candidates[n > 1 ? random_below(n) : 0];
        break;
    case WLOOM_PCT:
        chosen = choose_by_priority(candidates, n);
        break;
    case WLOOM_REPLAY:
        if (n > 1) {
            chosen = w.plan.choices[w.choices] != '\0' ? replayed('0', w.count) : chosen;
            if ((enabled >> chosen & 1) == 0) {
                fail("the choices do not fit this program (at %d)", w.choices);
            }
        }
        break;
    }
    if (n > 1) {
        record_choice((char)('0' + chosen));
    }
    return chosen;
}

/* --- threads ---------------------------------------------------------------------------------- */

static uint64_t newest(int location)
{
    const struct location *l = &w.locations[location];
    return l->message[l->messages - 1].value;
}

static bool can_step(const struct thread *t)
{
    if (t->status != READY) {
        return false;
    }
    switch (t->step) {
    case STEP_LOCK:
        return newest(t->location) == 0;
    case STEP_EVENT:
        return newest(t->location) != 0;
    case STEP_JOIN:
        return w.threads[t->location].status == ENDED;
    default:
        return true;
    }
}

static WF_NORETURN void deadlock(void)
{
    char text[256];
    int length = 0;
    for (int i = 0; i < w.count; i++) {
        if (w.threads[i].status != ENDED) {
            length +=
                snprintf(text + length, sizeof text - (size_t)length, " T%d in %s", i,
                         w.threads[i].status == IN_FUTEX ? "futex" : step_names[w.threads[i].step]);
        }
    }
    fail("deadlock, or a lost wake-up:%s", text);
}

/* Lets some thread take its announced step; returns when it is the caller's turn. */
static void schedule(bool may_stay)
{
    uint32_t enabled = 0, yielded = 0;
    int alive = 0;
    for (int i = 0; i < w.count; i++) {
        alive += w.threads[i].status != ENDED;
        if (can_step(&w.threads[i])) {
            *(w.threads[i].yielded ? &yielded : &enabled) |= 1u << i;
        }
    }
    if (alive == 0) {
        abandon(); /* the execution is over */
    }
    if (enabled == 0) {
        if (yielded == 0) {
            deadlock();
        }
        if (++w.yields > YIELDS_MAX) {
            fail("livelock: every thread that can run yields, and none writes");
        }
        for (int i = 0; i < w.count; i++) {
            w.threads[i].yielded = false;
        }
        enabled = yielded;
    }
    int chosen = choose_thread(enabled, may_stay);
    if (chosen != w.me) {
        int before = w.me;
        w.me = chosen;
        wloom_switch(&w.threads[before].sp, w.threads[chosen].sp);
    }
}

static bool is_within(const void *address, const void *block, size_t bytes)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)block;
    return offset < bytes; /* below the block, it wraps */
}

static void check_retired(const void *address)
{
    for (int i = 0; i < w.retired_count; i++) {
        if (is_within(address, w.retired[i].address, w.retired[i].bytes)) {
            fail("access to retired memory, in block %d", i);
        }
    }
}

/* A new thread runs ahead to its first step; from there it is scheduled like the others. */
static void back_to_creator(void)
{
    int self = w.me;
    w.threads[self].starting = false;
    w.me = w.threads[self].creator;
    wloom_switch(&w.threads[self].sp, w.threads[w.me].sp);
}

/* Announces the next step of this thread, and returns when it is to be taken. */
static struct thread *announce(enum step step, int location, bool seq_cst)
{
    struct thread *me = &w.threads[w.me];
    me->step = step;
    me->location = location;
    me->seq_cst = seq_cst;
    if (me->starting) {
        back_to_creator();
    } else {
        schedule(step != STEP_YIELD);
    }
    if (++w.steps > STEPS_MAX) {
        fail("livelock: more than %d steps", STEPS_MAX);
    }
    me->current.clock[w.me]++;
    if (location >= 0 && step != STEP_JOIN) {
        check_retired(w.locations[location].address);
        w.locations[location].used[w.me] = me->current.clock[w.me];
    }
    return me;
}

static void thread_main(void)
{
    struct thread *me = &w.threads[w.me];
    me->run(me->arg);
    me->status = ENDED;
    me->current.clock[w.me]++;
    if (me->starting) {
        back_to_creator();
    }
    schedule(false);
    __builtin_unreachable();
}

static int thread_new(void (*run)(void *), void *arg)
{
    if (w.count == WLOOM_THREADS) {
        fail("more than %d threads", WLOOM_THREADS);
    }
    int id = w.count++;
    struct thread *t = &w.threads[id];
    memset(t, 0, sizeof *t);
    t->run = run;
    t->arg = arg;
    t->status = READY;
    t->priority = 1000 + (uint64_t)random_below(1000000);
    t->sp = wloom_stack(w.stacks[id] + STACK_BYTES, thread_main);
    return id;
}

int wloom_spawn(void (*run)(void *arg), void *arg)
{
    int creator = w.me;
    int id = thread_new(run, arg);
    struct thread *t = &w.threads[id];
    w.threads[creator].current.clock[creator]++;
    t->current = w.threads[creator].current;
    t->acquired = t->current;
    t->released = t->current;
    t->starting = true;
    t->creator = creator;
    w.me = id;
    wloom_switch(&w.threads[creator].sp, t->sp);
    return id;
}

int wloom_self(void)
{
    return w.me;
}

void wloom_join(int thread)
{
    struct thread *me = announce(STEP_JOIN, thread, false);
    explain(NULL, "joins T%d", thread);
    join_views(&me->current, &w.threads[thread].current);
    join_views(&me->acquired, &me->current);
}

void wloom_join_all(void)
{
    int self = w.me;
    for (int i = 0; i < w.count; i++) {
        if (i != self) {
            wloom_join(i);
        }
    }
}

void wloom_yield(void)
{
    w.threads[w.me].yielded = true;
    struct thread *me = announce(STEP_YIELD, -1, false);
    explain(NULL, "yields");
    for (int i = 0; i < w.located; i++) { /* what it reads does not stay old for ever */
        me->current.seen[i] = (uint8_t)(w.locations[i].messages - 1);
    }
}

void wloom_observe(bool on)
{
    w.observing = on;
}

int wloom_choose(int n)
{
    return choose_value(n, false);
}

/* --- locations -------------------------------------------------------------------------------- */

/* Maps addresses to small numbers, afresh in each execution. */
struct table {
    struct {
        const void *address;
        uint64_t execution;
        int index;
    } slot[TABLE_SIZE];
};
static struct table location_table, plain_table;

/* The number of `address`; `next` is given to it, and *is_new set, if it has none yet. */
static int look_up(struct table *table, const void *address, int next, bool *is_new)
{
    uint64_t hash = (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15) >> 56;
    uint64_t now = w.result->executions + 1;
    for (;; hash = (hash + 1) % TABLE_SIZE) { /* ends: there are fewer entries than slots */
        if (table->slot[hash].execution != now) {
            table->slot[hash].address = address;
            table->slot[hash].execution = now;
            table->slot[hash].index = next;
            *is_new = true;
            return next;
        }
        if (table->slot[hash].address == address) {
            return table->slot[hash].index;
        }
    }
}

void wloom_retire(const void *address, size_t bytes)
{
    struct thread *me = announce(STEP_RETIRE, -1, false);
    explain(NULL, "retires %zu bytes", bytes);
    if (w.retired_count == RETIRED_MAX) {
        fail("more than %d retired blocks", RETIRED_MAX);
    }
    w.retired[w.retired_count].address = address;
    w.retired[w.retired_count++].bytes = bytes;
    /* What others did there must have happened before, not just earlier in this execution. */
    for (int x = 0; x < w.located; x++) {
        const struct location *l = &w.locations[x];
        for (int i = 0; i < w.count && is_within(l->address, address, bytes); i++) {
            if (i != w.me && l->used[i] > me->current.clock[i]) {
                fail("access to retired memory: T%d's last access is not ordered before", i);
            }
        }
    }
}

static uint64_t read_memory(const void *address, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, address, size); /* little endian, like both our targets */
    return value;
}

static int locate(const void *address, size_t size)
{
    bool is_new = false;
    int x = look_up(&location_table, address, w.located, &is_new);
    struct location *l = &w.locations[x];
    if (is_new) {
        if (++w.located > LOCATIONS_MAX) {
            fail("more than %d locations", LOCATIONS_MAX);
        }
        l->address = address;
        l->size = size;
        l->messages = 1;
        memset(l->used, 0, sizeof l->used);
        memset(&l->message[0], 0, sizeof l->message[0]);
        l->message[0].value = read_memory(address, size);
    }
    if (l->size != size) {
        fail("one location, two sizes");
    }
    return x;
}

/* --- memory ----------------------------------------------------------------------------------- */

static void read_message(struct thread *me, int x, int i, enum wloom_order order)
{
    const struct message *m = &w.locations[x].message[i];
    if (me->current.seen[x] < i) {
        me->current.seen[x] = (uint8_t)i;
    }
    join_views(&me->acquired, &m->view);
    join_views(&me->acquired, &me->current);
    if ((order & WLOOM_ACQUIRE) != 0) {
        join_views(&me->current, &m->view);
    }
}

/* Appends a message. `read`: the message that a read-modify-write has read, whose release sequence
 * it continues. */
static void write_message(struct thread *me, int x, uint64_t value, enum wloom_order order,
                          const struct message *read)
{
    struct location *l = &w.locations[x];
    if (l->messages == MESSAGES_MAX) {
        fail("livelock: more than %d values in one location", MESSAGES_MAX);
    }
    int i = l->messages++;
    struct message *m = &l->message[i];
    me->current.seen[x] = (uint8_t)i;
    m->value = l->size == 8 ? value : value & ((UINT64_C(1) << (8 * l->size)) - 1);
    m->view = (order & WLOOM_RELEASE) != 0 ? me->current : me->released;
    m->view.seen[x] = (uint8_t)i;
    if (read != NULL) {
        join_views(&m->view, &read->view);
    }
    if (order == WLOOM_SEQ_CST) {
        w.last_sc[x] = (uint8_t)i;
    }
    memcpy((void *)(uintptr_t)l->address, &m->value, l->size);
    if (m->value != l->message[i - 1].value) { /* those who yielded may find something new */
        w.yields = 0;
        for (int t = 0; t < w.count; t++) {
            w.threads[t].yielded = false;
        }
    }
}

/* The oldest message that a load of this thread may return. */
static int oldest(const struct thread *me, int x, enum wloom_order order)
{
    if (!w.plan.weak) {
        return w.locations[x].messages - 1;
    }
    int seen = me->current.seen[x];
    return order == WLOOM_SEQ_CST && w.last_sc[x] > seen ? w.last_sc[x] : seen;
}

static void list_site(struct wloom_site *site)
{
    if (!site->listed) {
        site->listed = true;
        site->next = wloom_sites;
        wloom_sites = site;
    }
}

static enum wloom_order order_of(const struct wloom_site *site)
{
    return site->mutation == WLOOM_WEAKENED ? WLOOM_RELAXED : site->order;
}

static uint64_t load(const void *address, size_t size, enum wloom_order order,
                     struct wloom_site *site)
{
    if (w.observing) {
        return read_memory(address, size);
    }
    int x = locate(address, size);
    struct thread *me = announce(STEP_LOAD, x, order == WLOOM_SEQ_CST);
    int last = w.locations[x].messages - 1;
    int i = last - choose_value(last - oldest(me, x, order) + 1, true);
    read_message(me, x, i, order);
    uint64_t value = w.locations[x].message[i].value;
    explain(site, "%s is %llx%s", site->text, (unsigned long long)value, i < last ? " (old)" : "");
    return value;
}

static void store(void *address, size_t size, uint64_t value, enum wloom_order order,
                  struct wloom_site *site)
{
    if (w.observing) {
        fail("an observer writes");
    }
    int x = locate(address, size);
    struct thread *me = announce(STEP_STORE, x, order == WLOOM_SEQ_CST);
    write_message(me, x, value, order, NULL);
    explain(site, "%s = %llx", site->text, (unsigned long long)value);
}

static uint64_t combine(enum wloom_op op, uint64_t value, uint64_t operand)
{
    switch (op) {
    case WLOOM_ADD:
        return value + operand;
    case WLOOM_OR:
        return value | operand;
    case WLOOM_AND:
        return value & operand;
    default:
        return operand;
    }
}

uint64_t wloom_load(const void *address, size_t size, struct wloom_site *site)
{
    list_site(site);
    return load(address, size, order_of(site), site);
}

void wloom_store(void *address, size_t size, uint64_t value, struct wloom_site *site)
{
    list_site(site);
    store(address, size, value, order_of(site), site);
}

uint64_t wloom_rmw(void *address, size_t size, uint64_t operand, struct wloom_site *site)
{
    list_site(site);
    enum wloom_order order = order_of(site);
    if (site->mutation == WLOOM_SPLIT) {
        uint64_t value = load(address, size, order, site);
        store(address, size, combine(site->op, value, operand), order, site);
        return value;
    }
    int x = locate(address, size);
    struct thread *me = announce(STEP_RMW, x, order == WLOOM_SEQ_CST);
    struct location *l = &w.locations[x];
    const struct message *m = &l->message[l->messages - 1];
    uint64_t value = m->value;
    read_message(me, x, l->messages - 1, order);
    write_message(me, x, combine(site->op, value, operand), order, m);
    explain(site, "%s: %llx -> %llx", site->text, (unsigned long long)value,
            (unsigned long long)newest(x));
    return value;
}

bool wloom_cas(void *address, size_t size, void *expected, uint64_t desired,
               struct wloom_site *site)
{
    list_site(site);
    enum wloom_order order = order_of(site);
    enum wloom_order failure =
        site->mutation == WLOOM_WEAKENED ? WLOOM_RELAXED : site->failure_order;
    uint64_t wanted = read_memory(expected, size);
    if (site->mutation == WLOOM_SPLIT) {
        uint64_t value = load(address, size, order, site);
        if (value == wanted) {
            store(address, size, desired, order, site);
            return true;
        }
        memcpy(expected, &value, size);
        return false;
    }
    int x = locate(address, size);
    struct thread *me = announce(STEP_RMW, x, order == WLOOM_SEQ_CST);
    struct location *l = &w.locations[x];
    /* It succeeds or fails on the newest value; or it fails, as a load, on an old one that
     * differs. */
    int candidates[MESSAGES_MAX];
    int n = 0;
    int last = l->messages - 1;
    candidates[n++] = last;
    for (int i = last - 1; i >= oldest(me, x, failure); i--) {
        if (l->message[i].value != wanted) {
            candidates[n++] = i;
        }
    }
    int i = candidates[choose_value(n, true)];
    uint64_t value = l->message[i].value;
    if (i == last && value == wanted) {
        read_message(me, x, i, order);
        write_message(me, x, desired, order, &l->message[i]);
        explain(site, "%s: %llx -> %llx", site->text, (unsigned long long)value,
                (unsigned long long)newest(x));
        return true;
    }
    read_message(me, x, i, failure);
    memcpy(expected, &value, size);
    explain(site, "%s is %llx%s, not exchanged", site->text, (unsigned long long)value,
            i < last ? " (old)" : "");
    return false;
}

void wloom_fence(struct wloom_site *site)
{
    list_site(site);
    enum wloom_order order = order_of(site);
    if (order == WLOOM_RELAXED) {
        return;
    }
    /* Acquire and release fences change only what this thread knows: no step. Nor do others under
     * SC. */
    bool is_step = order == WLOOM_SEQ_CST && w.plan.weak;
    struct thread *me = is_step ? announce(STEP_FENCE_SC, -1, true) : &w.threads[w.me];
    if ((order & WLOOM_ACQUIRE) != 0) {
        join_views(&me->current, &me->acquired);
    }
    if (order == WLOOM_SEQ_CST) {
        join_seen(&me->current, &w.fences);
        join_seen(&w.fences, &me->current);
        join_views(&me->acquired, &me->current);
        explain(site, "full fence");
    }
    if ((order & WLOOM_RELEASE) != 0) {
        me->released = me->current;
    }
}

static void fence_in(struct thread *t)
{
    join_views(&t->current, &t->acquired);
    join_seen(&t->current, &w.fences);
    join_seen(&w.fences, &t->current);
    join_views(&t->acquired, &t->current);
    t->released = t->current;
}

/* A full fence in each thread, one after the other: in the caller first, and last. */
void wloom_fence_heavy(struct wloom_site *site)
{
    list_site(site);
    if (order_of(site) == WLOOM_RELAXED || !w.plan.weak) {
        return;
    }
    int self = w.me;
    fence_in(announce(STEP_FENCE_SC, -1, true));
    for (int i = 0; i < w.count; i++) {
        if (i != self) {
            (void)announce(STEP_FENCE_IN, -1, true);
            fence_in(&w.threads[i]);
        }
    }
    fence_in(announce(STEP_FENCE_SC, -1, true));
    explain(site, "full fence in all threads");
}

/* --- plain data ------------------------------------------------------------------------------- */

static struct plain *plain_at(const void *address)
{
    check_retired(address);
    bool is_new = false;
    int i = look_up(&plain_table, address, w.plain_count, &is_new);
    if (is_new) {
        if (++w.plain_count > PLAINS_MAX) {
            fail("more than %d plain data", PLAINS_MAX);
        }
        memset(&w.plains[i], 0, sizeof w.plains[i]);
    }
    return &w.plains[i];
}

static void check_written(const struct plain *p, const char *what, const char *file, int line)
{
    if (p->written != 0 && w.threads[w.me].current.clock[p->writer] < p->written) {
        fail("data race: T%d %s what T%d wrote (%s:%d)", w.me, what, p->writer, base_name(file),
             line);
    }
}

void wloom_plain_read(const void *address, const char *file, int line)
{
    struct plain *p = plain_at(address);
    check_written(p, "reads", file, line);
    p->read[w.me] = ++w.threads[w.me].current.clock[w.me];
}

void wloom_plain_write(const void *address, const char *file, int line)
{
    struct plain *p = plain_at(address);
    check_written(p, "overwrites", file, line);
    for (int i = 0; i < w.count; i++) {
        if (i != w.me && p->read[i] > w.threads[w.me].current.clock[i]) {
            fail("data race: T%d overwrites what T%d reads (%s:%d)", w.me, i, base_name(file),
                 line);
        }
    }
    p->writer = w.me;
    p->written = ++w.threads[w.me].current.clock[w.me];
}

/* --- locks and sleep -------------------------------------------------------------------------- */

/* A read-modify-write outside the source under test: locks and events. */
static void set_newest(struct thread *me, int x, uint64_t value, enum wloom_order order)
{
    struct location *l = &w.locations[x];
    read_message(me, x, l->messages - 1, order);
    write_message(me, x, value, order, &l->message[l->messages - 1]);
}

void wloom_lock(void *word)
{
    int x = locate(word, sizeof(uint32_t));
    struct thread *me = announce(STEP_LOCK, x, false);
    set_newest(me, x, 1, WLOOM_ACQUIRE);
    explain(NULL, "locks");
}

void wloom_unlock(void *word)
{
    int x = locate(word, sizeof(uint32_t));
    struct thread *me = announce(STEP_STORE, x, false);
    set_newest(me, x, 0, WLOOM_RELEASE);
    explain(NULL, "unlocks");
}

static void wait_event(const void *address, size_t size, enum wloom_order order)
{
    int x = locate(address, size);
    struct thread *me = announce(STEP_EVENT, x, false);
    set_newest(me, x, 0, order);
    explain(NULL, "wakes");
}

void wloom_event_wait_(const void *address, size_t size)
{
    wait_event(address, size, WLOOM_RELAXED);
}

void wloom_handoff_wait_(const void *address, size_t size)
{
    wait_event(address, size, WLOOM_ACQUIRE);
}

void wloom_handoff_set_(const void *address, size_t size)
{
    int x = locate(address, size);
    struct thread *me = announce(STEP_STORE, x, false);
    write_message(me, x, 1, WLOOM_RELEASE, NULL);
    explain(NULL, "hands over");
}

int wloom_futex_wait(const void *word, uint32_t expected)
{
    int x = locate(word, sizeof(uint32_t));
    struct thread *me = announce(STEP_FUTEX_WAIT, x, false);
    read_message(me, x, w.locations[x].messages - 1, WLOOM_RELAXED);
    if (newest(x) != expected) {
        explain(NULL, "futex: changed already");
        return -1;
    }
    explain(NULL, "futex: sleeps");
    me->status = IN_FUTEX;
    schedule(false);
    return 0;
}

int wloom_futex_wake(const void *word, int threads)
{
    int x = locate(word, sizeof(uint32_t));
    (void)announce(STEP_FUTEX_WAKE, x, false);
    int woken = 0;
    for (int i = 0; i < w.count && woken < threads; i++) {
        if (w.threads[i].status == IN_FUTEX && w.threads[i].location == x) {
            w.threads[i].status = READY;
            woken++;
        }
    }
    explain(NULL, "futex: wakes %d", woken);
    return woken;
}

/* --- searches --------------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_once(void)
{
    w.count = w.located = w.plain_count = w.retired_count = 0;
    w.steps = w.preemptions = w.old_reads = w.yields = w.choices = w.explained = w.depth = 0;
    w.observing = false;
    w.asleep = 0;
    w.result->choices[0] = '\0';
    memset(&w.fences, 0, sizeof w.fences);
    memset(w.last_sc, 0, sizeof w.last_sc);
    w.decisions = 0;
    w.low_priority = 999;
    w.changes = 0;
    if (w.plan.search == WLOOM_PCT) {
        for (; w.changes < w.plan.bound - 1 && w.changes < CHANGES_MAX; w.changes++) {
            w.change_at[w.changes] = 1 + random_below(w.decisions_max);
        }
    }
    w.me = thread_new((void (*)(void *))w.plan.body, NULL);
    wloom_switch(&w.host, w.threads[0].sp);
    if (w.decisions > w.decisions_max) {
        w.decisions_max = w.decisions;
    }
}

/* Moves the deepest open choice on. False: there is none. */
static bool backtrack(void)
{
    for (; w.open > 0; w.open--) {
        struct node *node = &w.nodes[w.open - 1];
        if (node->is_thread) {
            node->done |= (uint8_t)(1 << node->thread[node->current]);
        }
        if (++node->current < node->options) {
            return true;
        }
    }
    return false;
}

void wloom_check_plan(const struct wloom_plan *plan, struct wloom_result *result)
{
    memset(result, 0, sizeof *result);
    memset(&location_table, 0, sizeof location_table);
    memset(&plain_table, 0, sizeof plain_table);
    for (int i = 0; i < WLOOM_THREADS; i++) {
        if (w.stacks[i] == NULL) {
            w.stacks[i] =
                mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (w.stacks[i] == MAP_FAILED) {
                perror("wloom: stacks");
                exit(2);
            }
        }
    }
    w.plan = *plan;
    w.result = result;
    w.random = plan->seed * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(88172645463325252);
    w.open = 0;
    w.decisions_max = 16;
    double begin = now_s();
    for (;;) { /* ends: a failure, no open choice, or executions_max */
        run_once();
        result->executions++; /* those that a sleep set cut short included */
        result->steps += (uint64_t)w.steps;
        if (result->failed || plan->search == WLOOM_REPLAY) {
            break;
        }
        if (plan->search == WLOOM_DFS || plan->search == WLOOM_BOUND) {
            if (!backtrack()) {
                result->complete = true;
                break;
            }
        }
        if (plan->executions_max != 0 && result->executions >= plan->executions_max) {
            break;
        }
    }
    result->seconds = now_s() - begin;
}
