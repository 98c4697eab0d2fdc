/* via.h -- a recorded session played through a running server: every agent is a client with a
 * connection of its own, all on one event loop. */
#ifndef SYN_CLI_VIA_H
#define SYN_CLI_VIA_H

#include "trace.h"

struct via;

/* Connects every agent of the record and opens the document named after it, which must not have
 * anything in it yet.  why: 256 bytes. */
syn_err via_open(struct via **out, const char *url, const struct trace_record *record, char *why);
void via_close(struct via *via);

/* Waits until the agent's client has received all parents of the txn from the server. */
syn_err via_receive(struct via *via, const struct trace_txn *txn, char *why);
/* Hands over what the agent did: into its client's copy and to the server. */
syn_err via_send(struct via *via, uint32_t agent, const syn_changes *set, char *why);
/* Waits until every client has everything and the server has it all on disk, then gives the texts
 * one after another: `visit` returns whether it is as expected. */
syn_err via_finish(struct via *via, uint64_t events,
                   bool (*visit)(void *user, uint32_t agent, const syn_doc *doc, syn_obj text),
                   void *user, char *why);

#endif
