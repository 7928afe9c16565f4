/* files.c: files below the root, with conditions and single ranges (RFC 9110).
 *
 * What a stranger named is opened with openat2(RESOLVE_BENEATH): the kernel sees to it that neither
 * "..", nor a link, nor a rename while we look leads out of the root. What is in the kernel's cache
 * of names is opened on the spot (RESOLVE_CACHED), else by weft_openat2, which waits.
 *
 * Several ranges at once are not answered one by one, which would be a way to have a file sent a
 * hundred times: the whole file is, as the standard allows. */
#define _GNU_SOURCE
#include "httpd.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/file.h>

#define PIECE_BYTES 32768 /* of a file, on the task's stack */

struct file {
    int fd;
    uint64_t bytes;
    int64_t modified_s;
    char etag[48];
    const char *type;
};

/* The part that is sent: `count` bytes from `first` on. */
struct range {
    uint64_t first, count;
};

/* --- finding ---------------------------------------------------------------------------------- */

/* A descriptor or -errno. O_NONBLOCK: a pipe in the tree must not keep us waiting. */
static int open_beneath(int directory, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED};
    long fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
    int error = fd < 0 ? errno : 0;
    if (error == EAGAIN || error == EINVAL) { /* not in the cache; or a kernel before 5.12 */
        how.resolve &= ~(uint64_t)RESOLVE_CACHED;
        return weft_openat2(directory, path, &how);
    }
    return error != 0 ? -error : (int)fd;
}

static int status_of(int rc)
{
    switch (rc) {
    case -EACCES:
    case -EPERM:
        return 403;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        return 503;
    case -ECANCELED:
        return rc;
    default: /* it is not there, or not below the root: which of them is nobody's business */
        return 404;
    }
}

static const char *type_of(const char *path)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".md", "text/plain; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".ico", "image/x-icon"},
        {".wasm", "application/wasm"},
        {".pdf", "application/pdf"},
    };
    size_t n = strlen(path);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t end = strlen(types[i].end);
        if (n >= end && strcmp(path + n - end, types[i].end) == 0) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* Fills in *file, whose descriptor is the caller's to close: 0; or a status, or -errno. */
static int find_file(struct httpd *server, const char *path, struct file *file)
{
    while (*path == '/') {
        path++;
    }
    struct stat about;
    file->type = type_of(path);
    file->fd = open_beneath(server->root, *path != '\0' ? path : ".");
    if (file->fd >= 0 && fstat(file->fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        int directory = file->fd;
        file->fd = open_beneath(directory, "index.html");
        file->type = type_of("index.html");
        weft_close(directory);
    }
    if (file->fd < 0) {
        return status_of(file->fd);
    }
    if (fstat(file->fd, &about) < 0 || !S_ISREG(about.st_mode)) {
        weft_close(file->fd);
        return 404;
    }
    file->bytes = (uint64_t)about.st_size;
    file->modified_s = about.st_mtim.tv_sec;
    (void)snprintf(file->etag, sizeof file->etag, "\"%llx-%llx-%llx\"",
                   (unsigned long long)about.st_size, (unsigned long long)about.st_mtim.tv_sec,
                   (unsigned long long)about.st_mtim.tv_nsec);
    return 0;
}

/* --- conditions and ranges -------------------------------------------------------------------- */

/* Is the etag in a list such as: "a", W/"b" */
static bool names_etag(const char *list, const char *etag)
{
    size_t n = strlen(etag);
    for (const char *at = list; (at = strstr(at, etag)) != NULL; at += n) {
        if (at[n] == '\0' || at[n] == ',' || at[n] == ' ') { /* an etag ends with its quote */
            return true;
        }
    }
    return strcmp(list, "*") == 0;
}

static bool is_not_modified(const struct request *request, const struct file *file)
{
    if (request->if_none_match[0] != '\0') {
        return names_etag(request->if_none_match, file->etag);
    }
    int64_t since = parse_date(request->if_modified_since);
    return since >= 0 && file->modified_s <= since;
}

/* A number of digits, which is stepped over: false if there is none, or it is too large. */
static bool parse_number(const char **text, uint64_t *out)
{
    const char *at = *text;
    *out = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (*out > (UINT64_MAX - 9) / 10) {
            return false;
        }
        *out = *out * 10 + (uint64_t)(*at - '0');
    }
    bool any = at != *text;
    *text = at;
    return any;
}

/* What of the file was asked for: 200 all of it, 206 *range, 416 nothing that it has. A range that
 * is not understood is as good as none. */
static int choose_range(const struct request *request, const struct file *file, struct range *range)
{
    *range = (struct range){0, file->bytes};
    const char *at = request->range;
    bool is_same = request->if_range[0] == '\0' || strcmp(request->if_range, file->etag) == 0 ||
                   parse_date(request->if_range) == file->modified_s;
    if (request->method != HTTP_GET || !is_same || strncmp(at, "bytes=", 6) != 0) {
        return 200;
    }
    at += 6;
    uint64_t first = 0, last = 0;
    if (*at == '-') { /* the last so many */
        at++;
        if (!parse_number(&at, &last) || *at != '\0') {
            return 200;
        }
        range->count = last < file->bytes ? last : file->bytes;
        range->first = file->bytes - range->count;
        return range->count > 0 ? 206 : 416;
    }
    if (!parse_number(&at, &first) || *at != '-') {
        return 200;
    }
    at++;
    bool is_open = *at == '\0';
    if (!is_open && (!parse_number(&at, &last) || *at != '\0' || last < first)) {
        return 200;
    }
    if (first >= file->bytes) {
        return 416;
    }
    last = is_open || last >= file->bytes ? file->bytes - 1 : last;
    *range = (struct range){first, last - first + 1};
    return 206;
}

/* --- answering -------------------------------------------------------------------------------- */

static int write_validators(struct exchange *x, const struct file *file)
{
    char date[30];
    format_date(file->modified_s, date);
    return weft_writer_printf(
        &x->writer, "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", file->etag, date);
}

/* The length has been promised: if the file has become shorter the connection has to end. */
static int send_range(struct exchange *x, const struct file *file, struct range range)
{
    char piece[PIECE_BYTES];
    int rc = 0;
    while (rc == 0 && range.count > 0) { /* ends: shrinks, or fails */
        size_t want = range.count < sizeof piece ? (size_t)range.count : sizeof piece;
        ssize_t n = weft_pread(file->fd, piece, want, (int64_t)range.first);
        if (n <= 0) {
            return n < 0 ? (int)n : -ENODATA;
        }
        rc = answer_body(x, piece, (size_t)n);
        range.first += (uint64_t)n;
        range.count -= (uint64_t)n;
    }
    return rc;
}

static int answer_found(struct exchange *x, const struct file *file)
{
    struct range range;
    if (is_not_modified(&x->request, file)) {
        int rc = answer_head(x, 304, NULL, 0);
        rc = rc == 0 ? write_validators(x, file) : rc;
        return rc == 0 ? answer_end_head(x) : rc;
    }
    int status = choose_range(&x->request, file, &range);
    if (status == 416) {
        char more[64];
        (void)snprintf(more, sizeof more, "Content-Range: bytes */%llu\r\n",
                       (unsigned long long)file->bytes);
        return answer_refusal(x, 416, more);
    }
    int rc = answer_head(x, status, file->type, range.count);
    rc = rc == 0 ? write_validators(x, file) : rc;
    if (rc == 0 && status == 206) {
        rc = weft_writer_printf(
            &x->writer, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)range.first,
            (unsigned long long)(range.first + range.count - 1), (unsigned long long)file->bytes);
    }
    rc = rc == 0 ? answer_end_head(x) : rc;
    return rc == 0 && x->request.method != HTTP_HEAD ? send_range(x, file, range) : rc;
}

int files_answer(struct exchange *x)
{
    struct file file;
    int rc = find_file(x->server, x->request.path, &file);
    if (rc == 0) {
        rc = answer_found(x, &file);
        weft_close(file.fd);
    }
    return rc;
}
