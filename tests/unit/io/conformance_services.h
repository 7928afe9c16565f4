/* conformance_services.h: the part of the script (conformance.h) that is about what stands above
 * the single operations: streams, names, child processes, signals, servers. What holds there holds
 * here.
 *
 * Included by conformance.h alone, after its helpers. */
#ifndef CONFORMANCE_SERVICES_H
#define CONFORMANCE_SERVICES_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <weft/proc.h>
#include <weft/serve.h>
#include <weft/signal.h>
#include <weft/stream.h>

/* --- streams ---------------------------------------------------------------------------------- */

static int do_line(void *arg)
{
    char *line;
    size_t bytes = 0;
    int rc = weft_reader_line(arg, 0, &line, &bytes);
    return rc > 0 ? (int)bytes : rc;
}

/* As a task of a scope that is cancelled while it waits. */
static int cancelled_line(weft_reader *reader)
{
    weft_task task;
    WEFT_SCOPE(scope);
    weft_spawn(&task, do_line, reader);
    let_it_wait();
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    int rc = weft_await(&task);
    (void)weft_scope_end(&scope);
    return rc;
}

static void script_reading(weft_stream stream, int to, void *buffer, size_t bytes)
{
    weft_reader reader;
    const void *piece;
    char *line;
    size_t n = 0;
    char out[64] = "";
    weft_reader_init(&reader, stream, buffer, bytes);
    show(weft_within(0, weft_reader_line(&reader, 0, &line, &n)));
    show(weft_write(to, "first\r\nsec", 10));
    show(weft_reader_line(&reader, 0, &line, &n));
    show_text(line, (long)n);
    show(weft_within(SOON, weft_reader_line(&reader, 0, &line, &n)));
    show(cancelled_line(&reader));
    show(weft_write(to, "ond\nrest;", 9));
    show(weft_reader_line(&reader, 0, &line, &n)); /* nothing of it was lost */
    show_text(line, (long)n);
    show(weft_reader_until(&reader, ';', 2, &piece, &n));
    show(weft_reader_until(&reader, ';', 0, &piece, &n));
    show_text(piece, (long)n);
    show(weft_write(to, "\0\5hello\0\377", 9));
    show(weft_reader_frame(&reader, WEFT_PREFIX_16, 0, &piece, &n));
    show_text(piece, (long)n);
    show(weft_reader_frame(&reader, WEFT_PREFIX_16, 100, &piece, &n));
    show((long)n);
    show(weft_reader_frame(&reader, 77, 0, &piece, &n));
    show(weft_reader_prefix(&reader, WEFT_PREFIX_16, 0, &n));
    show((long)n);
    show(weft_write(to, "abcdef", 6));
    size_t done = 0;
    show(weft_within(SOON, weft_reader_exact(&reader, out, 10, &done)));
    show((long)done);
    show(weft_write(to, "ghijkl", 6));
    show(weft_reader_exact(&reader, out, 10, &done));
    show_text(out, 10);
    show(weft_reader_read(&reader, out, 1));
    show(weft_reader_exact(&reader, out, 1000, NULL));
    show(weft_reader_peek(&reader, 1000, &piece));
    show(weft_shutdown(to, SHUT_WR));
    show(weft_reader_line(&reader, 0, &line, &n));
    show(weft_reader_peek(&reader, 0, &piece));
    weft_reader_consume(&reader, 1);
    show(weft_reader_line(&reader, 0, &line, &n));
    weft_reader_fini(&reader);
}

static void script_writing(void)
{
    int ends[2];
    char buffer[64];
    char got[256] = "";
    weft_writer writer;
    make_pair(ends, SOCK_STREAM);
    weft_writer_init(&writer, weft_stream_socket(ends[0]), buffer, sizeof buffer);
    show(weft_writer_write(&writer, "hello ", 6));
    show(weft_writer_printf(&writer, "%d %s", 42, "worlds"));
    show(weft_writer_frame(&writer, WEFT_PREFIX_8, "xyz", 3));
    show(weft_writer_frame(&writer, WEFT_PREFIX_8, got, 256));
    show((long)weft_writer_pending(&writer));
    show(weft_within(0, weft_recv(ends[1], got, sizeof got, 0)));
    show(weft_writer_flush(&writer));
    show(weft_recv(ends[1], got, sizeof got, 0));
    show_text(got, 15);
    show(weft_writer_write(&writer, "small", 5));
    show(weft_writer_write(&writer, got, 200)); /* by the buffer and past it, in order */
    show(weft_recv(ends[1], got, 5, MSG_WAITALL));
    show_text(got, 5);
    show(weft_recv(ends[1], got, 200, MSG_WAITALL));
    show(weft_writer_printf(&writer, "%100d", 1));
    WEFT_SCOPE(scope);
    show(weft_writer_write(&writer, "kept", 4));
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_writer_flush(&writer));
    (void)weft_scope_end(&scope);
    show(weft_writer_error(&writer));
    show(weft_writer_flush(&writer));
    show(weft_recv(ends[1], got, 4, MSG_WAITALL));
    show_text(got, 4);
    close(ends[1]);
    show(weft_writer_write(&writer, "lost", 4));
    show(weft_writer_flush(&writer));
    show(weft_writer_write(&writer, "x", 1));
    show(weft_writer_error(&writer));
    weft_writer_fini(&writer);
    close(ends[0]);
}

static void script_copying(void)
{
    int from[2];
    int to[2];
    char got[64] = "";
    uint64_t copied = 0;
    weft_reader reader;
    weft_writer writer;
    make_pair(from, SOCK_STREAM);
    make_pipe(to);
    weft_reader_init(&reader, weft_stream_socket(from[0]), NULL, 0);
    weft_writer_init(&writer, weft_stream_file(to[1]), NULL, 0);
    show(weft_send(from[1], "0123456789", 10, 0));
    show(weft_copy(&reader, &writer, 4, &copied));
    show(weft_within(SOON, weft_copy(&reader, &writer, UINT64_MAX, &copied)));
    show(weft_read(to[0], got, sizeof got));
    show_text(got, 10);
    show(weft_send(from[1], "end", 3, 0));
    show(weft_shutdown(from[1], SHUT_WR));
    show(weft_copy(&reader, &writer, UINT64_MAX, &copied));
    show((long)copied);
    show(weft_read(to[0], got, sizeof got));
    close(to[0]);
    show(weft_writer_write(&writer, "x", 1));
    show(weft_writer_flush(&writer));
    weft_reader_fini(&reader);
    weft_writer_fini(&writer);
    close(to[1]);
    close_both(from);
}

static void script_buffered(void)
{
    int ends[2];
    char buffer[32];
    make_pair(ends, SOCK_STREAM);
    script_reading(weft_stream_socket(ends[0]), ends[1], buffer, sizeof buffer);
    close_both(ends);
    make_pair(ends, SOCK_STREAM);
    script_reading(weft_stream_file(ends[0]), ends[1], NULL, 32);
    close_both(ends);
    script_writing();
    script_copying();
}

/* --- names ------------------------------------------------------------------------------------ */

/* Numbers and what is refused: the answers to names are the machine's. */
static void script_names_of_hosts(void)
{
    weft_addr found[4];
    char text[WEFT_ADDR_TEXT];
    char host[300];
    memset(host, 'h', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    show(weft_resolve("127.0.0.1", "80", found, 4));
    weft_addr_format(&found[0], text, sizeof text);
    show_text(text, (long)strlen(text));
    show(weft_resolve("::1", "65535", found, 4));
    weft_addr_format(&found[0], text, sizeof text);
    show_text(text, (long)strlen(text));
    show(weft_resolve("127.0.0.1", NULL, found, 4));
    show(weft_addr_port(&found[0]));
    show(weft_resolve(NULL, "1", found, 4, .family = AF_INET, .passive = 1));
    weft_addr_format(&found[0], text, sizeof text);
    show_text(text, (long)strlen(text));
    show(weft_resolve("::1", "80", found, 4, .family = AF_INET));
    show(weft_resolve(NULL, NULL, found, 4));
    show(weft_resolve("127.0.0.1", "65536", found, 4));
    show(weft_resolve("127.0.0.1", "80", found, 0));
    show(weft_resolve(host, "80", found, 4));
    show(weft_resolve("localhost", "80", found, 4) > 0);
    WEFT_SCOPE(scope);
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_resolve("localhost", "80", found, 4));
    show(weft_resolve("127.0.0.1", "80", found, 4));
    (void)weft_scope_end(&scope);

    struct sockaddr_in address;
    int listener = make_listener(&address);
    (void)snprintf(text, sizeof text, "%d", ntohs(address.sin_port));
    int client = show_some(weft_connect_to("127.0.0.1", text, .conn.nodelay = 1));
    int server = show_some(weft_accept(listener, NULL, NULL, 0));
    show(weft_send(client, "named", 5, 0));
    show(weft_recv(server, host, sizeof host, 0));
    close(server);
    close(client);
    close(listener);
    int taken = make_socket(); /* a port on which nobody listens, and which is nobody else's */
    socklen_t bytes = sizeof address;
    address.sin_port = 0;
    wt_eq(bind(taken, (struct sockaddr *)&address, bytes), 0);
    wt_eq(getsockname(taken, (struct sockaddr *)&address, &bytes), 0);
    (void)snprintf(text, sizeof text, "%d", ntohs(address.sin_port));
    show(weft_connect_to("127.0.0.1", text, .family = AF_INET));
    show(weft_connect_to("127.0.0.1", "65536", .family = AF_INET));
    close(taken);
}

/* --- processes -------------------------------------------------------------------------------- */

#define SH(script) ((char *[]){"sh", "-c", (script), NULL})

static void show_exit(weft_proc_exit how)
{
    say("    exit %d, signal %d\n", how.code, how.signal);
}

/* As a program that was run with this input: what it wrote, and how it ended. */
static int run_program(char *script, const char *in)
{
    char out[64] = "";
    char err[64] = "";
    weft_proc_io io = {.in = in,
                       .in_bytes = in != NULL ? strlen(in) : 0,
                       .out = out,
                       .out_max = sizeof out,
                       .err = err,
                       .err_max = sizeof err};
    int rc = weft_proc_run(&io, SH(script), .in = WEFT_PROC_NULL);
    say("    out %d \"%.*s\" err %d \"%.*s\"\n", (int)io.out_bytes, (int)sizeof out - 1, out,
        (int)io.err_bytes, (int)sizeof err - 1, err);
    show_exit(io.exit);
    return rc;
}

static int run_too_long(void)
{
    weft_proc_io io = {0};
    return weft_proc_run(&io, SH("exec sleep 1000"), .in = WEFT_PROC_NULL, .grace = -1);
}

static int do_proc_wait(void *arg)
{
    return weft_proc_wait(arg, NULL);
}

static void script_processes(void)
{
    weft_proc *proc;
    weft_proc_exit how;
    weft_task task;
    char text[64] = "";
    show(run_program("sort; echo bad >&2; exit 3", "2\n1\n"));
    show(run_program("kill -USR1 $$", NULL));
    show(run_program("head -c 100000 /dev/zero | tr '\\0' x", NULL));
    show(run_program("exec 0<&-; exit 0", "nobody reads this"));
    show(weft_within(WEFT_MS(20), run_too_long())); /* perhaps before it has begun */
    show(weft_proc_spawn(&proc, ((char *[]){"no such program", NULL}), .cwd = NULL));
    show(weft_proc_spawn(&proc, ((char *[]){NULL}), .cwd = NULL));
    show(weft_proc_spawn(&proc, SH("true"), .cwd = path_of("none")));
    show(weft_proc_spawn(&proc, SH("true"), .out = 1000000));
    show(weft_proc_spawn(&proc, SH("true"), .out = -77));
    show(proc == NULL);

    show(weft_proc_spawn(&proc, SH("read x; echo got $x; exit 7"), .in = WEFT_PROC_PIPE,
                         .out = WEFT_PROC_PIPE));
    show(weft_within(SOON, weft_proc_wait(proc, &how)));
    wt_eq(weft_spawn(&task, do_proc_wait, proc), 0);
    let_it_wait();
    show(weft_write(weft_proc_fd(proc, 0), "word\n", 5));
    show(weft_read(weft_proc_fd(proc, 1), text, sizeof text));
    show_text(text, 8);
    show(weft_read(weft_proc_fd(proc, 1), text, sizeof text));
    show(weft_await(&task));
    show(weft_proc_wait(proc, &how));
    show_exit(how);
    show(weft_proc_kill(proc, SIGTERM));
    show(weft_proc_fd(proc, 2));
    show(weft_proc_close(proc, 0));
    show(weft_proc_close(proc, 0));
    show(weft_val_await_new(weft_proc_wait_v(proc, &how)));
    weft_proc_free(proc);

    show(weft_proc_spawn(&proc, SH("exec sleep 1000"), .group = 1));
    weft_val waiting = weft_proc_wait_v(proc, &how);
    show(weft_val_ready(waiting));
    show(weft_proc_kill(proc, 0));
    show(weft_proc_kill(proc, SIGKILL));
    show(weft_val_await(waiting));
    show_exit(how);
    weft_proc_free(proc);

    /* the scope ends it */
    WEFT_SCOPE(scope);
    show(weft_proc_spawn(&proc, SH("exec sleep 1000"), .in = WEFT_PROC_NULL));
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_proc_wait(proc, &how));
    show(weft_val_await_new(weft_proc_wait_v(proc, &how)));
    weft_proc *refused_one;
    show(weft_proc_spawn(&refused_one, SH("true"), .cwd = NULL));
    (void)weft_scope_end(&scope);
    show(weft_proc_wait(proc, &how));
    show_exit(how);
    weft_proc_free(proc);
}

/* --- signals ---------------------------------------------------------------------------------- */

/* Signals are sent to a thread that has them unblocked and sleeps
 * (tests/patterns/test_signal.c). */
static atomic_int catcher_stops;

static void *catch_signals(void *arg)
{
    (void)arg;
    sigset_t none; /* it was made by a worker's thread, where all signals are blocked */
    sigemptyset(&none);
    wt_eq(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    while (!atomic_load(&catcher_stops)) { /* ends: script_signals */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

static int do_signal(void *arg)
{
    return weft_signal_next(arg);
}

static void script_signals(void)
{
    pthread_t catcher;
    weft_signal signals;
    weft_signal other;
    weft_task task;
    atomic_store(&catcher_stops, 0);
    wt_eq(pthread_create(&catcher, NULL, catch_signals, NULL), 0);

    show(weft_signal_open(&signals, (int[]){0}));
    show(weft_signal_open(&signals, (int[]){SIGKILL, 0}));
    show(weft_signal_open(&signals, (int[]){SIGSEGV, 0}));
    show(weft_signal_open(&signals, (int[]){1000, 0}));
    show(weft_signal_next(&signals));
    show(weft_val_await_new(weft_signal_next_v(&signals)));
    show(weft_signal_open(&signals, (int[]){SIGUSR1, SIGUSR2, 0}));
    show(weft_within(0, weft_signal_next(&signals)));
    show(weft_within(SOON, weft_signal_next(&signals)));
    wt_eq(weft_spawn(&task, do_signal, &signals), 0);
    let_it_wait();
    wt_eq(pthread_kill(catcher, SIGUSR1), 0);
    show(weft_await(&task) == SIGUSR1);
    weft_val next = weft_signal_next_v(&signals);
    wt_eq(pthread_kill(catcher, SIGUSR2), 0);
    show(weft_val_await(next) == SIGUSR2);
    show(weft_within(SOON, (int)weft_val_await_new(weft_signal_next_v(&signals))));
    show(weft_signal_open(&other, (int[]){SIGUSR1, 0}));
    wt_eq(pthread_kill(catcher, SIGUSR1), 0); /* each listener gets it */
    show(weft_val_await_new(weft_signal_next_v(&other)) == SIGUSR1);
    show(weft_signal_next(&signals) == SIGUSR1);
    weft_signal_close(&other);

    /* refused, and cancelled, without taking one */
    WEFT_SCOPE(scope);
    wt_eq(weft_spawn(&task, do_signal, &signals), 0);
    let_it_wait();
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_await(&task));
    wt_eq(pthread_kill(catcher, SIGUSR1), 0);
    show(weft_signal_next(&signals));
    show(weft_val_await_new(weft_signal_next_v(&signals)));
    (void)weft_scope_end(&scope);
    show(weft_signal_next(&signals) == SIGUSR1);
    weft_signal_close(&signals);
    weft_signal_close(&signals);
    show(weft_signal_next(&signals));
    atomic_store(&catcher_stops, 1);
    pthread_join(catcher, NULL);
}

/* --- more values ------------------------------------------------------------------------------ */

static void script_name_values(void)
{
    char name[PATH_MAX];
    char buffer[64] = "";
    (void)snprintf(name, sizeof name, "%s", path_of("more"));
    show(weft_mkdir(name, 0700));
    int dir = show_some(weft_open(name, O_RDONLY | O_DIRECTORY, 0));
    struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600, .resolve = RESOLVE_BENEATH};
    show(weft_val_await_new(weft_openat2_v(dir, "a", &how)));
    how.flags |= O_CLOEXEC;
    int fd = show_some(weft_val_await_new(weft_openat2_v(dir, "a", &how)));
    show(weft_val_await_new(weft_openat2_v(dir, "../file", &how)));
    show(weft_val_await_new(weft_fallocate_v(fd, 0, 0, 4096)));
    show(weft_val_await_new(weft_fallocate_v(fd, 0, -1, 4096)));
    show(weft_val_await_new(weft_linkat_v(dir, "a", dir, "b", 0)));
    show(weft_val_await_new(weft_linkat_v(dir, "a", dir, "b", 0)));
    show(weft_val_await_new(weft_symlinkat_v("a", dir, "c")));
    show(weft_val_await_new(weft_readlinkat_v(dir, "c", buffer, sizeof buffer)));
    show_text(buffer, 1);
    weft_dir *listing;
    weft_dir_entry entry;
    show(weft_dir_open(&listing, dir, "."));
    int names = 0;
    long rc;
    while ((rc = (long)weft_val_await_new(weft_dir_next_v(listing, &entry))) > 0) {
        names += entry.name[0];
    }
    show(rc);
    show(names == 'a' + 'b' + 'c');
    show(weft_val_await_new(weft_dir_next_v(listing, &entry)));
    show(weft_dir_rewind(listing));
    WEFT_SCOPE(dropping);
    weft_val dropped = weft_dir_next_v(listing, &entry); /* fills the buffer, and takes nothing */
    show(weft_val_drop(dropped));
    show(weft_scope_end(&dropping));
    while (weft_dir_next(listing, &entry) > 0) {
        names -= entry.name[0];
    }
    show(names);
    WEFT_SCOPE(scope);
    wt_eq(weft_scope_cancel(&scope, "script"), 0);
    show(weft_val_await_new(weft_dir_next_v(listing, &entry)));
    (void)weft_scope_end(&scope);
    weft_dir_close(listing);
    show(weft_unlinkat(dir, "a", 0));
    show(weft_unlinkat(dir, "b", 0));
    show(weft_unlinkat(dir, "c", 0));
    show(weft_rmdir(name));
    close(fd);
    close(dir);
}

static void script_datagram_values(void)
{
    int fds[2];
    char buffer[64] = "";
    weft_addr address[2];
    weft_addr from;
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        wt_eq(weft_addr_parse(&address[i], "127.0.0.1:0"), 0);
        wt_eq(bind(fds[i], (struct sockaddr *)&address[i].storage, address[i].bytes), 0);
        wt_eq(weft_addr_local(fds[i], &address[i]), 0);
    }
    weft_val receiving = weft_recvfrom_v(fds[1], buffer, sizeof buffer, 0, &from);
    show(weft_val_await_new(weft_sendto_v(fds[0], "hello", 5, 0, &address[1])));
    show(weft_val_await(receiving));
    show_text(buffer, 5);
    show(weft_addr_port(&from) == weft_addr_port(&address[0]));
    show(weft_val_await_new(weft_sendto_v(fds[0], "x", 1, 0, NULL)));
    show(weft_within(SOON, (long)weft_val_await_new(weft_recvfrom_v(fds[1], buffer, 64, 0, NULL))));

    struct iovec parts[3] = {{"one", 3}, {"two", 3}, {"three", 5}};
    struct mmsghdr out[3] = {0};
    struct mmsghdr in[4] = {0};
    struct iovec places[4];
    for (int i = 0; i < 4; i++) {
        places[i] = (struct iovec){buffer + i * 16, 16};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &places[i], .msg_iovlen = 1};
        if (i < 3) {
            out[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                             .msg_iovlen = 1,
                                             .msg_name = &address[1].storage,
                                             .msg_namelen = address[1].bytes};
        }
    }
    weft_val many = weft_recv_many_v(fds[1], in, 4, 0);
    let_it_wait();
    show(weft_val_await_new(weft_send_many_v(fds[0], out, 3, 0)));
    show(weft_val_await(many) >= 1);
    show_text(buffer, 3);
    while (weft_recv_many(fds[1], in, 4, MSG_DONTWAIT) > 0) {
    } /* ends: takes what is left */
    show(weft_val_await_new(weft_send_many_v(fds[0], out, 0, 0)));
    show(weft_val_await_new(weft_recv_many_v(fds[1], in, 4, MSG_DONTWAIT)));
    show(weft_within(SOON, (long)weft_val_await_new(weft_recv_many_v(fds[1], in, 4, 0))));
    WEFT_SCOPE(dropping);
    weft_val dropped = weft_recv_many_v(fds[1], in, 4, 0);
    show(weft_send_many(fds[0], out, 1, 0));
    show(weft_val_drop(dropped)); /* what has come stays there */
    show(weft_scope_end(&dropping));
    show(weft_recv(fds[1], buffer, 64, 0));
    close_both(fds);

    make_pair(fds, SOCK_STREAM);
    int passed[2] = {-1, -1};
    int count = 2;
    weft_val descriptors = weft_recv_fds_v(fds[1], buffer, 64, passed, &count);
    let_it_wait();
    show(weft_val_await_new(weft_send_fds_v(fds[0], "fd", 2, fds, 1)));
    show(weft_val_await(descriptors));
    show(count);
    show(fcntl(passed[0], F_GETFD) == FD_CLOEXEC);
    close(passed[0]);
    count = 2;
    show(weft_within(
        SOON, (long)weft_val_await_new(weft_recv_fds_v(fds[1], buffer, 64, passed, &count))));
    show(count);
    show(weft_val_await_new(weft_send_fds_v(fds[0], "", 0, fds, 1)));
    show(weft_val_await_new(weft_sendv_v(fds[0], parts, 3, 0)));
    show(weft_val_await_new(weft_sendv_v(fds[0], parts, -1, 0)));
    show(weft_recv(fds[1], buffer, 64, 0));
    show_text(buffer, 11);
    fill(fds[0]);
    WEFT_SCOPE(giving_up);
    weft_val room = weft_send_fds_v(fds[0], "fd", 2, fds, 1);
    let_it_wait();
    show(weft_val_ready(room));
    show(weft_val_drop(room));
    show(weft_scope_end(&giving_up));
    descriptors = weft_recv_fds_v(fds[0], buffer, 64, passed, &count);
    let_it_wait();
    show(weft_shutdown(fds[1], SHUT_WR));
    show(weft_val_await(descriptors));
    close_both(fds);
}

static void script_more_values(void)
{
    script_name_values();
    script_datagram_values();
}

/* --- servers ---------------------------------------------------------------------------------- */

/* Lines are sent back; "soon" makes the time of the next request short, "fail" fails, "hang" hangs
 * until that time is over. */
static int serve_line(weft_connection *c, weft_reader *reader)
{
    char *line;
    size_t bytes;
    int rc = weft_reader_line(reader, 0, &line, &bytes);
    if (rc <= 0) {
        return rc;
    }
    if (strcmp(line, "fail") == 0) {
        return -EBADMSG;
    }
    if (strcmp(line, "soon") == 0) {
        c->request = SOON;
    }
    if (strcmp(line, "hang") == 0) {
        return weft_sleep(WEFT_SEC(3600));
    }
    return weft_send_all(c->fd, line, bytes, 0) == (ssize_t)bytes ? 0 : -EPIPE;
}

static int serve_lines(weft_connection *c)
{
    weft_reader reader;
    weft_reader_init(&reader, c->stream, NULL, 64);
    int rc;
    while ((rc = weft_connection_next(c, &reader)) > 0) {
        rc = weft_connection_within(c, serve_line(c, &reader));
        if (rc < 0) {
            break;
        }
    }
    weft_reader_fini(&reader);
    return rc;
}

struct serving {
    weft_server server;
    weft_listener *listener;
    int fd; /* to serve at instead, if there is no listener */
};

static int do_serve(void *arg)
{
    struct serving *s = arg;
    return s->listener != NULL ? weft_serve_listener(&s->server, s->listener)
                               : weft_serve(&s->server, s->fd);
}

/* What a client says, and what it gets back, or how its connection ends. A reset is an end: whether
 * there was one depends on what the server had read. */
static long ask(int fd, const char *line, char *got)
{
    memset(got, 0, 64);
    ssize_t n = weft_send(fd, line, strlen(line), 0);
    n = n < 0 ? n : weft_recv(fd, got, 63, 0);
    return n == -ECONNRESET || n == -EPIPE ? 0 : n;
}

/* Connections end in the server a moment after their clients have seen it. */
static void await_active(struct serving *s, uint32_t active)
{
    weft_server_stats stats;
    do { /* ends: the client has done its part */
        weft_sleep(WEFT_US(100));
        weft_server_stats_get(&s->server, &stats);
    } while (stats.active != active);
}

static void show_stats(struct serving *s)
{
    weft_server_stats t;
    weft_server_stats_get(&s->server, &t);
    say("    active %d accepted %d refused %d requests %d timed out %d lost %d cut %d failed %d "
        "shortages %d\n",
        (int)t.active, (int)t.accepted, (int)t.refused, (int)t.requests, (int)t.timed_out,
        (int)t.lost, (int)t.cut, (int)t.failed, (int)t.shortages);
}

static void script_server(bool by_listener)
{
    static struct serving s;
    weft_task task;
    struct sockaddr_in address;
    weft_addr at;
    char got[64];
    s = (struct serving){.fd = -1};
    weft_server_init(&s.server, &(weft_server_opts){.fn = serve_lines,
                                                    .connections_max = 2,
                                                    .at_max = WEFT_SERVER_REFUSE,
                                                    .drain = WEFT_SEC(30)});
    if (by_listener) {
        wt_eq(weft_listen(&s.listener, "127.0.0.1:0"), 0);
        weft_listener_addr(s.listener, &at);
    } else {
        s.fd = make_listener(&address);
        wt_eq(weft_addr_local(s.fd, &at), 0);
    }
    wt_eq(weft_spawn(&task, do_serve, &s), 0);
    int a = show_some(weft_connect_addr(&at, NULL));
    show(ask(a, "one\n", got));
    show_text(got, 3);
    int b = show_some(weft_connect_addr(&at, NULL));
    show(ask(b, "two\n", got));
    int c = show_some(weft_connect_addr(&at, NULL)); /* one too many */
    show(ask(c, "three\n", got));
    close(c);
    show(ask(b, "fail\n", got));
    close(b);
    await_active(&s, 1);
    b = show_some(weft_connect_addr(&at, NULL));
    show(ask(b, "soon\n", got));
    show(ask(b, "hang\n", got));
    close(b);
    await_active(&s, 1);
    show_stats(&s);
    show(weft_server_stopping(&s.server));
    show(weft_server_stop(&s.server, "script"));
    show(weft_server_stopping(&s.server));
    show(weft_recv(a, got, sizeof got, 0)); /* it waits for a request: sent away */
    show(weft_await(&task));
    close(a);
    show_stats(&s);
    show(do_serve(&s)); /* a server that was stopped */
    weft_listener_free(s.listener);
    if (s.fd >= 0) {
        close(s.fd);
    }
    weft_server_fini(&s.server);
}

static void script_servers(void)
{
    script_server(false);
    script_server(true);
    static struct serving s;
    s = (struct serving){.fd = -1};
    weft_server_init(&s.server, &(weft_server_opts){.fn = serve_lines});
    show(do_serve(&s));
    weft_server_fini(&s.server);
    weft_server_init(&s.server, &(weft_server_opts){.fn = serve_lines});
    int ends[2];
    make_pair(ends, SOCK_STREAM);
    s.fd = ends[0];
    show(do_serve(&s)); /* no listener */
    close_both(ends);
    weft_server_fini(&s.server);
}

#endif
