/* session.h -- the client's side of the protocol: bytes in, bytes out, documents in between.
 *
 * Pure: time (milliseconds of any steady clock), random numbers, sending and storing come from the
 * caller; so the client library, the tests, the simulator and the browser run the same code.  One
 * thread.
 *
 *     session (one connection at a time) -- session_doc (one open document) -- syn_doc (the
 * owner's)
 *
 * A session outlives its connections: session_disconnected() keeps every document with what is not
 * known to be on the server's disk, and session_connected() opens them all again and sends what the
 * server turns out to lack (Opened.peer_next), nothing else.
 *
 * Documents are changed inside session_receive() and session_tick() only.  No transaction
 * (syn_begin) may be open then. */
#ifndef SYN_SESSION_H
#define SYN_SESSION_H

#include "proto.h"
#include "syncline_client.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct session session;
typedef struct session_doc session_doc;

/* What a session needs from the world.  Any but random and send may be NULL.  They may call
 * session_commit() and session_presence(), nothing else of the session that sends. */
struct session_port {
    void *user;
    uint64_t (*random)(void *user);
    /* One WebSocket message; copied or sent before it returns.  false: it was taken, but nothing
     * more until session_writable(). */
    bool (*send)(void *user, syn_str message);
    void (*close)(void *user, const char *reason); /* session_disconnected() follows, later */
    /* Welcome came.  false: do not go on with this server (the session then is refused). */
    bool (*welcome)(void *user, const struct msg_welcome *welcome);
    void (*status)(void *user, session_doc *sd); /* session_doc_status() is another one */
    void (*changed)(void *user,
                    session_doc *sd); /* events of others came in: doc's event records */
    void (*rebuilt)(void *user, session_doc *sd); /* the log was written anew: store all of it */
    void (*acked)(void *user, session_doc *sd);   /* unsaved went down */
    void (*lineage)(void *user, session_doc *sd); /* session_doc_lineage() is known now */
    /* Own events refused for good: taken out of the document; `removed` is the caller's to read
     * until this returns. */
    void (*rejected)(void *user, session_doc *sd, const char *code, syn_str detail,
                     const syn_changes *removed);
    void (*presence)(void *user, session_doc *sd, const struct msg_presence_state *state);
};

struct session_config {
    syn_str token, client;                   /* Hello; copied */
    uint32_t backoff_min_ms, backoff_max_ms; /* 0: 200 and 30,000 */
    uint32_t window_bytes; /* credit given to the server per document; 0: 256 KiB */
};

syn_err session_new(session **out, const struct session_port *port,
                    const struct session_config *config);
void session_free(session *s); /* the documents are the owner's; NULL is fine */

/* ---- The connection -------------------------------------------------------------------------- */

void session_connected(session *s, uint64_t now);
void session_disconnected(session *s, uint64_t now);
void session_receive(session *s, const void *bytes, size_t len, uint64_t now);
void session_writable(session *s, uint64_t now);
void session_tick(session *s, uint64_t now);
uint64_t session_next_tick(const session *s); /* UINT64_MAX: none needed */
bool session_live(const session *s);          /* between Welcome and the end */
/* When to connect again, chosen by session_disconnected(): full jitter, no earlier than the server
 * asked for.  UINT64_MAX: never, the server refused for good (session_reason()). */
uint64_t session_reconnect_at(const session *s);
void session_retry_now(session *s, uint64_t now);     /* forgets backoff and refusal */
const char *session_reason(const session *s);         /* "" if there is none */
syn_err session_set_token(session *s, syn_str token); /* used from now on; sent at once when live */

/* ---- Documents ------------------------------------------------------------------------------- */

struct session_own { /* a peer under which this copy wrote earlier */
    uint64_t peer;
    uint32_t acked; /* known to be on the server's disk; too low does no harm */
};

struct session_options {
    const uint8_t *lineage; /* 16 bytes, NULL: this copy never met a server */
    const struct session_own *own;
    uint32_t own_count;
    uint32_t rights; /* wanted; 0: all */
    bool history;    /* never by snapshot: the owner keeps the log */
    bool no_presence;
    /* Parts of the snapshot that doc was loaded from; copied.  Without them own events cannot be
     * taken out of a document that has no history. */
    const syn_str *base;
    uint32_t base_count;
};

/* doc stays the owner's and must live until session_detach(). It is given a new peer at once: a
 * number, which becomes a peer of the document with the first edit. */
syn_err session_attach(session *s, session_doc **out, syn_str name, syn_doc *doc, void *owner,
                       const struct session_options *options, uint64_t now);
void session_detach(session *s, session_doc *sd, uint64_t now);

/* Local events were committed, of about `bytes` bytes.  They are sent by session_flush(), all of
 * one moment in one frame. */
void session_commit(session_doc *sd, size_t bytes, uint64_t now);
void session_flush(session *s, uint64_t now);
/* These events came from elsewhere (another tab, a file) and were just applied: those of others are
 * sent like own ones, for the server may not have them yet and own edits will stand on them.  What
 * it does not take from this user is rejected, with all that stands on it. */
syn_err session_relay(session_doc *sd, const syn_changes *set, uint64_t now);

void *session_doc_owner(const session_doc *sd);
syn_doc *session_doc_state(const session_doc *sd);
syn_str session_doc_name(const session_doc *sd);
/* SYN_CONNECTING, SYN_SYNCING, SYN_LIVE, SYN_REFUSED. */
syn_status session_doc_status(const session_doc *sd);
const char *session_doc_reason(const session_doc *sd);     /* "CODE: detail", "" if there is none */
enum code session_doc_code(const session_doc *sd);         /* why it is SYN_REFUSED */
bool session_doc_exists(const session_doc *sd);            /* on the server, as far as is known */
uint32_t session_doc_rights(const session_doc *sd);        /* 0: not known yet */
const uint8_t *session_doc_lineage(const session_doc *sd); /* NULL: none */
syn_unsaved session_doc_unsaved(const session_doc *sd, uint64_t now);
/* Own peers with events that are not known to be saved, for the owner's notes. */
uint32_t session_doc_own(const session_doc *sd, struct session_own *out, uint32_t cap);

/* ---- Presence -------------------------------------------------------------------------------- */

/* The newest state wins; sent no more often than the server allows, and kept alive. */
syn_err session_presence(session_doc *sd, syn_str state, uint32_t ttl_ms, uint64_t now);
/* What is selected here, told together with the state: kept as cursors, so whoever opens the
 * channel later is told where it is then.  SYN_ELIMIT: more than LIMIT_CURSORS; SYN_ERANGE;
 * SYN_EMISUSE: not all in one container. */
syn_err session_select(session_doc *sd, const syn_selection *selections, size_t count,
                       uint64_t now);
/* What another session has selected, where that is now; those that stand on events which have not
 * come yet are left out until they have.  Returns how many there are, and fills in up to cap. */
size_t session_selections(session_doc *sd, uint32_t number, syn_selection *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
