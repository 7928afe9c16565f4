/* uses.c: the rare half of uses.h: a descriptor that is closed while operations use it. */
#include "src/uses.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include <errno.h>

struct wf_use_slot wf_use_slots[WF_USE_SLOTS];

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
    wf_list_init(&slot->owned);
}

void wf_own(struct wf_owned *owned, int fd)
{
    struct wf_use_slot *slot = wf_use_slot(fd);
    owned->fd = fd;
    wf_lock(&slot->lock);
    if (slot->calls.next == NULL) {
        wf_use_slot_init_locked(slot);
    }
    wf_list_push_back(&slot->owned, &owned->in_slot);
    wf_unlock(&slot->lock);
}

void wf_disown(struct wf_owned *owned)
{
    struct wf_use_slot *slot = wf_use_slot(owned->fd);
    wf_lock(&slot->lock);
    wf_list_unlink(&owned->in_slot);
    wf_unlock(&slot->lock);
}

static bool is_owned_locked(const struct wf_use_slot *slot, int fd)
{
    for (struct wf_list *node = slot->owned.next; node != &slot->owned; node = node->next) {
        if (wf_container_of(node, struct wf_owned, in_slot)->fd == fd) {
            return true;
        }
    }
    return false;
}

static struct wf_closing *find_locked(struct wf_use_slot *slot, int fd, const struct wf_pool *pool)
{
    for (struct wf_list *node = slot->closing.next; node != &slot->closing; node = node->next) {
        struct wf_closing *closing = closing_of(node);
        if (closing->fd == fd && closing->pool == pool) {
            return closing;
        }
    }
    return NULL;
}

/* close(2) takes a microsecond, as a rule; if it takes longer, naps are as good as anything. */
#define LOOKS_MAX 100
#define NAP_NS    INT64_C(20000)

bool wf_use_may_begin(struct wf_use_slot *slot, int fd, const struct wf_pool *pool)
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
    return true;
}

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
    struct wf_use_slot *slot = wf_use_slot(fd);
    *closing = (struct wf_closing){.fd = fd, .pool = wf_runtime_of(self)->pool};
    wf_wait_init(&closing->wait, &self->resume, &closing_ops);
    wf_lock(&slot->lock);
    if (wf_unlikely(slot->calls.next == NULL)) {
        wf_use_slot_init_locked(slot);
    }
    if (wf_unlikely(is_owned_locked(slot, fd))) {
        wf_unlock(&slot->lock);
        wf_misuse("weft_close: the descriptor %d is a listener's, which closes it", fd);
        return -EBADF;
    }
    if (wf_unlikely(slot->closings > 0) && !wf_use_may_begin(slot, fd, closing->pool)) {
        wf_unlock(&slot->lock);
        return -EBADF;
    }
    tell_locked(slot, closing);
    /* relaxed: a read on its way may put it back, which file.c bounds */
    wf_store_relaxed(&slot->known, 0);
    bool waits = closing->left > 0; /* read under the lock */
    closing->frees = !waits;
    wf_list_push_back(&slot->closing, &closing->in_slot);
    slot->closings++;
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
