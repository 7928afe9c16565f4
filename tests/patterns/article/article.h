/* article.h: what the tests of this folder share. Each shows one pattern of .NET's async/await, or
 * one of its traps, in C; docs/guide/coming-from-dotnet.md takes the code between its marks from
 * here.
 *
 * A pattern is the body of a root task: Article(name) { ...; return rc; }. It runs twice. Once as
 * it is, and then everything that it expects must come true. And once for each of its waits, with a
 * cancellation of its scope at just that wait (the *sweep*): then it may end in any way, but
 * nothing may be lost: no task, no descriptor, no memory; permits and items it counts itself, by
 * always_eq.
 *
 *     show_eq(a, b)     holds when nothing is cancelled
 *     always_eq(a, b)   holds whatever is cancelled */
#ifndef ARTICLE_H
#define ARTICLE_H

#include "../pattern.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/debug.h>
#include <weft/weft.h>

/* Blocks of memory that malloc and its kin have given out. Under a sanitizer, which brings its own
 * and looks for leaks itself, always 0. */
static atomic_long article_blocks;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

static void *article_count(void *memory)
{
    atomic_fetch_add(&article_blocks, memory != NULL);
    return memory;
}

void *malloc(size_t bytes)
{
    return article_count(__libc_malloc(bytes));
}

void *calloc(size_t n, size_t bytes)
{
    return article_count(__libc_calloc(n, bytes));
}

void *realloc(void *memory, size_t bytes)
{
    return memory != NULL ? __libc_realloc(memory, bytes) : malloc(bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return article_count(__libc_memalign(alignment, bytes));
}

void free(void *memory)
{
    atomic_fetch_sub(&article_blocks, memory != NULL);
    __libc_free(memory);
}
#endif

static struct article {
    weft_fn *body;
    _Atomic(weft_scope *) scope; /* of the pattern, while it runs under a sweep; else NULL */
    atomic_int left;             /* suspensions until the cancellation */
    int sweeping;
} article;

#define Article(name)                                                          \
    static int name##_article(void *arg);                                      \
    Test(article, name)                                                        \
    {                                                                          \
        article_once(name##_article);                                          \
    }                                                                          \
    Test(article, name##_cancelled_at_each_wait_loses_nothing, .timeout = 120) \
    {                                                                          \
        article_sweep(name##_article);                                         \
    }                                                                          \
    static int name##_article(void *arg __attribute__((unused)))

#define show_eq(a, b, ...)              \
    do {                                \
        if (!article.sweeping) {        \
            wt_eq(a, b, ##__VA_ARGS__); \
        }                               \
    } while (0)
#define show_true(x, ...)              \
    do {                               \
        if (!article.sweeping) {       \
            wt_true(x, ##__VA_ARGS__); \
        }                              \
    } while (0)
#define always_eq(a, b, ...) wt_eq(a, b, ##__VA_ARGS__)

/* --- once, and at each wait ------------------------------------------------------------------- */

static inline void article_once(weft_fn *body)
{
    for (int workers = 1; workers <= 2; workers++) {
        wt_eq(weft_run(body, NULL, .workers = workers), 0);
    }
}

static inline int article_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    wt_true(dir != NULL);
    int count = 0;
    while (readdir(dir) != NULL) { /* ends: the directory's end */
        count++;
    }
    closedir(dir);
    return count;
}

static inline void article_cancel(void *arg)
{
    (void)arg;
    weft_scope *scope = atomic_load(&article.scope);
    if (scope != NULL && atomic_fetch_sub(&article.left, 1) == 1) {
        (void)weft_scope_cancel(scope, "sweep");
    }
}

static int article_under_sweep(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    atomic_store(&article.scope, &s);
    int rc = article.body(NULL);
    atomic_store(&article.scope, NULL);
    int of_scope = weft_scope_end(&s);
    return rc < 0 ? rc : of_scope;
}

/* One run with the cancellation at wait `at`. Whether there was such a wait. */
static inline int article_cancelled_at(int at)
{
    atomic_store(&article.left, at);
    weft_rt *rt;
    weft_rt_opts opts = {.workers = 1};
    wt_eq(weft_rt_start(&rt, &opts), 0);
    (void)weft_call(rt, article_under_sweep, NULL);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(20), WEFT_SEC(20)), 0, "cancelled at wait %d", at);
    weft_rt_free(rt);
    return atomic_load(&article.left) <= 0;
}

#define ARTICLE_WAITS_MAX 2000

static inline void article_sweep(weft_fn *body)
{
    article.body = body;
    article.sweeping = 1;
    weft_on_suspend(article_cancel, NULL);
    (void)article_cancelled_at(ARTICLE_WAITS_MAX + 1); /* warms up what is made once */
    int descriptors = article_descriptors();
    long blocks = atomic_load(&article_blocks);
    int at = 1;
    while (article_cancelled_at(at)) { /* ends: a pattern has so many waits */
        wt_eq(article_descriptors(), descriptors, "cancelled at wait %d", at);
        wt_eq(atomic_load(&article_blocks), blocks, "cancelled at wait %d", at);
        wt_le(++at, ARTICLE_WAITS_MAX);
    }
    weft_on_suspend(NULL, NULL);
}

/* --- a database, as slow as they are ---------------------------------------------------------- */

struct user {
    int id;
    char name[32];
};

/* 1: found; 0: there is none; -errno. */
static inline int db_find(int id, struct user *out)
{
    int rc = weft_sleep(WEFT_US(50));
    if (rc < 0 || id <= 0) {
        return rc;
    }
    out->id = id;
    (void)snprintf(out->name, sizeof out->name, "user %d", id);
    return 1;
}

#endif
