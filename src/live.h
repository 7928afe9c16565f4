/* live.h: which objects in callers' memory have been initialised and not ended, so that a second
 * initialisation of one is found (E42). Builds with WF_CHECKS only; else both calls are empty.
 *
 * What the memory holds proves nothing: it may be left over from a former object. So the addresses
 * are kept, in a table with a bound: WF_LIVE_BUCKETS times WF_LIVE_SLOTS objects. One that finds
 * its bucket full is not kept, and not checked.
 *
 * An object whose memory went away without its fini is taken for alive, and reported when another
 * one is initialised at that address: in these builds fini is not optional. Who may call: the inits
 * and finis of src/. */
#ifndef WF_LIVE_H
#define WF_LIVE_H

#include "pool/base/compiler.h"

#define WF_LIVE_BUCKETS 1024
#define WF_LIVE_SLOTS   8

/* `kind` is the public name, a literal. If an object is alive there: misuse; it is initialised
 * again, as it is where nothing checks. */
WF_COLD void wf_live_enter(const void *object, const char *kind);
WF_COLD void wf_live_leave(const void *object);

WF_INLINE void wf_live_begin(const void *object, const char *kind)
{
    if (WF_CHECKS && !WF_MODEL) {
        wf_live_enter(object, kind);
    }
}

/* Before the object's last touch: from then on somebody else may use its memory. */
WF_INLINE void wf_live_end(const void *object)
{
    if (WF_CHECKS && !WF_MODEL) {
        wf_live_leave(object);
    }
}

#endif
