/* list.h: a doubly linked intrusive list with a sentinel. No locks, no allocation; whoever owns the
 * list serialises.
 *
 * An unlinked node points at itself, so that unlinking twice is harmless and "am I linked" is one
 * compare. Zeroed memory is not a valid node: initialise first. */
#ifndef WF_LIST_H
#define WF_LIST_H

#include "pool/base/compiler.h"
#include <stdbool.h>

struct wf_list {
    struct wf_list *next, *prev;
};

WF_INLINE void wf_list_init(struct wf_list *node)
{
    node->next = node;
    node->prev = node;
}

WF_INLINE bool wf_list_is_empty(const struct wf_list *head)
{
    return head->next == head;
}

WF_INLINE void wf_list_push_back(struct wf_list *head, struct wf_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

WF_INLINE void wf_list_push_front(struct wf_list *head, struct wf_list *node)
{
    wf_list_push_back(head->next, node); /* before the first */
}

WF_INLINE void wf_list_unlink(struct wf_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    wf_list_init(node);
}

/* The same of a node that nobody asks any more whether it is linked. */
WF_INLINE void wf_list_drop(struct wf_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
}

/* All nodes of `from`, in their order, behind those of `to`. */
WF_INLINE void wf_list_move_all(struct wf_list *from, struct wf_list *to)
{
    if (wf_list_is_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    wf_list_init(from);
}

/* The oldest node, unlinked; NULL when the list is empty. */
WF_INLINE struct wf_list *wf_list_pop_front(struct wf_list *head)
{
    struct wf_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    wf_list_unlink(node);
    return node;
}

#endif
