/* doc.h: reads JSON: budgets, stored results, schemas of users. Any input is accepted or refused
 * with a line; none makes it crash, hang or use memory out of proportion.
 *
 * Strict as RFC 8259 is, but for what it leaves open: depth is at most TB_DOC_DEPTH_MAX, a file at
 * most TB_DOC_BYTES_MAX; of members with one name the first counts; a NUL in a string is
 * refused. */
#ifndef TB_DOC_H
#define TB_DOC_H

#include <stdbool.h>
#include <stddef.h>

#define TB_DOC_DEPTH_MAX 64
#define TB_DOC_BYTES_MAX (64u << 20)

enum tb_kind { TB_NULL, TB_BOOL, TB_NUMBER, TB_TEXT, TB_ARRAY, TB_OBJECT };

struct tb_value {
    enum tb_kind kind;
    bool boolean;
    double number;
    const char *text;             /* of TB_TEXT */
    const char *key;              /* in an object */
    const struct tb_value *first; /* member or item; NULL: none */
    const struct tb_value *next;  /* in the same object or array */
    size_t n;                     /* members or items */
};

/* All of it belongs to the document, until tb_doc_free. */
struct tb_doc {
    const struct tb_value *root;
    char error[160]; /* one line, which names the file if there is one; "" */
    void *arena;
    size_t arena_bytes, arena_used;
};

/* `text` need not be kept. 0; -EINVAL: it is not JSON, -ENOMEM; `error` says where. */
int tb_doc_read(struct tb_doc *doc, const char *text, size_t bytes);

/* The same of a file. Other errors: -errno of open and read, -EFBIG. */
int tb_doc_load(struct tb_doc *doc, const char *path);

/* Also after a failure. */
void tb_doc_free(struct tb_doc *doc);

/* A member; NULL: there is none, or `value` is NULL or no object. */
const struct tb_value *tb_member(const struct tb_value *value, const char *key);

/* The member's number, or `otherwise`; its text, or NULL. */
double tb_member_number(const struct tb_value *value, const char *key, double otherwise);
const char *tb_member_text(const struct tb_value *value, const char *key);

#endif
