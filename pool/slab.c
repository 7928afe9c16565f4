/* slab.c: see slab.h.
 *
 * A chunk is 64 KiB aligned to itself, so that an object's address masked finds the chunk, and with
 * it the owner. The chunk's head holds the generations, side by side: an object of 64 bytes keeps
 * its alignment and its size.
 *
 * Frees by others are pushed to a stack that only the owner empties, and only whole: no ABA. The
 * owner walks what it took over by and by; `drained` is used up before the next.
 *
 * But for shared slabs, not every object that others give is pushed. Who gives one sets its bit in
 * a word for 64 neighbours, and pushes it only if the word was 0 before; the owner takes the whole
 * word for each object that it pops.
 *   - None is lost. Whoever finds the word not 0 has set a bit beside that of another, who has
 *     pushed his object, or is about to: the owner takes the word only when it has popped that one,
 *     and then has both.
 *   - None comes twice. An object on the stack has its bit in the word until the owner, who has
 *     popped it, takes the word; so nobody else finds the word 0, and pushes, until then.
 *
 * Nothing counts what is taken: who asks (wf_slab_report) walks the free ones, and the others
 * are. */
#include "pool/slab.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/sanitizer.h"

#include <string.h>
#include <sys/mman.h>

#define CHUNK_MAGIC  UINT64_C(0x62616C7374666577) /* "weftslab" */
#define OBJECT_ALIGN ((size_t)16)
#define OBJECTS_MIN  8 /* per chunk: bounds what rounding wastes */
/* So many objects of a bundle ahead their lines are fetched: two lines each, of 40 to 155 ns, where
 * an object is taken every 40 ns or so. */
#define FETCH_AHEAD 6
/* Objects that move between near and far at a time. */
#define BATCH (WF_SLAB_NEAR / 2)
/* Words that the owner takes over at a time: each is a line or two of another core. */
#define WORDS_AT_ONCE 4
#define WORD_BITS     64

_Static_assert(offsetof(struct wf_slab_node, count) == OBJECT_ALIGN,
               "S.1, and the smallest object");
_Static_assert(offsetof(struct wf_slab_node, others) + WF_SLAB_BUNDLE_OTHERS * sizeof(void *) ==
                   WF_SLAB_BUNDLE_BYTES,
               "S.1");

_Static_assert(WF_SLAB_OBJECT_MAX *OBJECTS_MIN < WF_SLAB_CHUNK_BYTES, "OBJECTS_MIN");

static struct wf_slab_chunk *chunk_of(const void *object)
{
    return (struct wf_slab_chunk *)((uintptr_t)object & ~(uintptr_t)(WF_SLAB_CHUNK_BYTES - 1));
}

/* Exact for offset = n * object_bytes: the reciprocal is too large by less than object_bytes /
 * 2^32, so the product is too large by less than n * object_bytes / 2^32 < 1. Works for any address
 * inside the object too. */
static uint32_t object_number(uint32_t offset, uint32_t reciprocal)
{
    return (uint32_t)(((uint64_t)offset * reciprocal) >> 32);
}

static uint32_t offset_of(const void *object)
{
    return (uint32_t)((uintptr_t)object & (WF_SLAB_CHUNK_BYTES - 1));
}

static uint32_t number_of(const struct wf_slab_chunk *chunk, const void *object)
{
    return object_number(offset_of(object) - chunk->first, chunk->reciprocal);
}

/* Of an object of a shared slab that is free: nothing else puts that there. */
static uintptr_t mark_of(const void *object)
{
    return (uintptr_t)object ^ (uintptr_t)CHUNK_MAGIC;
}

/* relaxed, here and below: one thread holds the object, and hands it on with more than this
 * number */
static void mark_taken(struct wf_slab *slab, void *object)
{
    struct wf_slab_chunk *chunk = chunk_of(object);
    uint32_t number = number_of(chunk, object);
    uint32_t generation = wf_load_relaxed(&chunk->generations[number]);
    wf_check_inner(generation % 2 == 0);
    wf_store_relaxed(&chunk->generations[number], generation + 1);
    wf_asan_unpoison(object, slab->object_bytes);
}

static void mark_given(struct wf_slab_chunk *chunk, void *object)
{
    /* wraps below the first: then the number is too large */
    uint32_t offset = offset_of(object) - chunk->first;
    uint32_t number = object_number(offset, chunk->reciprocal);
    wf_check(number < chunk->objects_per_chunk && number * chunk->object_bytes == offset,
             "wf_slab_give: %p is not an object of its slab", object);
    uint32_t generation = wf_load_relaxed(&chunk->generations[number]);
    wf_check(generation % 2 == 1, "wf_slab_give: %p was given before", object);
    wf_store_relaxed(&chunk->generations[number], generation + 1);
    if (!chunk->readable) {
        wf_asan_poison((char *)object + OBJECT_ALIGN, chunk->object_bytes - OBJECT_ALIGN);
    }
}

/* ---- chunks ---- */

/* Aligned address space. The kernel puts a mapping next to the last one, so the first attempt
 * mostly fits. */
static void *chunk_map(void)
{
    const size_t bytes = WF_SLAB_CHUNK_BYTES;
    char *memory = wf_sys.map(bytes, PROT_READ | PROT_WRITE);
    if (!memory || (uintptr_t)memory % bytes == 0) {
        return memory;
    }
    (void)wf_sys.unmap(memory, bytes);
    memory = wf_sys.map(2 * bytes, PROT_READ | PROT_WRITE);
    if (!memory) {
        return NULL;
    }
    char *aligned = (char *)chunk_of(memory + bytes - 1);
    if (aligned > memory) {
        (void)wf_sys.unmap(memory, (size_t)(aligned - memory));
    }
    if (aligned < memory + bytes) {
        (void)wf_sys.unmap(aligned + bytes, (size_t)(memory + bytes - aligned));
    }
    return aligned;
}

static size_t words_of(size_t objects)
{
    return (objects + WORD_BITS - 1) / WORD_BITS;
}

static size_t lines_of(size_t bytes)
{
    return (bytes + WF_LINE - 1) & ~(size_t)(WF_LINE - 1);
}

/* From the chunk to its words of what is remote, behind the generations and the other words; with
 * them on lines of their own. */
static size_t remote_offset(size_t objects)
{
    size_t generations = (objects + 1) / 2 * sizeof(uint64_t);
    return lines_of(sizeof(struct wf_slab_chunk) + generations +
                    words_of(objects) * sizeof(uint64_t));
}

static size_t head_bytes(size_t objects)
{
    return remote_offset(objects) + lines_of(words_of(objects) * sizeof(uint64_t));
}

_Static_assert(WF_SLAB_NEAR * sizeof(void *) == WF_SLAB_CHUNK_BYTES, "it lies as a chunk does");

/* False: refused. */
static bool near_make(struct wf_slab *slab)
{
    void **places = chunk_map(); /* so that chunks go on lying side by side, as one mapping */
    if (!places) {
        return false;
    }
    slab->near = places + 1;
    slab->near_top = slab->near;
    slab->near_end = places + WF_SLAB_NEAR;
    return true;
}

/* A new chunk becomes the uncut one. False: refused, or at chunks_max. */
WF_COLD static bool chunk_make(struct wf_slab *slab)
{
    uint32_t count = wf_load_relaxed(&slab->chunk_count);
    if (!slab->near && !slab->shared && !near_make(slab)) {
        return false;
    }
    struct wf_slab_chunk *chunk = count < slab->chunks_max ? chunk_map() : NULL;
    if (!chunk) {
        return false;
    }
    chunk->magic = CHUNK_MAGIC; /* the generations are zero: fresh pages */
    chunk->owner = slab;
    chunk->next = slab->chunks;
    chunk->object_bytes = slab->object_bytes;
    chunk->first = slab->first;
    chunk->objects_per_chunk = slab->objects_per_chunk;
    chunk->reciprocal = slab->reciprocal;
    chunk->readable = slab->readable;
    chunk->shared = slab->shared;
    size_t words = words_of(slab->objects_per_chunk);
    chunk->remote = (void *)((char *)chunk + remote_offset(slab->objects_per_chunk));
    chunk->far = (uint64_t *)(void *)chunk->remote - words;
    slab->chunks = chunk;
    slab->uncut = (char *)chunk + slab->first;
    slab->uncut_end = slab->uncut + (size_t)slab->objects_per_chunk * slab->object_bytes;
    wf_asan_poison(slab->uncut, (size_t)(slab->uncut_end - slab->uncut));
    wf_store_relaxed(&slab->chunk_count, count + 1);
    return true;
}

/* ---- init and fini ---- */

void wf_slab_init(struct wf_slab *slab, size_t object_bytes, uint32_t chunks_max)
{
    wf_check(object_bytes > 0 && object_bytes <= WF_SLAB_OBJECT_MAX, "wf_slab_init: %zu bytes",
             object_bytes);
    memset(slab, 0, sizeof *slab);
    slab->near_top = slab->none + 1;
    slab->near_end = slab->near_top;
    size_t bytes = (object_bytes + OBJECT_ALIGN - 1) & ~(OBJECT_ALIGN - 1);
    size_t align = bytes & (~bytes + 1);
    align = align < WF_LINE ? align : WF_LINE;

    size_t n = WF_SLAB_CHUNK_BYTES / (bytes + sizeof(uint32_t)) + 1;
    size_t first;
    do { /* ends: a few steps, the head is small beside the objects */
        n--;
        first = (head_bytes(n) + align - 1) & ~(align - 1);
    } while (first + n * bytes > WF_SLAB_CHUNK_BYTES);

    slab->object_bytes = (uint32_t)bytes;
    slab->first = (uint32_t)first;
    slab->objects_per_chunk = (uint32_t)n;
    slab->reciprocal = (uint32_t)(((UINT64_C(1) << 32) + bytes - 1) / bytes);
    slab->chunks_max = chunks_max;
}

void wf_slab_keep_readable(struct wf_slab *slab)
{
    slab->readable = true;
}

void wf_slab_share(struct wf_slab *slab, uint32_t keep)
{
    wf_check(slab->object_bytes >= WF_SLAB_BUNDLE_BYTES, "wf_slab_share: %u bytes",
             slab->object_bytes);
    slab->shared = true;
    slab->keep = keep;
}

void wf_slab_fini(struct wf_slab *slab)
{
    if (WF_CHECKS) {
        struct wf_slab_report report;
        wf_slab_report(slab, &report);
        wf_check(report.live == 0, "wf_slab_fini: %llu objects of %u bytes are still taken",
                 (unsigned long long)report.live, slab->object_bytes);
    }
    struct wf_slab_chunk *chunk = slab->chunks;
    while (chunk) {
        struct wf_slab_chunk *next = chunk->next;
        wf_asan_unpoison(chunk, WF_SLAB_CHUNK_BYTES);
        (void)wf_sys.unmap(chunk, WF_SLAB_CHUNK_BYTES);
        chunk = next;
    }
    if (slab->near) {
        (void)wf_sys.unmap(slab->near - 1, WF_SLAB_CHUNK_BYTES);
    }
    memset(slab, 0, sizeof *slab);
}

/* ---- take and give ---- */

/* Takes over what others gave, if anything. */
static struct wf_slab_node *drain_remote(struct wf_slab *slab)
{
    /* relaxed: a hint; what it misses is found by the next take */
    if (!wf_load_relaxed(&slab->remote)) {
        return NULL;
    }
    /* sync(slab.drain): acquire, S.2 and the links between the nodes; pairs sync(slab.give) */
    return wf_xchg_acquire(&slab->remote, NULL);
}

/* NULL: refused, or at chunks_max. */
static void *cut(struct wf_slab *slab)
{
    if (slab->uncut == slab->uncut_end && !chunk_make(slab)) {
        return NULL;
    }
    void *object = slab->uncut;
    slab->uncut += slab->object_bytes;
    slab->cut++;
    return object;
}

/* Another core's, and soon to be taken. */
static void fetch(void *object)
{
    wf_prefetch_write(object);
    wf_prefetch_write((char *)object + WF_LINE);
}

static void count_again(struct wf_slab *slab, uint32_t n)
{
    /* relaxed: written by the owner alone, so no read-modify-write */
    wf_store_relaxed(&slab->remote_frees, wf_load_relaxed(&slab->remote_frees) + n);
}

/* The oldest bundle, if there is one, is broken up: its first object; the others are in the
 * stash. */
static void *take_bundle(struct wf_slab *slab)
{
    if (!slab->drained && slab->cut >= slab->keep) {
        slab->drained = drain_remote(slab);
    }
    struct wf_slab_node *bundle = slab->drained;
    if (!bundle) {
        return NULL;
    }
    slab->drained = bundle->next;
    fetch(slab->drained);
    slab->stashed = (uint32_t)bundle->count;
    memcpy(slab->stash, bundle->others, bundle->count * sizeof bundle->others[0]);
    for (uint32_t i = 1; i <= FETCH_AHEAD && i <= slab->stashed; i++) {
        fetch(slab->stash[slab->stashed - i]);
    }
    return bundle;
}

static void *take_shared(struct wf_slab *slab)
{
    struct wf_slab_node *object;
    if (wf_likely(slab->stashed != 0)) {
        object = slab->stash[--slab->stashed];
        if (slab->stashed >= FETCH_AHEAD) {
            fetch(slab->stash[slab->stashed - FETCH_AHEAD]);
        }
        count_again(slab, 1);
    } else if ((object = take_bundle(slab)) != NULL) {
        count_again(slab, 1);
    } else if ((object = cut(slab)) == NULL) {
        return NULL;
    }
    wf_asan_unpoison(object, slab->object_bytes);
    object->mark = 0;
    return object;
}

/* `count` objects of one word become far. */
static void add_far(struct wf_slab *slab, struct wf_slab_chunk *chunk, uint32_t word, uint64_t bits,
                    uint32_t count)
{
    chunk->far[word] |= bits;
    if (chunk->far_count == 0) {
        chunk->far_next = slab->far;
        slab->far = chunk;
    }
    chunk->far_count += count;
}

static size_t near_count(const struct wf_slab *slab)
{
    return slab->near ? (size_t)(slab->near_top - slab->near) : 0;
}

/* near -> far: the oldest. There are so many. */
static void put_far(struct wf_slab *slab, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct wf_slab_chunk *chunk = chunk_of(slab->near[i]);
        uint32_t number = number_of(chunk, slab->near[i]);
        add_far(slab, chunk, number / WORD_BITS, UINT64_C(1) << number % WORD_BITS, 1);
    }
    size_t left = near_count(slab) - n;
    memmove(slab->near, slab->near + n, left * sizeof slab->near[0]);
    slab->near_top = slab->near + left;
}

/* far -> near, none of which is left: of one chunk the lowest, which are taken first. */
static void take_far(struct wf_slab *slab)
{
    struct wf_slab_chunk *chunk = slab->far;
    uint32_t n = chunk->far_count < BATCH ? chunk->far_count : BATCH;
    slab->near_top = slab->near + n;
    chunk->far_count -= n;
    if (chunk->far_count == 0) {
        slab->far = chunk->far_next;
    }
    for (uint64_t *bits = chunk->far; n > 0; bits++) { /* ends: there are so many */
        char *first = (char *)chunk + slab->first +
                      (size_t)(bits - chunk->far) * WORD_BITS * slab->object_bytes;
        while (*bits != 0 && n > 0) {
            slab->near[--n] = first + (size_t)__builtin_ctzll(*bits) * slab->object_bytes;
            *bits &= *bits - 1;
        }
    }
}

/* remote -> far: the words of what was drained. */
static void take_drained(struct wf_slab *slab)
{
    if (!slab->drained) {
        slab->drained = drain_remote(slab);
    }
    for (int i = 0; i < WORDS_AT_ONCE && slab->drained; i++) {
        struct wf_slab_node *node = slab->drained;
        slab->drained = node->next;
        struct wf_slab_chunk *chunk = chunk_of(node);
        uint32_t word = number_of(chunk, node) / WORD_BITS;
        /* sync(slab.collect): acquire, S.2; pairs sync(slab.mark) */
        uint64_t bits = wf_xchg_acquire(&chunk->remote[word], 0);
        wf_check_inner(bits != 0);
        uint32_t count = (uint32_t)__builtin_popcountll(bits);
        add_far(slab, chunk, word, bits, count);
        count_again(slab, count);
    }
}

/* None is near: an object, unmarked, or NULL. */
WF_NOINLINE static void *take_slow(struct wf_slab *slab)
{
    take_drained(slab);
    if (!slab->far) {
        return cut(slab);
    }
    take_far(slab);
    return *--slab->near_top;
}

static void *take_unmarked(struct wf_slab *slab)
{
    return wf_likely(slab->near_top[-1] != NULL) ? *--slab->near_top : take_slow(slab);
}

/* None is near, as it always is in a shared one. */
WF_NOINLINE static void *take_otherwise(struct wf_slab *slab)
{
    if (slab->shared) {
        return take_shared(slab);
    }
    void *object = take_slow(slab);
    if (object) {
        mark_taken(slab, object);
    }
    return object;
}

void *wf_slab_take(struct wf_slab *slab)
{
    void *object = slab->near_top[-1];
    if (wf_unlikely(!object)) {
        return take_otherwise(slab);
    }
    slab->near_top--;
    mark_taken(slab, object);
    return object;
}

static void give_near(struct wf_slab *slab, void *object)
{
    if (wf_unlikely(slab->near_top == slab->near_end)) {
        put_far(slab, BATCH);
    }
    *slab->near_top++ = object;
}

static void push_remote(struct wf_slab *owner, struct wf_slab_node *node)
{
    struct wf_slab_node *head = wf_load_relaxed(&owner->remote);
    do { /* ends: each failure is another thread's success, or the owner's drain */
        node->next = head;
        /* sync(slab.give): release, S.2 and node->next; pairs sync(slab.drain), sync(slab.count).
         * LAST TOUCH: the owner may take the object from here on */
    } while (!wf_cas_release(&owner->remote, &head, node));
}

static void give_remote(struct wf_slab_chunk *chunk, void *object)
{
    uint32_t number = number_of(chunk, object);
    /* sync(slab.mark): release, S.2; pairs sync(slab.collect). LAST TOUCH, but of the first in its
     * word: the owner may take the object from here on */
    if (wf_or_release(&chunk->remote[number / WORD_BITS], UINT64_C(1) << number % WORD_BITS) == 0) {
        push_remote(chunk->owner, object);
    }
}

/* Of a shared slab. */
static void mark_shared(const struct wf_slab_chunk *chunk, struct wf_slab_node *node)
{
    wf_check(node->mark != mark_of(node), "wf_slab_give: %p was given before", (void *)node);
    node->mark = mark_of(node);
    wf_asan_poison((char *)node + OBJECT_ALIGN, chunk->object_bytes - OBJECT_ALIGN);
}

static void begin_bundle(struct wf_slab_node *node)
{
    wf_asan_unpoison(node, WF_SLAB_BUNDLE_BYTES);
    node->count = 0;
}

void wf_slab_give_held(struct wf_slab_node **held)
{
    struct wf_slab_node *bundle = *held;
    if (bundle) {
        *held = NULL;
        push_remote(chunk_of(bundle)->owner, bundle);
    }
}

void wf_slab_give_later(struct wf_slab_node **held, void *object)
{
    struct wf_slab_chunk *chunk = chunk_of(object);
    wf_check(chunk->magic == CHUNK_MAGIC && chunk->shared,
             "wf_slab_give_later: %p is not in a shared slab", object);
    mark_shared(chunk, object);
    if (*held && chunk_of(*held)->owner != chunk->owner) {
        wf_slab_give_held(held);
    }
    struct wf_slab_node *bundle = *held;
    if (!bundle) {
        *held = object;
        begin_bundle(object);
        return;
    }
    bundle->others[bundle->count++] = object;
    if (bundle->count == WF_SLAB_BUNDLE_OTHERS) {
        wf_slab_give_held(held);
    }
}

void wf_slab_give(struct wf_slab *mine, void *object)
{
    struct wf_slab_chunk *chunk = chunk_of(object);
    wf_check(chunk->magic == CHUNK_MAGIC, "wf_slab_give: %p is not in a slab", object);
    if (chunk->shared) {
        mark_shared(chunk, object);
        begin_bundle(object);
        push_remote(chunk->owner, object);
        return;
    }
    mark_given(chunk, object);
    if (chunk->owner == mine) {
        give_near(mine, object);
    } else {
        give_remote(chunk, object);
    }
}

void *wf_slab_take_bare_slow(struct wf_slab *slab)
{
    return WF_SLAB_MARKS_BARE ? wf_slab_take(slab) : take_unmarked(slab);
}

void wf_slab_give_bare_slow(struct wf_slab mine[], size_t count, void *object)
{
    struct wf_slab_chunk *chunk = chunk_of(object);
    bool own = (uintptr_t)chunk->owner - (uintptr_t)mine < count * sizeof *mine;
    if (WF_SLAB_MARKS_BARE) {
        wf_slab_give(own ? chunk->owner : NULL, object);
        return;
    }
    wf_check(chunk->magic == CHUNK_MAGIC, "wf_slab_give_bare: %p is not in a slab", object);
    if (own) {
        give_near(chunk->owner, object);
    } else {
        give_remote(chunk, object);
    }
}

struct wf_slab *wf_slab_owner(const void *object)
{
    return chunk_of(object)->owner;
}

/* Objects that others gave. */
static uint64_t list_length(const struct wf_slab *slab, const struct wf_slab_node *node)
{
    uint64_t n = 0;
    for (; node; node = node->next) {
        if (slab->shared) {
            n += 1 + node->count;
        } else {
            struct wf_slab_chunk *chunk = chunk_of(node);
            /* relaxed: exact when nobody gives meanwhile */
            n += (uint64_t)__builtin_popcountll(
                wf_load_relaxed(&chunk->remote[number_of(chunk, node) / WORD_BITS]));
        }
    }
    return n;
}

void wf_slab_report(const struct wf_slab *slab, struct wf_slab_report *report)
{
    /* sync(slab.count): acquire, the links between the nodes; only we could take them away; pairs
     * sync(slab.give) */
    uint64_t given = list_length(slab, slab->drained) +
                     list_length(slab, wf_load_acquire(&slab->remote)) + slab->stashed;
    uint64_t own = near_count(slab);
    for (const struct wf_slab_chunk *chunk = slab->far; chunk; chunk = chunk->far_next) {
        own += chunk->far_count;
    }
    report->live = slab->cut - own - given;
    report->remote_frees = wf_load_relaxed(&slab->remote_frees) + given;
    report->chunks = wf_load_relaxed(&slab->chunk_count);
}
