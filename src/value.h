/* value.h: completions behind values that are pending, and what modules need to offer an operation
 * with _v.
 *
 * A module offers it with the beginning that its stackful call is made of (call.h):
 *
 *     weft_val weft_event_wait_v_(weft_event *event, const weft_place *place)
 *     {
 *         struct wf_begun b;
 *         return wf_v_begin(&b, WF_V_CALL, place)
 *                    ? wf_v_end(&b, event_begin(event_of(event), b.call, b.resume))
 *                    : b.val;
 *     }
 *
 * A pending operation's wait stays in SETUP (wait.h) as long as nobody awaits it: a claim then only
 * leaves its mark. The consumer, whoever and wherever it is, names what is to be resumed, and arms.
 * So completing costs no more than ending any wait, and the result is fetched (ops->finish) by the
 * consumer.
 *
 * A completion's life, in one word: the number of the life, and
 *
 *   FREE --[take_record]--> PENDING --[wf_value_take, one wins]--> TAKEN --[release_record]--> FREE
 *                                                                    |        (its next life)  ^
 *                                                [drop, in a scope]  +--> DROPPED [end_dropped]+
 *
 * and for a weft_promise, meanwhile: SET (once), and PINNED while the setter touches the record; if
 * it is released meanwhile, it is DROPPED and GONE, so that copies are stale at once, and the
 * setter gives it back.
 *
 * Guarantees.
 * G.1  Of all attempts to consume one life, at most one succeeds; one that comes after the life has
 *      ended finds another number, for ever: it has 58 bits.
 * G.2  Records are readable as long as the runtime lives (wf_slab_keep_readable), so a stale value
 *      may look at the word. Nothing else of a record is touched but by the owner of its life.
 * G.3  A record is enlisted in its scope from its beginning until its consumer takes it out; the
 *      scope's end takes out what is left (wf_values_collect). So nothing outlives the scope.
 *
 * Who may call: src/ only. */
#ifndef WF_VALUE_H
#define WF_VALUE_H

#include "src/core.h"
#include <weft/stackless.h>

struct wf_frame;

#define WF_LIFE_FREE    UINT64_C(0)
#define WF_LIFE_PENDING UINT64_C(1)
#define WF_LIFE_TAKEN   UINT64_C(2)
#define WF_LIFE_DROPPED UINT64_C(3) /* holds its scope */
#define WF_LIFE_STATE   UINT64_C(3)
#define WF_LIFE_SET     UINT64_C(4)
#define WF_LIFE_PINNED  UINT64_C(8)
#define WF_LIFE_GONE    UINT64_C(16)
#define WF_LIFE_FLAGS   UINT64_C(63)
#define WF_LIFE_NEXT    UINT64_C(64)

struct wf_value {
    struct wf_work work;      /* of a dropped one: ends it; the slab's while free */
    WF_ATOMIC(uint64_t) life; /* kept while free */
    const weft_place *place;  /* where it was begun */
    struct wf_call call;
};

_Static_assert(sizeof(struct wf_value) == 128, "pool.c, value_bytes");
_Static_assert(sizeof(weft_val) == 24, "as documented");

WF_INLINE weft_val wf_val_done(ssize_t result, const weft_place *place)
{
    return weft_val_done_(result, place);
}

/* Memory for an operation. */
enum wf_v_kind {
    WF_V_CALL,   /* a call: in the frame that awaits it, if there is one, else a record */
    WF_V_OP,     /* a record with room for an operation of the kernel */
    WF_V_WIDE,   /* the same, and for a message: 384 bytes */
    WF_V_POOLED, /* a call, always in a record */
};

/* An operation that is being begun. */
struct wf_begun {
    struct wf_fiber *self;
    struct wf_call *call;   /* for the beginning */
    struct wf_work *resume; /* likewise */
    struct wf_value *value; /* holds the call; NULL: the frame does */
    struct wf_frame *frame;
    const weft_place *place;
    enum wf_v_kind kind;
    weft_val val; /* if it was refused */
};

/* False: b->val says why not. */
bool wf_v_begin(struct wf_begun *b, enum wf_v_kind kind, const weft_place *place);
/* `rc`: what the beginning returned. */
weft_val wf_v_end(struct wf_begun *b, ssize_t rc);

/* Makes the caller the only one who may consume the value, which is *val no more: 0 and the record,
 * or -ESTALE (the misuse hook was called), -EBUSY. */
int wf_value_take(weft_val *val, struct wf_value **out);
/* Enlists the wait in `scope`; if `env`, which runs, is cancelled, the wait is cancelled at
 * once. */
void wf_value_enlist(struct wf_wait *wait, struct wf_scope *scope, struct wf_env *env);
/* The taken record's wait has ended: its result in *result and true, the record is given back; or
 * false: it was begun anew, not enlisted. Then what happens in the kernel's name has to be awaited
 * again. */
bool wf_value_end(struct wf_value *value, ssize_t *result);

/* Ends a call whose wait has ended, and takes it out of its scope: nobody wants the result. */
void wf_value_discard(struct wf_call *call);

/* As weft_promise_set, with a record that goes to the consumer; owned. */
int wf_promise_set(const weft_promise *promise, int64_t result, weft_error *error);
/* A pending value that the caller alone completes, once; until then the record stays, with `scope`
 * in it, whatever becomes of the value. NULL: *val says why. */
struct wf_value *wf_value_new_pinned(struct wf_scope *scope, weft_val *val,
                                     const weft_place *place);
void wf_value_complete(struct wf_value *value, int64_t result, weft_error *error);

/* work.run of a dropped record. */
void wf_value_run(struct wf_fiber *self, struct wf_work *work);
struct wf_pool *wf_value_pool(struct wf_work *work);

/* Ends what was neither consumed nor dropped in a scope that has no member any more; reports each.
 * May suspend. */
WF_COLD void wf_values_collect(struct wf_fiber *self, struct wf_scope *scope);
/* The same for the root scope, by a foreign thread, when all tasks have ended. */
void wf_values_collect_root(struct weft_rt *rt);

#endif
