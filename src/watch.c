/* watch.c: watches and broadcasts, both a *feed*: numbered items of which the last few are kept,
 * and readers that each know the number they want next.
 *
 * A watch keeps one, and its readers do not care what they missed. Items are copied under the lock,
 * so that none is torn. Readers that wait have nothing copied into them: all are claimed by the
 * next item, and take under the lock what is there when they run, which may be a later one. The
 * state only goes forward (numbers grow, a closed feed stays closed), so what they were woken for
 * is still true. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/core.h"
#include "src/item.h"
#include "src/select.h"
#include <string.h>
#include <weft/watch.h>

struct feed {
    struct wf_lock lock;
    /* under lock */
    bool closed;
    int code;               /* of the close */
    uint64_t sent;          /* items so far: the number of the next one */
    struct wf_list readers; /* wf_waiter.in_queue of those that wait; none while closed */
    /* immutable */
    size_t item_bytes;
    uint64_t capacity; /* a power of two */
    unsigned char items[] WF_ALIGNED(WF_LINE);
};

/* The handles are distinct types of the same object. */
static struct feed *feed_of_watch(weft_watch *watch)
{
    return (struct feed *)(void *)watch;
}

static struct feed *feed_of_bcast(weft_bcast *bcast)
{
    return (struct feed *)(void *)bcast;
}

/* --- the feed --------------------------------------------------------------------------------- */

static struct feed *feed_new(size_t item_bytes, uint64_t capacity)
{
    struct feed *feed = wf_sys.alloc(WF_LINE, sizeof *feed + item_bytes * capacity);
    if (feed != NULL) {
        memset(feed, 0, sizeof *feed);
        feed->item_bytes = item_bytes;
        feed->capacity = capacity;
        wf_list_init(&feed->readers);
    }
    return feed;
}

static void feed_free(struct feed *feed, const char *call)
{
    if (feed == NULL || wf_forked) {
        return;
    }
    struct wf_owed owed = {0};
    wf_lock(&feed->lock);
    bool any = wf_shut_owing(&feed->readers, -ESHUTDOWN, &owed);
    wf_unlock(&feed->lock);
    wf_run_owed(&owed);
    if (any) {
        wf_misuse("%s: tasks were waiting at it", call);
    }
    wf_sys.release(feed);
}

static unsigned char *slot_of(struct feed *feed, uint64_t number)
{
    return feed->items + (number & (feed->capacity - 1)) * feed->item_bytes;
}

static void wake_readers_locked(struct feed *feed, struct wf_owed *owed)
{
    struct wf_waiter *place;
    while ((place = wf_waitq_pop(&feed->readers)) != NULL) { /* ends: the queue is under our lock */
        (void)wf_claim_owing(place, WF_WAIT_GRANTED, owed);
    }
}

static int feed_send(struct feed *feed, const void *item)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    struct wf_owed owed = {0};
    int rc = -EPIPE;
    wf_lock(&feed->lock);
    if (!feed->closed) {
        wf_item_copy(slot_of(feed, feed->sent), item, feed->item_bytes);
        feed->sent++;
        wake_readers_locked(feed, &owed);
        rc = 0;
    }
    wf_unlock(&feed->lock);
    wf_run_owed(&owed);
    return rc;
}

static int feed_close(struct feed *feed, int code)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (code > 0) {
        return -EINVAL;
    }
    struct wf_owed owed = {0};
    wf_lock(&feed->lock);
    bool first = !feed->closed;
    if (first) {
        feed->closed = true;
        feed->code = code;
        (void)wf_shut_owing(&feed->readers, code, &owed);
    }
    wf_unlock(&feed->lock);
    wf_run_owed(&owed);
    return first ? 0 : -EALREADY;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* What a reader wants: the item number *next or later, into *item. */
struct reading {
    struct feed *feed;
    uint64_t *next;
    void *item;
    uint64_t *missed;
    bool latest; /* a watch: the last of all */
};

/* 1; WF_PENDING: nothing there yet; the code of a closed feed; -EOVERFLOW. */
static ssize_t read_locked(const struct reading *reading)
{
    struct feed *feed = reading->feed;
    uint64_t behind = feed->sent - *reading->next;
    if (behind == 0) {
        return feed->closed ? feed->code : WF_PENDING;
    }
    uint64_t lost = behind > feed->capacity ? behind - feed->capacity : 0;
    *reading->next += lost;
    if (reading->missed != NULL) {
        *reading->missed = lost;
    } else if (lost != 0 && !reading->latest) {
        return -EOVERFLOW;
    }
    wf_item_copy(reading->item, slot_of(feed, *reading->next), feed->item_bytes);
    *reading->next += 1;
    return 1;
}

struct reader_call {
    struct wf_call call; /* its detail: the reading */
    struct reading reading;
};

static ssize_t read_finish(struct wf_call *call)
{
    const struct reading *reading = &wf_container_of(call, struct reader_call, call)->reading;
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    if (outcome == WF_WAIT_SHUT) {
        return wf_code_of_shut(&call->place);
    }
    ssize_t rc = -ECANCELED;
    wf_lock(&reading->feed->lock);
    wf_list_unlink(&call->place.in_queue);
    if (outcome == WF_WAIT_GRANTED) {
        rc = read_locked(reading);
    }
    wf_unlock(&reading->feed->lock);
    wf_check_inner(rc != WF_PENDING);
    return rc;
}

static const struct wf_wait_ops read_ops = {.cancel = wf_wait_cancel_claim,
                                            .finish = read_finish,
                                            .name = "weft_watch_next or weft_bcast_recv"};

static ssize_t read_begin(struct reader_call *reader, struct wf_work *resume)
{
    struct feed *feed = reader->reading.feed;
    wf_lock(&feed->lock);
    ssize_t rc = read_locked(&reader->reading);
    if (rc == WF_PENDING) {
        wf_call_queue(&reader->call, resume, &read_ops, feed, &feed->readers, NULL);
    }
    wf_unlock(&feed->lock);
    return rc;
}

static int read_and_wait(const struct reading *reading)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    struct reader_call reader = {.reading = *reading};
    return (int)wf_call_end(self, &reader.call, read_begin(&reader, &self->resume));
}

/* --- watch ------------------------------------------------------------------------------------ */

int weft_watch_new(weft_watch **out, size_t bytes, const void *value)
{
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    if (bytes == 0 || bytes > WEFT_WATCH_BYTES_MAX) {
        return -EINVAL;
    }
    struct feed *feed = feed_new(bytes, 1);
    if (feed == NULL) {
        return -ENOMEM;
    }
    memcpy(feed->items, value, bytes);
    feed->sent = 1;
    *out = (weft_watch *)(void *)feed;
    return 0;
}

void weft_watch_free(weft_watch *watch)
{
    feed_free(feed_of_watch(watch), "weft_watch_free");
}

int weft_watch_set(weft_watch *watch, const void *value)
{
    return feed_send(feed_of_watch(watch), value);
}

uint64_t weft_watch_get(weft_watch *watch, void *value)
{
    struct feed *feed = feed_of_watch(watch);
    if (wf_forked) { /* the lock may be held by a thread that is not here */
        return 0;
    }
    wf_lock(&feed->lock);
    wf_item_copy(value, feed->items, feed->item_bytes);
    uint64_t number = feed->sent;
    wf_unlock(&feed->lock);
    return number;
}

/* A watch's numbers begin with 1, so *seen is also the number that would come next if nothing were
 * missed. */
static struct reading watch_reading(weft_watch *watch, uint64_t *seen, void *value)
{
    return (struct reading){
        .feed = feed_of_watch(watch), .next = seen, .item = value, .latest = true};
}

int weft_watch_next(weft_watch *watch, uint64_t *seen, void *value)
{
    struct reading reading = watch_reading(watch, seen, value);
    return read_and_wait(&reading);
}

int weft_watch_close(weft_watch *watch, int code)
{
    return feed_close(feed_of_watch(watch), code);
}

/* --- broadcast -------------------------------------------------------------------------------- */

static uint64_t power_of_two(uint64_t at_least)
{
    uint64_t power = 1;
    while (power < at_least) { /* ends: at most WEFT_BCAST_CAPACITY_MAX */
        power *= 2;
    }
    return power;
}

int weft_bcast_new(weft_bcast **out, size_t item_bytes, size_t capacity)
{
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    if (item_bytes == 0 || item_bytes > WEFT_BCAST_ITEM_MAX || capacity == 0 ||
        capacity > WEFT_BCAST_CAPACITY_MAX) {
        return -EINVAL;
    }
    *out = (weft_bcast *)(void *)feed_new(item_bytes, power_of_two(capacity));
    return *out != NULL ? 0 : -ENOMEM;
}

void weft_bcast_free(weft_bcast *bcast)
{
    feed_free(feed_of_bcast(bcast), "weft_bcast_free");
}

int weft_bcast_send(weft_bcast *bcast, const void *item)
{
    return feed_send(feed_of_bcast(bcast), item);
}

void weft_bcast_join(weft_bcast *bcast, weft_bcast_reader *reader)
{
    struct feed *feed = feed_of_bcast(bcast);
    if (wf_forked) {
        *reader = (weft_bcast_reader){.bcast = bcast};
        return;
    }
    wf_lock(&feed->lock);
    *reader = (weft_bcast_reader){.bcast = bcast, .next = feed->sent};
    wf_unlock(&feed->lock);
}

static struct reading bcast_reading(weft_bcast_reader *reader, void *item, uint64_t *missed)
{
    return (struct reading){.feed = feed_of_bcast(reader->bcast),
                            .next = &reader->next,
                            .item = item,
                            .missed = missed};
}

int weft_bcast_recv(weft_bcast_reader *reader, void *item, uint64_t *missed)
{
    struct reading reading = bcast_reading(reader, item, missed);
    return read_and_wait(&reading);
}

int weft_bcast_try_recv(weft_bcast_reader *reader, void *item, uint64_t *missed)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    struct reading reading = bcast_reading(reader, item, missed);
    wf_lock(&reading.feed->lock);
    ssize_t rc = read_locked(&reading);
    wf_unlock(&reading.feed->lock);
    return rc == WF_PENDING ? -EAGAIN : (int)rc;
}

int weft_bcast_close(weft_bcast *bcast, int code)
{
    return feed_close(feed_of_bcast(bcast), code);
}

/* --- for weft_select -------------------------------------------------------------------------- */

static struct reading reading_of(weft_case *of)
{
    return of->kind == WEFT_CASE_WATCH ? watch_reading(of->object, of->seen, of->item)
                                       : bcast_reading(of->object, of->item, of->seen);
}

static struct wf_lock *case_lock(weft_case *of)
{
    return &reading_of(of).feed->lock;
}

static ssize_t case_try(weft_case *of, struct wf_owed *owed)
{
    (void)owed;
    struct reading reading = reading_of(of);
    return read_locked(&reading);
}

static ssize_t case_granted(weft_case *of)
{
    struct reading reading = reading_of(of);
    return read_locked(&reading);
}

static void case_enlist(weft_case *of, struct wf_waiter *place)
{
    place->item = NULL;
    wf_list_push_back(&reading_of(of).feed->readers, &place->in_queue);
}

const struct wf_case_kind wf_case_watch = {
    .lock = case_lock,
    .try_locked = case_try,
    .enlist_locked = case_enlist,
    .granted_locked = case_granted,
};

const struct wf_case_kind wf_case_bcast = {
    .lock = case_lock,
    .try_locked = case_try,
    .enlist_locked = case_enlist,
    .granted_locked = case_granted,
};
