/* ticker.c: a wait for the next of many instants that lie a period apart.
 *
 * The instants are fixed when the ticker is made, so what a task does between two waits does not
 * add up. No timer runs while nobody waits: a tick that is due is seen from the clock, and several
 * that have passed are one wait's result (coalesced), so a task that is late neither runs after
 * lost time nor forgets how much it lost. While a task waits, a timer of its worker's wheel stands
 * for the next tick.
 *
 * Under the lock: `waiters` holds the one wait, live, or none. The timer is added by the waiter
 * after its beginning has let go of the lock, and taken back by its end, because the wheel's lock
 * comes before ours; fire() takes ours in that order. From its beginning to its end the timer and
 * the tick that it waits for are one waiter's, also when its wait is over and it has not run
 * yet. */
#include "pool/base/sys.h"
#include "src/sync.h"
#include "src/value.h"

struct wf_ticker {
    struct wf_lock lock;
    bool is_waited;         /* under lock: by a wait that has begun and not come to its end */
    struct wf_list waiters; /* under lock; one place at most */
    int64_t next_ns;        /* under lock: the first tick that no wait has returned */
    int64_t period_ns;      /* immutable */
    struct wf_timer timer;  /* the waiter's, from begin to end */
};

WF_FITS(ticker);

#define PERIOD_FALLBACK_NS INT64_C(1000000) /* if the misuse hook returns */

static struct wf_ticker *ticker_of(const weft_ticker *ticker)
{
    return (struct wf_ticker *)(uintptr_t)ticker;
}

static void tick(struct wf_timer *timer)
{
    struct wf_ticker *ticker = wf_container_of(timer, struct wf_ticker, timer);
    wf_lock(&ticker->lock);
    (void)wf_waitq_claim_first(&ticker->waiters, WF_WAIT_GRANTED);
    wf_unlock(&ticker->lock); /* the waiter's end takes it too, after the timer's: it may be gone */
}

/* Without overflow: beyond the end of time there is no tick. */
static int64_t later(int64_t from_ns, int64_t by_ns)
{
    int64_t sum_ns;
    return __builtin_add_overflow(from_ns, by_ns, &sum_ns) ? INT64_MAX : sum_ns;
}

void weft_ticker_init(weft_ticker *handle, weft_time period)
{
    wf_live_begin(handle, "weft_ticker");
    struct wf_ticker *ticker = ticker_of(handle);
    if (period <= 0) {
        wf_misuse("weft_ticker_init: the period must be positive");
        period = PERIOD_FALLBACK_NS;
    }
    *ticker = (struct wf_ticker){.period_ns = period, .next_ns = later(wf_sys.now_ns(), period)};
    wf_list_init(&ticker->waiters);
    wf_timer_init(&ticker->timer, tick);
}

void weft_ticker_fini(weft_ticker *handle)
{
    wf_live_end(handle);
    struct wf_ticker *ticker = ticker_of(handle);
    if (wf_sync_is_nobodys(&ticker->waiters)) {
        return;
    }
    (void)wf_timer_del(&ticker->timer);
    wf_lock(&ticker->lock);
    bool waited = wf_waitq_claim_all(&ticker->waiters, WF_WAIT_SHUT);
    wf_unlock(&ticker->lock);
    if (waited) {
        wf_misuse("weft_ticker_fini: a task was waiting for it");
    }
}

/* Under the lock: how many ticks have passed that no wait has returned; they are returned now. */
static int take_ticks(struct wf_ticker *ticker, int64_t now_ns)
{
    if (now_ns < ticker->next_ns) {
        return 0;
    }
    int64_t passed = (now_ns - ticker->next_ns) / ticker->period_ns + 1;
    /* the product is at most now - next + period */
    ticker->next_ns = later(ticker->next_ns, passed * ticker->period_ns);
    return passed < INT32_MAX ? (int)passed : INT32_MAX;
}

static ssize_t ticker_finish(struct wf_call *call)
{
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    if (outcome == WF_WAIT_SHUT) {
        return -ESHUTDOWN;
    }
    struct wf_ticker *ticker = call->object;
    (void)wf_timer_del(&ticker->timer); /* and waits until tick() is through */
    wf_lock(&ticker->lock);
    wf_list_unlink(&call->place.in_queue);
    ticker->is_waited = false;
    ssize_t rc = outcome == WF_WAIT_GRANTED ? take_ticks(ticker, wf_sys.now_ns()) : -ECANCELED;
    wf_unlock(&ticker->lock);
    return rc;
}

static const struct wf_wait_ops ticker_ops = {
    .cancel = wf_wait_cancel_claim, .finish = ticker_finish, .name = "weft_ticker_wait"};

static ssize_t ticker_begin(struct wf_ticker *ticker, struct wf_call *call, struct wf_work *resume,
                            struct wf_worker *worker)
{
    int64_t now_ns = wf_sys.now_ns();
    wf_lock(&ticker->lock);
    ssize_t rc = ticker->is_waited ? -EBUSY : (ssize_t)take_ticks(ticker, now_ns);
    if (rc == 0) {
        ticker->is_waited = true;
        wf_call_queue(call, resume, &ticker_ops, ticker, &ticker->waiters, NULL);
        rc = WF_PENDING;
    }
    int64_t next_ns = ticker->next_ns;
    wf_unlock(&ticker->lock);
    if (rc == WF_PENDING) {
        wf_timer_add(&worker->wheel, &ticker->timer, next_ns);
    }
    return rc;
}

int weft_ticker_wait(weft_ticker *handle)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call,
                            ticker_begin(ticker_of(handle), &call, &self->resume, self->worker));
}

weft_val weft_ticker_wait_v_(weft_ticker *handle, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, ticker_begin(ticker_of(handle), b.call, b.resume, b.self->worker))
               : b.val;
}
