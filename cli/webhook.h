/* webhook.h -- `serve --webhooks FILE`: tells other programs over HTTP which documents changed.
 *
 * The file is JSON:
 *
 *     {"hooks": [{"name": "search", "url": "https://search.example/changed", "secret": "whsec_...",
 *                 "documents": "notes/ *", "quiet_ms": 1000, "latest_ms": 10000}]}
 *
 * (without the blank in "notes/ *").  name: where this hook stands is kept under it in the
 * database. documents: a pattern, `*` stands for any bytes; all, if it is left out.  A batch is
 * sent when nothing came for quiet_ms, at the latest latest_ms after its first change.  It is a
 * POST in the form of standardwebhooks.com, so that its libraries can check it:
 *
 *     webhook-id: search-42.7   webhook-timestamp: 1774310400   webhook-signature: v1,BASE64
 *     {"type": "documents.changed", "timestamp": "2026-03-24T00:00:00Z", "data": {"documents": [
 *         {"document": "notes/a", "commit_seq": 42, "events": 12},
 *         {"document": "notes/b", "deleted": true}]}}
 *
 * deleted and events together: it was deleted, and is there anew.  Any status of 200 to 299 is a
 * yes; 410 ends the hook until the server starts again; after anything else the same batch is sent
 * again, first after a second, then more rarely, at least every five minutes.  Only after a yes the
 * cursor moves, on the disk: whatever ends or restarts in between, every change is told at least
 * once. */
#ifndef SYN_CLI_WEBHOOK_H
#define SYN_CLI_WEBHOOK_H

#include "syncline_server.h"

typedef struct webhooks webhooks;

/* Reads the file.  NULL: detail (256 bytes) says why not. */
webhooks *webhooks_read(const char *path, bool log_json, char *detail);
/* One thread a hook. */
syn_err webhooks_start(webhooks *hooks, syn_server *server);
/* Something changed; from any thread. */
void webhooks_wake(webhooks *hooks);
/* Before the server stops: waits for the threads, which give up what they are sending (it is sent
 * again after the next start).  NULL is fine. */
void webhooks_end(webhooks *hooks);
/* After the server has stopped, for it wakes them to the last.  NULL is fine. */
void webhooks_free(webhooks *hooks);

/* ---- webhook_post.c: one request */

struct webhook_key {
    unsigned char bytes[256];
    size_t len;
};
/* "whsec_" and base64, as the standard has it, or the bytes themselves; 16 at least. */
bool webhook_read_key(struct webhook_key *out, const char *text);

struct webhook_request {
    const char *url, *id, *body;
    const struct webhook_key *key; /* NULL: not signed */
    bool (*stop)(void *user);      /* asked several times a second while it waits */
    void *user;
};
/* The HTTP status; 0: none, and why (200 bytes) says so. */
long webhook_post(const struct webhook_request *request, char *why);

#endif
