/* slab.h: objects of one size for one worker, which any thread may free.
 *
 * A slab takes chunks of 64 KiB, aligned to their size, from the system, cuts them into objects and
 * never gives a chunk back before wf_slab_fini. So a pointer to an object stays readable while the
 * slab lives.
 *
 * Who may call: wf_slab_take is for the owner (its thread, or whoever holds the owner's lock);
 * wf_slab_give is for any thread. It knows no types, zeroes nothing and calls no malloc.
 *
 * An object's way:
 *     uncut -> taken    [wf_slab_take: the chunk's uncut end]
 *     taken -> near     [wf_slab_give by the owner]          -> taken [wf_slab_take]
 *     near  -> far      [wf_slab_give, the oldest half when there are WF_SLAB_NEAR] -> near
 *     taken -> remote   [wf_slab_give by anybody else]
 *     remote -> far     [wf_slab_take, when none is near] -> near
 *
 * Near are the objects that were given last, the newest of which is warm. Far are bits in their
 * chunks; what comes back from there when none is near comes in the order of addresses, whatever
 * the order in which it was given: so the processor fetches the next ones by itself, and nothing is
 * read from an object, or written to one, to find the next (docs/adr/0038). Remote are bits, too;
 * of those in one word the first is besides put on a stack, for the owner to find the word.
 *
 * A *shared* slab (wf_slab_share) is for objects that mostly others give back. They give them in
 * bundles: the first object of a bundle says where the others are, so that the owner can fetch the
 * lines of several at once, from the core that wrote them last, before it needs them; in a list it
 * would wait for each before it knew the next. It keeps no generations, which lie side by side: the
 * two would pull each line of them to and fro.
 *     taken -> held     [wf_slab_give_later by anybody but the owner]
 *     held  -> remote   [wf_slab_give_later, wf_slab_give_held: the bundle]
 *
 * Guarantees:
 *   S.1 The first 16 bytes of a free object belong to the slab (WF_SLAB_BUNDLE_BYTES of a shared
 *       one), the others keep what was in them; in a fresh one they are zero. Only of a slab after
 *       wf_slab_keep_readable may they be read.
 *   S.2 What a thread wrote to an object before it gave it is visible to whoever takes it next.
 *   S.3 The generation is odd while the object is taken, even while it is free, and grows at each
 *       take and each give; not of a shared slab. Giving twice, or giving a pointer that is not an
 *       object, ends the process in release builds too; of a shared slab only giving twice. Of
 *       objects that are taken and given by the bare functions it is so in development builds
 *       only. */
#ifndef WF_SLAB_H
#define WF_SLAB_H

#include "pool/base/atomic.h"
#include "pool/base/compiler.h"
#include <stdbool.h>

#define WF_SLAB_CHUNK_BYTES  ((size_t)64 * 1024)
#define WF_SLAB_OBJECT_MAX   ((size_t)4096)
#define WF_SLAB_CHUNKS_NOMAX UINT32_MAX
/* Two lines, which hold the addresses of so many others: next, mark and count take three words. */
#define WF_SLAB_BUNDLE_BYTES  ((size_t)128)
#define WF_SLAB_BUNDLE_OTHERS 13
/* Objects that are near, at most: twice as many as a worker queues (WF_DEQUE_SLOTS), so that of a
 * flood of tasks none is far. 64 KiB of addresses, of which no more is touched than was ever
 * used. */
#define WF_SLAB_NEAR 8192

struct wf_slab;

/* The next two: for slab.c, and the functions in line below. */

/* What a free object holds. */
struct wf_slab_node {
    struct wf_slab_node *next;
    uintptr_t mark; /* of a shared slab: mark_of, while it is free */
    /* from here on only of a shared slab: a bundle, on its first object */
    uint64_t count;
    void *others[];
};

struct wf_slab_chunk {
    /* immutable after chunk_make */
    uint64_t magic;
    struct wf_slab *owner;
    struct wf_slab_chunk *next;
    uint32_t object_bytes, first, objects_per_chunk, reciprocal; /* the owner's */
    bool readable, shared;                                       /* the owner's */
    /* owner: so many of its objects are far, a bit for each in `far`; then the next such chunk */
    uint32_t far_count;
    struct wf_slab_chunk *far_next;
    uint64_t *far;
    /* a bit for each that somebody else gave; any thread sets them, the owner takes a word of them
     * at a time. On a line of its own. Not of a shared slab */
    WF_ATOMIC(uint64_t) * remote;
    /* Odd: taken. Written by who takes or gives the object, which is one thread at a time; read by
     * anybody. */
    WF_ATOMIC(uint32_t) generations[];
};

struct wf_slab {
    /* owner */
    void **near_top, **near_end;  /* behind the newest, and behind the last place, of `near` */
    void **near;                  /* mapped with the first chunk; before the first one is NULL */
    struct wf_slab_node *drained; /* given by others, taken over: the first of each word */
    struct wf_slab_chunk *far;    /* chunks of which some objects are far */
    char *uncut, *uncut_end;      /* of the newest chunk */
    struct wf_slab_chunk *chunks; /* newest first */
    uint64_t cut;                 /* objects that were ever taken */
    /* written by the owner, read by anybody who reports: relaxed */
    WF_ATOMIC(uint64_t) remote_frees; /* that the owner has taken again */
    WF_ATOMIC(uint32_t) chunk_count;
    /* immutable after wf_slab_init */
    uint32_t chunks_max;
    uint32_t object_bytes; /* rounded up to 16 */
    uint32_t first;        /* of the first object, in bytes from its chunk */
    uint32_t objects_per_chunk;
    /* 2^32 / object_bytes, rounded up: an object's number from its address without a division */
    uint32_t reciprocal;
    bool readable; /* see wf_slab_keep_readable */
    bool shared;   /* see wf_slab_share */
    uint32_t keep; /* of a shared one: so many are cut before one is taken again */
    /* owner, of a shared one: the others of the bundle that is being used up */
    uint32_t stashed;
    void *stash[WF_SLAB_BUNDLE_OTHERS];
    void *none[1]; /* NULL: what is near while `near` is not mapped */
    /* any thread, on a line of its own */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(struct wf_slab_node *) remote;
};

/* object_bytes: 1 to WF_SLAB_OBJECT_MAX; objects are aligned to the largest power of two that
 * divides it (rounded up to 16), at most 64. chunks_max: WF_SLAB_CHUNKS_NOMAX for no bound.
 * Allocates nothing. */
void wf_slab_init(struct wf_slab *slab, size_t object_bytes, uint32_t chunks_max);

/* Right after wf_slab_init: whoever kept a pointer may read an object after it was freed, while the
 * slab lives, by atomic loads; ASan does not object. */
void wf_slab_keep_readable(struct wf_slab *slab);

/* Right after wf_slab_init, of objects of WF_SLAB_BUNDLE_BYTES or more: see above. Until `keep`
 * objects have been cut none is taken again, so that who takes does not wait for the one that was
 * given just now. */
void wf_slab_share(struct wf_slab *slab, uint32_t keep);

/* Releases all chunks. No object may be used from here on; in development builds none may be taken.
 * Accepts zeroed memory. */
void wf_slab_fini(struct wf_slab *slab);

/* An object, not zeroed; NULL when memory is refused or chunks_max is reached. Owner. */
void *wf_slab_take(struct wf_slab *slab);

/* Frees an object of whatever slab. `mine` is the slab of the same size that the caller owns, or
 * NULL: an object of `mine` goes back without an atomic. */
void wf_slab_give(struct wf_slab *mine, void *object);

/* The same two, in line, and without the marks of S.3 but where WF_SLAB_MARKS_BARE: a third of the
 * instructions. For a slab, not a shared one, whose objects are all taken and given in few places,
 * by these. */
#define WF_SLAB_MARKS_BARE (WF_CHECKS || WF_ASAN)
void *wf_slab_take_bare_slow(struct wf_slab *slab);
void wf_slab_give_bare_slow(struct wf_slab mine[], size_t count, void *object);

/* wf_slab_take_bare, but NULL if there is more to do than to take the object that was given
 * last. */
WF_INLINE void *wf_slab_take_last(struct wf_slab *slab)
{
    if (WF_SLAB_MARKS_BARE) {
        return wf_slab_take_bare_slow(slab);
    }
    void **top = slab->near_top;
    void *object = top[-1];
    if (wf_likely(object != NULL)) {
        slab->near_top = top - 1;
    }
    return object;
}

WF_INLINE void *wf_slab_take_bare(struct wf_slab *slab)
{
    void *object = WF_SLAB_MARKS_BARE ? NULL : wf_slab_take_last(slab);
    return wf_likely(object != NULL) ? object : wf_slab_take_bare_slow(slab);
}

/* mine: the `count` slabs that the caller owns, of one of which it may be. */
WF_INLINE void wf_slab_give_bare(struct wf_slab mine[], size_t count, void *object)
{
    if (WF_SLAB_MARKS_BARE) {
        wf_slab_give_bare_slow(mine, count, object);
        return;
    }
    const uintptr_t chunk = (uintptr_t)object & ~(uintptr_t)(WF_SLAB_CHUNK_BYTES - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): masked
    struct wf_slab *slab = ((struct wf_slab_chunk *)chunk)->owner;
    void **top;
    if (wf_unlikely((uintptr_t)slab - (uintptr_t)mine >= count * sizeof *mine ||
                    (top = slab->near_top) == slab->near_end)) {
        wf_slab_give_bare_slow(mine, count, object);
        return;
    }
    *top = object;
    slab->near_top = top + 1;
}

/* Frees an object of a shared slab, by and by: it may be kept in *held, which is the caller's and
 * begins as NULL, for as long as the caller likes; by then it counts as taken. Not the owner. */
void wf_slab_give_later(struct wf_slab_node **held, void *object);
/* Frees what *held keeps. */
void wf_slab_give_held(struct wf_slab_node **held);

/* Whose object it is. Any thread, also for a freed object, while its slab lives. */
struct wf_slab *wf_slab_owner(const void *object);

struct wf_slab_report {
    uint64_t live;         /* objects that are taken */
    uint64_t remote_frees; /* ever */
    uint32_t chunks;
};

/* Exact numbers; walks what is free. Owner. */
void wf_slab_report(const struct wf_slab *slab, struct wf_slab_report *report);

#endif
