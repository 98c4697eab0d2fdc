/* session_impl.h -- what the files of the session share.
 *
 * A document knows its own peers and how far each has come:
 *
 *     own peer    |== acked ==|-- sent --|.. not sent ..|
 *                 0         acked       sent          syn_doc_next()
 *
 * "Held from the server" is everything in the document but own events from acked on; Open.version
 * names exactly that set.  What goes out next is found by a cursor over the document's log
 * (send_at): events of own peers from `sent` on, in the order of the log, which is causal.
 *
 * Others' events that the server lacks (a restored server asks for them; another tab or a file
 * brought them) are sent the same way: their peers join the list as `foreign`.  Open does not name
 * them, for they can be many.  Which of their events the server lacks is seen when all that it had
 * at Opened is here: those that are not below its heads.  Nothing is sent before that (`unsure`).
 *
 * The whole state of a channel falls with its connection; peers, marks and presence stay. */
#ifndef SYN_SESSION_IMPL_H
#define SYN_SESSION_IMPL_H

#include "session.h"
#include "change.h"
#include "mem.h"

/* Content of one frame: others' frames on the same line get in between. */
#define SEND_PIECE (64u * 1024u)
/* Spans of own events, with others' between them, that one frame gathers. */
#define SEND_SPANS 64u
/* Events that may be gathered from several spans: each is small, so no frame gets too large. */
#define SEND_GATHER  512u
#define MARKS        64u
#define REASON_BYTES 320u

/* Why bytes were refused; a build without sentences (SYN_SMALL) has the error's. */
static inline const char *fault_text(const struct proto_fault *fault, syn_err err)
{
    return fault->text[0] != '\0' ? fault->text : syn_strerror(err);
}

struct own_peer {
    uint64_t peer;
    uint32_t acked, sent;
    uint32_t chain_at; /* chain is the hash chain over the events below */
    uint64_t chain;
    uint32_t theirs; /* forked: the server has its own events up to here */
    bool listed;     /* named in the channel's Open */
    bool unasked;    /* did not fit into Open: nothing is sent before it was listed */
    bool foreign;    /* another's events, which the server lacks */
    bool forked;     /* the server has other events under these ids */
    bool refused;    /* as another's: what it has of it is asked before the tail is renamed */
};

struct mark { /* own events by the time they were made, oldest first */
    uint64_t at;
    uint64_t bytes;
    uint32_t events;
};

enum channel_state {
    CHANNEL_NONE,
    CHANNEL_WAITING, /* opened again at retry_at */
    CHANNEL_OPENING,
    CHANNEL_OPEN,
    CHANNEL_REFUSED,
};

struct part_list {
    syn_str *at;
    uint32_t count, cap;
};

struct history { /* sets below the snapshot, until they are complete */
    syn_changes **at;
    uint32_t count, cap, next;
    uint64_t events;
    bool on;
};

struct session_doc {
    session *s;
    session_doc *next;
    void *owner;
    syn_doc *doc;
    char name[LIMIT_NAME_BYTES + 1];
    size_t name_len;
    uint8_t lineage[LIMIT_LINEAGE_BYTES];
    bool has_lineage, want_history, no_presence;
    uint32_t want_rights;

    struct own_peer *peers;
    uint32_t peer_count, peer_cap;
    uint64_t peer; /* of edits made now */

    enum channel_state state;
    uint32_t channel;
    uint64_t channel_peer; /* Open.peer */
    uint64_t retry_at;     /* WAITING: open; OPEN: send again */
    uint32_t failures;     /* channels lost in a row, for the wait before the next */
    uint32_t rights, session_number;
    bool exists, caught_up;
    bool unsure;     /* what the server lacks of others' is not known yet */
    bool helping;    /* it asked for that itself */
    bool one_by_one; /* a frame was refused: each peer's events in frames of their own */
    syn_id *wanted;  /* heads of the server at Open */
    uint32_t wanted_count;

    struct proto_names in, out; /* of the channel, with FEATURE_NAMES; else not begun */

    uint32_t send_at, max_events;
    size_t max_bytes;
    bool credited;
    int64_t credit;
    uint32_t give_back;

    uint64_t snapshot_id;
    struct part_list incoming; /* parts so far */
    uint32_t incoming_total;
    struct part_list base; /* of the snapshot that doc stands on */
    uint64_t base_events;
    bool on_snapshot; /* of this channel: history is pushed before what is concurrent to it */
    bool want_whole;  /* of an earlier channel, and something concurrent came: the next has all */
    struct history history;

    struct mark marks[MARKS];
    uint32_t mark_count;

    syn_buf presence; /* the application's state */
    syn_cursor (*selected)[2];
    uint32_t selected_count;
    struct other *others; /* who told where his selections are */
    uint32_t other_count, other_cap;
    uint32_t presence_ttl;
    bool presence_set, presence_due;
    uint64_t presence_at, presence_renew;

    syn_status told;
    enum code code;
    char reason[REASON_BYTES];
};

enum link_state { LINK_DOWN, LINK_HELLO, LINK_LIVE };

struct session {
    struct session_port port;
    char *token, *client;
    size_t token_len, client_len;
    uint32_t backoff_min, backoff_max, window;
    enum link_state link;
    bool closing; /* the port was asked to close */
    bool blocked;
    uint64_t now, heard, pinged;
    uint32_t heartbeat;
    uint64_t features;
    struct msg_limits limits;
    uint32_t last_channel;
    uint32_t attempts, retry_ms;
    uint64_t reconnect_at;
    bool refused;
    char reason[REASON_BYTES];
    session_doc *docs;
    proto_arena *arena, *inner;
    syn_buf out, body;
};

/* ---- session.c */
void session_send(session *s, const struct frame *frame);
void session_send_bytes(session *s, syn_str bytes);
uint64_t session_random(session *s);
uint64_t session_jitter(session *s, uint64_t below); /* uniform in [0, below) */
void session_hang_up(session *s, const char *reason);
void doc_status(session_doc *sd); /* tells the port if it is another one */
/* Leaves the channel and opens the document on a new one after `wait` ms and a jitter. */
void doc_resync(session_doc *sd, uint64_t wait, const char *why);
void doc_give_up(session_doc *sd, enum code code, syn_str detail);
void doc_channel_reset(session_doc *sd);
bool grow(void **at, uint32_t count, uint32_t *cap, size_t size);
void parts_free(struct part_list *parts);
syn_err parts_add(struct part_list *parts, syn_str bytes);

/* ---- session_open.c: what the server has and what it lacks */
void doc_open(session_doc *sd);
void handle_opened(session_doc *sd, const struct msg_opened *opened);
void handle_want(session_doc *sd, const struct msg_want *want);
void doc_check_caught_up(session_doc *sd);
/* chain over own events below n; false: they are not all here. */
bool own_chain(session_doc *sd, struct own_peer *p, uint32_t n, uint64_t *chain);

/* What Changes of the server without tables speak of. */
struct proto_tables doc_tables(const session_doc *sd);

/* ---- session_send.c: own events out, acks and nacks in */
struct own_peer *own_find(const session_doc *sd, uint64_t peer);
syn_err own_add(session_doc *sd, uint64_t peer, struct own_peer **out);
void own_prune(session_doc *sd);
bool any_foreign(const session_doc *sd);
uint32_t own_next(const session_doc *sd, const struct own_peer *p);
uint32_t doc_unacked(const session_doc *sd);
/* A new peer for edits from now on. */
syn_err doc_new_peer(session_doc *sd);
void doc_send_restart(session_doc *sd);
void doc_pump(session_doc *sd);
void own_acked(session_doc *sd, struct own_peer *p, uint32_t next);
void marks_settle(session_doc *sd);
void handle_ack(session_doc *sd, const struct msg_ack *ack);
void handle_nack(session_doc *sd, const struct msg_nack *nack);

/* ---- session_presence.c: where one is, where others are */
void doc_presence_free(session_doc *sd);
void doc_presence_reset(session_doc *sd); /* the channel is gone, and with it the others */
void doc_presence_tick(session_doc *sd);
uint64_t doc_presence_next(const session_doc *sd); /* UINT64_MAX: nothing waits for time */
void handle_presence(session_doc *sd, const struct msg_presence *presence, syn_str frame);

/* ---- session_recv.c: others' events in */
void handle_changes(session_doc *sd, const syn_changes *set);
void handle_packed(session_doc *sd, const struct msg_packed *packed);
void handle_snapshot(session_doc *sd, const void *frame, size_t len);
void history_free(struct history *history);

/* ---- session_fork.c: own events taken out, or under another peer */
void doc_set_aside(session_doc *sd, uint64_t peer, uint32_t from, enum code code, syn_str detail);
/* The tail of `peer` from `from` on goes under new peers.  `between` (may be NULL) is applied
 * after the tail was taken out and before it comes back. */
syn_err doc_rekey(session_doc *sd, uint64_t peer, uint32_t from, const syn_changes *between);
/* syn_apply without a limit of work: the server has judged what comes from it, and what was here
 * before must come back.  With one, a copy that merges other pieces at once than the server did
 * could refuse what everyone else has. */
syn_err doc_apply(session_doc *sd, const syn_changes *set, syn_applied *applied);
/* The first own event of p that differs from the one of the same id in `set`. */
syn_err fork_find(session_doc *sd, struct own_peer *p, const syn_changes *set, uint32_t *first);

#endif
