/* uring_lend.c: see uring_lend.h. Of <liburing/io_uring.h> only structs and numbers are used. */
#include "io/uring_lend.h"
#include "io/op.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <linux/time_types.h> /* which the next header forgets */
#include <liburing/io_uring.h>
#include <string.h>
#include <sys/mman.h>

/* The tail, which the kernel reads, lies over the unused last field of the first place. */
struct tail {
    WF_ATOMIC(uint16_t) value;
};

_Static_assert(sizeof(struct io_uring_buf) == 16, "the plain size");
_Static_assert(offsetof(struct io_uring_buf, resv) == offsetof(struct io_uring_buf_ring, tail),
               "the tail lies over the first place");
_Static_assert(WF_LENT_MAX <= 32768, "the kernel takes no more, and the tail has 16 bits");

static struct tail *tail_of(const struct wf_lend *lend)
{
    return (struct tail *)(void *)&lend->places[0].resv;
}

static uint32_t power_of_two(uint32_t count)
{
    uint32_t places = 1;
    while (places < count) { /* ends: doubles */
        places *= 2;
    }
    return places;
}

int wf_lend_open(struct wf_lend *lend, struct wf_ring *ring, uint32_t count)
{
    if (lend->places != NULL) {
        return -EBUSY;
    }
    uint32_t places = power_of_two(count);
    size_t page = wf_sys_page_bytes();
    size_t bytes = (places * sizeof(struct io_uring_buf) + page - 1) / page * page;
    void *memory = wf_sys.map(bytes, PROT_READ | PROT_WRITE);
    if (memory == NULL) {
        return -ENOMEM;
    }
    struct io_uring_buf_reg place = {
        .ring_addr = (uint64_t)(uintptr_t)memory,
        .ring_entries = places,
        .bgid = WF_LEND_GROUP,
    };
    int rc = wf_sys.advise(memory, bytes, MADV_DONTFORK);
    if (rc == 0) {
        rc = wf_sys.uring_register(ring->fd, IORING_REGISTER_PBUF_RING, &place, 1);
    }
    if (rc < 0) {
        (void)wf_sys.unmap(memory, bytes);
        return rc;
    }
    *lend = (struct wf_lend){.places = memory, .bytes = bytes, .mask = places - 1};
    return 0;
}

void wf_lend_close(struct wf_lend *lend)
{
    if (lend->places != NULL) {
        (void)wf_sys.unmap(lend->places, lend->bytes);
        lend->places = NULL;
    }
}

void wf_lend(struct wf_lend *lend, void *buffer, uint32_t bytes, uint16_t number)
{
    struct io_uring_buf *place = &lend->places[lend->tail & lend->mask];
    place->addr = (uint64_t)(uintptr_t)buffer; /* field by field: the last one may be the tail */
    place->len = bytes;
    place->bid = number;
    lend->tail++;
    /* sync(lend.publish): release, the place is written, and what was in the buffer has been read;
     * pairs sync(ring.kernel), sync(lend.see) */
    wf_store_release(&tail_of(lend)->value, lend->tail);
}

void wf_lend_see(const struct wf_lend *lend)
{
    /* sync(lend.see): acquire; the kernel has read the tail with which the buffer was published
     * before it took that, so the load cannot find an older one. Pairs sync(lend.publish) */
    (void)wf_load_acquire(&tail_of(lend)->value);
}
