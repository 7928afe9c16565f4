/* flight.c: calls for the same thing at the same time are one call.
 *
 * Terms. *party*: one weft_flight_call, on the stack of its task. *leader*: the party that runs the
 * function; *passenger*: one that came while a leader with the same key was running, and waits.
 *
 * A leader's party is in a bucket of the table, and has the queue of its passengers. Nothing is
 * allocated, and what there is is bounded by the tasks that call. When the leader lands, it copies
 * its result into each passenger's memory, before the claim, as chan.c does and for the same
 * reason: a passenger may be gone after the claim, and one whose claim fails was cancelled and does
 * not look.
 *
 * A leader that was cancelled has no result that would be of use to others. It takes the first live
 * passenger, gives it its place in the bucket and the other passengers, and that one runs its own
 * function. The claim comes first, while the party is filled in afterwards: it may, because every
 * end of a passenger takes the lock (S.3 in sync.h).
 *
 * One lock for the table: it is held for a search, or for copies of 4 KiB at most to each
 * passenger. */
#include "src/sync.h"
#include <string.h>
#include <weft/reuse.h>

#define BUCKETS 16 /* keys that share one only lengthen the search: there are few at a time */

struct party {
    /* a leader's; unlinked: this is no leader */
    struct wf_list in_bucket;
    /* a leader's: wf_waiter.in_queue, whose item is the passenger's party */
    struct wf_list passengers;
    const void *key;
    size_t key_bytes;
    uint64_t hash;
    struct wf_task *task; /* only compared */
    void *result;
    int rc; /* of the leader's function, for a passenger that has landed */
};

struct wf_flight {
    struct wf_lock lock;
    uint32_t result_bytes; /* immutable */
    struct wf_list buckets[BUCKETS];
};

WF_FITS(flight);

static struct wf_flight *flight_of(const weft_flight *flight)
{
    return (struct wf_flight *)(uintptr_t)flight;
}

void weft_flight_init(weft_flight *handle, size_t result_bytes)
{
    wf_live_begin(handle, "weft_flight");
    struct wf_flight *flight = flight_of(handle);
    if (result_bytes > WEFT_FLIGHT_RESULT_MAX) {
        wf_misuse("weft_flight_init: results of %zu bytes, at most %d are shared", result_bytes,
                  WEFT_FLIGHT_RESULT_MAX);
        result_bytes = WEFT_FLIGHT_RESULT_MAX;
    }
    *flight = (struct wf_flight){.result_bytes = (uint32_t)result_bytes};
    for (int i = 0; i < BUCKETS; i++) {
        wf_list_init(&flight->buckets[i]);
    }
}

void weft_flight_fini(weft_flight *handle)
{
    wf_live_end(handle);
    struct wf_flight *flight = flight_of(handle);
    if (wf_sync_is_nobodys(&flight->buckets[0])) {
        return;
    }
    bool in_use = false;
    wf_lock(&flight->lock);
    for (int i = 0; i < BUCKETS; i++) {
        struct wf_list *node;
        while ((node = wf_list_pop_front(&flight->buckets[i])) != NULL) {
            struct party *leader = wf_container_of(node, struct party, in_bucket);
            (void)wf_waitq_claim_all(&leader->passengers, WF_WAIT_SHUT);
            in_use = true;
        }
    }
    wf_unlock(&flight->lock);
    if (in_use) {
        wf_misuse("weft_flight_fini: calls are under way");
    }
}

/* FNV-1a: short keys, and nothing depends on how well it spreads but the length of a search. */
static uint64_t hash_of(const void *key, size_t bytes)
{
    const unsigned char *byte = key;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static struct wf_list *bucket_of(struct wf_flight *flight, const struct party *party)
{
    return &flight->buckets[party->hash % BUCKETS];
}

/* --- under the lock --------------------------------------------------------------------------- */

static struct party *find_leader(struct wf_flight *flight, const struct party *me)
{
    struct wf_list *bucket = bucket_of(flight, me);
    for (struct wf_list *node = bucket->next; node != bucket; node = node->next) {
        struct party *leader = wf_container_of(node, struct party, in_bucket);
        if (leader->hash == me->hash && leader->key_bytes == me->key_bytes &&
            memcmp(leader->key, me->key, me->key_bytes) == 0) {
            return leader;
        }
    }
    return NULL;
}

static void lead(struct wf_flight *flight, struct party *party)
{
    wf_list_init(&party->passengers);
    wf_list_push_back(bucket_of(flight, party), &party->in_bucket);
}

static void land_all(struct wf_flight *flight, struct party *leader, int rc)
{
    struct wf_waiter *first;
    /* ends: each turn takes one out */
    while ((first = wf_waitq_first(&leader->passengers)) != NULL) {
        struct party *party = first->item;
        party->rc = rc;
        if (rc >= 0 && flight->result_bytes != 0) {
            memcpy(party->result, leader->result, flight->result_bytes);
        }
        (void)wf_waitq_grant(first);
    }
}

static void hand_over(struct wf_flight *flight, struct party *leader)
{
    struct wf_waiter *first;
    /* ends: each turn takes one out */
    while ((first = wf_waitq_first(&leader->passengers)) != NULL) {
        struct party *next = first->item;
        if (wf_waitq_grant(first)) {
            lead(flight, next); /* it waits for our lock at its end, if it runs already */
            wf_list_move_all(&leader->passengers, &next->passengers);
            return;
        }
    }
}

/* --- a party's way ---------------------------------------------------------------------------- */

/* What a beginning and an end say: */
#define FLIGHT_LEADS  0 /* run it, then land */
#define FLIGHT_LANDED 1 /* the result is there, party->rc is the code */

static ssize_t flight_finish(struct wf_call *call)
{
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    if (outcome == WF_WAIT_SHUT) {
        return -ESHUTDOWN;
    }
    struct wf_flight *flight = call->object;
    struct party *party = call->place.item;
    wf_lock(&flight->lock);
    wf_list_unlink(&call->place.in_queue);
    bool leads = !wf_list_is_empty(&party->in_bucket);
    wf_unlock(&flight->lock);
    if (outcome != WF_WAIT_GRANTED) {
        return -ECANCELED;
    }
    return leads ? FLIGHT_LEADS : FLIGHT_LANDED;
}

static const struct wf_wait_ops flight_ops = {
    .cancel = wf_wait_cancel_claim, .finish = flight_finish, .name = "weft_flight_call"};

static ssize_t flight_begin(struct wf_flight *flight, struct wf_call *call, struct wf_work *resume,
                            struct party *party)
{
    ssize_t rc;
    wf_lock(&flight->lock);
    struct party *leader = find_leader(flight, party);
    if (leader == NULL) {
        lead(flight, party);
        rc = FLIGHT_LEADS;
    } else if (leader->task == party->task) {
        rc = -EDEADLK;
    } else {
        wf_call_queue(call, resume, &flight_ops, flight, &leader->passengers, party);
        rc = WF_PENDING;
    }
    wf_unlock(&flight->lock);
    return rc;
}

/* The leader's function has returned rc. */
static void land(struct wf_flight *flight, struct party *party, int rc, bool cancelled)
{
    wf_lock(&flight->lock);
    wf_list_unlink(&party->in_bucket); /* whoever comes from here on starts anew */
    if (rc == -ECANCELED && cancelled) {
        hand_over(flight, party);
    } else {
        land_all(flight, party, rc);
    }
    wf_unlock(&flight->lock);
}

int weft_flight_call(weft_flight *handle, const void *key, size_t key_bytes, weft_flight_fn *fn,
                     void *arg, void *result)
{
    struct wf_flight *flight = flight_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    if (key_bytes > WEFT_FLIGHT_KEY_MAX) {
        return -E2BIG;
    }
    struct party party = {.key = key,
                          .key_bytes = key_bytes,
                          .hash = hash_of(key, key_bytes),
                          .task = self->env->task,
                          .result = result};
    wf_list_init(&party.in_bucket);
    struct wf_call call;
    rc = (int)wf_call_end(self, &call, flight_begin(flight, &call, &self->resume, &party));
    if (rc != FLIGHT_LEADS) {
        return rc == FLIGHT_LANDED ? party.rc : rc;
    }
    WF_GUARDED(rc = fn(arg, result));
    land(flight, &party, rc, wf_env_cancelled(self->env) != 0);
    return rc;
}
