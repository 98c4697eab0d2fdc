/* proto.h -- bytes <-> plain structs; the only door between the wire (or the disk) and the rest.
 *
 * Decoding checks everything that can be checked without a document: field rules, counts, UTF-8,
 * names, lengths of columns, that queues are used up exactly, indexes into tables.  What it hands
 * out is safe to walk without further checks, except for what only core can know (parents,
 * positions). The messages and their meaning: syncline.proto and PROTOCOL.md; field names follow
 * them.
 *
 * Memory: decoding fills a proto_arena, which proto_decode() empties first; the other functions
 * that take an arena add to it (a Packed frame is decoded, inflated and its inside decoded in one),
 * until proto_arena_reset().  All pointers of a decoded struct point into the arena, the input
 * bytes or the channel's tables. */
#ifndef SYN_PROTO_H
#define SYN_PROTO_H

#include "change.h"
#include "proto_limits.h"
#include "syncline_bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Codes (syncline.proto, enum Code) ------------------------------------------------------- */

enum code {
    CODE_OK = 0,
    CODE_MALFORMED = 1,
    CODE_LIMIT = 2,
    CODE_VERSION = 3,
    CODE_UNAUTHENTICATED = 4,
    CODE_EXPIRED = 5,
    CODE_FORBIDDEN = 6,
    CODE_NOT_FOUND = 7,
    CODE_DELETED = 8,
    CODE_LINEAGE = 9,
    CODE_TRIMMED = 10,
    CODE_FORKED = 11,
    CODE_GAP = 12,
    CODE_PARENTS = 13,
    CODE_FOREIGN_PEER = 14,
    CODE_DAMAGED = 15,
    CODE_STORAGE = 16,
    CODE_BUSY = 17,
    CODE_RESYNC = 18,
    CODE_GOING_AWAY = 19,
    CODE_TOO_SLOW = 20,
    CODE_REJECTED = 21,
};
const char *proto_code_name(uint32_t code); /* "MALFORMED"; "code 99" style names are "UNKNOWN" */

enum feature { FEATURE_PACKED = 1u << 0, FEATURE_NAMES = 1u << 1, FEATURE_DIGEST = 1u << 2 };
enum right {
    RIGHT_READ = 1u << 0,
    RIGHT_WRITE = 1u << 1,
    RIGHT_CREATE = 1u << 2,
    RIGHT_RELAY = 1u << 3
};

/* ---- Messages -------------------------------------------------------------------------------- */

struct msg_version { /* heads, or a vector; ordered by (peer, seq) */
    const syn_id *heads;
    uint32_t head_count;
    const syn_id *vector; /* seq = first not held */
    uint32_t vector_count;
};

struct msg_hello {
    uint32_t min_version, max_version;
    uint64_t features;
    syn_str token, client;
    uint32_t max_frame, max_raw;
};

struct msg_limits {
    uint32_t frame_bytes, raw_bytes, frame_events, documents, window_bytes, value_bytes, parents;
    uint64_t document_events, document_bytes;
    uint32_t presence_bytes, presence_ms, new_peers;
};

struct msg_welcome {
    uint32_t version;
    uint64_t features;
    uint64_t connection;
    syn_str store; /* 16 bytes */
    struct msg_limits limits;
    uint32_t heartbeat_ms, expires_ms;
    syn_str user, server;
};

struct msg_auth {
    syn_str token;
};
struct msg_access {
    uint32_t rights, expires_ms;
};
struct msg_ping {
    uint64_t nonce;
};

struct msg_error {
    uint32_t code;
    bool permanent;
    uint32_t retry_ms;
    syn_str detail;
    uint32_t min_version, max_version;
};

struct msg_open {
    syn_str document, lineage;
    uint32_t rights;
    struct msg_version version;
    uint64_t peer;
    const uint64_t *old_peers;
    uint32_t old_peer_count;
    uint32_t window_bytes;
    bool no_presence, state_only, authors, history;
};

enum plan { PLAN_CHANGES = 0, PLAN_SNAPSHOT = 1, PLAN_NEED_VECTOR = 2 };
struct msg_opened {
    syn_str lineage;
    uint32_t rights;
    enum plan plan;
    struct msg_version version;
    const uint32_t *peer_next; /* peer, then each old_peer of Open */
    const uint64_t *peer_chain;
    uint32_t peer_count;
    uint32_t session, window_bytes;
    struct msg_version trimmed;
    uint32_t expires_ms;
};

struct msg_want {
    struct msg_version have, upto;
};

struct msg_closed {
    uint32_t code;
    bool permanent;
    uint32_t retry_ms;
    syn_str detail;
};

struct msg_ack {
    uint32_t next;
    const syn_id *peers; /* other peers: seq = next */
    uint32_t peer_count;
};

struct msg_nack {
    uint64_t peer;
    uint32_t first_seq;
    uint32_t code;
    bool permanent;
    uint32_t retry_ms;
    syn_str detail;
    uint32_t next;
    uint64_t chain;
    uint32_t op_run;
};

struct msg_credit {
    uint32_t bytes;
};

struct msg_cursor {
    uint32_t container;          /* index into msg_presence.containers */
    const struct change_dep *at; /* heads of the sender's version: index into peers, seq */
    uint32_t at_count;
    uint32_t anchor;
    int32_t head; /* minus anchor */
};

struct msg_presence_state {
    uint32_t session;
    syn_str user, state;
    const struct msg_cursor *cursors;
    uint32_t cursor_count;
    uint32_t ttl_ms;
    bool gone, unchanged;
};

struct msg_presence {
    const struct msg_presence_state *states;
    uint32_t state_count;
    const uint64_t *peers;
    uint32_t peer_count;
    const struct change_container *containers;
    uint32_t container_count;
};

struct msg_digest {
    struct msg_version version;
    uint64_t hash;
    uint32_t kinds;
    const struct change_container *containers;
    const uint64_t *container_hash;
    uint32_t container_count;
    const uint64_t *peers;
    uint32_t peer_count;
};

struct msg_names {
    const uint64_t *peers;
    uint32_t peer_count;
    const struct change_container *containers;
    uint32_t container_count;
};

enum packed_inside {
    PACKED_CHANGES = 0,
    PACKED_SNAPSHOT = 1,
    PACKED_EFFECTS = 2, /* in a store; in a frame it is refused */
};
struct msg_packed { /* as received: not yet inflated; proto_inflate() */
    enum packed_inside inside;
    uint32_t codec, raw_size;
    syn_str data;
};

/* One part of a snapshot as it travels.  `piece` holds the states of this part with the part's own
 * tables; head fields are set in part 0 only. */
struct msg_snapshot {
    uint64_t id;
    uint32_t part, parts;
    uint64_t digest;
    syn_snapshot piece;
    const uint32_t *from; /* per state: entities or entries in earlier parts */
    const bool *more;     /* per state: continues in a later part */
};

enum frame_kind { /* = field numbers of Frame.body */
                  FRAME_CHANGES = 2,
                  FRAME_ACK = 3,
                  FRAME_PRESENCE = 4,
                  FRAME_PACKED = 5,
                  FRAME_CREDIT = 6,
                  FRAME_NACK = 7,
                  FRAME_DIGEST = 8,
                  FRAME_SNAPSHOT = 9,
                  FRAME_OPEN = 10,
                  FRAME_OPENED = 11,
                  FRAME_CLOSE = 12,
                  FRAME_CLOSED = 13,
                  FRAME_WANT = 14,
                  FRAME_NAMES = 15,
                  FRAME_HELLO = 16,
                  FRAME_WELCOME = 17,
                  FRAME_AUTH = 18,
                  FRAME_ACCESS = 19,
                  FRAME_PING = 20,
                  FRAME_PONG = 21,
                  FRAME_ERROR = 22,
};
const char *proto_frame_name(enum frame_kind kind); /* "Changes" */

struct frame {
    uint32_t channel;
    enum frame_kind kind; /* 0: a body of a later version (unknown field): ignore the frame */
    union {
        syn_changes changes;
        struct msg_ack ack;
        struct msg_presence presence;
        struct msg_packed packed;
        struct msg_credit credit;
        struct msg_nack nack;
        struct msg_digest digest;
        struct msg_snapshot snapshot;
        struct msg_open open;
        struct msg_opened opened;
        struct msg_closed closed;
        struct msg_want want;
        struct msg_names names;
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_auth auth;
        struct msg_access access;
        struct msg_ping ping; /* PING and PONG */
        struct msg_error error;
    } as;
};

/* ---- Memory ---------------------------------------------------------------------------------- */

typedef struct proto_arena proto_arena;
syn_err proto_arena_new(proto_arena **out, const syn_mem *mem); /* mem NULL: malloc */
void proto_arena_free(proto_arena *arena);
void proto_arena_reset(proto_arena *arena);

/* ---- Decoding -------------------------------------------------------------------------------- */

/* The channel's tables for one direction, used by Changes whose own tables are empty (Names, and
 * index 0: the channel's peer; the root container (name "", TEXT)). */
struct proto_tables {
    const uint64_t *peers;
    uint32_t peer_count;
    const struct change_container *containers;
    uint32_t container_count;
};

/* Why bytes were refused: a code for the peer and a sentence for people. */
struct proto_fault {
    enum code code;
    char text[160];
};

/* Tables that grow: what Names said in one direction of a channel, or will say for a document.
 * Zeroed: not begun, without memory. */
struct proto_names {
    uint64_t *peers;
    struct change_container *containers; /* names and keys are its own */
    uint32_t peer_count, peer_cap, container_count, container_cap;
    size_t bytes;
};
/* With index 0 = peer (0: no peer yet) and the root text.  SYN_ENOMEM. */
syn_err proto_names_begin(struct proto_names *names, uint64_t peer);
void proto_names_free(struct proto_names *names);
struct proto_tables proto_names_tables(const struct proto_names *names);
/* What a Names brought, whole or not at all: SYN_EMALFORMED (something that has an index),
 * SYN_ELIMIT, SYN_ENOMEM; *fault says why. */
syn_err proto_names_add(struct proto_names *names, const struct msg_names *more,
                        struct proto_fault *fault);
/* Adds what `set` uses, so that it can be encoded without tables.  false: it has too many, or there
 * is no more room: it needs tables of its own, and nothing was added. */
bool proto_names_learn(struct proto_names *names, const syn_changes *set);
/* The entries from these counts on, borrowed. */
struct msg_names proto_names_since(const struct proto_names *names, uint32_t peers,
                                   uint32_t containers);

struct proto_limits { /* 0: the limit of proto_limits.h */
    uint32_t frame_bytes, frame_events, value_bytes, parents;
};

/* One frame.  SYN_EMALFORMED, SYN_EUTF8, SYN_ELIMIT, SYN_EVERSION (unknown format or codec),
 * SYN_ENOMEM; *fault says why.  On a refusal out->channel is still set when it could be read.
 * `tables` is asked for the channel's tables once the channel number is known: it may return false
 * (no such channel: then empty tables are refused). */
typedef bool (*proto_tables_fn)(void *user, uint32_t channel, struct proto_tables *out);
syn_err proto_decode(proto_arena *arena, const void *bytes, size_t len,
                     const struct proto_limits *limits, proto_tables_fn tables, void *user,
                     struct frame *out, struct proto_fault *fault);

/* A Changes or Snapshot message by itself: stored rows, files, the inside of Packed.  tables NULL:
 * the message must bring its own. */
syn_err proto_decode_changes(proto_arena *arena, const void *bytes, size_t len,
                             const struct proto_limits *limits, const struct proto_tables *tables,
                             syn_changes *out, struct proto_fault *fault);
syn_err proto_decode_snapshot(proto_arena *arena, const void *bytes, size_t len,
                              struct msg_snapshot *out, struct proto_fault *fault);
/* Inflates under the hard bound of raw_size (and max_raw; 0: proto_limits.h) into the arena. */
syn_err proto_inflate(proto_arena *arena, const struct msg_packed *packed, uint32_t max_raw,
                      syn_str *raw, struct proto_fault *fault);

/* ---- Encoding: appends to buf; deterministic.  SYN_ENOMEM leaves buf as it was --------------- */

/* Any frame; Changes and Snapshot with explicit tables unless `tables` says that theirs are the
 * channel's. */
syn_err proto_encode(syn_buf *buf, const struct frame *frame);
/* Changes alone.  live: leaves out the tables when they are exactly the channel's (tables->peers
 * begins with set->peers in the same indexes after renumbering; NULL: always explicit). */
syn_err proto_encode_changes(syn_buf *buf, const syn_changes *set,
                             const struct proto_tables *tables);
/* A frame body (tag and length of Frame.changes, then the message), to be prefixed by
 * proto_encode_channel: the same body serves every receiver. */
syn_err proto_encode_changes_body(syn_buf *buf, const syn_changes *set,
                                  const struct proto_tables *tables);
syn_err proto_encode_channel(syn_buf *buf, uint32_t channel);
/* Body of Frame.packed around `raw` (an encoded Changes or Snapshot).  SYN_ENOTFOUND: it would not
 * be smaller. */
syn_err proto_encode_packed_body(syn_buf *buf, enum packed_inside inside, const void *raw,
                                 size_t len);
/* The same in a third of the time and a sixth more bytes, where somebody waits for it. */
syn_err proto_encode_packed_soon(syn_buf *buf, enum packed_inside inside, const void *raw,
                                 size_t len);

/* What the events of a set did (syn_effects_of), as it is kept beside the stored set; and back into
 * `set`, in the arena.  SYN_EMALFORMED: set->effect_count is 0, and merging will find out. */
syn_err proto_encode_effects(syn_buf *buf, const struct change_effect *effects, uint32_t count);
syn_err proto_decode_effects(proto_arena *arena, syn_str bytes, syn_changes *set);

/* A whole snapshot as Snapshot messages of about part_bytes each: each part is handed to `emit` as
 * bytes of one Snapshot message.  digest: proto_digest of it. */
syn_err
proto_encode_snapshot(const syn_snapshot *snapshot, uint64_t id, uint64_t digest, size_t part_bytes,
                      syn_err (*emit)(void *user, uint32_t part, uint32_t parts, syn_str bytes),
                      void *user);
/* Joins the parts 0..n-1 (as decoded, or raw) back into one snapshot in the arena. */
syn_err proto_join_snapshot(proto_arena *arena, const syn_str *parts, uint32_t count,
                            syn_snapshot *out, uint64_t *digest, struct proto_fault *fault);

/* ---- Hashes (PROTOCOL.md) -------------------------------------------------------------------- */

/* chain(n+1) from chain(n) over every event of `set` that belongs to `peer`, in order of seq;
 * events below *next are skipped; stops at a gap.  *next and *chain move on. */
syn_err proto_chain(const syn_changes *set, uint64_t peer, uint32_t *next, uint64_t *chain);
/* Digest of a state, and optionally one hash per state (snapshot->state_count entries). */
syn_err proto_digest(const syn_snapshot *snapshot, uint64_t *hash, uint64_t *per_state);

#ifdef __cplusplus
}
#endif
#endif
