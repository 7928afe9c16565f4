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
    return run(catch_own);
}
