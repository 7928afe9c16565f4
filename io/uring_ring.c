/* uring_ring.c: see uring_ring.h. Of <liburing/io_uring.h> only structs and numbers are used; no
 * function of liburing. */
#include "io/uring_ring.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include <errno.h>
#include <linux/time_types.h> /* which the next header forgets */
#include <liburing/io_uring.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "io/uring_abi.h" /* after the kernel's header */

/* One ring mode: a kernel that lacks a flag, before 6.1, gets another driver, not another mode.
 * DEFER_TASKRUN and SINGLE_ISSUER: completions are made when their worker asks, without
 * interrupting it, and without locks. TASKRUN_FLAG: whether there are any is one load. SUBMIT_ALL:
 * a bad entry does not hold up those behind it. */
#define RING_MODE                                                                          \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | \
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED)

/* SINGLE_MMAP: one mapping for both queues. NODROP: completions are never lost. SUBMIT_STABLE: what
 * entries point at besides buffers may change after the enter. RW_CUR_POS: offset -1. FAST_POLL:
 * sockets need no thread. EXT_ARG: waiting with a time-out. */
#define RING_FEATURES                                                           \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | \
     IORING_FEAT_RW_CUR_POS | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG)

/* Threads of the kernel that one worker's blocking operations may occupy (io-wq): for files, where
 * more do not help, and for what may block for ever (terminals). The kernel's own limit is
 * RLIMIT_NPROC, and programs reached it (liburing#420, #460). */
#define IOWQ_FILES_MAX 16
#define IOWQ_OTHER_MAX 64

/* register calls that an enabled ring still has to make: see wf_ring_restrict. */
static const uint8_t calls_after_enable[] = {IORING_REGISTER_IOWQ_MAX_WORKERS,
                                             IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS,
                                             IORING_REGISTER_PBUF_RING};

#define CODES_MAX 64 /* operation codes that anybody restricts a ring to */

_Static_assert(sizeof(struct wf_ring_word) == sizeof(uint32_t), "it lies over the kernel's words");
_Static_assert(sizeof(struct io_uring_sqe) == 64 && sizeof(struct io_uring_cqe) == 16,
               "the plain sizes");
_Static_assert(WF_RING_PRESSED == (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW),
               "the kernel's numbers");

/* --- memory ----------------------------------------------------------------------------------- */

static void *map(int fd, size_t bytes, uint64_t offset)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
    return memory != MAP_FAILED ? memory : NULL;
}

void *(*wf_ring_map)(int fd, size_t bytes, uint64_t offset) = map;

static void *map_private(int fd, size_t bytes, uint64_t offset, int *rc, const char **refused)
{
    void *memory = wf_ring_map(fd, bytes, offset);
    if (memory == NULL) {
        *rc = -ENOMEM;
        *refused = "mmap";
        return NULL;
    }
    *rc = wf_sys.advise(memory, bytes, MADV_DONTFORK);
    if (*rc < 0) {
        *refused = "madvise";
        (void)wf_sys.unmap(memory, bytes);
        return NULL;
    }
    return memory;
}

static struct wf_ring_word *word_at(void *memory, uint32_t offset)
{
    return (struct wf_ring_word *)(void *)((char *)memory + offset);
}

static size_t max_bytes(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int map_all(struct wf_ring *ring, const struct io_uring_params *params, const char **refused)
{
    int rc = 0;
    ring->ring_bytes =
        max_bytes(params->sq_off.array + params->sq_entries * sizeof(uint32_t),
                  params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe));
    ring->ring_memory = map_private(ring->fd, ring->ring_bytes, IORING_OFF_SQ_RING, &rc, refused);
    if (ring->ring_memory == NULL) {
        return rc;
    }
    ring->entry_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
    ring->entry_memory = map_private(ring->fd, ring->entry_bytes, IORING_OFF_SQES, &rc, refused);
    if (ring->entry_memory == NULL) {
        return rc;
    }
    ring->entry_head = word_at(ring->ring_memory, params->sq_off.head);
    ring->entry_tail = word_at(ring->ring_memory, params->sq_off.tail);
    ring->flags = word_at(ring->ring_memory, params->sq_off.flags);
    ring->completion_head = word_at(ring->ring_memory, params->cq_off.head);
    ring->completion_tail = word_at(ring->ring_memory, params->cq_off.tail);
    ring->completions = (const void *)word_at(ring->ring_memory, params->cq_off.cqes);
    ring->entries = ring->entry_memory;
    ring->entries_max = params->sq_entries;
    ring->completions_max = params->cq_entries;
    /* Place i of the queue is entry i, for good: the indirection is of no use to us. Relaxed: an
     * enter publishes. */
    struct wf_ring_word *order = word_at(ring->ring_memory, params->sq_off.array);
    for (uint32_t i = 0; i < params->sq_entries; i++) {
        wf_store_relaxed(&order[i].value, i);
    }
    return 0;
}

/* --- open, close ------------------------------------------------------------------------------ */

int wf_ring_open(struct wf_ring *ring, uint32_t entries, uint32_t completions, const char **refused)
{
    *ring = (struct wf_ring){.fd = -1};
    struct io_uring_params params = {.flags = RING_MODE, .cq_entries = completions};
    *refused = "io_uring_setup";
    int rc = wf_sys.uring_setup(entries, &params);
    if (rc < 0) {
        return rc;
    }
    ring->fd = rc;
    ring->enter_fd = rc;
    ring->features = params.features;
    rc = (params.features & RING_FEATURES) == RING_FEATURES ? map_all(ring, &params, refused)
                                                            : -EOPNOTSUPP;
    if (rc < 0) {
        wf_ring_close(ring);
    }
    return rc;
}

void wf_ring_close(struct wf_ring *ring)
{
    if (ring->fd < 0) {
        return;
    }
    if (ring->entry_memory != NULL) {
        (void)wf_sys.unmap(ring->entry_memory, ring->entry_bytes);
    }
    if (ring->ring_memory != NULL) {
        (void)wf_sys.unmap(ring->ring_memory, ring->ring_bytes);
    }
    (void)wf_sys.close(ring->fd);
    *ring = (struct wf_ring){.fd = -1};
}

int wf_ring_probe(struct wf_ring *ring, const uint8_t *codes, int count, const char **refused)
{
    enum { KNOWN_MAX = 256 }; /* an operation code is a byte */
    union {
        struct io_uring_probe probe;
        char bytes[sizeof(struct io_uring_probe) + KNOWN_MAX * sizeof(struct io_uring_probe_op)];
    } answer;
    memset(&answer, 0, sizeof answer);
    *refused = "io_uring_register";
    int rc = wf_sys.uring_register(ring->fd, IORING_REGISTER_PROBE, &answer, KNOWN_MAX);
    const struct io_uring_probe *probe = &answer.probe;
    for (int i = 0; rc >= 0 && i < count; i++) {
        if (codes[i] >= probe->ops_len ||
            (probe->ops[codes[i]].flags & IO_URING_OP_SUPPORTED) == 0) {
            rc = -EOPNOTSUPP;
        }
    }
    return rc < 0 ? rc : 0;
}

int wf_ring_restrict(struct wf_ring *ring, const uint8_t *codes, int count, const char **refused)
{
    wf_check_inner(count <= CODES_MAX);
    struct io_uring_restriction allowed[1 + CODES_MAX + WF_COUNT(calls_after_enable)];
    memset(allowed, 0, sizeof allowed);
    unsigned n = 1;
    allowed[0].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    allowed[0].sqe_flags = IOSQE_BUFFER_SELECT;
    for (int i = 0; i < count; i++, n++) {
        allowed[n].opcode = IORING_RESTRICTION_SQE_OP;
        allowed[n].sqe_op = codes[i];
    }
    for (unsigned i = 0; i < WF_COUNT(calls_after_enable); i++, n++) {
        allowed[n].opcode = IORING_RESTRICTION_REGISTER_OP;
        allowed[n].register_op = calls_after_enable[i];
    }
    *refused = "io_uring_register";
    return wf_sys.uring_register(ring->fd, IORING_REGISTER_RESTRICTIONS, allowed, n);
}

int wf_ring_enable(struct wf_ring *ring, const char **refused)
{
    *refused = "io_uring_register";
    int rc = wf_sys.uring_register(ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (rc < 0) {
        return rc;
    }
    /* Refused: the kernel's own limit stays. It is not worth a runtime that does not start. */
    unsigned limits[2] = {IOWQ_FILES_MAX, IOWQ_OTHER_MAX};
    (void)wf_sys.uring_register(ring->fd, IORING_REGISTER_IOWQ_MAX_WORKERS, limits,
                                WF_COUNT(limits));
    /* By its index the kernel finds the ring without counting references: 57 ns less for each
     * enter. Refused (a thread has 16 places, and the program may use them): the descriptor does as
     * well. */
    struct io_uring_rsrc_update place = {.offset = UINT32_MAX, .data = (uint64_t)ring->fd};
    if (wf_sys.uring_register(ring->fd, IORING_REGISTER_RING_FDS, &place, 1) == 1) {
        ring->enter_fd = (int)place.offset;
        ring->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

void wf_ring_leave(struct wf_ring *ring)
{
    if (ring->enter_flags != 0) {
        struct io_uring_rsrc_update place = {.offset = (uint32_t)ring->enter_fd};
        (void)wf_sys.uring_register(ring->fd, IORING_UNREGISTER_RING_FDS, &place, 1);
    }
    ring->enter_fd = ring->fd;
    ring->enter_flags = 0;
}

/* --- entries ---------------------------------------------------------------------------------- */

struct io_uring_sqe *wf_ring_entry(struct wf_ring *ring)
{
    if (wf_ring_is_full(ring)) {
        return NULL;
    }
    struct io_uring_sqe *entry = &ring->entries[ring->written & (ring->entries_max - 1)];
    memset(entry, 0, sizeof *entry);
    ring->written++;
    ring->queued++;
    return entry;
}

/* The kernel adds what it holds back, and only then sets the flag: if an enter of ours comes in
 * between, the flag stays behind, says that there is something where nothing is, and no later enter
 * clears it (seen on 6.18, 9 to 24 times in 10 s of a raw test). So we take it back ourselves,
 * before the enter that fetches whatever it announced. */
static void take_back_pressed(struct wf_ring *ring)
{
    if ((wf_load_relaxed(&ring->flags->value) & IORING_SQ_TASKRUN) != 0) {
        /* sync(ring.pressed): acq_rel, before the enter, which is a system call; pairs
         * sync(ring.kernel) */
        (void)wf_and_acq_rel(&ring->flags->value, ~IORING_SQ_TASKRUN);
    }
}

void wf_ring_publish(struct wf_ring *ring)
{
    /* sync(ring.publish): release, the entries are written before the kernel sees their number, and
     * so is what they are about for who reaps in our place; pairs sync(ring.kernel),
     * sync(ring.published) */
    wf_store_release(&ring->entry_tail->value, ring->written);
}

static void count_queued(struct wf_ring *ring)
{
    /* sync(ring.consumed): acquire, the kernel has copied the entries whose places we reuse; pairs
     * sync(ring.kernel) */
    ring->queued = ring->written - wf_load_acquire(&ring->entry_head->value);
}

int wf_ring_enter(struct wf_ring *ring, uint32_t min_complete, int64_t timeout_ns)
{
    take_back_pressed(ring);
    wf_ring_publish(ring);
    count_queued(ring); /* an enter that is given more than there is does not wait */
    unsigned flags = ring->enter_flags | IORING_ENTER_GETEVENTS;
    if (min_complete > 0 && (ring->features & WF_IORING_FEAT_NO_IOWAIT) != 0) {
        flags |= WF_IORING_ENTER_NO_IOWAIT;
    }
    int rc;
    if (min_complete > 0 && timeout_ns != INT64_MAX) {
        struct __kernel_timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                                            .tv_nsec = timeout_ns % 1000000000};
        struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&timeout};
        rc = wf_sys.uring_enter(ring->enter_fd, ring->queued, min_complete,
                                flags | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    } else {
        rc = wf_sys.uring_enter(ring->enter_fd, ring->queued, min_complete, flags, NULL, 0);
    }
    count_queued(ring); /* not by rc, which may be an error although entries were taken */
    return rc;
}

void wf_ring_kick(struct wf_ring *ring)
{
    /* Relaxed, all: on the ring's thread, whose stores come in order, and the enter is a system
     * call. The thread itself enters only when all completions have been taken; there must be room
     * for what that brings after we have come in between, and for what we bring. */
    uint32_t waiting = wf_load_relaxed(&ring->completion_tail->value) -
                       wf_load_relaxed(&ring->completion_head->value);
    uint32_t entries =
        wf_load_relaxed(&ring->entry_tail->value) - wf_load_relaxed(&ring->entry_head->value);
    if (waiting + entries + 2 * WF_DEFERRED_MAX + ring->entries_max > ring->completions_max) {
        return;
    }
    take_back_pressed(ring);
    (void)wf_sys.uring_enter(ring->enter_fd, entries, 0, ring->enter_flags | IORING_ENTER_GETEVENTS,
                             NULL, 0);
}

/* --- completions ------------------------------------------------------------------------------ */

bool wf_ring_take(struct wf_ring *ring, struct wf_ring_completion *out)
{
    uint32_t taken = wf_load_relaxed(&ring->taken); /* relaxed, here and below: only we write it */
    /* sync(ring.arrived): acquire, the completion's contents, and the buffers that it is about;
     * pairs sync(ring.kernel) */
    if (wf_load_acquire(&ring->completion_tail->value) == taken) {
        return false;
    }
    const struct io_uring_cqe *completion = &ring->completions[taken & (ring->completions_max - 1)];
    out->user_data = completion->user_data;
    out->res = completion->res;
    out->flags = completion->flags;
    wf_store_relaxed(&ring->taken, taken + 1);
    return true;
}

void wf_ring_give_back(struct wf_ring *ring)
{
    /* sync(ring.give_back): release, we have read what the kernel may now overwrite; pairs
     * sync(ring.kernel) */
    /* relaxed: only we write `taken` */
    wf_store_release(&ring->completion_head->value, wf_load_relaxed(&ring->taken));
}
