/* doc.c: see doc.h. One pass over the text; all nodes and strings lie in one block, which is large
 * enough from the start: a node for each two bytes of text is the most that there can be
 * ("[1,1,1"). */
#include "doc.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct tb_doc *doc;
    const char *text, *at, *end;
    int depth;
};

static int fail(struct reader *r, const char *what)
{
    if (!r->doc->error[0]) {
        size_t line = 1;
        for (const char *c = r->text; c < r->at && c < r->end; c++) {
            line += *c == '\n';
        }
        snprintf(r->doc->error, sizeof r->doc->error, "line %zu: %s", line, what);
    }
    return -EINVAL;
}

/* Zeroed; NULL cannot be: see above. */
static void *take(struct reader *r, size_t bytes)
{
    struct tb_doc *doc = r->doc;
    size_t rounded = (bytes + 7) / 8 * 8;
    if (rounded > doc->arena_bytes - doc->arena_used) {
        return NULL;
    }
    void *out = (char *)doc->arena + doc->arena_used;
    doc->arena_used += rounded;
    return memset(out, 0, bytes);
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
        r->at++;
    }
}

static bool accept(struct reader *r, char c)
{
    bool is_there = r->at < r->end && *r->at == c;
    r->at += is_there;
    return is_there;
}

/* --- strings ---------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits after \u; -1: they are not. */
static int read_unit(struct reader *r)
{
    int unit = 0;
    if (r->end - r->at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(r->at[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    r->at += 4;
    return unit;
}

/* UTF-8, three bytes at most for what \u can say; half of a surrogate pair becomes '?'. */
static char *put_unit(char *out, int unit)
{
    if (unit >= 0xd800 && unit < 0xe000) {
        *out++ = '?';
    } else if (unit < 0x80) {
        *out++ = (char)unit;
    } else if (unit < 0x800) {
        *out++ = (char)(0xc0 | unit >> 6);
        *out++ = (char)(0x80 | (unit & 0x3f));
    } else {
        *out++ = (char)(0xe0 | unit >> 12);
        *out++ = (char)(0x80 | (unit >> 6 & 0x3f));
        *out++ = (char)(0x80 | (unit & 0x3f));
    }
    return out;
}

static int read_escape(struct reader *r, char **out)
{
    static const char escapes[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) {
        return fail(r, "a string without its end");
    }
    char c = *r->at++;
    const char *known = c ? strchr(escapes, c) : NULL;
    if (known) {
        *(*out)++ = values[known - escapes];
        return 0;
    }
    int unit = c == 'u' ? read_unit(r) : -1;
    if (unit <= 0) {
        return fail(r, "an escape that there is not");
    }
    *out = put_unit(*out, unit);
    return 0;
}

/* After the opening quote. Escapes never grow: \uXXXX is six bytes for three. */
static int read_text(struct reader *r, const char **text)
{
    const char *close = r->at;
    while (close < r->end && *close != '"') { /* ends with the text */
        close += *close == '\\' ? 2 : 1;
    }
    if (close >= r->end) {
        return fail(r, "a string without its end");
    }
    char *out = take(r, (size_t)(close - r->at) + 1);
    if (!out) {
        return fail(r, "out of memory");
    }
    *text = out;
    while (r->at < close) {
        char c = *r->at++;
        if ((unsigned char)c < 0x20) {
            return fail(r, "a control character in a string");
        }
        if (c != '\\') {
            *out++ = c;
        } else if (read_escape(r, &out) < 0) {
            return -EINVAL;
        }
    }
    r->at = close + 1;
    return 0;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static size_t digits(const struct reader *r, const char *at)
{
    size_t n = 0;
    while (at + n < r->end && at[n] >= '0' && at[n] <= '9') {
        n++;
    }
    return n;
}

static int read_number(struct reader *r, double *number)
{
    char copy[64];
    const char *at = r->at;
    at += *at == '-';
    size_t whole = digits(r, at);
    if (whole == 0 || (whole > 1 && *at == '0')) {
        return fail(r, "a number that is none");
    }
    at += whole;
    if (at < r->end && *at == '.') {
        size_t part = digits(r, at + 1);
        if (part == 0) {
            return fail(r, "a number that is none");
        }
        at += 1 + part;
    }
    if (at < r->end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < r->end && (*at == '+' || *at == '-');
        size_t power = digits(r, at);
        if (power == 0) {
            return fail(r, "a number that is none");
        }
        at += power;
    }
    size_t n = (size_t)(at - r->at);
    if (n >= sizeof copy) {
        return fail(r, "a number of more than 63 characters");
    }
    memcpy(copy, r->at, n);
    copy[n] = '\0';
    *number = strtod(copy, NULL);
    r->at = at;
    return isfinite(*number) ? 0 : fail(r, "a number out of range");
}

/* --- values ----------------------------------------------------------------------------------- */

static int read_value(struct reader *r, struct tb_value *value);

static int read_member(struct reader *r, bool in_object, struct tb_value *value)
{
    const char *key = NULL;
    skip_blanks(r);
    if (in_object) {
        if (!accept(r, '"')) {
            return fail(r, "a member without a name");
        }
        if (read_text(r, &key) < 0) {
            return -EINVAL;
        }
        skip_blanks(r);
        if (!accept(r, ':')) {
            return fail(r, "a name without ':'");
        }
    }
    int rc = read_value(r, value);
    value->key = key;
    return rc;
}

static int read_members(struct reader *r, struct tb_value *value)
{
    bool in_object = value->kind == TB_OBJECT;
    char closing = in_object ? '}' : ']';
    const struct tb_value **link = &value->first;
    if (++r->depth > TB_DOC_DEPTH_MAX) {
        return fail(r, "nested too deeply");
    }
    skip_blanks(r);
    if (accept(r, closing)) {
        r->depth--;
        return 0;
    }
    for (;;) { /* ends: each turn takes a member, or fails */
        struct tb_value *member = take(r, sizeof *member);
        if (!member) {
            return fail(r, "out of memory");
        }
        int rc = read_member(r, in_object, member);
        if (rc < 0) {
            return rc;
        }
        *link = member;
        link = &member->next;
        value->n++;
        skip_blanks(r);
        if (accept(r, closing)) {
            r->depth--;
            return 0;
        }
        if (!accept(r, ',')) {
            return fail(r, "',' or the end of a list was expected");
        }
    }
}

static bool read_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

static int read_value(struct reader *r, struct tb_value *value)
{
    skip_blanks(r);
    if (accept(r, '{')) {
        value->kind = TB_OBJECT;
        return read_members(r, value);
    }
    if (accept(r, '[')) {
        value->kind = TB_ARRAY;
        return read_members(r, value);
    }
    if (accept(r, '"')) {
        value->kind = TB_TEXT;
        return read_text(r, &value->text);
    }
    if (read_word(r, "null")) {
        return 0;
    }
    value->kind = TB_BOOL;
    value->boolean = read_word(r, "true");
    if (value->boolean || read_word(r, "false")) {
        return 0;
    }
    value->kind = TB_NUMBER;
    return r->at < r->end ? read_number(r, &value->number) : fail(r, "it ends too early");
}

int tb_doc_read(struct tb_doc *doc, const char *text, size_t bytes)
{
    *doc = (struct tb_doc){0};
    if (bytes > TB_DOC_BYTES_MAX) {
        snprintf(doc->error, sizeof doc->error, "more than 64 MiB");
        return -EFBIG;
    }
    struct reader r = {.doc = doc, .text = text, .at = text, .end = text + bytes};
    /* memory of which no more is used than there are nodes: malloc does not touch it */
    doc->arena_bytes = (bytes / 2 + 2) * sizeof(struct tb_value) + 2 * bytes;
    doc->arena = malloc(doc->arena_bytes);
    if (!doc->arena) {
        snprintf(doc->error, sizeof doc->error, "no memory for %zu bytes", bytes);
        return -ENOMEM;
    }
    struct tb_value *root = take(&r, sizeof *root);
    int rc = read_value(&r, root);
    skip_blanks(&r);
    if (rc == 0 && r.at != r.end) {
        rc = fail(&r, "something follows the end");
    }
    doc->root = rc == 0 ? root : NULL;
    return rc;
}

static int slurp(FILE *file, char **text, size_t *bytes)
{
    size_t room = 1 << 16, n = 0;
    *text = malloc(room);
    while (*text) { /* ends: n grows to TB_DOC_BYTES_MAX, or the file ends */
        size_t got = fread(*text + n, 1, room - n, file);
        n += got;
        *bytes = n;
        if (got == 0) {
            return ferror(file) ? -EIO : 0;
        }
        if (n > TB_DOC_BYTES_MAX) {
            return -EFBIG;
        }
        if (n == room) {
            char *more = realloc(*text, room *= 2);
            if (!more) {
                return -ENOMEM;
            }
            *text = more;
        }
    }
    return -ENOMEM;
}

int tb_doc_load(struct tb_doc *doc, const char *path)
{
    *doc = (struct tb_doc){0};
    FILE *file = fopen(path, "re");
    if (!file) {
        int rc = -errno;
        snprintf(doc->error, sizeof doc->error, "cannot read '%.80s': %s", path, strerror(-rc));
        return rc;
    }
    char *text = NULL;
    size_t bytes = 0;
    int rc = slurp(file, &text, &bytes);
    fclose(file);
    if (rc < 0) {
        snprintf(doc->error, sizeof doc->error, "cannot read '%.80s': %s", path, strerror(-rc));
    } else {
        rc = tb_doc_read(doc, text, bytes);
        if (rc < 0) {
            char why[sizeof doc->error];
            memcpy(why, doc->error, sizeof why);
            snprintf(doc->error, sizeof doc->error, "'%.80s' is not JSON: %.60s", path, why);
        }
    }
    free(text);
    return rc;
}

void tb_doc_free(struct tb_doc *doc)
{
    free(doc->arena);
    *doc = (struct tb_doc){0};
}

const struct tb_value *tb_member(const struct tb_value *value, const char *key)
{
    if (!value || value->kind != TB_OBJECT) {
        return NULL;
    }
    const struct tb_value *member = value->first;
    while (member && strcmp(member->key, key) != 0) {
        member = member->next;
    }
    return member;
}

double tb_member_number(const struct tb_value *value, const char *key, double otherwise)
{
    const struct tb_value *member = tb_member(value, key);
    return member && member->kind == TB_NUMBER ? member->number : otherwise;
}

const char *tb_member_text(const struct tb_value *value, const char *key)
{
    const struct tb_value *member = tb_member(value, key);
    return member && member->kind == TB_TEXT ? member->text : NULL;
}
