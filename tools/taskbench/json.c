/* json.c: see json.h. */
#include "json.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>

static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(out, "\\%c", *c);
        } else if (*c < 0x20) {
            fprintf(out, "\\u%04x", *c);
        } else {
            fputc(*c, out);
        }
    }
    fputc('"', out);
}

/* What comes before a value: comma, line, indentation, key. Numbers of an array stay on one
 * line. */
static void begin_value(struct tb_json *json, const char *key, bool is_number)
{
    if (json->depth > 0) {
        bool *filled = &json->filled[json->depth - 1];
        bool inline_number = is_number && !key;
        fputs(*filled ? "," : "", json->out);
        if (inline_number) {
            fputs(*filled ? " " : "", json->out);
        } else {
            fprintf(json->out, "\n%*s", 2 * json->depth, "");
        }
        *filled = true;
    }
    if (key) {
        print_string(json->out, key);
        fputs(": ", json->out);
    }
}

void tb_json_open(struct tb_json *json, const char *key, char bracket)
{
    assert(json->depth < TB_JSON_DEPTH_MAX);
    begin_value(json, key, false);
    fputc(bracket, json->out);
    json->closing[json->depth] = bracket == '{' ? '}' : ']';
    json->filled[json->depth] = false;
    json->depth++;
}

void tb_json_close(struct tb_json *json)
{
    assert(json->depth > 0);
    json->depth--;
    char closing = json->closing[json->depth];
    if (closing == '}' && json->filled[json->depth]) {
        fprintf(json->out, "\n%*s", 2 * json->depth, "");
    }
    fputc(closing, json->out);
    if (json->depth == 0) {
        fputc('\n', json->out);
    }
}

void tb_json_null(struct tb_json *json, const char *key)
{
    begin_value(json, key, true);
    fputs("null", json->out);
}

void tb_json_text(struct tb_json *json, const char *key, const char *value)
{
    if (!value || !value[0]) {
        tb_json_null(json, key);
        return;
    }
    begin_value(json, key, false);
    print_string(json->out, value);
}

void tb_json_count(struct tb_json *json, const char *key, uint64_t value)
{
    begin_value(json, key, true);
    fprintf(json->out, "%" PRIu64, value);
}

void tb_json_bool(struct tb_json *json, const char *key, bool value)
{
    begin_value(json, key, true);
    fputs(value ? "true" : "false", json->out);
}

void tb_json_real(struct tb_json *json, const char *key, double value)
{
    if (!isfinite(value)) {
        tb_json_null(json, key);
        return;
    }
    begin_value(json, key, true);
    fprintf(json->out, "%.9g", value);
}

void tb_json_pair(struct tb_json *json, double x, double y)
{
    begin_value(json, NULL, true);
    fprintf(json->out, "[%.12g, %.9g]", x, y);
}
