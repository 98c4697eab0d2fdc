/* omitted.c -- what a browser does without.
 *
 * A client here always opens documents with their history (Open.history), for it may work offline,
 * and its own edits may have to be taken out again; so no server sends it a Snapshot, and the code
 * that reads them, a tenth of the engine, stays out. */
#include "web.h"
#include "wire.h"

syn_err decode_snapshot(struct decoding *d, const void *bytes, size_t len, struct msg_snapshot *out)
{
    (void)bytes;
    (void)len;
    (void)out;
    return refuse(d->fault, CODE_VERSION, "Snapshot: not read here");
}

syn_err proto_join_snapshot(proto_arena *arena, const syn_str *parts, uint32_t count,
                            syn_snapshot *out, uint64_t *digest, struct proto_fault *fault)
{
    (void)arena;
    (void)parts;
    (void)count;
    (void)out;
    (void)digest;
    return refuse(fault, CODE_VERSION, "Snapshot: not read here");
}
