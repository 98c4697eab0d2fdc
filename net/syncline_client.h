/* syncline_client.h -- documents kept level with a server: edit at once, online or not.
 *
 * A client owns one connection (or none: offline), a set of open documents and, when given one, a
 * local SQLite file where they rest.  Edits go into the local document first, are sent when there
 * is a connection, and count as saved when the server says that they are on its disk.  It
 * reconnects by itself (full-jitter backoff) and sends again what the server turns out to lack.
 *
 * Threads: a client without config.loop runs a thread of its own; all functions may then be called
 * from any thread, documents are touched only between syn_client_lock and syn_client_unlock,
 * callbacks run on the client's thread with the lock held.  With config.loop everything happens on
 * that libev loop.
 *
 * What survives: with a file, an edit is on the disk some milliseconds after syn_client_edited
 * (syn_client_wait says when), and sent without waiting for that.  A crash in between may take from
 * the file what the server has; it comes back from there, and no id is used twice, for every open
 * of a document writes under a new peer. */
#ifndef SYNCLINE_CLIENT_H
#define SYNCLINE_CLIENT_H

#include "syncline.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct syn_client syn_client;
typedef struct syn_client_doc syn_client_doc; /* one open document; the client's */

typedef enum {
    SYN_OFFLINE,    /* no connection, not trying (no URL, or syn_client_offline) */
    SYN_CONNECTING, /* trying, or waiting to try again */
    SYN_LIVE,       /* connected and caught up */
    SYN_SYNCING,    /* connected, catching up */
    SYN_REFUSED,    /* the server refused for good: see syn_client_doc_reason */
} syn_status;

typedef struct {
    uint32_t size;     /* = sizeof(syn_client_config) */
    const char *url;   /* "ws://host:port[/path]" or "wss://...", NULL: offline only */
    const char *ca;    /* wss: PEM file of the authorities to trust; NULL: the system's */
    const char *file;  /* local SQLite file, NULL: memory only.  Belongs to one (server, user) */
    const char *token; /* NULL: none */
    const char *name;  /* for the server's logs */
    void *loop;        /* struct ev_loop *, NULL: own thread */
    uint32_t backoff_min_ms,
        backoff_max_ms; /* 0: 200 and 30,000; waits are uniform in [0, bound) */
    void *user;         /* for the callbacks */
    /* Any may be NULL.  The document was changed by others: its event records say how (config
     * events are on for client documents); the client clears them after this returns. */
    void (*changed)(void *user, syn_client_doc *doc);
    void (*status)(void *user, syn_client_doc *doc,
                   syn_status status);              /* doc NULL: the connection */
    void (*saved)(void *user, syn_client_doc *doc); /* unsaved went down */
    /* The server refused edits for good; they were taken out of the document and kept under
     * `branch` in the local file (or memory), see syn_client_branch_*. */
    void (*rejected)(void *user, syn_client_doc *doc, const char *code, const char *detail,
                     const char *branch);
    void (*presence)(void *user, syn_client_doc *doc, uint32_t session, syn_str who, syn_str state,
                     bool gone);
} syn_client_config;
#define SYN_CLIENT_CONFIG_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(syn_client_config)                                                          \
    }

/* Does not wait for a connection.  detail: at least 256 bytes, why it was refused; may be NULL.
 * SYN_EBUSY: another process has the local file.  SYN_EMISUSE: URL, ca.  Others: as store_open. */
SYN_EXPORT syn_err syn_client_new(syn_client **out, const syn_client_config *config, char *detail);
/* Closes the connection and commits the local file.  Unsent edits stay in the file. */
SYN_EXPORT void syn_client_free(syn_client *client);

SYN_EXPORT void syn_client_lock(syn_client *client);
SYN_EXPORT void syn_client_unlock(syn_client *client);

/* Opens (or finds, when open already) a document by name.  Usable at once: with what the local file
 * has.  SYN_ELIMIT: name empty or above 255 bytes.  SYN_EDAMAGED, SYN_EIO: the local file. */
SYN_EXPORT syn_err syn_client_open(syn_client *client, syn_str name, syn_client_doc **out);
/* Stores what is not yet in the local file, leaves the document and frees it: cd and its syn_doc
 * are gone.  Without a file, edits that are not saved yet are lost. */
SYN_EXPORT syn_err syn_client_close_doc(syn_client *client, syn_client_doc *doc);

/* The document, from which everything is read and in which everything is edited (syn_text_insert
 * ...), under the lock.  A transaction must be ended before the lock is given back: others' changes
 * come in between. */
SYN_EXPORT syn_doc *syn_client_doc_state(syn_client_doc *doc);
/* Before edits: may they be made?  SYN_EDENIED: the server gave no right to write.  When the
 * document is refused for good: SYN_EDENIED, SYN_ENOTFOUND, SYN_EDELETED, SYN_EVERSION ...; edits
 * can be made all the same, but go nowhere. */
SYN_EXPORT syn_err syn_client_edit(syn_client_doc *doc);
/* After edits: stores and sends what was committed since, at the end of this round of the loop, all
 * of it in one frame.  Events of others that were applied from elsewhere (syn_import of a file) are
 * sent as well, before what stands on them; where the server does not take them from this user,
 * they and what stands on them are rejected (FOREIGN_PEER).  The event records are cleared here.
 * SYN_ENOMEM: to be called again. */
SYN_EXPORT syn_err syn_client_edited(syn_client_doc *doc);
SYN_EXPORT syn_str syn_client_doc_name(const syn_client_doc *doc);

SYN_EXPORT syn_status syn_client_doc_status(const syn_client_doc *doc);
SYN_EXPORT const char *syn_client_doc_reason(const syn_client_doc *doc); /* "" if there is none */
typedef struct {
    uint32_t events; /* not yet known to be on the server's disk */
    uint64_t bytes;
    uint64_t since_ms; /* age of the oldest */
} syn_unsaved;
SYN_EXPORT syn_unsaved syn_client_unsaved(const syn_client_doc *doc);

/* Waits until the document is caught up with the server and everything is saved, there and in the
 * local file.  SYN_EBUSY: timeout_ms passed (syn_client_doc_reason may say why).  SYN_EDENIED:
 * edits were refused for good since the last syn_client_edit().  Refused as a whole: as
 * syn_client_edit. SYN_ECLOSED: a client without URL.  Not under the lock.  With config.loop:
 * SYN_EMISUSE. */
SYN_EXPORT syn_err syn_client_wait(syn_client_doc *doc, uint32_t timeout_ms);
/* Waits only until caught up once (nothing said about saving).  SYN_ENOTFOUND: the server does not
 * have it (the first edit makes it).  Others as above. */
SYN_EXPORT syn_err syn_client_wait_live(syn_client_doc *doc, uint32_t timeout_ms);

/* Cut the connection and stay offline / try again now. */
SYN_EXPORT void syn_client_offline(syn_client *client);
SYN_EXPORT void syn_client_online(syn_client *client);

/* Presence: the application's own bytes about this session, sent whole, at most once per interval.
 * SYN_ELIMIT: more than 4,096 bytes. */
SYN_EXPORT syn_err syn_client_presence(syn_client_doc *doc, syn_str state, uint32_t ttl_ms);
/* A place in a text or list, as positions of today (scalars; items): equal ends are a caret, and a
 * selection may run backwards. */
typedef struct {
    syn_obj obj;
    size_t anchor, head;
} syn_selection;
/* What is selected here: told to the others beside the state, until it is told anew (0: nothing is
 * selected).  Under the lock.  SYN_ELIMIT: more than 64; SYN_ERANGE, SYN_EKIND; SYN_EMISUSE: not
 * all in one container. */
SYN_EXPORT syn_err syn_client_select(syn_client_doc *doc, const syn_selection *selections,
                                     size_t count);
/* What another session (of the presence callback) has selected, where that is now: ask again when
 * the document changed.  Selections upon events that are not here yet are left out.  Returns how
 * many there are, and fills in up to cap.  Under the lock. */
SYN_EXPORT size_t syn_client_selections(syn_client_doc *doc, uint32_t session, syn_selection *out,
                                        size_t cap);

/* Rejected work kept: visits branch names; exports one as Changes bytes; forgets one. */
SYN_EXPORT syn_err syn_client_branches(syn_client_doc *doc,
                                       syn_err (*visit)(void *, syn_str branch), void *user);
SYN_EXPORT syn_err syn_client_branch_read(syn_client_doc *doc, syn_str branch, syn_write_fn write,
                                          void *user);
SYN_EXPORT syn_err syn_client_branch_drop(syn_client_doc *doc, syn_str branch);

#ifdef __cplusplus
}
#endif
#endif
