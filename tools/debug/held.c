/* held.c: a library to link into a program while looking for one mistake: a pthread mutex that is
 * held while a task is suspended. Whoever wants it next blocks a worker's thread, and the task may
 * go on, and unlock, on another thread.
 *
 * Linking it (`weft::debug` in CMake, in the place of weft::static) is all: it takes the place of
 * the mutex functions, counts per thread what is locked, and looks at each suspension of a task
 * (weft_on_suspend, whose place it takes). Each place where such a task was started is reported
 * once, on stderr. It sees pthread_mutex_lock and _trylock, of the program and of its shared
 * libraries; not spin locks, nor reader-writer locks. Not for production: two more calls for each
 * lock. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft/debug.h>

#define REPORTS_MAX 64
#define LINE_BYTES  512

/* Mutexes that this thread holds. Not read across a suspension: each function here only counts. */
static __thread int held;

typedef int mutex_fn(pthread_mutex_t *mutex);

static mutex_fn *next_of(const char *name)
{
    mutex_fn *next;
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(&next, &symbol, sizeof next); /* ISO C has no cast from an object's pointer */
    return next;
}

__attribute__((noinline)) int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int rc = next_of("pthread_mutex_lock")(mutex);
    held += rc == 0;
    return rc;
}

__attribute__((noinline)) int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    int rc = next_of("pthread_mutex_trylock")(mutex);
    held += rc == 0;
    return rc;
}

__attribute__((noinline)) int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    held -= held > 0; /* it may have been locked on another thread: that is the mistake */
    return next_of("pthread_mutex_unlock")(mutex);
}

/* Whether this is the first report about such a task; false too when there were too many. */
static int is_new(const char *task)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    static char told[REPORTS_MAX][LINE_BYTES];
    static int count;
    int new = 0;
    while (atomic_flag_test_and_set(&busy)) { /* ends: the other looks at 64 lines */
    }
    int i = 0;
    while (i < count && strcmp(told[i], task) != 0) {
        i++;
    }
    if (i == count && count < REPORTS_MAX) {
        (void)snprintf(told[count++], LINE_BYTES, "%s", task);
        new = 1;
    }
    atomic_flag_clear(&busy);
    return new;
}

static __attribute__((noinline)) void look(void *arg)
{
    (void)arg;
    char task[LINE_BYTES], line[2 * LINE_BYTES];
    if (held == 0) {
        return;
    }
    (void)weft_describe(task, sizeof task);
    if (is_new(task)) {
        int n = snprintf(line, sizeof line,
                         "weft: %s waits while its thread holds %d pthread mutex%s\n", task, held,
                         held == 1 ? "" : "es");
        ssize_t ignored =
            write(STDERR_FILENO, line, (size_t)n); /* a report that cannot be made is lost */
        (void)ignored;
    }
    held = 0; /* the task may unlock elsewhere; the tasks that run here next have no part in it */
}

__attribute__((constructor)) static void watch(void)
{
    weft_on_suspend(look, NULL);
}
