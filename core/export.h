/* export.h -- filling the tables of peers and containers that an exported set or snapshot refers
 * to. */
#ifndef SYN_CORE_EXPORT_H
#define SYN_CORE_EXPORT_H

#include "doc.h"

struct exporter {
    syn_doc *doc;
    struct export_buffers *out;
    uint32_t caret, caret_container; /* position; 1 + index, 0: there is none yet */
};

/* Empties the buffers.  What was exported before is gone. */
syn_err export_begin(syn_doc *doc, struct exporter *ex);
/* Index in the exported table; added at the first use.  A container's parents come before it. */
syn_err export_agent(struct exporter *ex, uint32_t agent, uint32_t *index);
syn_err export_container(struct exporter *ex, syn_obj obj, uint32_t *index);

#endif
