/* http_text.h -- a page written piece by piece into a growing buffer. */
#ifndef SYN_HTTP_TEXT_H
#define SYN_HTTP_TEXT_H

#include "http_pages.h"

struct page {
    syn_buf buf;
    bool failed, first;
};

/* One piece, shorter than 512 bytes. */
void page_put(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* false: no memory, and nothing is kept. */
bool page_finish(struct page *page, const char *type, struct http_answer *out);

/* ---- http_metrics.c */
bool http_metrics(const struct http_pages *from, struct http_answer *out);

#endif
