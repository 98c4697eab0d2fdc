#include "http_text.h"

#include <stdarg.h>
#include <stdio.h>

void page_put(struct page *page, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof text &&
        syn_buf_append(&page->buf, text, (size_t)len) == SYN_OK)
        return;
    page->failed = true;
}

bool page_finish(struct page *page, const char *type, struct http_answer *out)
{
    if (page->failed) {
        syn_buf_free(&page->buf);
        return false;
    }
    out->type = type;
    out->body = page->buf.data;
    out->len = page->buf.len;
    return true;
}
