/* target.h -- where a document is: at a server, or in a database file that nobody serves.
 *
 *     ws://...         syn_client, a copy in memory: level with the server before it is read; after
 *                      edits waited for until the server has them on disk
 *     FILE, to read    the store alone
 *     FILE, to edit    syn_client without a server: it notes which events are this file's own, so
 *                      that `sync` sends them later */
#ifndef SYN_CLI_TARGET_H
#define SYN_CLI_TARGET_H

#include "cli.h"
#include "doc_store.h"
#include "store.h"
#include "syncline_client.h"

enum target_use {
    TARGET_READ,    /* the document must be there */
    TARGET_HISTORY, /* ... with its history, as far as the target has it */
    TARGET_EDIT,    /* made by the first edit if it is not there */
};

struct target {
    const char *spec;
    syn_str name;
    enum target_use use;
    uint32_t timeout_ms;
    syn_client *client; /* server, or a file to edit */
    syn_client_doc *open;
    syn_store *store; /* a file to read */
    struct store_doc row;
    syn_doc *doc; /* between target_open and target_close; locked if it is a client's */
};

bool is_url(const char *spec);

/* Opens the document `name` of the target; EXIT_DONE, or what was said on stderr. */
int target_open(struct target *t, const char *spec, const char *name, enum target_use use,
                const char *timeout);
/* After edits: returns when they are durable. */
int target_save(struct target *t);
void target_close(struct target *t);

/* Says why a file (or URL) was refused; detail: what its opener wrote, which may name it. */
int file_failed(const char *path, syn_err err, const char *detail);
/* Opens a file that must be (or be made) ours; EXIT_DONE, or what was said. */
int open_file(syn_store **out, const char *path, bool create);
/* A client for a server, a local file, or both (the other NULL). */
int open_client(syn_client **out, const char *url, const char *file,
                void (*changed)(void *, syn_client_doc *), void *user);
/* Says why a wait for a server came to nothing. */
int wait_failed(const char *url, syn_str document, syn_err err, const char *reason);

/* --timeout SECONDS, 10 if NULL; 0: wrong, and said. */
uint32_t read_timeout(const char *text);

#endif
