/* web.h -- what the files of the binding share. */
#ifndef SYN_WEB_H
#define SYN_WEB_H

#include "proto.h"
#include "session.h"

#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("syncline"), import_name(#name)))

enum { WEB_OUT = 32, WEB_SCRATCH = 64 * 1024 };

extern uint32_t web_out[WEB_OUT];
extern char web_scratch[WEB_SCRATCH];
void web_out_u64(uint32_t at, uint64_t v);
void web_out_bytes(uint32_t at, const void *data, size_t len);
void *web_try_malloc(size_t size); /* NULL if there is no more; malloc does not return then */

struct web_doc {
    syn_doc *doc;
    session_doc *sd; /* NULL: not attached */
    uint32_t id;     /* JavaScript's number for it */
    syn_buf bytes;   /* of the last export */
};

/* What JavaScript gives: 32 random bits; and where the session's news go. */
IMPORT(random) uint32_t web_random(void);
IMPORT(event) uint32_t web_event(uint32_t kind, uint32_t doc, const void *data, size_t len);

#endif
