/* hub_impl.h -- what the files of the hub share.
 *
 * A channel is a cursor into its room's log; nothing is queued per reader:
 *
 *     room's log   |======================|==========|~~~~~~~~|- - - -|
 *                  0        ^cursor       fanned     durable  gathered end
 *                           one reader    bodies     on disk  rows made
 *
 * Readers see [cursor, durable).  Bodies of the newest frames are encoded once and shared by all
 * whose cursor stands where one begins; whoever is behind gets his own export.  All numbers are
 * positions in room->doc; the store's differ by room->offset (doc_store.h).
 *
 * A body has two forms, each encoded once if anybody reads it: with its own tables, and by the
 * room's names.  Those only grow, and a channel knows a front part of them (told_peers,
 * told_containers): before a named body it is told the rest, so one form serves all who have
 * FEATURE_NAMES, whenever they came.
 *
 * A turn holds what it wants to say (struct held, in order) until it is on the disk.  Channels are
 * counted (refs) because a held answer may outlive the connection it was for; rooms are counted by
 * the turns and channels that name them. */
#ifndef SYN_HUB_IMPL_H
#define SYN_HUB_IMPL_H

#include "hub.h"
#include "doc_store.h"
#include "server_limits.h"
#include "fold.h"

#define NO_POSITION UINT32_MAX
#define NOBODY      UINT32_MAX /* sessions count up from 1 */

/* Bytes of one frame of the log: short enough for others to get in between. */
#define FRAME_PIECE (64u * 1024u)
/* Below this deflating costs more than it saves. */
#define PACK_ABOVE 512u
/* Up to here a frame for one reader is deflated as well as it goes: about 0.3 ms. */
#define PACK_WELL  (8u * 1024u)
#define MAX_BODIES 16u
#define PIECES     16u
/* A Packed that claims no more is inflated on the loop: about 0.2 ms. */
#define INFLATE_AT_ONCE (64u * 1024u)
/* A document that takes no more memory is encoded on the loop: texts 0.2 ms, maps of many keys 5.
 */
#define SNAPSHOT_AT_ONCE (256u * 1024u)
/* Frames that wait for a document, of one connection and of all: a client that keeps to the
 * protocol sends little before it knows how it stands. */
#define MAX_PARKED_CONN (2u * 1024u * 1024u)
#define MAX_PARKED      (64u * 1024u * 1024u)
/* Refused peers that a channel remembers: each is looked for in every frame that follows. */
#define MAX_IGNORED 256u
/* Events above a snapshot that are sent rather than that it is made anew. */
#define STALE_EVENTS 256u
/* A log up to this size is sent rather than a snapshot. */
#define SHORT_LOG (64u * 1024u)
/* Tail above which a document is folded when its room is idle, or at once; bytes: a quarter of the
 * log, between a quarter of this and this. */
#define FOLD_ROWS  1000u
#define FOLD_BYTES (256u * 1024u)
/* Rows that are worth folding when the last reader has gone, and how soon. */
#define FOLD_IDLE    32u
#define FOLD_IDLE_MS 2000u
#define ROOM_IDLE_MS 30000u
/* A piece of the history that nobody asked for so long gives its place to another. */
#define PIECE_MS 2000u
/* Nothing changed for so long: the document gives back what it had reserved for more. */
#define ROOM_TRIM_MS 10000u
#define PROBE_MS     1000u
#define RETRY_MS     2000u
/* A digest walks the whole document for a few bytes that ask for it. */
#define DIGEST_MS 1000u
/* ... and those of all documents together get a twentieth of the time: some 1 us an event. */
#define DIGEST_EVENTS_MS 50u
/* Everybody's name where there is no sign-in. */
#define NOBODY_NAME     "anonymous"
#define ACCOUNT_SLOTS   1024u
#define EXCEPTION_SLOTS 256u
/* "Come again": an hour is too long to say for one who has a person waiting. */
#define MAX_RETRY_MS 60000u

/* ---- How fast and how much (rates.c, account.c) ---------------------------------------------- */

enum rate { RATE_FRAMES, RATE_BYTES, RATE_EVENTS, RATE_WORK, RATES };
enum { METERS = 3 }; /* connection, user, document */

struct meter {
    struct bucket of[RATES];
};

struct pace { /* the worst of all that concern somebody */
    enum bucket_state state;
    enum limit limit;
    uint32_t wait_ms;
};

struct hourly {
    uint64_t since, count;
};

struct account {
    struct account *next;
    bool shared; /* in the table: one for all connections of the name */
    uint32_t connections;
    const struct limits *limits; /* that hold for it */
    struct meter meter;
    struct hourly creates;
    uint64_t documents; /* that are there; if counted */
    bool counted;
    size_t name_len;
    char name[];
};

/* ---- Connections ----------------------------------------------------------------------------- */

enum conn_state { CONN_HELLO, CONN_SIGNING_IN, CONN_LIVE, CONN_CLOSED };

struct hub_conn {
    hub *hub;
    void *link;
    uint64_t id;
    struct hub_conn *prev, *next;
    enum conn_state state;
    uint64_t features;
    uint32_t max_frame, max_raw;
    char user[LIMIT_USER_BYTES + 1];
    size_t user_len;
    void *grant;
    uint64_t since, heard, pinged;
    uint64_t expires; /* 0: never */
    bool signing_in_again;
    bool blocked;  /* the link takes nothing now */
    syn_buf queue; /* control frames meanwhile: length, bytes, ... */
    size_t queue_at;
    struct channel **channels; /* ascending number */
    uint32_t channel_count, channel_cap, last_channel, turn_next;
    struct account *account; /* NULL: before sign-in */
    struct meter meter;
    struct bucket control;
    bool starved; /* credit is owed to it: in hub.starved */
    struct hub_conn *starved_next;
    size_t parked_bytes; /* its frames that wait for a document */
};

/* ---- Channels -------------------------------------------------------------------------------- */

struct snapshot_parts { /* shared by the channels that are joining by it */
    uint32_t refs, count;
    uint32_t at; /* log position of its last event */
    syn_id head; /* the same event */
    bool packed;
    uint64_t bytes;
    syn_buf *bodies; /* frame bodies; until they are sealed, messages */
};

struct inflated { /* the inside of a Packed that waits to be read again */
    hub *hub;
    proto_arena *arena;
    syn_str raw;
    uint32_t charged; /* of hub.inflating */
};

struct channel {
    uint32_t refs;
    hub_conn *conn; /* NULL: gone */
    struct room *room;
    struct channel *prev, *next; /* of the room */
    uint32_t number;
    uint32_t session; /* 0: not let in yet */
    uint64_t peer;
    uint32_t rights, wanted;
    bool opening;    /* its Open waits for the document */
    bool started;    /* Opened is out */
    uint32_t parked; /* frames of it in room->waiting */
    bool need_vector, no_presence, authors, closing;
    bool helping;  /* asked to bring what this server lost: others' events too */
    uint64_t *own; /* helping: the peers that Open named as the user's own */
    uint32_t own_count;

    int64_t credit; /* server to client */
    uint32_t cursor;
    syn_span *spans; /* to be sent before the cursor's stretch */
    uint32_t span_count, span_at;
    struct snapshot_parts *snapshot;
    uint32_t part_at;
    uint32_t base; /* joined by a snapshot that ends here, without what is below */

    struct proto_names *names;            /* what the client named; NULL: nothing yet */
    uint32_t told_peers, told_containers; /* how much of room->names it knows */

    int64_t credit_up;
    bool inflating; /* the first of its frames that wait */
    struct inflated *inflated;
    uint32_t give_back;
    syn_id *ignored; /* peers nacked, from seq on */
    uint32_t ignored_count;
};

/* ---- Rooms ----------------------------------------------------------------------------------- */

struct room_peer {
    uint64_t peer; /* 0: free slot */
    uint64_t chain;
    uint32_t next;
    uint32_t user; /* index into room->users; 0: bound to nobody */
    bool dirty;    /* its row changes with this turn */
};

struct room_user {
    char name[LIMIT_USER_BYTES + 1];
    struct hourly newcomers; /* peers brought */
};

struct body {
    uint32_t from, end;
    uint32_t only; /* the session that made all of it, or NOBODY */
    syn_buf bytes; /* frame body; empty: not encoded, for nobody reads it */
    syn_buf named; /* the same by room->names, for those who know them; may be empty too */
};

struct row {            /* gathered, not yet given to the store */
    uint32_t from, end; /* store positions */
    syn_buf bytes;
};

struct presence_session {
    const struct channel *channel; /* NULL: left, to be told */
    uint32_t session;
    char user[LIMIT_USER_BYTES + 1];
    syn_buf bytes; /* the client's Presence, re-encoded */
    uint32_t ttl_ms;
    uint64_t ends;
    bool changed, unchanged, gone;
};

struct piece { /* of the history, deflated */
    uint32_t from, end;
    size_t bytes, raw; /* asked of the export; under deflate */
    uint64_t used_at;
    syn_buf body;
};

struct pieces {
    struct piece of[PIECES]; /* from == end: empty */
    struct piece *last;      /* made */
    uint64_t used_at, made;  /* the newest use; how many were made */
};

struct room {
    hub *hub;
    struct room *hash_next;
    struct room *due_next; /* of hub.due */
    bool due;
    char name[LIMIT_NAME_BYTES + 1];
    size_t name_len;
    syn_doc *doc;
    bool opening;   /* doc is NULL: everything waits */
    bool delayed;   /* ... until a turn has landed */
    bool for_state; /* who opens it joins by a snapshot */
    bool lingers;   /* dropped while turns name it */
    syn_err load_err;
    struct waiter *waiting, *last_waiting;
    bool reading_history, making_snapshot;
    bool reading;            /* a copy of it, for some of those who ask */
    struct read_call *reads; /* ... and for these, next */
    bool in_call;            /* without threads: it ends where it began */
    syn_err history_err;     /* ... of the reading that just ended, while those who waited */
    syn_err snapshot_err;    /* ... and the snapshot's,           run again */
    bool snapshot_fresh;     /* then: however much came meanwhile */
    struct store_doc row;    /* as it was at loading */
    int64_t id;
    bool exists;    /* in the store, or will be with this turn */
    bool create;    /* this turn creates it */
    uint32_t maker; /* of users: who does */
    bool dead;      /* dropped from memory: nobody may join */
    bool deleting;
    bool shedding;                        /* leaves memory as soon as what was taken is stored */
    uint8_t lineage[STORE_LINEAGE_BYTES]; /* not there yet: what a client remembers, if any */
    bool has_lineage;

    uint32_t offset, gathered, durable, fanned;
    uint64_t log_bytes; /* stored, about */
    const struct limits *limits;
    struct meter meter;
    uint32_t tail_rows;
    uint64_t tail_bytes;
    uint32_t folded_to;    /* store position: everything below is in chunks */
    uint32_t snapshot_at;  /* store position of the newest stored snapshot */
    uint32_t unmade_turns; /* turns that name it */
    struct turn *flying;   /* the one that it is in; NULL: none */
    uint32_t turn_index;   /* 1 + its place in the gathering turn */
    bool give_lineage;     /* stored without one: this turn gives it */
    uint32_t jobs;         /* under way off the loop */
    bool folding;          /* until the turn with what came of it has landed */
    struct fold *folded;   /* made, for the next turn; NULL: nothing */
    uint64_t fold_at;      /* not before */

    struct row *rows;
    uint32_t row_count, row_cap;
    bool dirty;
    uint32_t author; /* the session that made all of [fanned, durable), NOBODY: several; 0: empty */

    struct room_peer *peers;
    uint32_t peer_count, peer_cap;
    struct room_user *users; /* [0] is nobody */
    uint32_t user_count;
    uint64_t server_peer;

    struct channel *channels;
    uint32_t channel_count, next_session;
    struct body bodies[MAX_BODIES]; /* a ring */
    uint32_t body_first, body_count;
    struct pieces *pieces;     /* of the history, for who joins next; NULL: none */
    struct proto_names *names; /* what bodies speak of; NULL: nobody reads by it */
    uint64_t fan_at;           /* not before; 0: at once */
    bool fan_due;
    struct snapshot_parts *snapshot; /* the newest made for joining */

    struct presence_session *sessions;
    uint32_t session_count, session_cap;
    size_t presence_bytes; /* of all sessions */
    uint64_t presence_at;
    uint64_t idle_since;
    uint64_t used_at;   /* last changed or read */
    bool trimmed;       /* since then */
    uint64_t digest_at; /* none is compared before */
};

/* ---- Turns ----------------------------------------------------------------------------------- */

enum held_kind { HELD_FRAME, HELD_TOUCH, HELD_START, HELD_CLOSED, HELD_DONE };

struct held {
    enum held_kind kind;
    struct channel *channel; /* NULL for DONE */
    struct room *room;
    syn_buf frame;       /* FRAME, CLOSED: without the channel number */
    syn_id *peers;       /* TOUCH: acked up to */
    uint32_t peer_count; /* 0: nothing was taken in */
    bool ack;
    uint32_t bytes; /* TOUCH: credit to give back */
    hub_done_fn done;
    void *user;
    syn_err err;
};

struct turn_room {
    struct room *room;
    uint32_t end;    /* durable after it */
    uint32_t author; /* as room.author, of what this turn brought */
    bool wrote, deleted;
    bool news, folded; /* what it wrote: events, what was folded */
};

struct turn {
    struct turn *next; /* of hub.flying */
    struct hub *hub;   /* while it flies */
    struct held *held;
    uint32_t held_count, held_cap;
    struct turn_room *rooms;
    uint32_t room_count, room_cap;
    uint32_t flying_rooms; /* while it gathers: of its rooms */
    bool nameless;         /* an answer names no room: it may be about any */
};

struct hub {
    syn_store *store;
    struct hub_port port;
    uint64_t now;
    uint8_t store_id[STORE_ID_BYTES];
    hub_conn *conns;
    uint64_t next_conn;
    struct room *due;    /* rooms that wait for a fan-out or a presence tick */
    struct room **rooms; /* hash table by name, chained */
    uint32_t room_slots;
    proto_arena *arena, *inner; /* frames; what is inside Packed */
    struct turn gathering, *flying;
    bool restored; /* this file was a backup once: clients may hold what it lacks */
    uint64_t probe_at, beat_at, wake; /* wake: of fan-outs and presence */
    uint64_t hash_key;
    struct hub_tuning tuning;
    struct limits limits;
    struct account *accounts[ACCOUNT_SLOTS];
    struct exception *exceptions[EXCEPTION_SLOTS];
    uint32_t sweep_at;
    hub_conn *starved;  /* whom credit is kept from */
    uint64_t feed_at;   /* it is looked at again; 0: nobody */
    uint64_t digest_at; /* no document is compared before */
    enum pressure pressure;
    uint64_t used, promised, shed_at; /* memory; promised: to what was opened since */
    syn_buf scratch, message, prefix;
    syn_str raw;                    /* the frame that is being handled, as it came */
    bool charged;                   /* ... to its document, too */
    size_t parked_bytes;            /* of all that wait for documents */
    uint32_t delayed, lingering;    /* rooms */
    uint32_t inflating;             /* bytes that Packed claim */
    char load_detail[DETAIL_BYTES]; /* of the opening that failed last */
    struct hub_stats stats;
};

/* ---- hub.c */
void hub_log(hub *h, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* This room has something to do at that time. */
void hub_wake(struct room *room, uint64_t at);

/* ---- conn.c: connections */
void hub_count(hub *h, enum code code); /* somebody was refused */
void conn_hello(hub_conn *conn, const struct msg_hello *hello);
void conn_auth(hub_conn *conn, const struct msg_auth *auth);
void conn_send(hub_conn *conn, syn_str head, syn_str body);
/* Encodes and sends at once: what does not depend on anything being stored. */
void conn_frame(hub_conn *conn, const struct frame *frame);
void conn_error(hub_conn *conn, enum code code, bool permanent, uint32_t retry_ms,
                const char *detail);
struct channel *conn_channel(const hub_conn *conn, uint32_t number);
uint32_t conn_rights(const hub_conn *conn, syn_str document, uint32_t wanted);

/* ---- rates.c */
/* Charges a frame to connection and user. */
struct pace rates_received(hub_conn *conn, size_t bytes);
struct pace rates_of_user(hub *h, struct account *account);
bool rates_control(hub_conn *conn); /* false: too many frames that cost no credit */
/* Charges a frame of changes to the document too. */
struct pace rates_offered(struct channel *ch, size_t bytes);
void rates_taken(struct channel *ch, uint64_t events, uint64_t work);
/* false: the request has to wait, and knows why. */
bool rates_request(hub *h, struct hub_request *request, struct room *room);
void rates_edited(struct room *room, const struct hub_request *request, uint64_t events,
                  uint64_t work);
void request_limited(hub *h, struct hub_request *request, enum limit limit, uint32_t wait_ms);
/* false: not now; channel_give_credit() is called when it may be. */
bool rates_credit(struct channel *ch);
void rates_feed(hub *h);
void rates_forget(hub_conn *conn);
/* Beside hub_count, where the refusal is for a limit. */
void hub_count_limit(hub *h, enum limit limit);
#define LIMIT_WORDS 128
const char *limit_words(enum limit limit, char text[LIMIT_WORDS]);
void conn_limited(hub_conn *conn, enum limit limit, uint32_t retry_ms);

/* ---- pressure.c */
bool pressure_may_open(hub *h, syn_str name);
uint32_t pressure_raw_bytes(const hub *h);

/* ---- exceptions.c: limits of one user or one document */
const struct limits *exception_limits(const hub *h, enum exception_of kind, syn_str name);
syn_err exceptions_load(hub *h);
void exceptions_renew(hub *h); /* everybody's have changed */
void exceptions_free(hub *h);

/* ---- documents.c: how many a user made */
bool documents_left(hub *h, struct account *account);
syn_err documents_made(struct room *room, store_turn *out);
syn_err documents_gone(struct room *room, store_turn *out);
void documents_recount(hub *h);

/* ---- account.c */
struct account *account_find(hub *h, syn_str name);
/* Makes it if need be; NULL: nobody, or no memory. */
struct account *account_of(hub *h, syn_str name);
bool account_join(hub_conn *conn); /* false: the connection was ended */
void account_leave(hub_conn *conn);
void accounts_sweep(hub *h);
void accounts_free(hub *h);
bool hourly_left(struct hourly *hourly, uint64_t most, uint64_t more, uint64_t now);
uint32_t hourly_wait(const struct hourly *hourly, uint64_t now);

/* ---- channel.c */
void channel_give_credit(struct channel *ch); /* what is owed, if it is worth a frame */
struct channel *channel_new(hub_conn *conn, struct room *room, uint32_t number);
void channel_ref(struct channel *ch);
void channel_unref(struct channel *ch);
/* Takes it out of its connection and room; its presence goes. */
void channel_remove(struct channel *ch);
/* Closed at once, and removed. */
void channel_closed(struct channel *ch, enum code code, bool permanent, uint32_t retry_ms,
                    const char *detail);
/* It goes on from what was refused, of one of its peers; if not, what begins there again is not
 * refused any more. */
bool channel_ignored(struct channel *ch, const syn_changes *set);
/* Does this peer stand refused below `from`, as its client was told? */
bool channel_awaits(const struct channel *ch, uint64_t peer, uint32_t from);
/* false: it remembers as many refused peers as it may. */
bool channel_ignore(struct channel *ch, uint64_t peer, uint32_t from);

/* ---- room_job.c: work off the loop */
struct room_job {
    struct work work; /* must come first */
    struct room *room;
    syn_store *store;
    syn_str name;
    char name_bytes[LIMIT_NAME_BYTES];
    void (*run)(struct room_job *job);  /* on a thread: touches only the job and the store */
    void (*done)(struct room_job *job); /* on the loop; frees it; the room may be dead by now */
};
/* run and done are set; the rest is filled in.  Done within the call if there are no threads.
 * false: too much is queued, and nothing is called. */
bool room_job_start(struct room_job *job, struct room *room);

/* ---- room_load.c */
void room_open(struct room *room);
void rooms_open_delayed(hub *h);
/* The history below a document that was opened without.  SYN_EBUSY: it is being read; whoever needs
 * it waits. */
syn_err room_backfill(struct room *room);
/* A job has ended: those who waited run again. */
void room_go_on(struct room *room);

/* ---- waiting.c */
struct hub_call { /* of the embedder */
    enum { CALL_EDIT, CALL_READ, CALL_DELETE } kind;
    bool create;
    hub_edit_fn fn;
    hub_done_fn done;
    void *user;
    struct hub_request *request; /* NULL: of the embedder himself */
};
void hub_call(hub *h, syn_str document, const struct hub_call *call); /* accept.c */
void hub_replay(hub_conn *conn, syn_str bytes, bool charged);         /* hub.c */
/* The frame that is being handled is read again later. */
void wait_frame(struct channel *ch);
/* true: others of its channel wait, so it went behind them. */
bool wait_behind(struct channel *ch, enum frame_kind kind);
void wait_call(struct room *room, const struct hub_call *call);
void waiting_run(struct room *room);
void waiting_fail(struct room *room, syn_err err);

/* ---- room_fold.c */
void room_fold(struct room *room); /* if its tail is long */
/* Before it is forgotten.  false: not worth it, or not possible. */
bool room_fold_first(struct room *room);
syn_err room_fold_write(struct room *room, store_turn *out);
void room_fold_drop(struct room *room);

/* ---- room_read.c */
/* Runs a call's fn off the loop, on a copy of what the disk has, then its done. */
void room_read(struct room *room, const struct hub_call *call);
void room_read_fail(struct room *room, syn_err err);

/* ---- room_idle.c */
void idle_rooms(hub *h);
void room_used(struct room *room);

/* ---- room.c: open documents */
syn_doc_config room_config(const hub *h);
struct room *room_find(hub *h, syn_str name);
/* Finds it, or begins to open it: then (*out)->opening, and the caller waits.  A document that is
 * not there gives a room with exists = false.  for_state: for somebody who will want a packed
 * snapshot, which is then made on the way. */
syn_err room_get(hub *h, syn_str name, bool for_state, struct room **out,
                 char detail[DETAIL_BYTES]);
/* Everybody's positions move up with the document's. */
void room_shift(struct room *room, uint32_t added);
/* Out of memory: channels get RESYNC (or `code`), everything not stored is forgotten. */
void room_drop(struct room *room, enum code code, const char *detail);
void room_release(struct room *room); /* frees it if nobody names it and it is dead */
void room_free(struct room *room);
syn_err room_peer_read(struct room *room, uint64_t peer, struct room_peer *out);
syn_err room_peer_get(struct room *room, uint64_t peer, struct room_peer **out);
syn_err room_user(struct room *room, syn_str user, uint32_t *index);
/* Rows for everything up to the end of the log; moves the peers' chains on. */
syn_err room_gather(struct room *room);

/* ---- turn.c */
/* Whatever is added here is sent when everything up to now is on the disk. */
void hold_frame(struct channel *ch, const struct frame *frame);
void hold_closed(struct channel *ch, enum code code, bool permanent, const char *detail);
void hold_start(struct channel *ch);
void hold_touch(struct channel *ch, uint32_t bytes, const syn_id *acked, uint32_t count);
void hold_done(hub *h, struct room *room, hub_done_fn done, void *user, syn_err err);
/* Names it in the gathering turn; NULL: no memory. */
struct turn_room *turn_room(struct room *room);
void author_add(uint32_t *author, uint32_t session);
void turns_shift(struct room *room, uint32_t added);
void turn_free(struct turn *turn);

/* ---- join.c: Open and Want */
void join_open(hub_conn *conn, uint32_t number, const struct msg_open *open);
void join_want(struct channel *ch, const struct msg_want *want);
/* Brings the document into being with this turn, and tells every channel. */
void room_create(struct room *room, const uint8_t *lineage);

/* ---- naming.c */
/* What a channel's Changes without tables speak of. */
struct proto_tables channel_tables(const struct channel *ch);
void naming_receive(struct channel *ch, const struct msg_names *names);
bool reads_names(const struct channel *ch);
/* Encodes by the room's names; an error: it cannot be. */
syn_err naming_encode(struct room *room, const syn_changes *set, syn_buf *body);
/* Before a named body.  The channel may be closed by it. */
void naming_tell(struct channel *ch);
void naming_free(struct proto_names **names);

/* ---- accept.c: Changes from a client, edits of the embedder */
void accept_changes(struct channel *ch, const syn_changes *set, size_t frame_bytes);

/* ---- inflate.c */
void inflate_receive(struct channel *ch, const struct msg_packed *packed, size_t frame_bytes);
void inflated_free(struct inflated *made);

/* ---- fanout.c */
void room_fan_out(struct room *room); /* at once if the interval allows, else later */
void room_bodies_clear(struct room *room);
void room_pieces_clear(struct room *room);
/* Sends what this channel may get now.  true: something was sent. */
bool channel_pump(struct channel *ch, uint32_t max_frames);

/* ---- snapshot.c: for joining */
/* SYN_EKIND: there is none at a critical version.  SYN_EBUSY: it is being made; wait. */
syn_err snapshot_make(struct room *room, bool packed, struct snapshot_parts **out);
void snapshot_unref(struct snapshot_parts *parts);
/* Of what is stored, ready to be sent; on any thread.  doc: the same in memory; NULL: it is loaded
 * if need be. */
struct snapshot_source {
    syn_str name;
    syn_doc_config config;
    const struct store_doc *row;
    syn_doc *doc;
    uint32_t piece;
    bool packed;
};
syn_err snapshot_stored(syn_store *store, const struct snapshot_source *from,
                        struct snapshot_parts **out);
/* Keeps it for who comes next if it fits; NULL is fine. */
void snapshot_take(struct room *room, struct snapshot_parts *parts);

/* ---- presence.c */
void presence_receive(struct channel *ch, const struct msg_presence *presence);
void presence_leave(struct channel *ch);
void presence_greet(struct channel *ch); /* everyone who is here, whole */
void presence_tick(struct room *room);
void presence_free(struct room *room);

#endif
