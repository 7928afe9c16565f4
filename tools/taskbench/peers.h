/* peers.h: what bench/peers has measured: weft beside rivals and bare system calls, as its scripts
 * write it (build/peers/compute.json and build/peers/io/io.json, "weft.peers/1"), read and shown.
 * Nothing is measured here; cmd_peers.c starts the scripts.
 *
 * Terms. *part*: one of the two files. *row*: the same work by several *programs*, each with
 * *metrics*, which are medians over rounds. */
#ifndef TB_PEERS_H
#define TB_PEERS_H

#include "doc.h"
#include <stdio.h>

#define TB_PEERS_ERROR_MAX 300

enum tb_peers_part_kind { TB_PEERS_COMPUTE, TB_PEERS_IO, TB_PEERS_PARTS };

struct tb_peers_part {
    const char *name;
    struct tb_doc doc;
    char error[TB_PEERS_ERROR_MAX]; /* one line; "" */
};

/* The rows to be shown; n == 0: all. */
struct tb_peers_rows {
    const char *const *names;
    int n;
};

/* Where the part's script leaves its result, below the source tree. */
const char *tb_peers_path(enum tb_peers_part_kind kind);
const char *tb_peers_name(enum tb_peers_part_kind kind);

/* Reads the part from a file. 0; else -errno as tb_doc_load gives it, -EBADMSG: not what a script
 * writes; `error` is set. To be freed in either case. */
int tb_peers_load(struct tb_peers_part *part, enum tb_peers_part_kind kind, const char *path);
void tb_peers_free(struct tb_peers_part *part);

/* Programs in these rows that are neither weft's, nor bare, nor serial. -1: none of the rows is
 * there. */
int tb_peers_rivals(const struct tb_peers_part *part, const struct tb_peers_rows *rows);

/* Shows the rows: a table of at most 80 columns for each; the same as Markdown; a line per
 * metric. */
void tb_peers_table(const struct tb_peers_part *part, const struct tb_peers_rows *rows, FILE *out,
                    bool color);
void tb_peers_md(const struct tb_peers_part *part, const struct tb_peers_rows *rows, FILE *out);
void tb_peers_csv(const struct tb_peers_part *part, const struct tb_peers_rows *rows, FILE *out);

/* All parts as one document (bench/schema/taskbench-peers-1.json). */
void tb_peers_json(const struct tb_peers_part *parts, int n, const struct tb_peers_rows *rows,
                   FILE *out);

#endif
