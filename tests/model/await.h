/* await.h: what src/block.c has, for harnesses that cannot include it. Not in absent.c: a claim is
 * a site (wloom.h), and mutants weaken those of the harness's own file together. */
#ifndef MODEL_AWAIT_H
#define MODEL_AWAIT_H

#include "src/core.h"

void wf_wait_cancel_claim(struct wf_wait *wait)
{
    (void)wf_wait_claim(wait, WF_WAIT_CANCELLED);
}

#endif
