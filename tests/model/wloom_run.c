/* wloom_run.c: the main() of every harness: which searches, how long, which mutants, and what is
 * printed.
 *
 * Each scenario is run in both memories: by a DFS first. Where that does not come to its end, BOUND
 * follows with 1 preemption, then 2, up to --bound, for as long as its executions last; a bound
 * that would not come to its end in what is left of them is not begun, since half of a search says
 * nothing but where it began. The largest bound that did is printed: "2+1" says that no execution
 * with at most 2 preemptions and 1 load of an old value fails; "0+1" that threads changed only
 * where one of them had to wait; "all" that no execution fails. RANDOM and PCT do not replace that,
 * nor are they replaced: they find in a few executions what a DFS that starts from the wrong end
 * would find in a year.
 *
 * Mutants show that the harness would notice. Each site of the sources under test that is stronger
 * than relaxed is weakened to relaxed (a fence is removed), and each read-modify-write is split
 * into a load and a store; the source itself is not touched. A mutant that no search of any
 * scenario kills must be in the harness's list of survivors, with a reason; one in the list that is
 * killed is an error too. The bounds: 2 preemptions are known to be too few for one mutant of the
 * Chase-Lev deque, 3 find it. */
#include "tests/model/wloom_engine.h"

#include "pool/base/compiler.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SURVIVOR_SHARE 0.2 /* of the executions, for a mutant that is known to survive */
/* So many times the executions are needed for a preemption more, at least: 20 to 260 for the first,
 * 14 to 60 for others in the scenarios of model_park. */
#define BOUND_GROWTH_FIRST 100
#define BOUND_GROWTH       20

struct budget {
    /* executions of each search, for each scenario and memory */
    uint64_t dfs, bound /* all of them together */, random, pct;
    uint64_t mutant_random, mutant_bound; /* the same for each mutant; PCT as random */
};
static const struct budget budget_default = {
    .dfs = 30000,
    .bound = 150000,
    .random = 20000,
    .pct = 20000,
    .mutant_random = 10000,
    .mutant_bound = 50000,
};

static struct {
    const struct wloom_harness *harness;
    const char *program;
    struct budget budget;
    double scale;
    int bound, old_bound, depth;
    uint64_t seed;
    const char *scenario; /* only this one; NULL: all */
    const char *memory;   /* only "sc" or "weak"; NULL: both */
    const char *search;   /* only this one; NULL: all */
    const char *replay;
    const char *mutant; /* only this site; NULL: all */
    const char *mutation;
    bool skip_mutants, only_mutants;
    int passed, failed;
    struct wloom_result result; /* of the last search; large */
} run;

static const char *const search_names[] = {"dfs", "bound", "random", "pct", "replay"};

/* --- sites ------------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_under_test(const struct wloom_site *site)
{
    for (const char *const *file = run.harness->under_test; file != NULL && *file != NULL; file++) {
        if (ends_with(site->file, *file)) {
            return true;
        }
    }
    return false;
}

/* The label that is defined at the beginning of a line of comment, "sync(area.name):"; false:
 * none. */
static bool read_label(const char *line, char *label)
{
    line += strspn(line, " \t/*");
    char name[64];
    int length = 0;
    if (sscanf(line, "sync(%63[^)]):%n", name, &length) != 1 || length == 0) {
        return false;
    }
    strcpy(label, name);
    return true;
}

/* The label of a site: the last one that a comment line above it begins with, with nothing in
 * between but comment and the beginning of the statement; else file:line. */
static void name_site(const struct wloom_site *site, char *name, size_t size)
{
    const char *slash = strrchr(site->file, '/');
    snprintf(name, size, "%s:%d", slash != NULL ? slash + 1 : site->file, site->line);
    FILE *file = fopen(site->file, "r");
    if (file == NULL) { /* its name is as the compiler was given it */
        fprintf(stderr, "%s: no %s from here: run it in the folder of the build\n", run.program,
                site->file);
        exit(2);
    }
    char line[512], label[64] = "";
    bool in_comment = false;
    for (int number = 1; number <= site->line && fgets(line, sizeof line, file) != NULL; number++) {
        bool was_in_comment = in_comment;
        const char *open = strstr(line, "/*");
        bool begins_comment = open != NULL && strspn(line, " \t") == (size_t)(open - line);
        if ((was_in_comment || begins_comment) && read_label(line, label)) {
            /* kept */
        } else if (!was_in_comment && !begins_comment && number < site->line &&
                   strpbrk(line, ";{}") != NULL) {
            label[0] = '\0'; /* the end of a statement: the label was another's */
        }
        const char *last_open = open, *last_close = NULL;
        for (const char *p = line; (p = strstr(p, "/*")) != NULL; p += 2) {
            last_open = p;
        }
        for (const char *p = line; (p = strstr(p, "*/")) != NULL; p += 2) {
            last_close = p;
        }
        if (last_open != NULL || last_close != NULL) {
            in_comment = last_close == NULL || (last_open != NULL && last_open > last_close);
        }
    }
    fclose(file);
    if (label[0] != '\0') {
        snprintf(name, size, "%s", label);
    }
}

static const char *order_name(const struct wloom_site *site)
{
    switch (site->order) {
    case WLOOM_RELAXED:
        return "relaxed";
    case WLOOM_ACQUIRE:
        return "acquire";
    case WLOOM_RELEASE:
        return "release";
    case WLOOM_ACQ_REL:
        return "acq_rel";
    case WLOOM_SEQ_CST:
        return "seq_cst";
    }
    return "?";
}

static const char *op_name(const struct wloom_site *site)
{
    static const char *const names[] = {"load", "store", "xchg", "add",
                                        "or",   "and",   "cas",  "fence"};
    return names[site->op];
}

static const char *mutation_name(enum wloom_mutation mutation)
{
    return mutation == WLOOM_SPLIT ? "split" : "relaxed";
}

/* --- one search ------------------------------------------------------------------------------- */

static uint64_t scaled(uint64_t executions)
{
    return (uint64_t)((double)executions * run.scale) + 1;
}

/* bound: of BOUND, preemptions. */
static bool search_within(const struct wloom_scenario *scenario, bool weak, enum wloom_search how,
                          uint64_t executions_max, int bound)
{
    struct wloom_plan plan = {
        .body = scenario->body,
        .weak = weak,
        .search = how,
        .bound = how == WLOOM_PCT ? run.depth : bound,
        .old_bound = run.old_bound,
        .seed = run.seed,
        .executions_max = executions_max,
    };
    wloom_check_plan(&plan, &run.result);
    return run.result.failed;
}

static bool search(const struct wloom_scenario *scenario, bool weak, enum wloom_search how,
                   uint64_t executions)
{
    return search_within(scenario, weak, how, scaled(executions), run.bound);
}

/* BOUND, a preemption more each time. The largest bound that came to its end; -1: not even 0. */
static int search_bounds(const struct wloom_scenario *scenario, bool weak, uint64_t executions)
{
    uint64_t left = scaled(executions), all = 0;
    double seconds = 0;
    int completed = -1;
    for (int bound = 0; bound <= run.bound; bound++) {
        bool failed = search_within(scenario, weak, WLOOM_BOUND, left, bound);
        all += run.result.executions;
        seconds += run.result.seconds;
        if (failed || !run.result.complete) {
            break;
        }
        completed = bound;
        left -= run.result.executions < left ? run.result.executions : left;
        if (left < (bound == 0 ? BOUND_GROWTH_FIRST : BOUND_GROWTH) * run.result.executions) {
            break;
        }
    }
    run.result.executions = all;
    run.result.seconds = seconds;
    return completed;
}

static void explain(const struct wloom_scenario *scenario, bool weak, const char *choices)
{
    static char copy[WLOOM_CHOICES];
    snprintf(copy, sizeof copy, "%s", choices);
    struct wloom_plan plan = {
        .body = scenario->body,
        .weak = weak,
        .search = WLOOM_REPLAY,
        .choices = copy,
        .explain = true,
    };
    wloom_check_plan(&plan, &run.result);
    printf("  => %s\n", run.result.failed ? run.result.why : "no failure");
}

static void report_failure(const struct wloom_scenario *scenario, bool weak, enum wloom_search how)
{
    printf("FAIL %s, %s memory, found by %s in execution %llu (seed %llu): %s\n", scenario->name,
           weak ? "weak" : "sc", search_names[how], (unsigned long long)run.result.executions,
           (unsigned long long)run.seed, run.result.why);
    printf("     again: %s --scenario %s --memory %s --replay %s\n", run.program, scenario->name,
           weak ? "weak" : "sc", run.result.choices);
    explain(scenario, weak, run.result.choices);
}

/* --- scenarios -------------------------------------------------------------------------------- */

static void count_verdict(bool passed)
{
    run.passed += passed;
    run.failed += !passed;
}

static void check_scenario(const struct wloom_scenario *scenario, bool weak)
{
    static const enum wloom_search searches[] = {WLOOM_DFS, WLOOM_BOUND, WLOOM_RANDOM, WLOOM_PCT};
    const uint64_t executions[] = {run.budget.dfs, run.budget.bound, run.budget.random,
                                   run.budget.pct};
    const char *expected = weak ? scenario->weak_fails : scenario->sc_fails;
    char row[256];
    int length = snprintf(row, sizeof row, "%-32s %-4s", scenario->name, weak ? "weak" : "sc");
    bool found = false, passed = true, is_all = false;
    double seconds = 0;
    for (size_t i = 0; i < WF_COUNT(searches); i++) {
        if ((run.search != NULL && strcmp(run.search, search_names[searches[i]]) != 0) ||
            (searches[i] == WLOOM_BOUND && is_all)) {
            length += snprintf(row + length, sizeof row - (size_t)length, " %8s %-5s", "", "");
            continue;
        }
        char mark[16] = "";
        if (searches[i] == WLOOM_BOUND) {
            int bound = search_bounds(scenario, weak, executions[i]);
            snprintf(mark, sizeof mark, bound < 0 ? "none" : "%d+%d", bound, run.old_bound);
        } else {
            (void)search(scenario, weak, searches[i], executions[i]);
            is_all = searches[i] == WLOOM_DFS && run.result.complete;
            snprintf(mark, sizeof mark, "%s", is_all ? "all" : "");
        }
        bool failed = run.result.failed;
        seconds += run.result.seconds;
        length += snprintf(row + length, sizeof row - (size_t)length, " %8llu %-5s",
                           (unsigned long long)run.result.executions, failed ? "found" : mark);
        found = found || failed;
        if (failed && (expected == NULL || strstr(run.result.why, expected) == NULL)) {
            report_failure(scenario, weak, searches[i]);
            passed = false;
            break;
        }
        if (expected != NULL && searches[i] == WLOOM_DFS && run.result.complete && !failed) {
            passed = false; /* an exhaustive search did not find what is there */
        }
    }
    passed = passed && found == (expected != NULL);
    printf("%s %6.1f s  %s\n", row, seconds,
           !passed            ? "FAIL"
           : expected != NULL ? "fails as it must"
                              : "ok");
    fflush(stdout);
    count_verdict(passed);
}

static bool is_selected(const struct wloom_scenario *scenario)
{
    return run.scenario == NULL || strcmp(run.scenario, scenario->name) == 0;
}

static void check_scenarios(void)
{
    printf("%s: seed %llu; executions of each search; all: it came to its end; 2+1: it did, with 2 "
           "preemptions and 1 old value\n",
           run.harness->name, (unsigned long long)run.seed);
    char pct[24];
    snprintf(pct, sizeof pct, "pct %d", run.depth);
    printf("%-32s %-4s %8s %5s %8s %5s %8s %5s %8s\n", "scenario", "mem", "dfs", "", "bound", "",
           "random", "", pct);
    for (const struct wloom_scenario *s = run.harness->scenarios; s->name != NULL; s++) {
        for (int weak = 0; weak < 2 && is_selected(s); weak++) {
            if (run.memory == NULL || strcmp(run.memory, weak ? "weak" : "sc") == 0) {
                check_scenario(s, weak != 0);
            }
        }
    }
}

/* --- mutants ---------------------------------------------------------------------------------- */

/* Tries all searches on all scenarios, quick ones first. The scenario that fails, and in *how by
 * what. */
static const struct wloom_scenario *kill(enum wloom_search *how, double share)
{
    static const enum wloom_search searches[] = {WLOOM_PCT, WLOOM_RANDOM, WLOOM_BOUND};
    for (size_t i = 0; i < WF_COUNT(searches); i++) {
        *how = searches[i];
        uint64_t executions =
            *how == WLOOM_BOUND ? run.budget.mutant_bound : run.budget.mutant_random;
        executions = (uint64_t)((double)executions * share);
        for (const struct wloom_scenario *s = run.harness->scenarios; s->name != NULL; s++) {
            if (!s->no_mutants && is_selected(s) && s->weak_fails == NULL &&
                search(s, true, *how, executions)) {
                return s;
            }
        }
    }
    return NULL;
}

static const struct wloom_survivor *expected_survivor(const char *site,
                                                      enum wloom_mutation mutation)
{
    const struct wloom_survivor *s = run.harness->survivors;
    for (; s != NULL && s->site != NULL; s++) {
        if (strcmp(s->site, site) == 0 && strcmp(s->mutation, mutation_name(mutation)) == 0) {
            return s;
        }
    }
    return NULL;
}

static void check_mutant(struct wloom_site *site, enum wloom_mutation mutation)
{
    char name[96];
    name_site(site, name, sizeof name);
    if (run.mutant != NULL &&
        (strcmp(run.mutant, name) != 0 ||
         (run.mutation != NULL && strcmp(run.mutation, mutation_name(mutation)) != 0))) {
        return;
    }
    site->mutation = mutation;
    const struct wloom_survivor *survivor = expected_survivor(name, mutation);
    enum wloom_search how;
    const struct wloom_scenario *killer = kill(&how, survivor != NULL ? SURVIVOR_SHARE : 1);
    printf("%-22s %-7s %-5s %-7s ", name, order_name(site), op_name(site), mutation_name(mutation));
    if (killer != NULL) {
        printf("killed by %s, %s %llu: %.60s%s\n", killer->name, search_names[how],
               (unsigned long long)run.result.executions, run.result.why,
               survivor != NULL ? "   FAIL: listed as a survivor" : "");
        if (run.mutant != NULL) {
            report_failure(killer, true, how);
        }
    } else {
        printf("survives: %s\n", survivor != NULL ? survivor->why : "FAIL: not in the list");
    }
    fflush(stdout);
    site->mutation = WLOOM_AS_WRITTEN;
    count_verdict((killer != NULL) == (survivor == NULL));
}

static bool is_rmw(const struct wloom_site *site)
{
    return site->op >= WLOOM_XCHG && site->op <= WLOOM_CAS;
}

/* Executes every site once, so that they are listed: a few random executions of each scenario. */
static void list_sites(void)
{
    for (const struct wloom_scenario *s = run.harness->scenarios; s->name != NULL; s++) {
        if (!s->no_mutants) {
            (void)search(s, true, WLOOM_RANDOM, 200);
        }
    }
}

static void check_mutants(void)
{
    if (run.harness->under_test == NULL) {
        return;
    }
    list_sites();
    printf("\n%s: mutants, weak memory; PCT and random %llu executions a scenario, bound %d+%d to "
           "%llu\n",
           run.harness->name, (unsigned long long)scaled(run.budget.mutant_random), run.bound,
           run.old_bound, (unsigned long long)scaled(run.budget.mutant_bound));
    for (struct wloom_site *site = wloom_sites; site != NULL; site = site->next) {
        if (!is_under_test(site)) {
            continue;
        }
        if (site->order != WLOOM_RELAXED) {
            check_mutant(site, WLOOM_WEAKENED);
        }
        /* a harness's own need not be split */
        if (is_rmw(site) && strstr(site->file, "model_") == NULL) {
            check_mutant(site, WLOOM_SPLIT);
        }
    }
}

/* --- main ------------------------------------------------------------------------------------- */

static int replay(void)
{
    for (const struct wloom_scenario *s = run.harness->scenarios; s->name != NULL; s++) {
        if (run.scenario != NULL && is_selected(s)) {
            explain(s, run.memory == NULL || strcmp(run.memory, "sc") != 0, run.replay);
            return run.result.failed ? 1 : 0;
        }
    }
    fprintf(stderr, "%s: --replay needs --scenario\n", run.program);
    return 2;
}

static int usage(void)
{
    printf(
        "usage: %s [options]\n"
        "  --scenario NAME   only this one            --memory sc|weak   only this memory\n"
        "  --search dfs|bound|random|pct              only this one\n"
        "  --bound N         preemptions, at most (3) --old N            loads of old values (1)\n"
        "  --depth N         of PCT (5)\n"
        "  --seed N          of random and PCT (1)    --scale X          multiplies all budgets "
        "(1.0)\n"
        "  --no-mutants      scenarios only           --only-mutants     mutants only\n"
        "  --mutant SITE[=relaxed|split]              only this mutant, and explain its death\n"
        "  --replay CHOICES  one execution of --scenario in --memory, step by step\n",
        run.program);
    return 2;
}

static bool parse(int argc, char **argv)
{
    enum {
        SCENARIO = 1,
        MEMORY,
        SEARCH,
        BOUND,
        OLD,
        DEPTH,
        SEED,
        SCALE,
        NO_MUTANTS,
        ONLY_MUTANTS,
        MUTANT,
        REPLAY
    };
    static const struct option options[] = {
        {"scenario", required_argument, NULL, SCENARIO},
        {"memory", required_argument, NULL, MEMORY},
        {"search", required_argument, NULL, SEARCH},
        {"old", required_argument, NULL, OLD},
        {"bound", required_argument, NULL, BOUND},
        {"depth", required_argument, NULL, DEPTH},
        {"seed", required_argument, NULL, SEED},
        {"scale", required_argument, NULL, SCALE},
        {"no-mutants", no_argument, NULL, NO_MUTANTS},
        {"only-mutants", no_argument, NULL, ONLY_MUTANTS},
        {"mutant", required_argument, NULL, MUTANT},
        {"replay", required_argument, NULL, REPLAY},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case SCENARIO:
            run.scenario = optarg;
            break;
        case MEMORY:
            run.memory = optarg;
            break;
        case SEARCH:
            run.search = optarg;
            break;
        case BOUND:
            run.bound = atoi(optarg);
            break;
        case OLD:
            run.old_bound = atoi(optarg);
            break;
        case DEPTH:
            run.depth = atoi(optarg);
            break;
        case SEED:
            run.seed = strtoull(optarg, NULL, 0);
            break;
        case SCALE:
            run.scale *= atof(optarg);
            break;
        case NO_MUTANTS:
            run.skip_mutants = true;
            break;
        case ONLY_MUTANTS:
            run.only_mutants = true;
            break;
        case MUTANT:
            run.mutant = strtok(optarg, "=");
            run.mutation = strtok(NULL, "=");
            run.only_mutants = true;
            break;
        case REPLAY:
            run.replay = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

int wloom_main(const struct wloom_harness *harness, int argc, char **argv)
{
    run.harness = harness;
    run.program = argv[0];
    run.budget = budget_default;
    run.scale = harness->share != 0 ? harness->share : 1.0;
    run.bound = 3;
    run.old_bound = 1;
    run.depth = 5;
    run.seed = 1;
    if (!parse(argc, argv)) {
        return usage();
    }
    if (run.replay != NULL) {
        return replay();
    }
    if (!run.only_mutants) {
        check_scenarios();
    }
    if (!run.skip_mutants) {
        check_mutants();
    }
    printf("%s: %d passed, %d failed\n", harness->name, run.passed, run.failed);
    return run.failed == 0 ? 0 : 1;
}
