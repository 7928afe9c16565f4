/* json.h: writes JSON as it comes: commas, indentation and escapes are taken care of, the nesting
 * is the caller's.
 *
 *     tb_json_open(&j, NULL, '{');          {
 *     tb_json_text(&j, "name", "fib");        "name": "fib",
 *     tb_json_open(&j, "samples", '[');       "samples": [
 *     tb_json_real(&j, NULL, 1.5);              1.5
 *     tb_json_close(&j);                      ]
 *     tb_json_close(&j);                    } */
#ifndef TB_JSON_H
#define TB_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TB_JSON_DEPTH_MAX 16

/* Zero but for `out` is the beginning of a document. */
struct tb_json {
    FILE *out;
    int depth;
    char closing[TB_JSON_DEPTH_MAX]; /* of each open level */
    bool filled[TB_JSON_DEPTH_MAX];  /* whether it has a member already */
};

/* `key` is NULL in an array and for the document. `bracket` is '{' or '['. */
void tb_json_open(struct tb_json *json, const char *key, char bracket);
void tb_json_close(struct tb_json *json);

void tb_json_text(struct tb_json *json, const char *key, const char *value); /* NULL, "": null */
void tb_json_count(struct tb_json *json, const char *key, uint64_t value);
void tb_json_bool(struct tb_json *json, const char *key, bool value);
void tb_json_null(struct tb_json *json, const char *key);

/* [x, y], on one line, in an array. */
void tb_json_pair(struct tb_json *json, double x, double y);

/* Nine significant digits; null for what JSON has no number for. */
void tb_json_real(struct tb_json *json, const char *key, double value);

#endif
