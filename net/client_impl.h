/* client_impl.h -- what the files of the client library share.
 *
 *     application --lock--> syn_client_doc -- session_doc -- session --> ws_client --> server
 *                                |
 *                                +-- local file (store), in turns
 *
 * All of it belongs to one libev loop.  With a thread of its own the loop holds the mutex except
 * while it sleeps (ev_set_loop_release_cb); other threads take it, change the document, and wake
 * the loop, which sends and stores everything that has gathered just before it sleeps again.
 *
 * One turn of the local file is under way at a time; whatever changes meanwhile goes into the next.
 * Sending does not wait for the file: an edit that the server has and a crash took from the file
 * comes back from the server, and its id cannot be used twice, for every open draws a new peer. */
#ifndef SYN_CLIENT_IMPL_H
#define SYN_CLIENT_IMPL_H

#include "doc_store.h"
#include "session.h"
#include "syncline_client.h"
#include "ws_client.h"

#include <ev.h>
#include <pthread.h>

#define BRANCH_NAME    64u
#define NOTES_MS       1000u /* notes that only say that something is saved may wait */
#define STORE_RETRY_MS 1000u

struct branch {
    char name[BRANCH_NAME];
    syn_buf bytes;
    bool dirty, dropped;
};

struct syn_client_doc {
    syn_client *client;
    syn_client_doc *next;
    char name[LIMIT_NAME_BYTES + 1];
    size_t name_len;
    syn_doc *doc;
    session_doc *sd;
    bool was_live; /* caught up once since it was opened */
    bool refused;  /* edits were set aside since the last syn_client_edit() */
    uint32_t seen; /* log up to here was counted as unsaved, or came from others */

    /* the local file */
    struct store_doc row; /* as it was at loading */
    int64_t id;
    bool created; /* it has a row */
    bool rewrite; /* the whole log is to be written anew */
    bool lineage_dirty, notes_dirty, flying;
    uint32_t stored, flying_end;
    uint64_t notes_at;
    struct session_own *noted; /* own peers as the file has them */
    uint32_t noted_count;
    struct branch *branches;
    uint32_t branch_count;
};

struct syn_client {
    syn_client_config config;
    char *url, *file;
    struct ev_loop *loop;
    bool own_loop, stopping, running;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    ev_async wake;
    ev_prepare prepare;
    ev_timer timer;
    session *session;
    ws_client *ws;
    bool connecting, offline;
    syn_status told;
    syn_client_doc *docs;
    syn_store *store; /* NULL: memory only */
    bool flying;
    uint64_t store_at; /* after an error: not before */
    bool user_dirty;
    char user[LIMIT_USER_BYTES + 1], error[256];
};

uint64_t client_now(void);
uint64_t client_random(void);
void client_kick(syn_client *client); /* wakes the loop */

/* ---- client_store.c: the local file */
syn_err client_store_open(syn_client *client, char *detail);
void client_store_close(syn_client *client);
/* The file was used with this user, or is now his. */
bool client_store_user(syn_client *client, syn_str user);
syn_err client_store_load(syn_client_doc *cd, const syn_doc_config *config,
                          struct session_own **own, uint32_t *own_count, char *detail);
/* Puts everything that has changed into a turn, if none is under way. */
void client_store_flush(syn_client *client, bool notes_too);
/* ... and waits until nothing is left. */
void client_store_settle(syn_client *client);
bool client_store_clean(const syn_client_doc *cd);
uint64_t client_store_next(const syn_client *client); /* UINT64_MAX: nothing waits for time */
syn_err client_branch_add(syn_client_doc *cd, const char *code, const syn_changes *removed,
                          const char **name);
void client_doc_free(syn_client_doc *cd);

#endif
