/* uses.c: the rare half of uses.h: a descriptor that is closed while operations use it. */
#include "src/uses.h"

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

bool wf_use_is_refused_locked(struct wf_use_slot *slot, int fd, const struct wf_pool *pool)
{
    for (struct wf_list *node = slot->closing.next; node != &slot->closing; node = node->next) {
        const struct wf_closing *closing = closing_of(node);
        if (closing->fd == fd && closing->pool == pool) {
            return true;
        }
    }
    return false;
}

/* Tells all operations at the descriptor to end, and counts them. */
static void tell_locked(struct wf_use_slot *slot, struct wf_closing *closing)
{
    if (slot->calls.next == NULL) {
        return;
    }
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
    wf_list_unlink(&closing->in_slot);
    slot->closings--;
    wf_unlock(&slot->lock);
}

int wf_uses_end(int fd)
{
    if (fd < 0) {
        return 0; /* the system says what it is */
    }
    struct wf_fiber *self = wf_self();
    struct wf_use_slot *slot = wf_use_slot(fd);
    struct wf_closing closing = {.fd = fd, .pool = wf_runtime_of(self)->pool};
    wf_wait_init(&closing.wait, &self->resume, &closing_ops);
    wf_lock(&slot->lock);
    bool refused =
        wf_unlikely(slot->closings > 0) && wf_use_is_refused_locked(slot, fd, closing.pool);
    if (!refused) {
        tell_locked(slot, &closing);
    }
    bool waits = closing.left > 0; /* read under the lock */
    if (waits) {
        wf_list_push_back(&slot->closing, &closing.in_slot);
        slot->closings++;
    }
    wf_unlock(&slot->lock);
    if (wf_unlikely(waits)) {
        wait_for_all(self, slot, &closing);
    }
    return refused ? -EBADF : 0;
}
