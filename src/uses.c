/* uses.c: the rare half of uses.h: a descriptor that is closed while operations use it. */
#include "src/uses.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include <errno.h>

struct wf_use_slot wf_use_slots[WF_USE_SLOTS];
struct wf_use_number wf_use_numbers[WF_USE_NUMBERS];

/* It cannot be interrupted: what it waits for has been told to end. */
static const struct wf_wait_ops closing_ops = {.name = "weft_close (of a descriptor in use)"};

static struct wf_call *call_of(struct wf_list *node)
{
    return wf_container_of(node, struct wf_call, place.in_queue);
}

static struct wf_closing *closing_of(struct wf_list *node)
{
    return wf_container_of(node, struct wf_closing, in_slot);
}

void wf_use_slot_init_locked(struct wf_use_slot *slot)
{
    wf_list_init(&slot->calls);
    wf_list_init(&slot->closing);
    wf_list_init(&slot->held);
}

static struct wf_use_slot *lock_slot(int fd)
{
    struct wf_use_slot *slot = wf_use_slot(fd);
    wf_lock(&slot->lock);
    if (wf_unlikely(slot->calls.next == NULL)) {
        wf_use_slot_init_locked(slot);
    }
    return slot;
}

static struct wf_held *held_of(struct wf_list *node)
{
    return wf_container_of(node, struct wf_held, in_slot);
}

static bool is_owned_locked(const struct wf_use_slot *slot, int fd)
{
    for (struct wf_list *node = slot->held.next; node != &slot->held; node = node->next) {
        const struct wf_held *held = held_of(node);
        if (held->fd == fd && held->how == WF_HELD_OWNED) {
            return true;
        }
    }
    return false;
}

static struct wf_closing *find_locked(struct wf_use_slot *slot, int fd, const struct wf_pool *pool)
{
    for (struct wf_list *node = slot->closing.next; node != &slot->closing; node = node->next) {
        struct wf_closing *closing = closing_of(node);
        if (closing->fd == fd && (pool == NULL || closing->pool == pool)) {
            return closing;
        }
    }
    return NULL;
}

/* close(2) takes a microsecond: file.c lets no socket linger meanwhile. On a network file system it
 * may take longer, and naps are as good as anything. */
#define LOOKS_MAX 100
#define NAP_NS    INT64_C(20000)

bool wf_use_may_begin(struct wf_use_slot *slot, int fd, uint32_t meant, const struct wf_pool *pool)
{
    const struct wf_closing *closing;
    for (int looks = 0; (closing = find_locked(slot, fd, pool)) != NULL; looks++) {
        if (!closing->frees) {
            return false;
        }
        /* ends: with another's close(2) */
        wf_unlock(&slot->lock);
        if (looks < LOOKS_MAX) {
            wf_spin_hint();
        } else {
            wf_sys.nap(NAP_NS);
        }
        wf_lock(&slot->lock);
    }
    return wf_use_means(fd, meant);
}

/* --- held ------------------------------------------------------------------------------------- */

void wf_own(struct wf_held *held, int fd)
{
    *held = (struct wf_held){.fd = fd, .how = WF_HELD_OWNED};
    struct wf_use_slot *slot = lock_slot(fd);
    wf_list_push_back(&slot->held, &held->in_slot);
    wf_unlock(&slot->lock);
}

static bool hold(struct wf_held *held, uint32_t meant)
{
    if (held->fd < 0) {
        wf_list_init(&held->in_slot);
        return held->fd != WF_FD_CLOSED;
    }
    struct wf_use_slot *slot = lock_slot(held->fd);
    bool may = wf_use_means(held->fd, meant) &&
               (slot->closings == 0 || wf_use_may_begin(slot, held->fd, meant, NULL));
    if (may) {
        wf_list_push_back(&slot->held, &held->in_slot);
    }
    wf_unlock(&slot->lock);
    return may;
}

bool wf_touch(struct wf_held *held, int fd, uint32_t meant)
{
    *held = (struct wf_held){.fd = fd, .how = WF_HELD_TOUCHED};
    return hold(held, meant);
}

bool wf_hold_in_line(struct wf_held *held, int fd, uint32_t meant, int own_fd, struct wf_wait *wait)
{
    *held = (struct wf_held){.fd = fd, .how = WF_HELD_IN_LINE, .own_fd = own_fd, .wait = wait};
    return hold(held, meant);
}

void wf_unhold(struct wf_held *held)
{
    if (held->fd < 0) {
        return;
    }
    struct wf_use_slot *slot = wf_use_slot(held->fd);
    wf_lock(&slot->lock);
    wf_list_unlink(&held->in_slot);
    struct wf_closing *closing = held->how == WF_HELD_TOUCHED ? held->closing : NULL;
    bool is_last = wf_unlikely(closing != NULL) && --closing->left == 0;
    wf_unlock(&slot->lock);
    if (is_last) {
        (void)wf_wait_claim(&closing->wait, WF_WAIT_GRANTED); /* LAST TOUCH of it */
    }
}

/* --- a closing -------------------------------------------------------------------------------- */

/* Tells all operations at the descriptor to end, and counts them. */
static void tell_locked(struct wf_use_slot *slot, struct wf_closing *closing)
{
    for (struct wf_list *node = slot->calls.next; node != &slot->calls; node = node->next) {
        struct wf_call *call = call_of(node);
        struct wf_op *op = call->object;
        if (op->fd == closing->fd && op->home->pool == closing->pool) {
            call->detail = (uintptr_t)closing;
            closing->left++;
            wf_io_cancel_by_message(op);
        }
    }
}

/* Counts the touches. */
static void count_touches_locked(struct wf_use_slot *slot, struct wf_closing *closing)
{
    for (struct wf_list *node = slot->held.next; node != &slot->held; node = node->next) {
        struct wf_held *held = held_of(node);
        if (held->fd == closing->fd && held->how == WF_HELD_TOUCHED && held->closing == NULL) {
            held->closing = closing;
            closing->left++;
        }
    }
}

/* Ends the wait of one that stands in line at the descriptor: its own number, to be closed; -1:
 * there is none. */
static int shut_one_locked(struct wf_use_slot *slot, int fd)
{
    struct wf_list *node = slot->held.next;
    while (node != &slot->held) { /* ends: with the list */
        struct wf_held *held = held_of(node);
        int own_fd = held->own_fd;
        node = node->next;
        if (held->fd == fd && held->how == WF_HELD_IN_LINE) {
            wf_list_unlink(&held->in_slot); /* it is not to be found twice */
            if (wf_wait_claim(held->wait, WF_WAIT_SHUT)) {
                return own_fd;
            }
        }
    }
    return -1;
}

/* Lets go of the lock in between. */
static void shut_lines(struct wf_use_slot *slot, int fd)
{
    int own_fd;
    /* ends: none comes in any more */
    while (wf_unlikely((own_fd = shut_one_locked(slot, fd)) >= 0)) {
        wf_unlock(&slot->lock);
        (void)wf_sys.close(own_fd);
        wf_lock(&slot->lock);
    }
}

/* The last of them claims the wait. */
static WF_COLD void wait_for_all(struct wf_fiber *self, struct wf_use_slot *slot,
                                 struct wf_closing *closing)
{
    (void)wf_wait_block(self, &closing->wait);
    wf_lock(&slot->lock);
    closing->frees = true;
    wf_unlock(&slot->lock);
}

int wf_closing_begin(struct wf_closing *closing, int fd)
{
    struct wf_fiber *self = wf_self();
    *closing = (struct wf_closing){.fd = fd, .pool = wf_runtime_of(self)->pool};
    wf_wait_init(&closing->wait, &self->resume, &closing_ops);
    struct wf_use_slot *slot = lock_slot(fd);
    if (wf_unlikely(is_owned_locked(slot, fd))) {
        wf_unlock(&slot->lock);
        wf_misuse("weft_close: the descriptor %d is a listener's, which closes it", fd);
        return -EBADF;
    }
    if (wf_unlikely(slot->closings > 0) && !wf_use_may_begin(slot, fd, 0, closing->pool)) {
        wf_unlock(&slot->lock);
        return -EBADF;
    }
    if (wf_likely((uint32_t)fd < WF_USE_NUMBERS)) {
        (void)wf_add_relaxed(&wf_use_numbers[fd].closes, 1); /* relaxed: see wf_use_meant */
    }
    /* relaxed: a read on its way may put it back, which file.c bounds */
    wf_store_relaxed(&slot->known, 0);
    wf_list_push_back(&slot->closing, &closing->in_slot);
    slot->closings++;
    shut_lines(slot, fd);
    tell_locked(slot, closing);
    count_touches_locked(slot, closing);
    bool waits = closing->left > 0; /* read under the lock */
    closing->frees = !waits;
    wf_unlock(&slot->lock);
    if (wf_unlikely(waits)) {
        wait_for_all(self, slot, closing);
    }
    return 0;
}

void wf_closing_end(struct wf_closing *closing)
{
    struct wf_use_slot *slot = wf_use_slot(closing->fd);
    wf_lock(&slot->lock);
    wf_list_unlink(&closing->in_slot);
    slot->closings--;
    wf_unlock(&slot->lock);
}
