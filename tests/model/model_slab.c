/* model_slab.c: pool/slab.c: one owner that takes, others that give, object by object and in
 * bundles.
 *
 * Abstracted: an object is its payload, a plain word; what the slab keeps in a free one (the link,
 * the bundle's list) is plain memory that the checker does not see, and the payload stands for: it
 * is written before the same release, and read after the same acquire. A chunk is a static array.
 * Full bundles (14 objects) are not tried: they are given by the same function as those that end
 * early.
 *
 * Checked in every execution: no object is out twice; who takes one sees what the one before wrote
 * into it (S.2); in the end every object is free, and found before another is cut. */
#include "pool/slab.c"

#include "tests/model/wloom.h"
#include <string.h>

#define OBJECT_BYTES 256
#define OBJECTS      6
#define SLABS        2

struct object {
    unsigned char of_slab[WF_SLAB_BUNDLE_BYTES];
    WF_PLAIN(int) payload;
};

static _Alignas(WF_SLAB_CHUNK_BYTES) unsigned char chunks[2 * SLABS][WF_SLAB_CHUNK_BYTES];
static int mapped;
static struct wf_slab slabs[SLABS];
static bool is_out[SLABS][OBJECTS]; /* not modelled: the checker is one thread */

static void *map_chunk(size_t bytes, int protection)
{
    (void)protection;
    wloom_assert(bytes == WF_SLAB_CHUNK_BYTES && mapped < 2 * SLABS);
    /* the head, and the objects that a scenario can reach, or what is near: fresh pages */
    return memset(chunks[mapped++], 0, (size_t)16 * 1024);
}

static int unmap_nothing(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
    return 0;
}

struct wf_sys wf_sys = {.map = map_chunk, .unmap = unmap_nothing};

static void begin(bool shared, uint32_t keep)
{
    mapped = 0;
    memset(is_out, 0, sizeof is_out);
    for (int i = 0; i < SLABS; i++) {
        wf_slab_init(&slabs[i], OBJECT_BYTES, WF_SLAB_CHUNKS_NOMAX);
        if (shared) {
            wf_slab_share(&slabs[i], keep);
        }
    }
}

static bool *out_of(struct object *object)
{
    struct wf_slab *slab = chunk_of(object)->owner;
    uint32_t number = (offset_of(object) - slab->first) / OBJECT_BYTES;
    wloom_assert(number < OBJECTS);
    return &is_out[slab - slabs][number];
}

/* Owner. */
static struct object *take_from(struct wf_slab *slab)
{
    struct object *object = wf_slab_take(slab);
    wloom_assert(object != NULL && !*out_of(object));
    *out_of(object) = true;
    wf_plain_write(&object->payload, wf_plain_read(&object->payload) + 1);
    return object;
}

static struct object *take(void)
{
    return take_from(&slabs[0]);
}

/* Whoever has it is through with it. */
static struct object *through_with(struct object *object)
{
    wf_plain_write(&object->payload, wf_plain_read(&object->payload) + 1);
    *out_of(object) = false;
    return object;
}

/* Owner, after all others have ended: what was given comes back before another is cut. */
static void end_of(struct wf_slab *slab)
{
    int cut = (int)((slab->uncut - (char *)slab->chunks - (ptrdiff_t)slab->first) / OBJECT_BYTES);
    for (int i = 0; i < cut; i++) {
        if (!is_out[slab - slabs][i]) {
            char *uncut = slab->uncut;
            (void)take_from(slab);
            wloom_assert(slab->uncut == uncut);
            i = -1; /* ends: each round brings one more out */
        }
    }
}

static void end(void)
{
    wloom_join_all();
    end_of(&slabs[0]);
}

/* --- object by object ------------------------------------------------------------------------- */

static struct object *bundle[3];

static void give_one(void *object)
{
    wf_slab_give(NULL, through_with(object));
}

static void two_give_while_the_owner_takes(void)
{
    begin(false, 0);
    wloom_spawn(give_one, take());
    wloom_spawn(give_one, take());
    wf_slab_give(&slabs[0], through_with(take()));
    take();
    take();
    end();
}

/* What they give goes on while the owner takes words: in each word of bits, more than once. */
static void give_two(void *arg)
{
    (void)arg;
    give_one(bundle[0]);
    give_one(bundle[1]);
}

static void one_gives_two_while_the_owner_takes(void)
{
    begin(false, 0);
    bundle[0] = take();
    bundle[1] = take();
    wloom_spawn(give_two, NULL);
    wloom_spawn(give_one, take());
    take();
    end();
}

/* --- bundles ---------------------------------------------------------------------------------- */

static void give_two_as_a_bundle(void *arg)
{
    (void)arg;
    struct wf_slab_node *held = NULL;
    wf_slab_give_later(&held, through_with(bundle[0]));
    wf_slab_give_later(&held, through_with(bundle[1]));
    wf_slab_give_held(&held);
    wloom_assert(held == NULL);
}

static void give_a_bundle_of_one(void *object)
{
    struct wf_slab_node *held = NULL;
    wf_slab_give_later(&held, through_with(object));
    wf_slab_give_held(&held);
}

static void two_bundles_while_the_owner_takes(void)
{
    begin(true, 0);
    bundle[0] = take();
    bundle[1] = take();
    struct object *third = take();
    wloom_spawn(give_two_as_a_bundle, NULL);
    wloom_spawn(give_a_bundle_of_one, third);
    take();
    take();
    end();
}

/* The owner breaks a bundle up, and gives what was in it to others, who bundle it anew. */
static void what_was_in_a_bundle_is_bundled_again(void)
{
    begin(true, 2);
    bundle[0] = take();
    bundle[1] = take();
    int giver = wloom_spawn(give_two_as_a_bundle, NULL);
    wloom_join(giver);
    wloom_spawn(give_a_bundle_of_one, take());
    wloom_spawn(give_one, take());
    take();
    end();
}

/* One bundle is of one owner: what is held for another goes first. */
static void give_to_two_owners(void *arg)
{
    (void)arg;
    struct wf_slab_node *held = NULL;
    wf_slab_give_later(&held, through_with(bundle[0]));
    wf_slab_give_later(&held, through_with(bundle[2]));
    wf_slab_give_later(&held, through_with(bundle[1]));
    wf_slab_give_held(&held);
}

static void take_of_the_other(void *arg)
{
    (void)arg;
    take_from(&slabs[1]);
}

static void objects_of_two_owners(void)
{
    begin(true, 0);
    bundle[0] = take();
    bundle[1] = take();
    bundle[2] = take_from(&slabs[1]);
    wloom_spawn(give_to_two_owners, NULL);
    wloom_spawn(take_of_the_other, NULL);
    take();
    end();
    end_of(&slabs[1]);
}

/* --- roads not taken -------------------------------------------------------------------------- */

/* A bundle that goes on filling after it was given: the owner has counted it before. */
static void give_and_go_on(void *arg)
{
    (void)arg;
    struct wf_slab_node *first = (struct wf_slab_node *)through_with(bundle[0]);
    mark_shared(chunk_of(first), first);
    begin_bundle(first);
    push_remote(&slabs[0], first);
    (void)wf_load_relaxed(&slabs[0].remote); /* a step: here the owner may come */
    struct object *second = through_with(bundle[1]);
    mark_shared(chunk_of(second), (struct wf_slab_node *)second);
    first->others[first->count++] = second;
}

static void a_bundle_that_is_given_too_early(void)
{
    begin(true, 0);
    bundle[0] = take();
    bundle[1] = take();
    wloom_spawn(give_and_go_on, NULL);
    take();
    end();
}

static const struct wloom_scenario scenarios[] = {
    {"two_give", two_give_while_the_owner_takes, NULL, NULL, false},
    {"one_gives_two", one_gives_two_while_the_owner_takes, NULL, NULL, false},
    {"two_bundles", two_bundles_while_the_owner_takes, NULL, NULL, false},
    {"bundled_again", what_was_in_a_bundle_is_bundled_again, NULL, NULL, false},
    {"objects_of_two_owners", objects_of_two_owners, NULL, NULL, false},
    {"given_too_early", a_bundle_that_is_given_too_early, "assertion", "assertion", true},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"pool/slab.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "slab",
        .scenarios = scenarios,
        .under_test = under_test,
    };
    return wloom_main(&harness, argc, argv);
}
