/* What channels keep and give back, seen from below; what a call does whose lock nobody will let go
 * of. */
#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"
#include <stdatomic.h>
#include <weft/weft.h>

static struct wf_sys real;
static atomic_long blocks;

static void *alloc(size_t alignment, size_t bytes)
{
    void *memory = real.alloc(alignment, bytes);
    atomic_fetch_add(&blocks, memory != NULL);
    return memory;
}

static void release(void *memory)
{
    atomic_fetch_sub(&blocks, memory != NULL);
    real.release(memory);
}

static void count_blocks(void)
{
    real = wf_sys;
    wf_sys.alloc = alloc;
    wf_sys.release = release;
}

WEFT_TASK(send_one, weft_chan *)
{
    return weft_chan_send(*arg, &(int){-1});
}

/* Its sender is cancelled when a receiver makes room and there is no chunk for what comes next: the
 * chunk that is linked for it stays empty. */
static int free_with_an_empty_chunk(void *arg)
{
    (void)arg;
    enum { MAX = 1000 }; /* one chunk of int, exactly */
    long before = atomic_load(&blocks);
    for (int taken = 1; taken <= MAX; taken += MAX - 1) { /* one, or all that are in it */
        weft_chan *chan;
        wt_eq(weft_chan_new(&chan, sizeof(int), WEFT_CHAN_UNBOUNDED, .grow_max = MAX), 0);
        int item = 0;
        while (weft_chan_try_send(chan, &item) == 0) { /* ends: at MAX */
            item++;
        }
        wt_eq(item, MAX);
        WEFT_SCOPE(s);
        weft_go(&s, send_one, &chan);
        weft_yield();
        weft_scope_cancel(&s, NULL);
        for (int i = 0; i < taken; i++) {
            wt_eq(weft_chan_try_recv(chan, &item), 1);
            wt_eq(item, i);
        }
        wt_eq(weft_scope_end(&s), -ECANCELED);
        wt_eq(weft_chan_len(chan), MAX - taken);
        weft_chan_free(chan);
        wt_eq(atomic_load(&blocks), before);
    }
    return 0;
}

Test(chan, an_unbounded_one_gives_back_a_chunk_whose_sender_was_cancelled, .init = count_blocks)
{
    wt_eq(weft_run(free_with_an_empty_chunk, NULL, .workers = 1), 0);
}
