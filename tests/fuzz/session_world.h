/* session_world.h -- what the files of fuzz_session share: the hub, its store, and its clients.
 *
 * An input is a list of decisions, one byte each; whatever it holds is a conversation.  Behind the
 * client that it plays each connection keeps what it was sent:
 *
 *     client -- copies, one for each channel: rights as told, names as told, acks, a replica
 *
 * so that after every step it can be asked whether the server said anything that is not stored, or
 * that this channel must not see, and in the end whether everyone holds the same. */
#ifndef FUZZ_SESSION_WORLD_H
#define FUZZ_SESSION_WORLD_H

#include "hub.h"
#include "hub_impl.h"
#include "tests/net/late_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Clients below HONEST say only what a right client says, so that what they hold can be judged. */
enum { CLIENTS = 4, HONEST = 2, COPIES = 8, DOCS = 4, PEERS = 6, MAX_PARTS = 64, ACKS = 64 };

struct world;
struct copy { /* what a client knows of one channel */
    struct world *world;
    uint32_t channel; /* 0: free */
    uint32_t client;
    char name[LIMIT_NAME_BYTES + 1];
    size_t name_len;
    bool open;  /* Opened came, Closed not */
    bool clean; /* nothing but right frames, from nothing on: must hold all in the end */
    uint32_t rights;
    uint64_t peer;
    uint32_t sent, acked;
    uint32_t owed;    /* credit to give back */
    syn_doc *replica; /* NULL: not kept */
    syn_str parts[MAX_PARTS];
    uint32_t part_count;
    struct proto_names down, up; /* as told by the server; by this client */
};

struct client {
    struct world *world;
    hub_conn *conn;
    uint32_t number;
    bool stopped, closing, welcome;
    char user[16];
    uint64_t features;
    uint32_t channel; /* the last that was opened */
    struct copy copies[COPIES];
};

struct ack { /* told to somebody: must be there in the end */
    int doc;
    uint64_t peer;
    uint32_t next;
};

struct world {
    const uint8_t *at;
    size_t left;
    hub *hub;
    syn_store *store;
    uint64_t now, random, sends;
    bool failing;      /* the store's allocator */
    bool revoked;      /* "b" of those who may not see "s" either */
    uint32_t deleting; /* bits: which documents are on their way out */
    uint64_t next_peer;
    struct client clients[CLIENTS];
    struct ack acks[ACKS];
    uint32_t ack_count;
    uint32_t next[PEERS]; /* seq that a made-up change uses if it is to be taken */
    struct late_work late;
    proto_arena *arena, *inner, *given;
    syn_buf last; /* frame: said again by somebody else */
};

static inline void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "fuzz_session: %s\n", what);
    abort();
}

static inline uint8_t byte(struct world *w)
{
    if (w->left == 0) return 0;
    w->left--;
    return *w->at++;
}

extern const char *const doc_names[DOCS];
int doc_index(syn_str name); /* -1: none of them */
uint32_t rights_of(const struct world *w, const char *user, syn_str document);

/* ---- session_reader.c */
/* Everything that the server sends. */
bool reader_takes(struct client *c, syn_str head, syn_str body);
struct copy *copy_find(struct client *c, uint32_t channel);
/* This client opened that channel; NULL: it keeps no more of them. */
struct copy *copy_asked(struct client *c, uint32_t channel, const struct msg_open *open);
void copy_free(struct copy *copy);
void client_forget(struct client *c);
void client_spoils(struct client *c); /* said something wrong: nothing can be expected any more */
void acks_forget(struct world *w, int doc);
/* At rest: replicas are equal to the hub's documents, those to the store's, and acks were true. */
void check_rest(struct world *w);

/* ---- session_frames.c */
void give(struct client *c, const struct frame *frame, bool broken);
void give_bytes(struct client *c, const void *bytes, size_t len);
void say_hello(struct client *c, uint64_t features, const char *token, bool broken);
struct copy *say_open(struct client *c, uint32_t doc, uint8_t flags);
/* A right edit of the replica, sent; `twisted`: with one number changed. */
void say_edit(struct client *c, struct copy *copy, bool twisted);
void edit_document(struct world *w, syn_doc *doc);
/* Anything, of that kind. */
void say_anything(struct client *c, uint32_t kind, bool broken);
/* What a client that reads owes. */
void pay_credit(struct client *c);

#endif
