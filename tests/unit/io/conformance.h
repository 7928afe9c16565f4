/* conformance.h: one script of operations on files, pipes and sockets, normal, short, at the end,
 * refused, cancelled and out of time, that writes down what each of them gave.
 *
 * The transcript depends on nothing but the promises of <weft/io.h>: no addresses, no descriptor
 * numbers, no times, no counts that the kernel's buffers decide. So it must be the same, byte for
 * byte, whichever backend does the work and whatever that backend lacks (test_conformance.c).
 *
 * To add an operation, add it to a section here, or a section to `sections`. A step must have one
 * right result: where two are allowed (a race), write down what both have in common. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "tests/support/wt.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/openat2.h>
#include <weft/debug.h>
#include <weft/file.h>
#include <weft/loan.h>
#include <weft/net.h>
#include <weft/stackless.h>
#include <weft/weft.h>

#define TRANSCRIPT_MAX 131072

static char transcript[TRANSCRIPT_MAX];
static size_t transcript_used;

/* --- writing down ----------------------------------------------------------------------------- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n =
        vsnprintf(transcript + transcript_used, sizeof transcript - transcript_used, format, args);
    va_end(args);
    wt_true(n >= 0 && (size_t)n < sizeof transcript - transcript_used, "TRANSCRIPT_MAX");
    transcript_used += (size_t)n;
}

/* The step's source, and what came of it. */
static long note(const char *step, long result)
{
    const char *name = result < 0 ? strerrorname_np((int)-result) : NULL;
    if (name != NULL) {
        say("%s: -%s\n", step, name);
    } else {
        say("%s: %ld\n", step, result);
    }
    return result;
}

#define show(step) note(#step, (long)(step))

/* Of a step that gives a descriptor, or anything else whose value does not matter: that it does. */
static int note_some(const char *step, long result)
{
    if (result < 0) {
        note(step, result);
    } else {
        say("%s: some\n", step);
    }
    return (int)result;
}

#define show_some(step) note_some(#step, (long)(step))

static void show_text(const char *text, long bytes)
{
    say("    \"%.*s\"\n", bytes > 0 ? (int)bytes : 0, text);
}

/* --- helpers ---------------------------------------------------------------------------------- */

#define NOWHERE ((void *)8) /* no memory of ours */
#define SOON    WEFT_MS(2)

static void make_pair(int ends[2], int type)
{
    wt_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
}

static void make_pipe(int ends[2])
{
    wt_eq(pipe2(ends, O_CLOEXEC), 0);
}

static void close_both(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static int make_listener(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof *address;
    wt_eq(bind(fd, (struct sockaddr *)address, bytes), 0);
    wt_eq(listen(fd, 8), 0);
    wt_eq(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

static int make_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* A connection over TCP: ends[0] was accepted. */
static void make_connection(int ends[2])
{
    struct sockaddr_in address;
    int listener = make_listener(&address);
    ends[1] = make_socket();
    wt_eq(connect(ends[1], (struct sockaddr *)&address, sizeof address), 0);
    ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
}

/* Takes what fits, so that the next send would wait. */
static void fill(int fd)
{
    static const char zeros[65536];
    while (send(fd, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    } /* ends: full */
}

/* One call of a task of its own; what it gave comes back as the task's result. */
struct call {
    int fd;
    char *buffer;
    size_t bytes;
    int flags;
};

/* As a task: `...` are the call's fields. It must be awaited in the same block. */
#define start(task, fn, ...) (void)weft_spawn(task, fn, (&(struct call){__VA_ARGS__}))

static int do_recv(void *arg)
{
    const struct call *c = arg;
    return (int)weft_recv(c->fd, c->buffer, c->bytes, c->flags);
}

static int do_send(void *arg)
{
    const struct call *c = arg;
    return (int)weft_send(c->fd, c->buffer, c->bytes, c->flags);
}

static int do_read(void *arg)
{
    const struct call *c = arg;
    return (int)weft_read(c->fd, c->buffer, c->bytes);
}

static int do_write(void *arg)
{
    const struct call *c = arg;
    return (int)weft_write(c->fd, c->buffer, c->bytes);
}

static int do_accept(void *arg)
{
    const struct call *c = arg;
    int fd = weft_accept(c->fd, NULL, NULL, 0);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 ? fd : 0;
}

static int do_recv_loan(void *arg)
{
    const struct call *c = arg;
    WEFT_LOAN(loan);
    ssize_t n = weft_recv_loan(c->fd, &loan, c->flags);
    if (n > 0 && c->buffer != NULL) {
        memcpy(c->buffer, loan.data, loan.bytes < c->bytes ? loan.bytes : c->bytes);
    }
    return (int)n;
}

static int do_wait_fd(void *arg)
{
    const struct call *c = arg;
    return weft_wait_fd(c->fd, c->flags);
}

static void let_it_wait(void)
{
    for (int i = 0; i < 4; i++) {
        weft_yield();
    }
    weft_sleep(WEFT_US(200)); /* no result depends on it: it makes it likely that the other waits */
}

/* What the call gives when its scope is cancelled while it waits. Twice, because that is
 * allowed. */
static int cancelled(weft_fn *call, struct call c)
{
    weft_task task;
    WEFT_SCOPE(scope);
    weft_spawn(&task, call, &c);
    let_it_wait();
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    wt_eq(weft_scope_cancel(&scope, "again"), -EALREADY);
    int rc = weft_await(&task);
    (void)weft_scope_end(&scope);
    return rc;
}

/* The same of a receive that has taken what there was, and waits for more. */
static int cancelled_amid(struct call c)
{
    weft_task task;
    WEFT_SCOPE(scope);
    weft_spawn(&task, do_recv, &c);
    int left = 1;
    while (left > 0) { /* ends: it takes them */
        weft_yield();
        wt_eq(ioctl(c.fd, FIONREAD, &left), 0);
    }
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    int rc = weft_await(&task);
    (void)weft_scope_end(&scope);
    return rc;
}

/* What it gives in a scope that is cancelled already, whatever it could have done. */
static int refused(weft_fn *call, struct call c)
{
    WEFT_SCOPE(scope);
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    int rc = call(&c);
    (void)weft_scope_end(&scope);
    return rc;
}

/* What it gives when the deadline has passed before it begins. */
static int late(weft_fn *call, struct call c)
{
    return weft_within(WEFT_US(1), (weft_sleep(WEFT_MS(1)), call(&c)));
}

/* --- files ------------------------------------------------------------------------------------ */

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void script_files(void)
{
    char buffer[64] = "";
    struct statx about;
    show(weft_open(path_of("none"), O_RDONLY, 0));
    int fd = show_some(weft_open(path_of("file"), O_RDWR | O_CREAT | O_EXCL, 0600));
    show(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    show(weft_open(path_of("file"), O_RDWR | O_CREAT | O_EXCL, 0600));
    show(weft_open(path_of("file"), O_RDONLY | O_DIRECTORY, 0));
    show(weft_open(path_of("file/below"), O_RDONLY, 0));
    show(weft_open(path_of("."), O_WRONLY, 0));
    show(weft_open("", O_RDONLY, 0));
    show(weft_open(NOWHERE, O_RDONLY, 0));
    static char name[PATH_MAX + 10];
    memset(name, 'x', sizeof name - 1);
    show(weft_open(name, O_RDONLY, 0));

    show(weft_read(fd, buffer, sizeof buffer));
    show(weft_write(fd, "0123456789", 10));
    show(weft_write(fd, "", 0));
    show(weft_write(fd, NULL, 0));
    show(weft_pwrite(fd, "abc", 3, 20));
    show(weft_pwrite(fd, "abc", 3, -1));
    show(weft_pwrite(fd, "abc", 3, INT64_MAX));
    show(weft_pread(fd, buffer, 4, 8));
    show(memcmp(buffer, "89\0\0", 4));
    show(weft_pread(fd, buffer, sizeof buffer, 20));
    show_text(buffer, 3);
    show(weft_pread(fd, buffer, sizeof buffer, 23));
    show(weft_pread(fd, buffer, sizeof buffer, 1 << 30));
    show(weft_pread(fd, buffer, sizeof buffer, -1));
    show(weft_pread(fd, buffer, sizeof buffer, INT64_MIN));
    show(weft_pread(fd, buffer, 0, 0));
    show(weft_pread(fd, NULL, 0, 0));
    show(weft_pread(fd, NOWHERE, 8, 0));
    show(weft_pwrite(fd, NOWHERE, 8, 0));
    show(weft_read(fd, buffer, 5)); /* the position is where the first write left it */
    show(lseek(fd, 0, SEEK_SET));
    show(weft_read(fd, buffer, 5));
    show_text(buffer, 5);
    show(weft_read(fd, buffer, 3));
    show_text(buffer, 3);
    show(lseek(fd, 0, SEEK_CUR));
    show(weft_write(fd, "X", 1));
    show(weft_pread(fd, buffer, 3, 7));
    show_text(buffer, 3);
    show(weft_fsync(fd));
    show(weft_statx(AT_FDCWD, path_of("file"), 0, STATX_SIZE, &about));
    show(about.stx_size);
    show(weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_MODE, &about));
    show(about.stx_mode & 07777);
    show(weft_statx(fd, "", 0, STATX_SIZE, &about));
    show(weft_statx(AT_FDCWD, path_of("none"), 0, STATX_SIZE, &about));
    show(weft_statx(AT_FDCWD, path_of("file"), 0, STATX_SIZE, NOWHERE));
    show(weft_statx(AT_FDCWD, path_of("file"), 0x40000000, STATX_SIZE, &about));

    int reading = show_some(weft_open(path_of("file"), O_RDONLY, 0));
    int writing = show_some(weft_open(path_of("file"), O_WRONLY | O_APPEND, 0));
    show(weft_write(reading, "x", 1));
    show(weft_pwrite(reading, "x", 1, 0));
    show(weft_read(writing, buffer, 1));
    show(weft_pread(writing, buffer, 1, 0));
    show(weft_write(writing, "end", 3));
    show(weft_pread(fd, buffer, sizeof buffer, 23));
    int here = show_some(weft_open(path_of("."), O_RDONLY | O_DIRECTORY, 0));
    show(weft_read(here, buffer, 1));
    show(weft_fsync(here));
    show(weft_fsync(-1));
    int null = show_some(weft_open("/dev/null", O_RDWR, 0));
    show(weft_read(null, buffer, 1));
    show(weft_write(null, buffer, sizeof buffer));
    int zero = show_some(weft_open("/dev/zero", O_RDONLY, 0));
    show(weft_read(zero, buffer, sizeof buffer));
    show(weft_close(zero));
    show(weft_close(null));
    show(weft_close(here));
    show(weft_close(writing));
    show(weft_close(reading));
    show(weft_close(fd));
    show(weft_close(fd));
    show(weft_close(-1));

    /* descriptors that are none */
    show(weft_read(fd, buffer, 1));
    show(weft_write(fd, buffer, 1));
    show(weft_pread(fd, buffer, 1, 0));
    show(weft_pwrite(fd, buffer, 1, 0));
    show(weft_read(-1, buffer, 1));
    show(weft_read(INT_MAX, buffer, 1));
    show(weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &about));
}

/* Names and sizes: nothing of these waits for anybody. */
static void script_names(void)
{
    char name[PATH_MAX];
    char buffer[64] = "";
    struct statx about;
    (void)snprintf(name, sizeof name, "%s", path_of("names"));
    show(weft_mkdir(name, 0700));
    show(weft_mkdir(name, 0700));
    int dir = show_some(weft_open(name, O_RDONLY | O_DIRECTORY, 0));
    int fd = show_some(weft_openat(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0600));
    show(weft_openat(dir, "none", O_RDONLY, 0));
    show(weft_openat(-1, "none", O_RDONLY, 0));
    struct open_how beneath = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    show(weft_openat2(dir, "../file", &beneath));
    close(show_some(weft_openat2(dir, "a", &beneath)));
    show(weft_pwrite_all(fd, "0123456789", 10, 0));
    show(weft_pread_all(fd, buffer, 20, 4));
    show(weft_ftruncate(fd, 5));
    show(weft_ftruncate(fd, -1));
    show(weft_ftruncate(dir, 5));
    show(weft_fstat(fd, &about));
    show(about.stx_size);
    show(weft_fallocate(fd, 0, 0, 4096));
    show(weft_fallocate(fd, 0, -1, 4096));
    show(weft_fdatasync(fd));
    show(weft_renameat(dir, "a", dir, "b", 0));
    show(weft_renameat(dir, "a", dir, "b", 0));
    show(weft_linkat(dir, "b", dir, "c", 0));
    show(weft_linkat(dir, "b", dir, "c", 0));
    show(weft_symlinkat("b", dir, "d"));
    show(weft_readlinkat(dir, "d", buffer, sizeof buffer));
    show(weft_readlinkat(dir, "b", buffer, sizeof buffer));
    show(weft_file_write(dir, "e", "whole", 5, 0600));
    show(weft_file_read(dir, "e", buffer, sizeof buffer));
    show_text(buffer, 5);
    show(weft_file_read(dir, "none", buffer, sizeof buffer));
    int copy = show_some(weft_openat(dir, "f", O_RDWR | O_CREAT, 0600));
    show(weft_copy_range(fd, 0, copy, 0, 5));
    show(weft_pread(copy, buffer, sizeof buffer, 0));
    close(copy);
    weft_dir *listing;
    weft_dir_entry entry;
    show(weft_dir_open(&listing, dir, "none"));
    show(weft_dir_open(&listing, dir, "b"));
    show(weft_dir_open(&listing, dir, "."));
    int entries = 0;
    while (weft_dir_next(listing, &entry) > 0) {
        entries++;
    }
    show(entries);
    weft_dir_close(listing);
    show(weft_rmdir(name));
    WEFT_SCOPE(scope);
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_unlinkat(dir, "b", 0));
    show(weft_ftruncate(fd, 1));
    (void)weft_scope_end(&scope);
    const char *names[] = {"b", "c", "d", "e", "f"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        show(weft_unlinkat(dir, names[i], 0));
    }
    show(weft_unlinkat(dir, "b", 0));
    show(weft_rmdir(name));
    show(weft_rmdir(name));
    close(fd);
    close(dir);
}

/* --- pipes and the like ----------------------------------------------------------------------- */

static void script_pipes(void)
{
    int ends[2];
    char buffer[64] = "";
    weft_task task;
    make_pipe(ends);
    start(&task, do_read, .fd = ends[0], .buffer = buffer, .bytes = 64);
    let_it_wait();
    show(weft_write(ends[1], "hello", 5));
    show(weft_await(&task));
    show_text(buffer, 5);
    show(weft_write(ends[1], "hello", 5));
    show(weft_read(ends[0], buffer, 2));
    show(weft_read(ends[0], buffer, 64));
    show(weft_pread(ends[0], buffer, 1, 0));
    show(weft_pwrite(ends[1], "at", 2, 7));
    show(weft_read(ends[0], buffer, 64));
    show(weft_fsync(ends[1]));
    show(weft_read(ends[1], buffer, 1));
    show(weft_write(ends[0], buffer, 1));
    show(weft_read(ends[0], buffer, 0));

    /* more than it holds */
    static char large[200000];
    show(weft_write(ends[1], large, sizeof large) == 65536);
    show(weft_within(0, weft_write(ends[1], large, sizeof large)));
    show(weft_within(SOON, weft_write(ends[1], large, 1)));
    start(&task, do_write, .fd = ends[1], .buffer = large, .bytes = 4096);
    let_it_wait();
    show(weft_read(ends[0], large, 65536));
    show(weft_await(&task));
    show(weft_read(ends[0], large, sizeof large));

    /* the ends */
    start(&task, do_read, .fd = ends[0], .buffer = buffer, .bytes = 64);
    let_it_wait();
    close(ends[1]);
    show(weft_await(&task));
    show(weft_read(ends[0], buffer, 64));
    close(ends[0]);
    make_pipe(ends);
    fill(ends[1]); /* not a socket: does nothing */
    close(ends[0]);
    show(weft_write(ends[1], "x", 1));
    close(ends[1]);
    make_pipe(ends);
    (void)weft_write(ends[1], large, sizeof large);
    start(&task, do_write, .fd = ends[1], .buffer = large, .bytes = 1);
    let_it_wait();
    close(ends[0]);
    show(weft_await(&task));
    close(ends[1]);

    /* O_NONBLOCK makes no difference */
    wt_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    start(&task, do_read, .fd = ends[0], .buffer = buffer, .bytes = 64);
    let_it_wait();
    show(weft_write(ends[1], "later", 5));
    show(weft_await(&task));
    show(weft_within(SOON, weft_read(ends[0], buffer, 1)));
    close_both(ends);

    int counter = eventfd(0, EFD_CLOEXEC);
    start(&task, do_read, .fd = counter, .buffer = buffer, .bytes = 8);
    let_it_wait();
    show(weft_write(counter, &(uint64_t){7}, 8));
    show(weft_await(&task));
    show(buffer[0]);
    show(weft_write(counter, "short", 5));
    show(weft_read(counter, buffer, 5));
    show(weft_within(0, weft_read(counter, buffer, 8)));
    close(counter);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static void script_streams(void)
{
    int ends[2];
    char buffer[64] = "";
    weft_task task;
    make_pair(ends, SOCK_STREAM);
    show(weft_send(ends[0], "hello", 5, 0));
    show(weft_recv(ends[1], buffer, 64, MSG_PEEK));
    show(weft_recv(ends[1], buffer, 2, 0));
    show(weft_recv(ends[1], buffer, 64, 0));
    show_text(buffer, 3);
    show(weft_recv(ends[1], buffer, 64, MSG_DONTWAIT));
    show(weft_recv(ends[1], buffer, 0, MSG_DONTWAIT));
    show(weft_send(ends[0], buffer, 0, 0));
    show(weft_send(ends[0], NOWHERE, 1, 0));
    show(weft_send(ends[0], "x", 1, 0));
    show(weft_recv(ends[1], NOWHERE, 1, 0));
    show(weft_recv(ends[1], buffer, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
    show(weft_send_all(ends[0], "", 0, 0));

    /* all of it, in pieces */
    start(&task, do_recv, .fd = ends[1], .buffer = buffer, .bytes = 10, .flags = MSG_WAITALL);
    for (int i = 0; i < 5; i++) {
        let_it_wait();
        wt_eq(weft_send(ends[0], "ab", 2, 0), 2);
    }
    show(weft_await(&task));
    show_text(buffer, 10);
    (void)recv(ends[1], buffer, 64, MSG_DONTWAIT);
    start(&task, do_recv, .fd = ends[1], .buffer = buffer, .bytes = 10, .flags = MSG_WAITALL);
    show(weft_send(ends[0], "abc", 3, 0));
    let_it_wait();
    show(weft_shutdown(ends[0], SHUT_WR));
    show(weft_await(&task));
    show(weft_recv(ends[1], buffer, 64, 0));
    show(weft_recv(ends[1], buffer, 64, MSG_WAITALL));
    show(weft_send(ends[0], "x", 1, 0));
    show(weft_write(ends[0], "x", 1));
    show(weft_send(ends[1], "back", 4, 0)); /* the other half is open */
    show(weft_read(ends[0], buffer, 64));
    show(weft_shutdown(ends[1], 7));
    close_both(ends);

    /* the peer goes */
    make_pair(ends, SOCK_STREAM);
    start(&task, do_recv, .fd = ends[1], .buffer = buffer, .bytes = 64);
    let_it_wait();
    close(ends[0]);
    show(weft_await(&task));
    show(weft_send(ends[1], "x", 1, 0));
    close(ends[1]);
    make_pair(ends, SOCK_STREAM);
    fill(ends[1]);
    show(weft_send(ends[1], "x", 1, MSG_DONTWAIT));
    start(&task, do_send, .fd = ends[1], .buffer = buffer, .bytes = 64);
    let_it_wait();
    close(ends[0]);
    show(weft_await(&task) < 0);
    close(ends[1]);

    /* our own shutdown ends what waits */
    make_pair(ends, SOCK_STREAM);
    start(&task, do_recv, .fd = ends[1], .buffer = buffer, .bytes = 64);
    let_it_wait();
    show(weft_shutdown(ends[1], SHUT_RD));
    show(weft_await(&task));
    fill(ends[1]);
    start(&task, do_send, .fd = ends[1], .buffer = buffer, .bytes = 64);
    let_it_wait();
    show(weft_shutdown(ends[1], SHUT_RDWR));
    show(weft_await(&task));
    close_both(ends);

    /* TCP: urgent data, and a reset */
    make_connection(ends);
    show(weft_send(ends[1], "u", 1, MSG_OOB));
    show(weft_wait_fd(ends[0], POLLPRI) & POLLPRI);
    show(weft_recv(ends[0], buffer, 1, MSG_OOB));
    show_text(buffer, 1);
    show(weft_send(ends[0], "unread", 6, 0));
    show(weft_wait_fd(ends[1], POLLIN) & POLLIN);
    close(ends[1]); /* with data that nobody has read: a reset */
    show(weft_recv(ends[0], buffer, 64, 0));
    show(weft_recv(ends[0], buffer, 64, 0));
    show(weft_send(ends[0], "x", 1, 0));
    close(ends[0]);

    /* what is no socket */
    make_pipe(ends);
    show(weft_recv(ends[0], buffer, 1, 0));
    show(weft_send(ends[1], buffer, 1, 0));
    show(weft_shutdown(ends[1], SHUT_WR));
    show(weft_accept(ends[0], NULL, NULL, 0));
    struct sockaddr_in address = {.sin_family = AF_INET};
    show(weft_connect(ends[0], (struct sockaddr *)&address, sizeof address));
    close_both(ends);
    show(weft_recv(ends[0], buffer, 1, 0));
    show(weft_send(ends[0], buffer, 1, 0));
    show(weft_accept(ends[0], NULL, NULL, 0));
    show(weft_connect(ends[0], (struct sockaddr *)&address, sizeof address));
    show(weft_shutdown(ends[0], SHUT_WR));
    show(weft_recv(-1, buffer, 1, 0));
    show(weft_send(-1, buffer, 1, 0));
    show(weft_accept(-1, NULL, NULL, 0));
    show(weft_connect(-1, (struct sockaddr *)&address, sizeof address));
}

static void script_messages(void)
{
    int ends[2];
    char buffer[64] = "";
    weft_task task;
    make_pair(ends, SOCK_DGRAM);
    show(weft_send(ends[0], "one", 3, 0));
    show(weft_send(ends[0], "", 0, 0));
    show(weft_send(ends[0], "three", 5, 0));
    show(weft_recv(ends[1], buffer, 64, MSG_WAITALL)); /* no streams: one message */
    show(weft_recv(ends[1], buffer, 64, 0));
    show(weft_recv(ends[1], buffer, 2, MSG_TRUNC));
    show(weft_within(0, weft_recv(ends[1], buffer, 64, 0)));
    static char large[1 << 20];
    show(weft_send(ends[0], large, sizeof large, 0));
    show(weft_shutdown(ends[0], SHUT_RDWR));
    show(weft_recv(ends[0], buffer, 64, 0));
    close_both(ends);

    make_pair(ends, SOCK_SEQPACKET);
    show(weft_send(ends[0], "one", 3, 0));
    show(weft_send(ends[0], "two", 3, 0));
    show(weft_recv(ends[1], buffer, 64, 0));
    show(weft_recv(ends[1], buffer, 64, 0));
    start(&task, do_recv, .fd = ends[1], .buffer = buffer, .bytes = 64);
    let_it_wait();
    close(ends[0]);
    show(weft_await(&task));
    close(ends[1]);

    int fds[2];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    fds[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fds[1] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(fds[0], (struct sockaddr *)&address, bytes), 0);
    wt_eq(getsockname(fds[0], (struct sockaddr *)&address, &bytes), 0);
    show(weft_send(fds[1], "x", 1, 0));
    show(weft_connect(fds[1], (struct sockaddr *)&address, sizeof address));
    show(weft_send(fds[1], "udp", 3, 0));
    show(weft_recv(fds[0], buffer, 64, 0));
    show_text(buffer, 3);
    show(weft_send(fds[1], large, 70000, 0));
    start(&task, do_recv, .fd = fds[1], .buffer = buffer, .bytes = 64);
    let_it_wait();
    close(fds[0]);
    show(weft_send(fds[1], "x", 1, 0)); /* nobody there: the answer ends who waits */
    show(weft_await(&task));
    close(fds[1]);
}

static int do_readv(void *arg)
{
    const struct call *c = arg;
    struct iovec parts[2] = {{c->buffer, 2}, {c->buffer + 2, c->bytes - 2}};
    return (int)weft_readv(c->fd, parts, 2);
}

static int do_recvmsg(void *arg)
{
    const struct call *c = arg;
    struct iovec part = {c->buffer, c->bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return (int)weft_recvmsg(c->fd, &message, c->flags);
}

static void script_vectors(void)
{
    int ends[2];
    char buffer[64] = "";
    weft_task task;
    static struct iovec many[IOV_MAX + 1];
    struct iovec out[3] = {{"one", 3}, {NULL, 0}, {"three", 5}};
    struct iovec in[2] = {{buffer, 4}, {buffer + 10, 20}};
    make_pipe(ends);
    show(weft_writev(ends[1], out, 3));
    show(weft_readv(ends[0], in, 2));
    show_text(buffer, 4);
    show_text(buffer + 10, 4);
    show(weft_writev(ends[1], out, 0));
    show(weft_writev(ends[1], out, -1));
    show(weft_writev(ends[1], many, IOV_MAX));
    show(weft_writev(ends[1], many, IOV_MAX + 1));
    show(weft_readv(ends[0], many, IOV_MAX + 1));
    show(weft_writev(ends[1], NOWHERE, 1));
    show(weft_preadv(ends[0], in, 2, 0));
    show(weft_preadv(ends[0], in, 2, -1));
    struct call reading = {.fd = ends[0], .buffer = buffer, .bytes = 8};
    show(cancelled(do_readv, reading));
    show(late(do_readv, reading));
    show(refused(do_readv, reading));
    start(&task, do_readv, .fd = ends[0], .buffer = buffer, .bytes = 8);
    let_it_wait();
    show(weft_write(ends[1], "abc", 3));
    show(weft_await(&task));
    close(ends[1]);
    show(weft_readv(ends[0], in, 2));
    close(ends[0]);
    int fd = show_some(weft_open(path_of("file"), O_RDWR | O_TRUNC, 0));
    show(weft_pwritev(fd, out, 3, 5));
    show(weft_preadv(fd, in, 2, 4));
    show(weft_pwritev(fd, out, 3, -1));
    show(weft_preadv(fd, in, 2, 100));
    show(weft_writev(fd, out, 3));
    show(lseek(fd, 0, SEEK_CUR));
    close(fd);

    /* messages: an address, a descriptor, more than there is room for */
    make_pair(ends, SOCK_DGRAM);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    struct msghdr message = {
        .msg_iov = out, .msg_iovlen = 3, .msg_control = &control, .msg_controllen = sizeof control};
    show(weft_sendmsg(ends[0], &message, 0));
    memset(&control, 0, sizeof control);
    message = (struct msghdr){
        .msg_iov = in, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    show(weft_recvmsg(ends[1], &message, 0));
    show(message.msg_flags & MSG_TRUNC);
    show(control.header.cmsg_type == SCM_RIGHTS);
    int passed;
    memcpy(&passed, CMSG_DATA(&control.header), sizeof passed);
    show(fcntl(passed, F_GETFD) == FD_CLOEXEC);
    close(passed);
    message = (struct msghdr){.msg_iov = NOWHERE, .msg_iovlen = 1};
    show(weft_sendmsg(ends[0], &message, 0));
    message = (struct msghdr){.msg_iov = out, .msg_iovlen = 3};
    show(weft_sendmsg(-1, &message, 0));
    struct call receiving = {.fd = ends[1], .buffer = buffer, .bytes = 8};
    show(cancelled(do_recvmsg, receiving));
    show(late(do_recvmsg, receiving));
    show(refused(do_recvmsg, receiving));
    start(&task, do_recvmsg, .fd = ends[1], .buffer = buffer, .bytes = 8);
    let_it_wait();
    show(weft_send(ends[0], "abc", 3, 0));
    show(weft_await(&task));
    receiving.flags = MSG_DONTWAIT;
    show(do_recvmsg(&receiving));
    close_both(ends);
}

static int do_listener(void *arg)
{
    int fd = weft_listener_accept(arg, NULL);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 ? fd : 0;
}

static void script_listeners(void)
{
    weft_listener *listener;
    weft_addr address;
    weft_addr peer;
    weft_task task;
    show(weft_listen(&listener, "no address"));
    show(weft_listen(&listener, "127.0.0.1:0"));
    weft_listener_addr(listener, &address);
    show(weft_within(0, weft_listener_accept(listener, &peer)));
    show(weft_within(SOON, weft_listener_accept(listener, &peer)));
    for (int i = 0; i < 3; i++) {
        int client = show_some(weft_connect_addr(&address, NULL));
        int server = show_some(weft_listener_accept(listener, &peer));
        weft_addr local;
        show(weft_addr_local(client, &local));
        show(weft_addr_port(&local) == weft_addr_port(&peer));
        show(fcntl(server, F_GETFD) == FD_CLOEXEC);
        show(weft_send(client, "x", 1, 0));
        char byte;
        show(weft_recv(server, &byte, 1, 0));
        close(client);
        show(weft_recv(server, &byte, 1, 0));
        close(server);
    }
    wt_eq(weft_spawn(&task, do_listener, listener), 0);
    let_it_wait();
    int client = show_some(weft_connect_addr(&address, NULL));
    show(weft_await(&task));
    close(client);
    WEFT_SCOPE(scope);
    wt_eq(weft_spawn(&task, do_listener, listener), 0);
    let_it_wait();
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_await(&task));
    show(weft_listener_accept(listener, NULL));
    (void)weft_scope_end(&scope);
    show(weft_listener_close(listener));
    show(weft_listener_accept(listener, NULL));
    weft_listener_free(listener);
}

/* A socket that is ready for ever, because of errors that nobody reads. */
static void script_errors(void)
{
    int fds[2];
    char buffer[64] = "";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    fds[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fds[1] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(fds[0], (struct sockaddr *)&address, bytes), 0);
    wt_eq(getsockname(fds[0], (struct sockaddr *)&address, &bytes), 0);
    wt_eq(setsockopt(fds[1], IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int)), 0);
    close(fds[0]);
    show(weft_connect(fds[1], (struct sockaddr *)&address, sizeof address));
    show(weft_send(fds[1], "x", 1, 0));
    show(weft_wait_fd(fds[1], POLLIN) & POLLERR);
    struct call receiving = {.fd = fds[1], .buffer = buffer, .bytes = 64};
    show(do_recv(&receiving));
    show(cancelled(do_recv, receiving));
    show(late(do_recv, receiving));
    show(weft_within(SOON, do_recv(&receiving)));
    show(weft_recv(fds[1], buffer, 64, MSG_ERRQUEUE));
    show(weft_within(SOON, do_recv(&receiving)));
    close(fds[1]);
}

static void script_connections(void)
{
    struct sockaddr_in address;
    struct sockaddr_in other;
    struct sockaddr_in peer;
    socklen_t bytes = sizeof peer;
    weft_task task;
    int listener = make_listener(&address);
    int client = make_socket();
    start(&task, do_accept, .fd = listener);
    let_it_wait();
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    show(weft_await(&task));
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    close(client);

    client = make_socket();
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    int server = show_some(weft_accept(listener, (struct sockaddr *)&peer, &bytes, SOCK_NONBLOCK));
    show(bytes == sizeof peer && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    show(fcntl(server, F_GETFD) == FD_CLOEXEC);
    show((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    show(weft_accept(server, NULL, NULL, 0));
    show(weft_accept(client, NULL, NULL, 0));
    close(server);
    close(client);

    client = make_socket();
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    bytes = 4; /* room for a part of the address */
    server = show_some(weft_accept(listener, (struct sockaddr *)&peer, &bytes, 0));
    show(bytes);
    show((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    close(server);
    close(client);

    /* gone before it was accepted */
    client = make_socket();
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    setsockopt(client, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(client);
    server = show_some(weft_accept(listener, NULL, NULL, 0));
    show(weft_recv(server, &other, 1, 0));
    show(weft_send(server, "x", 1, 0));
    close(server);

    client = make_socket();
    show(weft_connect(client, (struct sockaddr *)&address, 3));
    show(weft_connect(client, NOWHERE, sizeof address));
    other = address;
    other.sin_family = AF_UNIX + 40;
    show(weft_connect(client, (struct sockaddr *)&other, sizeof other));
    show(weft_send(client, "x", 1, 0));
    show(weft_recv(client, &other, 1, 0));
    show(weft_shutdown(client, SHUT_WR));
    show(weft_accept(listener, NULL, NULL, 0x40000000));
    show(weft_within(0, weft_accept(listener, NULL, NULL, 0)));
    show(weft_within(SOON, weft_accept(listener, NULL, NULL, 0)));
    close(client);
    close(listener);

    /* A port that is taken, so that it is nobody else's, and not our own: nobody listens there. */
    int taken = make_socket();
    socklen_t taken_bytes = sizeof address;
    address.sin_port = 0;
    wt_eq(bind(taken, (struct sockaddr *)&address, sizeof address), 0);
    wt_eq(getsockname(taken, (struct sockaddr *)&address, &taken_bytes), 0);
    client = make_socket();
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    show(weft_connect(client, (struct sockaddr *)&address, sizeof address));
    close(client);
    close(taken);

    struct sockaddr_un local = {.sun_family = AF_UNIX};
    (void)snprintf(local.sun_path, sizeof local.sun_path, "%s/socket", folder);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    show(weft_connect(client, (struct sockaddr *)&local, sizeof local));
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wt_eq(bind(listener, (struct sockaddr *)&local, sizeof local), 0);
    show(weft_connect(client, (struct sockaddr *)&local, sizeof local)); /* it does not listen */
    wt_eq(listen(listener, 4), 0);
    show(weft_connect(client, (struct sockaddr *)&local, sizeof local));
    server = show_some(weft_accept(listener, NULL, NULL, 0));
    show(weft_send(client, "local", 5, 0));
    char buffer[8];
    show(weft_recv(server, buffer, 8, 0));
    close(server);
    close(client);
    close(listener);
}

static void script_readiness(void)
{
    int ends[2];
    weft_task task;
    make_pair(ends, SOCK_STREAM);
    show(weft_wait_fd(ends[0], POLLOUT));
    show(weft_wait_fd(ends[0], POLLIN | POLLOUT));
    show(weft_within(0, weft_wait_fd(ends[0], POLLIN)));
    show(weft_within(SOON, weft_wait_fd(ends[0], POLLIN)));
    start(&task, do_wait_fd, .fd = ends[0], .flags = POLLIN | POLLRDHUP);
    let_it_wait();
    show(weft_send(ends[1], "x", 1, 0));
    show(weft_await(&task));
    show(weft_wait_fd(ends[0], POLLIN));
    show(weft_shutdown(ends[1], SHUT_WR));
    show(weft_wait_fd(ends[0], POLLRDHUP));
    close(ends[1]);
    show(weft_wait_fd(ends[0], POLLIN | POLLOUT | POLLRDHUP));
    show(weft_wait_fd(ends[0], POLLPRI)); /* POLLHUP, unasked */
    close(ends[0]);
    show(weft_wait_fd(ends[0], POLLIN));
    show(weft_wait_fd(-1, POLLIN));
    make_pipe(ends);
    close(ends[0]);
    show(weft_wait_fd(ends[1], POLLOUT)); /* POLLERR, unasked */
    close(ends[1]);
    int counter = eventfd(0, EFD_CLOEXEC);
    start(&task, do_wait_fd, .fd = counter, .flags = POLLIN);
    let_it_wait();
    show(weft_write(counter, &(uint64_t){1}, 8));
    show(weft_await(&task));
    close(counter);
}

/* --- cancellation ----------------------------------------------------------------------------- */

static void script_cancellation(void)
{
    int ends[2];
    int pipes[2];
    char buffer[64] = "";
    struct sockaddr_in address;
    int listener = make_listener(&address);
    make_pair(ends, SOCK_STREAM);
    make_pipe(pipes);
    struct call receiving = {.fd = ends[0], .buffer = buffer, .bytes = 8};
    struct call all = {.fd = ends[0], .buffer = buffer, .bytes = 8, .flags = MSG_WAITALL};
    struct call reading = {.fd = pipes[0], .buffer = buffer, .bytes = 8};
    struct call accepting = {.fd = listener};
    struct call waiting = {.fd = ends[0], .flags = POLLIN};
    struct call sending = {.fd = ends[1], .buffer = buffer, .bytes = 8};
    struct call writing = {.fd = pipes[1], .buffer = buffer, .bytes = 8};

    show(cancelled(do_recv, receiving));
    show(cancelled(do_recv, all));
    show(cancelled(do_read, reading));
    show(cancelled(do_accept, accepting));
    show(cancelled(do_wait_fd, waiting));
    show(late(do_recv, receiving));
    show(late(do_read, reading));
    show(late(do_accept, accepting));
    show(late(do_wait_fd, waiting));
    show(weft_within(-5, weft_recv(ends[0], buffer, 8, 0)));
    show(weft_within(INT64_MIN, weft_recv(ends[0], buffer, 8, 0)));

    /* refused before anything is tried; tried once when out of time */
    show(weft_send(ends[1], "abc", 3, 0));
    show(weft_write(pipes[1], "abc", 3));
    show(refused(do_recv, receiving));
    show(refused(do_read, reading));
    show(refused(do_wait_fd, waiting));
    show(refused(do_send, sending));
    show(refused(do_write, writing));
    show(refused(do_accept, accepting));
    show(late(do_recv, receiving));
    show(late(do_read, reading));
    show(late(do_send, sending));
    show(recv(ends[0], buffer, 64, MSG_DONTWAIT));
    show(late(do_write, writing));
    show(read(pipes[0], buffer, 64));
    show(weft_send(ends[1], "abc", 3, 0));
    show(weft_within(WEFT_FOREVER, weft_recv(ends[0], buffer, 8, 0)));
    show(weft_send(ends[1], "abc", 3, 0));
    show(weft_within(INT64_MAX - 1, weft_recv(ends[0], buffer, 8, 0)));

    /* what had come is given; what comes later is still there */
    show(weft_send(ends[1], "part", 4, 0));
    show(cancelled_amid(all));
    show_text(buffer, 4);
    show(weft_send(ends[1], "part", 4, 0));
    show(weft_within(SOON, weft_recv(ends[0], buffer, 8, MSG_WAITALL)));
    show(cancelled(do_recv, receiving));
    show(weft_send(ends[1], "later", 5, 0));
    show(weft_recv(ends[0], buffer, 8, 0));
    show_text(buffer, 5);

    /* what waits for room */
    fill(ends[1]);
    show(cancelled(do_send, sending));
    show(late(do_send, sending));
    static char large[65536];
    (void)weft_write(pipes[1], large, sizeof large);
    show(cancelled(do_write, writing));
    show(late(do_write, writing));

    /* files: tried or not, but never half known */
    show(refused(do_read, (struct call){.fd = -1}));
    WEFT_SCOPE(scope);
    show(weft_scope_cancel(&scope, "script"));
    show(weft_open(path_of("file"), O_RDONLY, 0));
    show(weft_fsync(pipes[0]));
    struct statx about;
    show(weft_statx(AT_FDCWD, path_of("file"), 0, STATX_SIZE, &about));
    show(weft_pread(-1, buffer, 1, 0));
    show(weft_shutdown(ends[0], SHUT_RDWR)); /* works all the same, and so does close */
    show(weft_close(ends[0]));
    show(weft_scope_end(&scope));
    close(ends[1]);
    close_both(pipes);
    close(listener);
}

/* --- several at once -------------------------------------------------------------------------- */

struct reader {
    int fd;
    long bytes;
};

static int read_to_end(void *arg)
{
    struct reader *r = arg;
    char buffer[100];
    ssize_t n;
    while ((n = weft_recv(r->fd, buffer, sizeof buffer, 0)) > 0) {
        r->bytes += n;
    }
    return (int)n;
}

static void script_sharing(void)
{
    int ends[2];
    char buffer[1000] = "";
    make_pair(ends, SOCK_STREAM);
    struct reader readers[2] = {{.fd = ends[0]}, {.fd = ends[0]}};
    weft_task tasks[3];
    weft_spawn(&tasks[0], read_to_end, &readers[0]);
    weft_spawn(&tasks[1], read_to_end, &readers[1]);
    struct reader back = {.fd = ends[1]};
    weft_spawn(&tasks[2], read_to_end, &back);
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_send_all(ends[1], buffer, sizeof buffer, 0), (ssize_t)sizeof buffer);
        weft_yield();
    }
    show(weft_send(ends[0], "back", 4, 0));
    show(weft_shutdown(ends[1], SHUT_WR));
    show(weft_await(&tasks[0]));
    show(weft_await(&tasks[1]));
    show(readers[0].bytes + readers[1].bytes);
    show(weft_shutdown(ends[0], SHUT_RDWR));
    show(weft_await(&tasks[2]));
    show(back.bytes);
    close_both(ends);
}

/* --- closing under a call --------------------------------------------------------------------- */

/* What the call gives when weft_close comes while it waits. */
static int closed(weft_fn *call, struct call c)
{
    weft_task task;
    weft_spawn(&task, call, &c);
    let_it_wait();
    wt_eq(weft_close(c.fd), 0);
    return weft_await(&task);
}

static void script_closing(void)
{
    int ends[2];
    int next[2];
    char buffer[64] = "";
    struct sockaddr_in address;
    make_pair(ends, SOCK_STREAM);
    show(closed(do_recv, (struct call){.fd = ends[0], .buffer = buffer, .bytes = 8}));
    show(weft_send(ends[1], "x", 1, 0));
    close(ends[1]);
    make_pair(ends, SOCK_STREAM);
    fill(ends[0]);
    show(closed(do_send, (struct call){.fd = ends[0], .buffer = buffer, .bytes = 8}));
    close(ends[1]);
    make_pair(ends, SOCK_STREAM);
    show(closed(do_wait_fd, (struct call){.fd = ends[0], .flags = POLLIN}));
    close(ends[1]);
    make_pipe(ends);
    show(closed(do_read, (struct call){.fd = ends[0], .buffer = buffer, .bytes = 8}));
    show(weft_write(ends[1], "x", 1));
    close(ends[1]);
    make_pair(ends, SOCK_DGRAM);
    show(closed(do_recvmsg, (struct call){.fd = ends[0], .buffer = buffer, .bytes = 8}));
    close(ends[1]);
    show(closed(do_accept, (struct call){.fd = make_listener(&address)}));
    make_pair(ends, SOCK_STREAM);
    show(closed(do_recv_loan, (struct call){.fd = ends[0]}));
    close(ends[1]);

    /* its own, of which the kernel has not heard; the next file of that number is not touched */
    make_pair(ends, SOCK_STREAM);
    weft_val receiving = weft_recv_v(ends[0], buffer, 64, 0);
    show(weft_close(ends[0]));
    make_pair(next, SOCK_STREAM);
    show(next[0] == ends[0]);
    show(weft_send(next[1], "next", 4, 0));
    show(weft_val_await(receiving));
    show(weft_recv(next[0], buffer, 64, 0));
    close(ends[1]);
    WEFT_SCOPE(scope);
    receiving = weft_recv_v(next[0], buffer, 64, 0);
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_close(next[0]));
    show(weft_val_await(receiving) < 0);
    (void)weft_scope_end(&scope);
    close(next[1]);
}

/* --- buffers that are lent -------------------------------------------------------------------- */

static void show_loan(const weft_loan *loan)
{
    say("    %s, %zu of %zu\n", loan->data != NULL ? "some" : "none", loan->bytes, loan->capacity);
    show_text((const char *)loan->data, (long)loan->bytes);
}

static long loans_now(void)
{
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    return (long)stats.loans;
}

static void script_loans(void)
{
    int ends[2];
    static char large[65536];
    weft_loan loan;
    make_pair(ends, SOCK_STREAM);
    show(weft_recv_loan(ends[0], &loan, MSG_DONTWAIT));
    show_loan(&loan);
    show(weft_within(SOON, weft_recv_loan(ends[0], &loan, 0)));
    show(weft_within(0, weft_recv_loan(ends[0], &loan, 0)));
    show(weft_send(ends[1], "lent", 4, 0));
    show(weft_recv_loan(ends[0], &loan, MSG_PEEK));
    show_loan(&loan);
    weft_loan_give(&loan);
    show_loan(&loan);
    show(weft_within(0, weft_recv_loan(ends[0], &loan, 0)));
    show_loan(&loan);
    show(loans_now());
    show(weft_send(ends[0], loan.data, loan.bytes, 0));
    weft_loan_give(&loan);
    show(loans_now());
    show(weft_send_all(ends[1], large, 5000, 0));
    show(weft_recv_loan(ends[0], &loan, 0));
    weft_loan_give(&loan);
    show(weft_recv_loan(ends[0], &loan, MSG_DONTWAIT));
    weft_loan_give(&loan);
    show(weft_recv_loan(ends[0], &loan, MSG_WAITALL));
    show(weft_recv_loan(ends[0], &loan, MSG_TRUNC));
    show(weft_recv_loan(-1, &loan, 0));

    /* it waits, is cancelled, and is refused */
    struct call receiving = {.fd = ends[0], .buffer = large, .bytes = 8};
    weft_task task;
    weft_spawn(&task, do_recv_loan, &receiving);
    let_it_wait();
    show(weft_send(ends[1], "come", 4, 0));
    show(weft_await(&task));
    show_text(large, 4);
    show(cancelled(do_recv_loan, receiving));
    show(late(do_recv_loan, receiving));
    show(weft_send(ends[1], "later", 5, 0));
    show(refused(do_recv_loan, receiving));
    show(late(do_recv_loan, receiving));

    /* the end, and what is no socket */
    show(weft_shutdown(ends[1], SHUT_WR));
    show(weft_recv_loan(ends[0], &loan, 0));
    show_loan(&loan);
    close_both(ends);
    int pipes[2];
    make_pipe(pipes);
    show(weft_write(pipes[1], "x", 1));
    show(weft_recv_loan(pipes[0], &loan, 0));
    close_both(pipes);
    int idle = make_socket();
    show(weft_recv_loan(idle, &loan, 0));
    close(idle);
    make_connection(ends);
    struct linger now = {.l_onoff = 1};
    wt_eq(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(ends[1]);
    show(weft_recv_loan(ends[0], &loan, 0));
    close(ends[0]);

    /* datagrams; values */
    make_pair(ends, SOCK_DGRAM);
    show(weft_send(ends[1], "", 0, 0));
    show(weft_send(ends[1], "two", 3, 0));
    show(weft_recv_loan(ends[0], &loan, 0));
    show(weft_recv_loan(ends[0], &loan, 0));
    show_loan(&loan);
    weft_loan_give(&loan);
    weft_val val = weft_recv_loan_v(ends[0], &loan, 0);
    show(weft_send(ends[1], "value", 5, 0));
    show(weft_val_await(val));
    show_loan(&loan);
    weft_loan_give(&loan);
    show(weft_within(SOON, (long)weft_val_await_new(weft_recv_loan_v(ends[0], &loan, 0))));
    show(loans_now());
    close_both(ends);
}

/* --- as values -------------------------------------------------------------------------------- */

static void script_values(void)
{
    int ends[2];
    char buffer[64] = "";
    struct statx about;
    int fd = show_some(weft_val_await_new(weft_open_v(path_of("values"), O_RDWR | O_CREAT, 0600)));
    show(weft_val_await_new(weft_write_v(fd, "0123456789", 10)));
    show(weft_val_await_new(weft_pwrite_v(fd, "abc", 3, 8)));
    show(weft_val_await_new(weft_pread_v(fd, buffer, 64, 5)));
    show_text(buffer, 6);
    show(weft_val_await_new(weft_pread_v(fd, buffer, 64, -1)));
    show(weft_val_await_new(weft_read_v(fd, buffer, 64)));
    show(weft_val_await_new(weft_fsync_v(fd)));
    show(weft_val_await_new(weft_statx_v(fd, "", AT_EMPTY_PATH, STATX_SIZE, &about)));
    show(about.stx_size);
    show(weft_val_await_new(weft_open_v(path_of("none"), O_RDONLY, 0)));
    close(fd);
    make_pair(ends, SOCK_STREAM);
    weft_val receiving = weft_recv_v(ends[0], buffer, 64, 0);
    show(weft_val_await_new(weft_send_v(ends[1], "value", 5, 0)));
    show(weft_val_await(receiving));
    show_text(buffer, 5);
    show(weft_val_await_new(weft_wait_fd_v(ends[0], POLLOUT)));
    show(weft_within(SOON, (long)weft_val_await_new(weft_recv_v(ends[0], buffer, 64, 0))));
    close_both(ends);
    struct sockaddr_in address;
    int listener = make_listener(&address);
    int client = make_socket();
    weft_val accepting = weft_accept_v(listener, NULL, NULL, 0);
    show(weft_val_await_new(weft_connect_v(client, (struct sockaddr *)&address, sizeof address)));
    int server = show_some(weft_val_await(accepting));
    close(server);
    close(client);
    close(listener);
}

#include "tests/unit/io/conformance_services.h"

/* --- all -------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} sections[] = {
    {"files", script_files},
    {"names", script_names},
    {"pipes", script_pipes},
    {"vectors", script_vectors},
    {"listeners", script_listeners},
    {"streams", script_streams},
    {"messages", script_messages},
    {"errors", script_errors},
    {"connections", script_connections},
    {"readiness", script_readiness},
    {"cancellation", script_cancellation},
    {"sharing", script_sharing},
    {"closing", script_closing},
    {"loans", script_loans},
    {"values", script_values},
    {"buffered", script_buffered},
    {"hosts", script_names_of_hosts},
    {"processes", script_processes},
    {"signals", script_signals},
    {"servers", script_servers},
    {"more values", script_more_values},
};

static int lowest_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

/* The root task. Leaves the transcript behind, and nothing else. */
static int run_script(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        say("--- %s\n", sections[i].name);
        int lowest = lowest_descriptor();
        sections[i].run();
        say("descriptors left open: %d\n", lowest_descriptor() - lowest);
    }
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    say("in flight: %lld\n", (long long)(stats.ops_submitted - stats.ops_completed));
    return 0;
}

#endif
