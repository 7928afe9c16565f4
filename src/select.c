/* select.c: waiting at several objects at once.
 *
 * One wait, and a place in the queue of each case's object; the places lie in the cases. Whoever
 * grants one of them claims the wait, and says which (wf_wait_place); claims at the others fail
 * from then on. The waiter, running again, takes its places out of all queues, under the lock of
 * each.
 *
 * Why two selects that face each other (one sends where the other receives) neither miss each other
 * nor claim each other at once. A select is first active, then passive, never both:
 *   1. It takes the locks of all its objects, in the order of their addresses.
 *   2. Under all of them it tries each case. Nobody knows of its wait yet, so nobody can claim it;
 *      it claims passive parties only.
 *   3. If nothing could be done, it enlists everywhere, still under all locks, drops them, and lies
 *      down. From then on it only gets claimed.
 * Of two that face each other, one has the common object's lock first; it lies there when the other
 * tries. Rejected: trying and enlisting under one lock at a time. Then a select that finds
 * something at the second object while it is enlisted at the first must claim two waits, its own
 * and the other's, and undo one if the other fails, while third parties have passed over it.
 *
 * What cannot be done under locks (a channel that drops calls its user; one that grows allocates)
 * is done after step 2, by an operation that need not wait, or followed by another step 1. */
#include "src/select.h"
#include "pool/base/check.h"
#include "src/core.h"
#include "src/value.h"

struct case_state {
    struct wf_waiter place;
};

_Static_assert(sizeof(struct case_state) <= sizeof(((weft_case *)0)->opaque), "weft_case");
_Static_assert(_Alignof(struct case_state) <= _Alignof(weft_case), "weft_case");

static struct wf_waiter *place_of(weft_case *of)
{
    return &((struct case_state *)(void *)of->opaque)->place;
}

static const struct wf_case_kind *kind_of(const weft_case *of)
{
    static const struct wf_case_kind *const kinds[] = {
        [WEFT_CASE_SEND] = &wf_case_send,   [WEFT_CASE_RECV] = &wf_case_recv,
        [WEFT_CASE_WATCH] = &wf_case_watch, [WEFT_CASE_BCAST] = &wf_case_bcast,
        [WEFT_CASE_EVENT] = &wf_case_event,
    };
    return kinds[of->kind];
}

/* --- all locks -------------------------------------------------------------------------------- */

/* The locks of the enabled cases, each once, in the order in which they are taken. */
struct locks {
    int n;
    struct wf_lock *at[WEFT_SELECT_MAX];
};

static void add_lock(struct locks *locks, struct wf_lock *lock)
{
    int i = locks->n;
    while (i > 0 && (uintptr_t)locks->at[i - 1] > (uintptr_t)lock) {
        i--;
    }
    if (i > 0 && locks->at[i - 1] == lock) {
        return;
    }
    for (int j = locks->n; j > i; j--) {
        locks->at[j] = locks->at[j - 1];
    }
    locks->at[i] = lock;
    locks->n++;
}

static void collect_locks(struct locks *locks, weft_case *cases, int n)
{
    locks->n = 0;
    for (int i = 0; i < n; i++) {
        if (cases[i].object != NULL) {
            add_lock(locks, kind_of(&cases[i])->lock(&cases[i]));
        }
    }
}

static void lock_all(struct locks *locks)
{
    for (int i = 0; i < locks->n; i++) {
        wf_lock(locks->at[i]);
    }
}

static void unlock_all(struct locks *locks)
{
    for (int i = locks->n - 1; i >= 0; i--) {
        wf_unlock(locks->at[i]);
    }
}

/* --- the select ------------------------------------------------------------------------------- */

/* Under all locks, from `start` on: the index of the first case that could be done, or that must be
 * done under no lock (*rc is WF_CASE_UNLOCK); or n. */
static int try_all(weft_case *cases, int n, int start, ssize_t *rc, struct wf_owed *owed)
{
    for (int i = 0; i < n; i++) {
        int at = start + i < n ? start + i : start + i - n;
        if (cases[at].object != NULL) {
            *rc = kind_of(&cases[at])->try_locked(&cases[at], owed);
            if (*rc != WF_PENDING) {
                return at;
            }
        }
    }
    return n;
}

static void enlist_all(weft_case *cases, int n, struct wf_call *call, struct wf_work *resume)
{
    wf_wait_init(&call->wait, resume, &wf_select_ops);
    call->object = cases;
    call->detail = (uint64_t)n;
    for (int i = 0; i < n; i++) {
        if (cases[i].object != NULL) {
            place_of(&cases[i])->wait = &call->wait;
            kind_of(&cases[i])->enlist_locked(&cases[i], place_of(&cases[i]));
        }
    }
}

static ssize_t select_begin(weft_case *cases, int n, bool waits, int start, struct wf_call *call,
                            struct wf_work *resume)
{
    struct locks locks;
    collect_locks(&locks, cases, n);
    for (;;) { /* ends: a round that goes on found something, which another then took */
        struct wf_owed owed = {0};
        ssize_t rc = WF_PENDING;
        lock_all(&locks);
        int chosen = try_all(cases, n, start, &rc, &owed);
        if (chosen == n && waits) {
            enlist_all(cases, n, call, resume);
        }
        unlock_all(&locks);
        wf_run_owed(&owed);
        if (chosen == n) {
            return waits ? WF_PENDING : -EAGAIN;
        }
        if (rc == WF_CASE_UNLOCK) {
            rc = kind_of(&cases[chosen])->unlocked(&cases[chosen]);
            if (rc == -ENOMEM) {
                return rc;
            }
        }
        if (rc != WF_PENDING) {
            cases[chosen].rc = (int)rc;
            return chosen;
        }
    }
}

/* The case whose place that is; NULL: none, nothing was granted. */
static weft_case *case_of(struct wf_call *call, const struct wf_waiter *place)
{
    weft_case *cases = call->object;
    for (int i = 0; i < (int)call->detail; i++) {
        if (cases[i].object != NULL && place_of(&cases[i]) == place) {
            return &cases[i];
        }
    }
    return NULL;
}

/* The cases are there: if another object has ended the wait, its waiter takes our lock before it
 * returns. */
void wf_select_leave_locked(struct wf_waiter *place)
{
    struct wf_call *call = wf_container_of(place->wait, struct wf_call, wait);
    weft_case *cases = call->object;
    weft_case *shut = case_of(call, place);
    struct wf_lock *lock = kind_of(shut)->lock(shut);
    for (int i = 0; i < (int)call->detail; i++) {
        if (cases[i].object != NULL && kind_of(&cases[i])->lock(&cases[i]) == lock) {
            wf_list_unlink(&place_of(&cases[i])->in_queue);
        }
    }
}

/* Out of all queues. An object that was closed or freed is not touched again: of it we look at the
 * address of its lock. */
static ssize_t select_finish(struct wf_call *call)
{
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    struct wf_waiter *granted = wf_wait_place(&call->wait);
    weft_case *cases = call->object;
    weft_case *chosen = case_of(call, granted);
    struct wf_lock *shut = outcome == WF_WAIT_SHUT ? kind_of(chosen)->lock(chosen) : NULL;
    for (int i = 0; i < (int)call->detail; i++) {
        weft_case *of = &cases[i];
        struct wf_lock *lock = of->object != NULL ? kind_of(of)->lock(of) : NULL;
        if (lock == NULL || lock == shut) {
            continue;
        }
        wf_lock(lock);
        if (of == chosen) { /* whoever granted it has taken it out, for good (wf_list_drop) */
            of->rc = (int)kind_of(of)->granted_locked(of);
        } else {
            wf_list_unlink(&place_of(of)->in_queue);
        }
        wf_unlock(lock);
    }
    if (shut != NULL) {
        chosen->rc = wf_code_of_shut(granted);
    }
    return chosen != NULL ? chosen - cases : -ECANCELED;
}

const struct wf_wait_ops wf_select_ops = {
    .cancel = wf_wait_cancel_claim, .finish = select_finish, .name = "weft_select"};

static bool are_cases_valid(const weft_case *cases, int n, int flags)
{
    bool valid = n > 0 && n <= WEFT_SELECT_MAX && (flags & ~(WEFT_ORDERED | WEFT_NOWAIT)) == 0;
    for (int i = 0; i < n && valid; i++) {
        valid = cases[i].kind >= WEFT_CASE_SEND && cases[i].kind <= WEFT_CASE_EVENT;
    }
    return valid;
}

/* The first case to be tried. */
static int start_of(struct wf_fiber *self, int n, int flags)
{
    return (flags & WEFT_ORDERED) != 0 ? 0 : (int)wf_rng_below(&self->worker->rng, (uint32_t)n);
}

int weft_select(weft_case *cases, int n, int flags)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    if (wf_unlikely(!are_cases_valid(cases, n, flags))) {
        return -EINVAL;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call,
                            select_begin(cases, n, (flags & WEFT_NOWAIT) == 0,
                                         start_of(self, n, flags), &call, &self->resume));
}

weft_val weft_select_v_(weft_case *cases, int n, int flags, const weft_place *place)
{
    struct wf_begun b;
    if (!wf_v_begin(&b, WF_V_CALL, place)) {
        return b.val;
    }
    if (wf_unlikely(!are_cases_valid(cases, n, flags))) {
        return wf_v_end(&b, -EINVAL);
    }
    return wf_v_end(&b, select_begin(cases, n, (flags & WEFT_NOWAIT) == 0,
                                     start_of(b.self, n, flags), b.call, b.resume));
}
