/* gen.h: generators: a stream of items made by a function that waits as it likes, and taken one by
 * one by somebody else: what async streams are elsewhere.
 *
 * A *generator* is a task, the *producer*, that hands out items with weft_emit. It begins with the
 * first weft_gen_next, works only while somebody waits for an item, and rests in weft_emit between
 * two of them: it never runs ahead. Where both are on one worker, which is the rule, an item costs
 * two switches of stacks and no turn of the scheduler.
 *
 * It belongs to the scope in which weft_gen_new was called: cancelling that reaches what the
 * producer waits for. So does a cancellation or deadline that ends a weft_gen_next: the producer
 * worked for that call. Either way the stream is over, and the producer's next call says
 * -ECANCELED.
 *
 *     WEFT_TASK(products, struct query)
 *     {
 *         struct product p;
 *         int rc;
 *         while ((rc = row_next(arg, &p)) > 0) {
 *             if ((rc = weft_emit(&p)) < 0) {
 *                 return rc;
 *             }
 *         }
 *         return rc;
 *     }
 *     ...
 *     weft_gen *g;
 *     int rc = weft_gen_new(&g, products, &query, sizeof p);
 *     while (rc >= 0 && (rc = weft_gen_next(g, &p)) > 0) {
 *         show(&p);
 *     }
 *     rc = weft_gen_close(g); // of NULL: 0 */
#ifndef WEFT_GEN_H
#define WEFT_GEN_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_gen weft_gen;

#define WEFT_GEN_ITEM_MAX 4096 /* bytes */

/* A generator whose producer will be fn(arg), with items of `item_bytes` (1 to WEFT_GEN_ITEM_MAX).
 * fn is not called yet. `arg` is the producer's until weft_gen_close returns. *out is to be ended
 * with weft_gen_close before the scope in which this was called (or the task, if it opened none
 * itself) ends: else misuse, which names this place; then the producer is cancelled and waited for.
 * Task context. Cannot suspend. 0; -EINVAL; -ENOMEM; -ECANCELED: the scope is cancelled (*out =
 * NULL). */
#define weft_gen_new(out, fn, arg, item_bytes) \
    weft_gen_new_((out), (fn), (arg), (item_bytes), WEFT_HERE)
int weft_gen_new_(weft_gen **out, weft_fn *fn, void *arg, size_t item_bytes,
                  const weft_place *place);

/* In the producer itself, and not in tasks that it started: hands *item to whoever waits in
 * weft_gen_next, and rests until the next item is asked for. 0; -ECANCELED: no further item is
 * wanted, for the generator is being closed or was cancelled (this item may have been taken): clean
 * up and return. -EPERM: not in a producer. -EBUSY: another strand of it emits right now. May
 * suspend. */
int weft_emit(const void *item);

/* Takes the next item into *item; the producer works meanwhile. 1: got one; 0: the producer has
 * ended with success; its code, if it has failed, with its error record; -ECANCELED: no item was
 * taken, and the producer was cancelled, unless it had not been asked (the scope was cancelled, or
 * its deadline had passed, before). -EBUSY: another task is in weft_gen_next, or closes it.
 * -EDEADLK: called by the producer. Any task of the runtime, one at a time. May suspend. */
int weft_gen_next(weft_gen *gen, void *item);

/* Cancels the producer if it still runs, waits until it has ended, and frees the generator. The
 * producer's code, which is 0 where this call has cancelled it and it answered -ECANCELED. A
 * producer that never started is never called: 0. NULL: 0. Not a point of cancellation. -EBUSY:
 * another task is in weft_gen_next, or closes it, or a value of one is pending or has not told the
 * end yet; -EDEADLK: called by the producer, or a task in one of its scopes; -EPERM: outside a
 * task; the generator is there still. May suspend. */
int weft_gen_close(weft_gen *gen);

#ifdef __cplusplus
}
#endif

#endif
