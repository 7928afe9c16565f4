/* message_value.c: the calls of message.c as values. Their records are the widest (WF_V_WIDE): they
 * have room for the message that a stack would have had.
 *
 * Two kinds. One datagram, or several buffers, is an operation of the kernel with a message in the
 * record. Several datagrams, and descriptors, are an *act*: a call that takes what is there and
 * does not wait (ADR 0018). It is made at once, and if there is nothing again each time that the
 * socket is ready, by the consumer, when it asks for the result: so nothing is sent or received for
 * a value that was dropped.
 *
 * What is ready. To send: POLLOUT. To receive: a byte can be peeked at. A poll would do, but it
 * also tells of errors that stay, and then one would turn in vain (ADR 0024); a receive waits for
 * data, and says the error of a socket that has one. */
#include "pool/base/sys.h"
#include "src/io_value.h"
#include "src/net.h"
#include "src/uses.h"
#include <limits.h>
#include <poll.h>
#include <sys/syscall.h>

enum act { ACT_NONE, ACT_SEND_MANY, ACT_RECV_MANY, ACT_SEND_FDS, ACT_RECV_FDS };

/* Of an act. The memory is the caller's. */
struct act_args {
    void *items; /* messages, or bytes */
    size_t bytes;
    int *fds;
    int *count_out;
    int fd, count, flags;
    char peeked; /* nobody reads it */
};

struct message_value {
    struct wf_value value;
    struct wf_op op;
    uint8_t act; /* enum act; else the op alone */
    bool rests;  /* after polls in vain; then it polls again */
    int vain;    /* as wf_io_await_events counts */
    union {
        struct act_args args;
        struct {
            struct msghdr message;
            struct iovec part;
            weft_addr *from;
        };
    };
};

_Static_assert(sizeof(struct message_value) <= 384, "pool.c, value_bytes");

static struct message_value *record_of(struct wf_call *call)
{
    return wf_container_of(call, struct message_value, value.call);
}

/* --- acts ------------------------------------------------------------------------------------- */

static bool receives(enum act act)
{
    return act == ACT_RECV_MANY || act == ACT_RECV_FDS;
}

/* Without waiting: -EAGAIN. */
static ssize_t do_act(enum act act, const struct act_args *a)
{
    switch (act) {
    case ACT_SEND_MANY:
        return wf_sys.call(SYS_sendmmsg, a->fd, (long)a->items, a->count,
                           a->flags | MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    case ACT_RECV_MANY:
        return wf_sys.call(SYS_recvmmsg, a->fd, (long)a->items, a->count,
                           a->flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC, 0, 0);
    case ACT_SEND_FDS:
        return wf_send_fds_now(a->fd, a->items, a->bytes, a->fds, a->count);
    default:
        return wf_recv_fds_now(a->fd, a->items, a->bytes, a->fds, a->count, a->count_out);
    }
}

static struct wf_op readiness_op(enum act act, struct act_args *args)
{
    if (receives(act)) {
        return (struct wf_op){.kind = WF_OP_RECV,
                              .fd = args->fd,
                              .address = wf_io_address(&args->peeked),
                              .bytes = 1,
                              .flags = MSG_PEEK};
    }
    return (struct wf_op){.kind = WF_OP_POLL, .fd = args->fd, .flags = POLLOUT};
}

/* --- the end ---------------------------------------------------------------------------------- */

static ssize_t act_finish(struct message_value *record, ssize_t ready)
{
    struct wf_fiber *self = wf_self();
    if (ready < 0 || self == NULL || self->env == NULL) { /* nobody wants it: wf_value_discard */
        return ready;
    }
    struct wf_held held;
    if (!wf_touch(&held, record->args.fd, record->op.meant)) {
        return -EBADF; /* it was ready all the same; but the act would be at the next file */
    }
    ssize_t result = do_act(record->act, &record->args);
    wf_unhold(&held);
    /* a socket that was shut down is ready all the time, and nothing comes */
    return result == -EAGAIN && ready == 0 && receives(record->act) ? 0 : result;
}

static ssize_t message_finish(struct wf_call *call)
{
    struct message_value *record = record_of(call);
    ssize_t result = wf_op_finish(call);
    if (record->act != ACT_NONE) {
        return act_finish(record, result);
    }
    if (record->from != NULL && result >= 0) {
        record->from->bytes = record->message.msg_namelen;
    }
    return result;
}

static bool message_again(struct wf_call *call, ssize_t result);

static const struct wf_wait_ops message_ops = {.cancel = wf_op_cancel,
                                               .finish = message_finish,
                                               .again = message_again,
                                               .is_wide = true,
                                               .name = "an I/O operation"};

static const struct wf_wait_ops rest_ops = {.cancel = wf_wait_cancel_claim,
                                            .finish = wf_io_rest_finish,
                                            .again = message_again,
                                            .is_wide = true,
                                            .name = "an I/O operation (an error stays)"};

static bool message_again(struct wf_call *call, ssize_t result)
{
    struct message_value *record = record_of(call);
    if (result != -EINTR && (result != -EAGAIN || record->act == ACT_NONE)) {
        return false;
    }
    /* a send that was ready, and was not: the poll has told of an error. After a rest, once
     * more. */
    record->rests = result == -EAGAIN && !record->rests && record->op.kind == WF_OP_POLL &&
                    wf_io_is_vain(&record->vain, (uint32_t)record->op.res, record->op.flags);
    if (record->rests) {
        wf_io_rest(call, &rest_ops);
    } else {
        wf_io_begin_again(&record->op, call, &message_ops);
    }
    return true;
}

/* --- the beginning ---------------------------------------------------------------------------- */

struct act_begin {
    enum act act;
    const struct act_args *args;
    uint32_t meant; /* uses.h */
};

static struct wf_op *fill_act(struct wf_value *value, const void *arg)
{
    const struct act_begin *begin = arg;
    struct message_value *record = wf_container_of(value, struct message_value, value);
    record->act = (uint8_t)begin->act;
    record->rests = false;
    record->vain = 0;
    record->args = *begin->args;
    record->op = readiness_op(begin->act, &record->args);
    record->op.meant = begin->meant;
    return &record->op;
}

static weft_val begin_act(enum act act, const struct act_args *args, const weft_place *place)
{
    int rc = 0;
    if (wf_enter_call(&rc) == NULL) {
        return wf_val_done(rc, place);
    }
    uint32_t meant = wf_use_meant(args->fd);
    ssize_t result = do_act(act, args);
    if (result != -EAGAIN || (args->flags & MSG_DONTWAIT) != 0) {
        return wf_val_done(result, place);
    }
    struct act_begin begin = {act, args, meant};
    return wf_io_v_in(WF_V_WIDE, fill_act, &begin, &message_ops, place);
}

/* A datagram, or buffers. */
struct one {
    enum wf_op_kind kind;
    int fd, flags;
    struct iovec *parts; /* NULL: `part` */
    size_t count;
    struct iovec part;
    const weft_addr *to;
    weft_addr *from; /* NULL: not wanted */
};

static struct wf_op *fill_one(struct wf_value *value, const void *arg)
{
    const struct one *one = arg;
    struct message_value *record = wf_container_of(value, struct message_value, value);
    record->act = ACT_NONE;
    record->rests = false;
    record->from = one->from;
    record->part = one->part;
    record->message = (struct msghdr){.msg_iov = one->parts != NULL ? one->parts : &record->part,
                                      .msg_iovlen = one->count};
    if (one->from != NULL) {
        *one->from = (weft_addr){0};
        record->message.msg_name = &one->from->storage;
        record->message.msg_namelen = sizeof one->from->storage;
    } else if (one->to != NULL) {
        record->message.msg_name = (void *)(uintptr_t)&one->to->storage;
        record->message.msg_namelen = one->to->bytes;
    }
    record->op = (struct wf_op){.kind = (uint8_t)one->kind,
                                .fd = one->fd,
                                .address = wf_io_address(&record->message),
                                .bytes = 1,
                                .flags = (uint32_t)one->flags};
    return &record->op;
}

static weft_val begin_one(const struct one *one, const weft_place *place)
{
    return wf_io_v_in(WF_V_WIDE, fill_one, one, &message_ops, place);
}

/* --- the calls -------------------------------------------------------------------------------- */

weft_val weft_sendv_v_(int fd, const struct iovec *parts, int count, int flags,
                       const weft_place *place)
{
    if (count < 0 || count > IOV_MAX) {
        return wf_val_done(-EINVAL, place);
    }
    struct one one = {.kind = WF_OP_SENDMSG,
                      .fd = fd,
                      .flags = flags | MSG_NOSIGNAL,
                      .parts = (struct iovec *)(uintptr_t)parts,
                      .count = (size_t)count};
    return begin_one(&one, place);
}

weft_val weft_sendto_v_(int fd, const void *buffer, size_t bytes, int flags, const weft_addr *to,
                        const weft_place *place)
{
    struct one one = {
        .kind = WF_OP_SENDMSG,
        .fd = fd,
        .flags = flags | MSG_NOSIGNAL,
        .part = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = wf_io_bytes(bytes)},
        .count = 1,
        .to = to};
    return begin_one(&one, place);
}

weft_val weft_recvfrom_v_(int fd, void *buffer, size_t bytes, int flags, weft_addr *from,
                          const weft_place *place)
{
    struct one one = {.kind = WF_OP_RECVMSG,
                      .fd = fd,
                      .flags = flags | MSG_CMSG_CLOEXEC,
                      .part = {.iov_base = buffer, .iov_len = wf_io_bytes(bytes)},
                      .count = 1,
                      .from = from};
    return begin_one(&one, place);
}

static weft_val many(enum act act, int fd, struct mmsghdr *messages, int count, int flags,
                     const weft_place *place)
{
    if (count < 1 || count > IOV_MAX) {
        return wf_val_done(-EINVAL, place);
    }
    struct act_args args = {.fd = fd, .items = messages, .count = count, .flags = flags};
    return begin_act(act, &args, place);
}

weft_val weft_send_many_v_(int fd, struct mmsghdr *messages, int count, int flags,
                           const weft_place *place)
{
    return many(ACT_SEND_MANY, fd, messages, count, flags, place);
}

weft_val weft_recv_many_v_(int fd, struct mmsghdr *messages, int count, int flags,
                           const weft_place *place)
{
    return many(ACT_RECV_MANY, fd, messages, count, flags, place);
}

weft_val weft_send_fds_v_(int fd, const void *buffer, size_t bytes, const int *fds, int count,
                          const weft_place *place)
{
    if (bytes == 0 || count < 0 || count > WEFT_FDS_MAX) {
        return wf_val_done(-EINVAL, place);
    }
    struct act_args args = {.fd = fd,
                            .items = (void *)(uintptr_t)buffer,
                            .bytes = bytes,
                            .fds = (int *)(uintptr_t)fds,
                            .count = count};
    return begin_act(ACT_SEND_FDS, &args, place);
}

weft_val weft_recv_fds_v_(int fd, void *buffer, size_t bytes, int *fds, int *count,
                          const weft_place *place)
{
    int room = *count;
    *count = 0;
    if (bytes == 0 || room < 0 || room > WEFT_FDS_MAX) {
        return wf_val_done(-EINVAL, place);
    }
    struct act_args args = {
        .fd = fd, .items = buffer, .bytes = bytes, .fds = fds, .count = room, .count_out = count};
    return begin_act(ACT_RECV_FDS, &args, place);
}
