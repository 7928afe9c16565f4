/* user.c: see user.h. Each of the user's workloads is wrapped in a tb_load, whose functions find
 * the user's by the load that they belong to. */
#define _GNU_SOURCE
#include "user.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/bench.h>

_Static_assert(WEFT_BENCH_PARAMS_MAX == TB_PARAMS_MAX, "parameters are copied one by one");

struct user_load {
    struct tb_load load;
    const weft_bench *bench;
};

static struct {
    struct user_load loads[TB_OBJECTS_MAX * WEFT_BENCH_LOADS_MAX];
    int loads_n;
    struct {
        char path[PATH_MAX];
        char group[TB_USER_GROUP];
    } objects[TB_OBJECTS_MAX];
    int objects_n;
} all;

/* --- calls ------------------------------------------------------------------------------------ */

static const weft_bench *bench_of(const struct tb_trial *trial)
{
    return ((const struct user_load *)(const void *)trial->load)->bench;
}

/* What the user's functions see; from open to close. */
static weft_bench_trial view;

static int hand_on(struct tb_trial *trial, int rc)
{
    trial->elapsed_ns = view.elapsed_ns;
    view.elapsed_ns = 0;
    if (rc < 0 && view.reason[0]) {
        return tb_wrong(trial, "%s", view.reason);
    }
    return rc < 0 ? rc : 0;
}

static int user_open(struct tb_trial *trial)
{
    const weft_bench *bench = bench_of(trial);
    view = (weft_bench_trial){
        .rt = trial->rt, .workers = trial->workers, .seed = trial->seed, .ops_per_round = 1};
    memcpy(view.params, trial->params, sizeof view.params);
    int rc = bench->open ? hand_on(trial, bench->open(&view)) : 0;
    trial->ops_per_round = view.ops_per_round ? view.ops_per_round : 1;
    return rc;
}

static int user_sample(struct tb_trial *trial, uint64_t rounds)
{
    return hand_on(trial, bench_of(trial)->sample(&view, rounds));
}

static int user_check(struct tb_trial *trial, uint64_t rounds)
{
    const weft_bench *bench = bench_of(trial);
    return bench->check ? hand_on(trial, bench->check(&view, rounds)) : 0;
}

static void user_close(struct tb_trial *trial)
{
    const weft_bench *bench = bench_of(trial);
    if (bench->close) {
        bench->close(&view);
    }
}

/* --- loading ---------------------------------------------------------------------------------- */

static int refuse(char error[TB_REASON_MAX], const char *path, const char *why)
{
    snprintf(error, TB_REASON_MAX, "cannot use '%.80s': %.100s", path, why);
    return -EINVAL;
}

static int add_load(const weft_bench *bench, const char *group, const char *path,
                    char error[TB_REASON_MAX])
{
    struct user_load *user = &all.loads[all.loads_n];
    char why[100];
    if (!bench->sample) {
        snprintf(why, sizeof why, "its workload '%.40s' has no sample", bench->name);
        return refuse(error, path, why);
    }
    if (tb_load_find(bench->name)) {
        snprintf(why, sizeof why, "there is a workload '%.40s' already", bench->name);
        return refuse(error, path, why);
    }
    user->bench = bench;
    user->load = (struct tb_load){.name = bench->name,
                                  .group = group,
                                  .about = bench->about ? bench->about : "",
                                  .op = bench->op ? bench->op : "round",
                                  .flags = bench->workers == 1 ? TB_LOAD_ALONE : 0,
                                  .open = user_open,
                                  .sample = user_sample,
                                  .check = user_check,
                                  .close = user_close};
    for (int i = 0; i < TB_PARAMS_MAX && bench->params[i].key; i++) {
        const weft_bench_param *p = &bench->params[i];
        user->load.params[i] =
            (struct tb_param){p->key, p->value, p->min, p->max, p->about ? p->about : ""};
    }
    all.loads_n++;
    return 0;
}

static void export_paths(void)
{
    static char list[TB_OBJECTS_MAX * PATH_MAX];
    list[0] = '\0';
    for (int i = 0; i < all.objects_n; i++) {
        strcat(list, i > 0 ? ":" : "");
        strcat(list, all.objects[i].path);
    }
    setenv(TB_USER_ENV, list, 1);
}

static int open_object(const char *path, const char *group, char error[TB_REASON_MAX])
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        return refuse(error, path, dlerror());
    }
    const int *abi = dlsym(object, "weft_bench_abi");
    const weft_bench *bench = dlsym(object, "weft_benches");
    if (!abi || !bench) {
        return refuse(error, path, "it defines no WEFT_BENCHES");
    }
    if (*abi != WEFT_BENCH_ABI) {
        return refuse(error, path, "it was built for another version of weft/bench.h");
    }
    int rc = bench->name ? 0 : refuse(error, path, "it has no workload");
    for (int i = 0; bench->name && rc == 0; bench++, i++) {
        rc = i == WEFT_BENCH_LOADS_MAX ? refuse(error, path, "it has too many workloads")
                                       : add_load(bench, group, path, error);
    }
    return rc;
}

bool tb_user_is_object(const char *argument)
{
    size_t n = strlen(argument);
    return strchr(argument, '/') && n > 3 && strcmp(argument + n - 3, ".so") == 0;
}

int tb_user_resolve(const char *path, char *out, size_t bytes, char error[TB_REASON_MAX])
{
    char real[PATH_MAX];
    if (!realpath(path, real)) {
        return refuse(error, path, strerror(errno));
    }
    if (strchr(real, ':') || strlen(real) >= bytes) {
        return refuse(error, path, "its path has a ':', or is too long");
    }
    memcpy(out, real, strlen(real) + 1);
    return 0;
}

int tb_user_load(const char *path, char group[TB_USER_GROUP], char error[TB_REASON_MAX])
{
    char real[PATH_MAX];
    if (!realpath(path, real)) {
        return refuse(error, path, strerror(errno));
    }
    const char *name = strrchr(real, '/') + 1;
    snprintf(group, TB_USER_GROUP, "%.*s", (int)(strlen(name) - strlen(".so")), name);
    for (int i = 0; i < all.objects_n; i++) {
        if (strcmp(all.objects[i].path, real) == 0) {
            return 0;
        }
    }
    if (all.objects_n == TB_OBJECTS_MAX || strchr(real, ':')) {
        return refuse(error, path,
                      all.objects_n == TB_OBJECTS_MAX ? "too many objects" : "its path has a ':'");
    }
    snprintf(all.objects[all.objects_n].path, PATH_MAX, "%s", real);
    snprintf(all.objects[all.objects_n].group, TB_USER_GROUP, "%s", group);
    int rc = open_object(real, all.objects[all.objects_n].group, error);
    if (rc == 0) {
        all.objects_n++;
        export_paths();
    }
    return rc;
}

int tb_user_load_environment(char error[TB_REASON_MAX])
{
    const char *list = getenv(TB_USER_ENV);
    char copy[TB_OBJECTS_MAX * PATH_MAX], group[TB_USER_GROUP];
    snprintf(copy, sizeof copy, "%s", list ? list : "");
    int rc = 0;
    char *rest = copy;
    for (char *path = strsep(&rest, ":"); path && rc == 0; path = strsep(&rest, ":")) {
        rc = path[0] ? tb_user_load(path, group, error) : 0;
    }
    return rc;
}

const struct tb_load *tb_user_at(int index)
{
    return index < all.loads_n ? &all.loads[index].load : NULL;
}
