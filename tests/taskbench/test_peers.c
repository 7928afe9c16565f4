/* What bench/peers measured, read and written again (peers.h). */
#include "json_schema.h"
#include "peers.h"
#include "tests/support/wt.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD                                                                             \
    "{\"schema\":\"weft.peers/1\",\"part\":\"io\",\"written\":\"2026-01-02T03:04:05Z\"," \
    "\"machine\":{\"cpu\":\"x\",\"cpus\":2,\"kernel\":\"6.1\"},\"missing\":[\"asio\"],\"rows\":"

static const struct tb_peers_rows all = {NULL, 0};

/* Reads `text` as the part io, by way of a file. */
static int load(struct tb_peers_part *part, const char *text)
{
    char path[] = "/tmp/test_peers.XXXXXX";
    int fd = mkstemp(path);
    wt_true(fd >= 0, "a file");
    wt_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "written");
    close(fd);
    int rc = tb_peers_load(part, TB_PEERS_IO, path);
    unlink(path);
    return rc;
}

Test(peers, json_is_as_its_schema_says)
{
    struct tb_peers_part part;
    wt_eq(load(&part,
               HEAD "[{\"row\":\"echo\",\"title\":\"an \\\"echo\\\"\",\"rounds\":3,\"programs\":["
                    "{\"program\":\"weft\",\"metrics\":{\"cpu_us\":5.25,\"of_ring\":1.05}}]}]}"),
          0);
    char *report = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&report, &bytes);
    tb_peers_json(&part, 1, &all, out);
    fclose(out);
    FILE *file = fopen(TASKBENCH_BENCH "/schema/taskbench-peers-1.json", "re");
    static char schema[1 << 16];
    wt_true(file != NULL, "the schema");
    (void)!fread(schema, 1, sizeof schema - 1, file);
    fclose(file);
    struct schema_check check = {.root = json_read(schema)};
    struct json *json = json_read(report);
    wt_true(check.root && json, "both are JSON");
    wt_true(schema_holds(&check, check.root, json, ""), "%s", check.error);
    wt_true(strstr(report, "5.25") && strstr(report, "an \\\"echo\\\""), "%s", report);
    free(report);
    tb_peers_free(&part);
}

Test(peers, rivals_are_who_is_neither_ours_nor_bare)
{
    struct tb_peers_part part;
    wt_eq(load(&part,
               HEAD "[{\"row\":\"a\",\"title\":\"a\",\"programs\":["
                    "{\"program\":\"weft_epoll\",\"metrics\":{}},{\"program\":\"bare_ring\","
                    "\"metrics\":{}},"
                    "{\"program\":\"serial\",\"metrics\":{}},{\"program\":\"go\",\"metrics\":{}}]},"
                    "{\"row\":\"b\",\"title\":\"b\",\"programs\":[{\"program\":\"weft\","
                    "\"metrics\":{}}]}]}"),
          0);
    struct tb_peers_rows b = {(const char *const[]){"b"}, 1},
                         none = {(const char *const[]){"c"}, 1};
    wt_eq(tb_peers_rivals(&part, &all), 1);
    wt_eq(tb_peers_rivals(&part, &b), 0);
    wt_eq(tb_peers_rivals(&part, &none), -1);
    tb_peers_free(&part);
}

/* Each is refused with one line, and none of them is shown. */
Test(peers, what_no_script_writes_is_refused)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{\"schema\":\"weft.peers/2\",\"part\":\"io\",\"written\":\"x\",\"rows\":[]}",
        "{\"schema\":\"weft.peers/"
        "1\",\"part\":\"compute\",\"written\":\"x\",\"rows\":[{\"row\":\"a\"}]}",
        HEAD "[]}",
        HEAD "{}}",
        HEAD "[1]}",
        HEAD "[{\"row\":\"a\",\"title\":\"a\"}]}",
        HEAD "[{\"row\":\"a\",\"title\":\"a\",\"programs\":[]}]}",
        HEAD "[{\"row\":\"a\",\"title\":\"a\",\"programs\":[{\"program\":\"x\"}]}]}",
        HEAD "[{\"row\":\"a\",\"title\":\"a\",\"programs\":[{\"program\":\"x\",\"metrics\":[]}]}]}",
        HEAD "[{\"row\":\"a\",\"title\":\"a\",\"programs\":[{\"program\":\"x\",\"metrics\":{\"y\":"
             "\"z\"}}]}]}",
        HEAD "[{\"row\":3,\"title\":\"a\",\"programs\":[{\"program\":\"x\",\"metrics\":{}}]}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tb_peers_part part;
        wt_true(load(&part, texts[i]) < 0, "text %zu", i);
        wt_true(part.error[0] && !strchr(part.error, '\n'), "text %zu: '%s'", i, part.error);
        tb_peers_free(&part);
    }
}
