/* item.h: copying an item of a channel or generator. Who may call: src/ only. */
#ifndef WF_ITEM_H
#define WF_ITEM_H

#include "pool/base/compiler.h"
#include <string.h>

/* The sizes that most items have, each a load and a store; memcpy's call would cost more than the
 * rest of a hand-over. */
WF_INLINE void wf_item_copy(void *to, const void *from, size_t bytes)
{
    switch (bytes) {
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    case 16:
        memcpy(to, from, 16);
        break;
    default:
        memcpy(to, from, bytes);
    }
}

#endif
