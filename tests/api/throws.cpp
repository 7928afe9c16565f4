// Exceptions that leave what weft calls. Argument: which case. Each ends the process (E45).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <sys/resource.h>
#include <weft/weft.h>

static int throw_it(void *)
{
    throw std::runtime_error("out of the body");
}

// With one worker the awaited task runs on this stack, above this handler.
static int catch_it(void *)
{
    weft_task task;
    try {
        weft_spawn(&task, throw_it, nullptr);
        return weft_await(&task);
    } catch (const std::exception &) {
        std::fputs("the handler of another task was reached\n", stderr);
        return 0;
    }
}

static int catch_own(void *)
{
    try {
        throw std::runtime_error("inside");
    } catch (const std::exception &) {
        return weft_yield();
    }
}

static void throw_void(void *)
{
    throw std::runtime_error("out of a callback");
}

static int throw_piece(size_t, size_t, void *)
{
    throw std::runtime_error("out of a piece");
}

static int throw_verdict(const weft_fault *, void *)
{
    throw std::runtime_error("out of a hook");
}

// Each with a handler above the call: it must not be reached through the library's frames.
template <typename Call> static int guarded(Call call)
{
    try {
        return call();
    } catch (const std::exception &) {
        std::fputs("a handler was reached through the library\n", stderr);
        return 0;
    }
}

static int throw_in_callback(void *)
{
    return guarded([] {
        weft_cancel c;
        weft_cancel_reg reg = {};
        weft_cancel_init(&c, nullptr);
        weft_cancel_on(&c, &reg, throw_void, nullptr);
        return weft_cancel_fire(&c, "test");
    });
}

static int throw_in_loop(void *)
{
    return guarded([] {
        weft_for_opts opts = {};
        return weft_for_(0, 10, throw_piece, nullptr, &opts);
    });
}

static int throw_in_once(void *)
{
    return guarded([] {
        weft_once once = WEFT_ONCE_INIT;
        return weft_once_call(&once, throw_it, nullptr);
    });
}

static void throw_misuse(const char *)
{
    throw std::runtime_error("out of the misuse hook");
}

static int throw_in_misuse(void *)
{
    return guarded([] {
        weft_on_misuse(throw_misuse);
        weft_guard guard = {};
        return weft_guard_leave(&guard);
    });
}

static int fail_it(void *)
{
    return -EIO;
}

static int throw_in_hook()
{
    weft_rt_opts opts = {};
    opts.workers = 1;
    opts.on_unobserved = throw_verdict;
    weft_rt *rt = nullptr;
    if (weft_rt_start(&rt, &opts) < 0) {
        return 1;
    }
    weft_post(rt, fail_it, nullptr);
    weft_rt_free(rt);
    return 0;
}

static int run(weft_fn *fn)
{
    weft_rt_opts opts = {};
    opts.workers = 1;
    return weft_run_(fn, nullptr, &opts, WEFT_HERE);
}

int main(int, char **argv)
{
    struct rlimit none = {};
    setrlimit(RLIMIT_CORE, &none);
    if (std::strcmp(argv[1], "uncaught") == 0) {
        return run(throw_it);
    }
    if (std::strcmp(argv[1], "above") == 0) {
        return run(catch_it);
    }
    if (std::strcmp(argv[1], "callback") == 0) {
        return run(throw_in_callback);
    }
    if (std::strcmp(argv[1], "loop") == 0) {
        return run(throw_in_loop);
    }
    if (std::strcmp(argv[1], "once") == 0) {
        return run(throw_in_once);
    }
    if (std::strcmp(argv[1], "misuse") == 0) {
        return run(throw_in_misuse);
    }
    if (std::strcmp(argv[1], "hook") == 0) {
        return throw_in_hook();
    }
    return run(catch_own);
}
