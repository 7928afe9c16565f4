/* json_reader.h: reads a JSON text into a tree, for the tests of what taskbench writes. Strict:
 * what RFC 8259 does not allow is refused. Not for large or hostile input: all trees of a process
 * share JSON_ARENA bytes, which are never given back, and depth is the C stack's. */
#ifndef JSON_READER_H
#define JSON_READER_H

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define JSON_ARENA (4 << 20)

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    bool boolean;
    double number;
    char *string;        /* also the text of a number */
    struct json **items; /* of an array, or the values of an object */
    char **keys;         /* of an object */
    size_t n;
};

static struct json *json_value(const char **at);

/* Zeroed. */
static void *json_alloc(size_t bytes)
{
    static _Alignas(16) char arena[JSON_ARENA];
    static size_t used;
    void *out = arena + used;
    used += (bytes + 15) / 16 * 16;
    assert(used <= JSON_ARENA);
    return out;
}

static void json_blanks(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static struct json *json_new(enum json_kind kind)
{
    struct json *json = json_alloc(sizeof *json);
    json->kind = kind;
    return json;
}

/* Bytes up to the closing quote, which is not counted. */
static size_t json_text_bytes(const char *text)
{
    size_t n = 0;
    while (text[n] && text[n] != '"') { /* ends with the text */
        n += 1 + (text[n] == '\\' && text[n + 1]);
    }
    return n;
}

/* The text between quotes; \u escapes become '?': no test needs more. NULL: it is none. */
static char *json_text(const char **at)
{
    static const char escapes[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (**at != '"') {
        return NULL;
    }
    const char *c = *at + 1;
    char *out = json_alloc(json_text_bytes(c) + 1), *end = out;
    for (; (unsigned char)*c >= 0x20; c++) {
        if (*c == '"') {
            *at = c + 1;
            return out;
        }
        if (*c != '\\') {
            *end++ = *c;
            continue;
        }
        c++;
        if (*c == 'u' && strspn(c + 1, "0123456789abcdefABCDEF") >= 4) {
            *end++ = '?';
            c += 4;
        } else if (*c && strchr(escapes, *c)) {
            *end++ = values[strchr(escapes, *c) - escapes];
        } else {
            return NULL;
        }
    }
    return NULL;
}

static struct json *json_number(const char **at)
{
    const char *c = *at;
    c += *c == '-';
    if (!isdigit((unsigned char)*c) || (*c == '0' && isdigit((unsigned char)c[1]))) {
        return NULL;
    }
    char *end;
    struct json *json = json_new(JSON_NUMBER);
    json->number = strtod(*at, &end);
    json->string = memcpy(json_alloc((size_t)(end - *at) + 1), *at, (size_t)(end - *at));
    *at = end;
    return strpbrk(json->string, "xXnN") ? NULL : json; /* C's hexadecimals, inf and nan */
}

static bool json_add(struct json *json, char *key, struct json *item)
{
    if ((json->n & (json->n - 1)) == 0) { /* full: 0, 1, 2, 4 ... */
        size_t room = json->n ? 2 * json->n : 1;
        struct json **items = json_alloc(room * sizeof *items);
        char **keys = json_alloc(room * sizeof *keys);
        if (json->n > 0) {
            memcpy(items, json->items, json->n * sizeof *items);
            memcpy(keys, json->keys, json->n * sizeof *keys);
        }
        json->items = items;
        json->keys = keys;
    }
    json->items[json->n] = item;
    json->keys[json->n++] = key;
    return item != NULL;
}

static struct json *json_members(const char **at, enum json_kind kind)
{
    char closing = kind == JSON_OBJECT ? '}' : ']';
    struct json *json = json_new(kind);
    ++*at;
    json_blanks(at);
    if (**at == closing) {
        ++*at;
        return json;
    }
    for (;;) { /* ends: each turn takes a member, or fails */
        char *key = NULL;
        json_blanks(at);
        if (kind == JSON_OBJECT) {
            key = json_text(at);
            json_blanks(at);
            if (!key || *(*at)++ != ':') {
                return NULL;
            }
        }
        if (!json_add(json, key, json_value(at))) {
            return NULL;
        }
        json_blanks(at);
        char c = *(*at)++;
        if (c == closing) {
            return json;
        }
        if (c != ',') {
            return NULL;
        }
    }
}

static struct json *json_word(const char **at)
{
    static const struct {
        const char *text;
        struct json json;
    } words[] = {{"null", {.kind = JSON_NULL}},
                 {"true", {.kind = JSON_BOOL, .boolean = true}},
                 {"false", {.kind = JSON_BOOL}}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].text);
        if (strncmp(*at, words[i].text, n) == 0) {
            struct json *json = json_new(words[i].json.kind);
            json->boolean = words[i].json.boolean;
            *at += n;
            return json;
        }
    }
    return NULL;
}

static struct json *json_value(const char **at)
{
    json_blanks(at);
    switch (**at) {
    case '{':
        return json_members(at, JSON_OBJECT);
    case '[':
        return json_members(at, JSON_ARRAY);
    case '"': {
        struct json *json = json_new(JSON_STRING);
        json->string = json_text(at);
        return json->string ? json : NULL;
    }
    default:
        return **at == '-' || isdigit((unsigned char)**at) ? json_number(at) : json_word(at);
    }
}

/* The whole text; NULL: it is not JSON. */
static inline struct json *json_read(const char *text)
{
    struct json *json = json_value(&text);
    json_blanks(&text);
    return *text == '\0' ? json : NULL;
}

/* A member of an object; NULL: there is none of that name, or `json` is no object. */
static inline struct json *json_get(const struct json *json, const char *key)
{
    for (size_t i = 0; json && json->kind == JSON_OBJECT && i < json->n; i++) {
        if (strcmp(json->keys[i], key) == 0) {
            return json->items[i];
        }
    }
    return NULL;
}

#endif
