/* hub_world.h -- the hub alone over a store in memory, with a clock that is the test's.  Nothing
 * that comes out is kept, only counted. */
#ifndef TEST_NET_HUB_WORLD_H
#define TEST_NET_HUB_WORLD_H

#include "hub_impl.h"

enum { KINDS = 32 };

struct world {
    syn_store *store;
    hub *hub;
    uint64_t now, random;
    uint32_t rights;
    bool stopped;          /* the link takes nothing */
    bool no_presence;      /* of Open */
    uint32_t count[KINDS]; /* frames that came, by kind */
    size_t largest;
    uint32_t states; /* of Presence frames */
    uint32_t code;   /* of the last Nack, Closed or Error */
    bool permanent;
    uint32_t retry_ms;
    uint64_t credit; /* given in all */
    bool closed;
};

uint64_t draw(void *world); /* the next random number */
void start(struct world *w);
void stop(struct world *w);
void settle(struct world *w); /* until all that came is stored and answered */
void give_bytes(struct world *w, hub_conn *conn, syn_buf *buf);
void give(struct world *w, hub_conn *conn, const struct frame *frame);
hub_conn *connected_as(struct world *w, syn_str name);
hub_conn *connected(struct world *w);
void open_channel(struct world *w, hub_conn *conn, uint32_t channel, const char *name);
/* `count` letters at the end of what the peer typed before; nothing is settled. */
void type(struct world *w, hub_conn *conn, uint32_t channel, uint64_t peer, uint32_t seq,
          uint32_t count);

#endif
