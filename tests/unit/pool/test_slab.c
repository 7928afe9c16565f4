/* test_slab.c: pooled objects (pool/slab.h). */
#include "pool/slab.h"
#include "pool/base/rng.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static struct wf_sys real_sys;

static struct wf_slab_report report_of(const struct wf_slab *slab)
{
    struct wf_slab_report report;
    wf_slab_report(slab, &report);
    return report;
}

/* Odd: it is taken. */
static uint32_t generation_of(const void *object)
{
    uintptr_t offset = (uintptr_t)object % WF_SLAB_CHUNK_BYTES;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
    struct wf_slab_chunk *chunk = (struct wf_slab_chunk *)((uintptr_t)object - offset);
    return wf_load_relaxed(&chunk->generations[(offset - chunk->first) / chunk->object_bytes]);
}

/* Fills a chunk and a half with each size; objects must not touch each other. */
Test(slab, objects_are_aligned_disjoint_and_numbered_right)
{
    static const size_t sizes[] = {1, 16, 24, 32, 48, 64, 80, 96, 128, 208, 256, 1000, 1280, 4096};
    for (size_t k = 0; k < WF_COUNT(sizes); k++) {
        struct wf_slab slab;
        wf_slab_init(&slab, sizes[k], WF_SLAB_CHUNKS_NOMAX);
        size_t n = slab.objects_per_chunk + slab.objects_per_chunk / 2;
        wt_ge(slab.objects_per_chunk, 8u);
        size_t align = slab.object_bytes & (~slab.object_bytes + 1);
        align = align > 64 ? 64 : align;
        unsigned char **objects = calloc(n, sizeof *objects);
        for (size_t i = 0; i < n; i++) {
            objects[i] = wf_slab_take(&slab);
            wt_eq((uintptr_t)objects[i] % align, 0u);
            memset(objects[i], (int)(i % 251), sizes[k]);
            wt_eq(generation_of(objects[i]), 1u, "of its own");
        }
        for (size_t i = 0; i < n; i++) {
            for (size_t b = 0; b < sizes[k]; b++) {
                wt_eq(objects[i][b], i % 251, "size %zu, object %zu, byte %zu", sizes[k], i, b);
            }
        }
        wt_eq(report_of(&slab).live, n);
        wt_eq(report_of(&slab).chunks, 2u);
        for (size_t i = 0; i < n; i++) {
            wf_slab_give(&slab, objects[i]);
            wt_eq(generation_of(objects[i]), 2u);
        }
        wt_eq(report_of(&slab).live, 0u);
        wf_slab_fini(&slab);
        free(objects);
    }
}

Test(slab, the_newest_free_object_is_taken_first_and_the_generation_tells)
{
    struct wf_slab slab;
    wf_slab_init(&slab, 64, WF_SLAB_CHUNKS_NOMAX);
    void *a = wf_slab_take(&slab), *b = wf_slab_take(&slab);
    uint32_t generation = generation_of(b);
    wf_slab_give(&slab, a);
    wf_slab_give(&slab, b);
    wt_ne(generation_of(b), generation, "freed");
    wt_eq(wf_slab_take(&slab), b);
    wt_eq(generation_of(b), generation + 2, "and not the same object again");
    wt_eq(wf_slab_take(&slab), a);
    wf_slab_give(&slab, a);
    wf_slab_give(&slab, b);
    wf_slab_fini(&slab);
}

Test(slab, what_others_give_comes_back_to_the_owner)
{
    struct wf_slab mine, other;
    wf_slab_init(&mine, 64, 1);
    wf_slab_init(&other, 64, 1);
    uint32_t n = mine.objects_per_chunk;
    void **objects = calloc(n, sizeof *objects);
    for (uint32_t i = 0; i < n; i++) {
        objects[i] = wf_slab_take(&mine);
    }
    wt_false(wf_slab_take(&mine));
    for (uint32_t i = 0; i < n; i++) {
        wf_slab_give(i % 2 ? &other : NULL, objects[i]);
    }
    wt_eq(report_of(&mine).live, 0u);
    wt_eq(report_of(&mine).remote_frees, n);
    wt_false(other.chunks, "the giver keeps nothing");
    for (uint32_t i = 0; i < n; i++) {
        wt_true(wf_slab_take(&mine));
        wt_eq(report_of(&mine).live, i + 1);
    }
    wt_false(wf_slab_take(&mine), "each once");
    wt_eq(report_of(&mine).remote_frees, n);
    for (uint32_t i = 0; i < n; i++) {
        wf_slab_give(&mine, objects[i]);
    }
    wf_slab_fini(&mine);
    wf_slab_fini(&other);
    free(objects);
}

/* ---- order ---- */

enum { MANY = 4 * WF_SLAB_NEAR };

static void take_many(struct wf_slab *slab, void **objects)
{
    wf_slab_init(slab, 256, WF_SLAB_CHUNKS_NOMAX);
    for (int i = 0; i < MANY; i++) {
        objects[i] = wf_slab_take(slab);
    }
    struct wf_rng rng;
    wf_rng_seed(&rng, 1);
    for (uint32_t i = MANY; i > 1; i--) { /* in no order from here on */
        uint32_t k = wf_rng_below(&rng, i);
        void *object = objects[k];
        objects[k] = objects[i - 1];
        objects[i - 1] = object;
    }
}

/* Takes all again, each once; how often one lies below the one before, but for the first ones. */
static int descents(struct wf_slab *slab, uint32_t first)
{
    int n = 0;
    uint32_t chunks = report_of(slab).chunks;
    char *before = NULL;
    for (uint32_t i = 0; i < MANY; i++) {
        char *object = wf_slab_take(slab);
        n += i > first && object < before;
        before = object;
        wt_eq(report_of(slab).live, i + 1u);
        wt_eq(generation_of(object), 3u, "not one that is taken");
    }
    wt_eq(report_of(slab).chunks, chunks, "what is free is taken before more is cut");
    return n;
}

static void give_and_end(struct wf_slab *slab, void **objects)
{
    for (int i = 0; i < MANY; i++) {
        wf_slab_give(slab, objects[i]);
    }
    wt_eq(report_of(slab).live, 0u);
    wf_slab_fini(slab);
}

Test(slab, many_given_in_any_order_come_back_in_the_order_of_addresses)
{
    static struct wf_slab slab;
    static void *objects[MANY];
    take_many(&slab, objects);
    for (int i = 0; i < MANY; i++) {
        wf_slab_give(&slab, objects[i]);
    }
    uint32_t near =
        (uint32_t)(slab.near_top - slab.near); /* the newest, which are warm, come first */
    wt_le(near, (uint32_t)WF_SLAB_NEAR);
    wt_lt(descents(&slab, near), (int)report_of(&slab).chunks, "between chunks only");
    give_and_end(&slab, objects);
}

Test(slab, many_given_by_others_in_any_order_come_back_in_the_order_of_addresses)
{
    static struct wf_slab slab;
    static void *objects[MANY];
    take_many(&slab, objects);
    for (int i = 0; i < MANY; i++) {
        wf_slab_give(NULL, objects[i]);
    }
    wt_eq(report_of(&slab).live, 0u);
    wt_lt(descents(&slab, 0), MANY / 16, "some words of 64 at a time");
    wt_eq(report_of(&slab).remote_frees, (uint64_t)MANY);
    give_and_end(&slab, objects);
}

/* ---- shared ---- */

static void share(struct wf_slab *slab, size_t bytes, uint32_t keep)
{
    wf_slab_init(slab, bytes, WF_SLAB_CHUNKS_NOMAX);
    wf_slab_share(slab, keep);
}

/* One that is held counts as taken; a full bundle, and what is left at the end, comes back. */
Test(slab, what_is_given_later_comes_back_each_once)
{
    enum { N = 5 * WF_SLAB_BUNDLE_OTHERS };
    struct wf_slab slab;
    share(&slab, 256, N);
    struct wf_slab_node *held = NULL;
    char *objects[N];
    for (int i = 0; i < N; i++) {
        objects[i] = wf_slab_take(&slab);
        memset(objects[i] + WF_SLAB_BUNDLE_BYTES, i, 256 - WF_SLAB_BUNDLE_BYTES);
    }
    for (int i = 0; i < N; i++) {
        wf_slab_give_later(&held, objects[i]);
    }
    wt_true(held);
    uint64_t whole = N / (WF_SLAB_BUNDLE_OTHERS + 1) * (WF_SLAB_BUNDLE_OTHERS + 1);
    wt_eq(report_of(&slab).live, N - whole);
    wf_slab_give_held(&held);
    wt_false(held);
    wf_slab_give_held(&held); /* nothing */
    wt_eq(report_of(&slab).live, 0u);
    bool seen[N] = {false};
    for (int i = 0; i < N; i++) {
        char *object = wf_slab_take(&slab);
        wt_eq(report_of(&slab).live, i + 1u);
        int k = object[WF_SLAB_BUNDLE_BYTES];
        wt_eq((uintptr_t)objects[k], (uintptr_t)object, "S.1: the rest keeps what was in it");
        wt_eq(object[255], k);
        wt_false(seen[k], "each once");
        seen[k] = true;
    }
    wt_eq(report_of(&slab).remote_frees, (uint64_t)N);
    for (int i = 0; i < N; i++) {
        wf_slab_give(NULL, objects[i]); /* one by one is right too */
    }
    wf_slab_fini(&slab);
}

Test(slab, so_many_are_cut_before_one_is_taken_again)
{
    enum { KEEP = 40 };
    struct wf_slab slab;
    share(&slab, 128, KEEP);
    void *objects[KEEP];
    for (int i = 0; i < KEEP; i++) {
        objects[i] = wf_slab_take(&slab);
        for (int k = 0; k < i; k++) {
            wt_ne((uintptr_t)objects[k], (uintptr_t)objects[i], "a new one");
        }
        wf_slab_give(NULL, objects[i]);
    }
    void *object = wf_slab_take(&slab);
    wt_eq((uintptr_t)object, (uintptr_t)objects[KEEP - 1], "the newest free one");
    wf_slab_give(NULL, object);
    wt_eq(report_of(&slab).live, 0u);
    wf_slab_fini(&slab);
}

/* Held are objects of one slab at a time. */
Test(slab, objects_of_two_shared_slabs_go_back_to_their_own)
{
    struct wf_slab a, b;
    share(&a, 128, 0);
    share(&b, 128, 0);
    struct wf_slab_node *held = NULL;
    for (int i = 0; i < 20; i++) {
        wf_slab_give_later(&held, wf_slab_take(i % 3 == 0 ? &a : &b));
    }
    wf_slab_give_held(&held);
    wt_eq(report_of(&a).live, 0u);
    wt_eq(report_of(&b).live, 0u);
    wf_slab_fini(&a);
    wf_slab_fini(&b);
}

Test(slab, giving_twice_to_a_shared_slab_is_misuse, .signal = SIGABRT)
{
    struct wf_slab slab;
    share(&slab, 128, 0);
    struct wf_slab_node *held = NULL;
    void *object = wf_slab_take(&slab);
    wf_slab_give_later(&held, object);
    wf_slab_give(NULL, object);
}

Test(slab, giving_later_what_is_not_of_a_shared_slab_is_misuse, .signal = SIGABRT)
{
    struct wf_slab slab;
    wf_slab_init(&slab, 128, 1);
    struct wf_slab_node *held = NULL;
    wf_slab_give_later(&held, wf_slab_take(&slab));
}

Test(slab, bare_objects_come_back_from_the_owner_and_from_others)
{
    struct wf_slab mine, other;
    wf_slab_init(&mine, 64, 1);
    wf_slab_init(&other, 64, 1);
    uint32_t n = mine.objects_per_chunk;
    void **objects = calloc(n, sizeof *objects);
    for (uint32_t turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < n; i++) {
            objects[i] = wf_slab_take_bare(&mine);
            wt_true(objects[i]);
            memset(objects[i], 0x55, 64);
            wt_eq(report_of(&mine).live, i + 1);
        }
        wt_false(wf_slab_take_bare(&mine));
        for (uint32_t i = 0; i < n;
             i++) { /* a third each: by the owner, by somebody with a slab, by anybody */
            wf_slab_give_bare(i % 3 == 0 ? &mine : i % 3 == 1 ? &other : NULL, 1, objects[i]);
        }
        wt_eq(report_of(&mine).live, 0u);
    }
    void *first = wf_slab_take_bare(&mine), *second = wf_slab_take_bare(&mine);
    wf_slab_give_bare(&mine, 1, first);
    wf_slab_give_bare(&mine, 1, second);
    wt_eq(wf_slab_take_bare(&mine), second, "the newest first");
    wf_slab_give_bare(&mine, 1, second);
    wt_false(other.chunks, "the giver keeps nothing");
    wf_slab_fini(&mine);
    wf_slab_fini(&other);
    free(objects);
}

Test(slab, giving_a_bare_object_twice_is_found_in_development_builds, .signal = SIGABRT)
{
    if (!WF_CHECKS) {
        abort(); /* nothing to see in a release build */
    }
    struct wf_slab slab;
    wf_slab_init(&slab, 64, 1);
    void *object = wf_slab_take_bare(&slab);
    wf_slab_give_bare(&slab, 1, object);
    wf_slab_give_bare(&slab, 1, object);
}

Test(slab, giving_twice_is_misuse, .signal = SIGABRT)
{
    struct wf_slab slab;
    wf_slab_init(&slab, 64, 1);
    void *object = wf_slab_take(&slab);
    wf_slab_give(&slab, object);
    wf_slab_give(&slab, object);
}

Test(slab, giving_the_inside_of_an_object_is_misuse, .signal = SIGABRT)
{
    struct wf_slab slab;
    wf_slab_init(&slab, 64, 1);
    wf_slab_give(&slab, (char *)wf_slab_take(&slab) + 16);
}

Test(slab, giving_something_else_is_misuse, .signal = SIGABRT)
{
    struct wf_slab slab;
    wf_slab_init(&slab, 64, 1);
    (void)wf_slab_take(&slab);
    wf_slab_give(&slab, (char *)slab.chunks + 64);
}

Test(slab, forgotten_objects_are_found_at_the_end, .signal = SIGABRT)
{
    if (!WF_CHECKS) {
        abort(); /* nothing to see in a release build */
    }
    struct wf_slab slab;
    wf_slab_init(&slab, 64, 1);
    (void)wf_slab_take(&slab);
    wf_slab_fini(&slab);
}

Test(slab, zeroed_and_unused_slabs_may_be_ended)
{
    struct wf_slab slab;
    memset(&slab, 0, sizeof slab);
    wf_slab_fini(&slab);
    wf_slab_init(&slab, 64, 1);
    wf_slab_fini(&slab);
}

/* ---- memory ---- */

static size_t mapped_bytes;
static int maps_left; /* then refused; -1: never */

static void *map_counting(size_t bytes, int prot)
{
    if (maps_left == 0) {
        return NULL;
    }
    maps_left -= maps_left > 0;
    mapped_bytes += bytes;
    return real_sys.map(bytes, prot);
}

static int unmap_counting(void *address, size_t bytes)
{
    mapped_bytes -= bytes;
    return real_sys.unmap(address, bytes);
}

/* Address space that is never aligned to a chunk. */
static void *map_askew(size_t bytes, int prot)
{
    char *memory = real_sys.map(bytes + 2 * WF_SLAB_CHUNK_BYTES, prot);
    char *askew =
        (char *)(((uintptr_t)memory + WF_SLAB_CHUNK_BYTES - 1) & ~(WF_SLAB_CHUNK_BYTES - 1)) + 4096;
    real_sys.unmap(memory, (size_t)(askew - memory));
    real_sys.unmap(askew + bytes,
                   (size_t)(memory + bytes + 2 * WF_SLAB_CHUNK_BYTES - (askew + bytes)));
    mapped_bytes += bytes;
    return askew;
}

static void fill_and_end(void)
{
    struct wf_slab slab;
    wf_slab_init(&slab, 4096, WF_SLAB_CHUNKS_NOMAX);
    void *objects[64];
    for (int i = 0; i < 64; i++) {
        objects[i] = wf_slab_take(&slab);
        memset(objects[i], i, 4096);
    }
    wt_eq(mapped_bytes,
          report_of(&slab).chunks * WF_SLAB_CHUNK_BYTES + WF_SLAB_NEAR * sizeof(void *),
          "nothing but its chunks, and what is near");
    for (int i = 0; i < 64; i++) {
        wf_slab_give(&slab, objects[i]);
    }
    wf_slab_fini(&slab);
    wt_eq(mapped_bytes, 0u);
}

Test(slab, every_mapping_is_given_back)
{
    real_sys = wf_sys;
    wf_sys.map = map_counting;
    wf_sys.unmap = unmap_counting;
    maps_left = -1;
    fill_and_end();
    if (wf_sys_page_bytes() == 4096) {
        wf_sys.map = map_askew;
        fill_and_end();
    }
    wf_sys = real_sys;
}

Test(slab, refused_memory_is_null_and_does_no_harm)
{
    real_sys = wf_sys;
    wf_sys.map = map_counting;
    maps_left = 0;
    struct wf_slab slab;
    wf_slab_init(&slab, 64, WF_SLAB_CHUNKS_NOMAX);
    wt_false(wf_slab_take(&slab));
    wt_eq(report_of(&slab).chunks, 0u);
    maps_left = -1;
    void *object = wf_slab_take(&slab);
    wt_true(object);
    wf_slab_give(&slab, object);
    wf_sys = real_sys;
    wf_slab_fini(&slab);
}

/* ---- many threads ---- */

enum { GIVERS = 3, MAIL = 8, ROUNDS = 20000 };

struct message {
    uint64_t value, check;
};

/* Each giver has a mailbox ring: the owner puts objects in, the giver frees them. */
static struct mailbox {
    WF_ATOMIC(struct message *) slots[MAIL];
    struct wf_slab slab; /* the giver's own */
} mailboxes[GIVERS];
static WF_ATOMIC(int) done;

/* Of a shared slab, by bundles. */
static bool sharing;

static void *giver(void *arg)
{
    struct mailbox *box = arg;
    struct wf_slab_node *held = NULL;
    for (uint32_t at = 0;; at = (at + 1) % MAIL) {
        int finished = wf_load_acquire(&done);
        struct message *message = wf_xchg_acq_rel(&box->slots[at], NULL);
        if (message) {
            wt_eq(message->check, ~message->value);
            message->check = 0;
            if (sharing) {
                wf_slab_give_later(&held, message);
            } else {
                wf_slab_give(&box->slab, message);
            }
        } else if (at == MAIL - 1) {
            if (finished) {
                wf_slab_give_held(&held);
                return NULL;
            }
            sched_yield();
        }
    }
}

static void give_to_and_fro(struct wf_slab *slab)
{
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    struct wf_rng rng;
    wf_rng_seed(&rng, seed);
    wf_store_relaxed(&done, 0);
    pthread_t threads[GIVERS];
    for (int i = 0; i < GIVERS; i++) {
        wf_slab_init(&mailboxes[i].slab, WF_SLAB_OBJECT_MAX, 1);
        wt_eq(pthread_create(&threads[i], NULL, giver, &mailboxes[i]), 0);
    }
    int rounds = WF_TSAN || WF_ASAN || !WF_X86_64 ? ROUNDS / 2 : ROUNDS;
    for (int i = 0; i < rounds;) {
        struct message *message = wf_slab_take(slab);
        if (!message) {
            sched_yield(); /* all under way */
            continue;
        }
        message->value = wf_rng_next(&rng);
        message->check = ~message->value;
        struct mailbox *box = &mailboxes[wf_rng_below(&rng, GIVERS)];
        struct message *old = wf_xchg_acq_rel(&box->slots[i++ % MAIL], message);
        if (old) {
            wt_eq(old->check, ~old->value);
            wf_slab_give(sharing ? NULL : slab, old);
        }
    }
    wf_store_release(&done, 1);
    for (int i = 0; i < GIVERS; i++) {
        pthread_join(threads[i], NULL);
        for (int k = 0; k < MAIL; k++) {
            struct message *left = wf_xchg_acq_rel(&mailboxes[i].slots[k], NULL);
            if (left) {
                wf_slab_give(NULL, left);
            }
        }
        wf_slab_fini(&mailboxes[i].slab);
    }
    wt_eq(report_of(slab).live, 0u);
    wt_le(report_of(slab).chunks, 4u, "what is free is taken before more is cut");
    wf_slab_fini(slab);
}

Test(slab, objects_freed_by_others_are_neither_lost_nor_doubled, .timeout = 120)
{
    static struct wf_slab slab;
    wf_slab_init(&slab, WF_SLAB_OBJECT_MAX, 1); /* 15 objects: the owner drains all the time */
    sharing = false;
    give_to_and_fro(&slab);
}

Test(slab, objects_freed_by_others_in_bundles_are_neither_lost_nor_doubled, .timeout = 120)
{
    static struct wf_slab slab;
    share(&slab, 1000, 16);
    sharing = true;
    give_to_and_fro(&slab);
}
