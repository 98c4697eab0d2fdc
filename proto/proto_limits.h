/* proto_limits.h -- every limit on what comes from outside, with its reason.
 *
 * A limit exists so that nobody can make another's machine spend memory or time out of proportion
 * to what he sends; it is far above what honest programs need.  Those that a client must know are
 * told in Welcome; all are enforced whether told or not.  Sizes are bytes, times milliseconds. */
#ifndef SYN_PROTO_LIMITS_H
#define SYN_PROTO_LIMITS_H

/* ---- Frames ---------------------------------------------------------------------------------- */

/* One WebSocket message.  Holds any paste by hand; larger work is split at any event.  A reader
 * must hold one whole, so this times connections is the server's worst case. */
#define LIMIT_FRAME_BYTES (1024u * 1024u)
/* Events of one live frame: one turn's work, checked and applied without letting others in. */
#define LIMIT_FRAME_EVENTS 65536u
/* What Packed may inflate to: a full history in one piece, yet no bomb (DEFLATE yields 1032:1). */
#define LIMIT_RAW_BYTES (64u * 1024u * 1024u)
/* Most that DEFLATE can make of one byte (zlib's documentation); a larger claim is a lie. */
#define LIMIT_DEFLATE_RATIO 1032u
/* Events of one stored chunk, file or packed message: bounded by the log's own numbering. */
#define LIMIT_CHUNK_EVENTS 0x7fffffffu
/* Things (keys, values, nodes) that operations of one message take although the columns that hold
 * them are absent; with columns they cost bytes.  40 bytes of memory each. */
#define LIMIT_TAKEN_FREE 65536u
/* Submessages and byte strings of one control frame (protobuf-c: 61 bytes for each empty one). */
#define LIMIT_FRAME_ENTRIES 65536u
/* Memory that decoding one frame may take: above 16 times the largest legal one. */
#define LIMIT_FRAME_MEMORY (64u * 1024u * 1024u)
/* ... and one chunk, packed message or file. */
#define LIMIT_CHUNK_MEMORY ((size_t)1 << 30)

/* ---- Documents ------------------------------------------------------------------------------- */

/* Parents of one event = heads of one document: 1,540 concurrent writers were seen in the wild, and
 * the next event must be able to join them all. */
#define LIMIT_PARENTS 4096u
/* Heads that one user's peers may stand on: nobody types in 64 windows at once. */
#define LIMIT_USER_HEADS 64u
/* One value; 4 KiB below the frame, so that it always fits with its key, parents and tables. */
#define LIMIT_VALUE_BYTES   (LIMIT_FRAME_BYTES - 4096u)
#define LIMIT_NAME_BYTES    255u   /* documents and root containers: fits a file name */
#define LIMIT_KEY_BYTES     1024u  /* map and mark keys */
#define LIMIT_ORDER_BYTES   64u    /* order keys of trees: rebalanced long before */
#define LIMIT_USER_BYTES    255u   /* a user's name */
#define LIMIT_CONTAINERS    65536u /* in the table of one message: one per event of a live frame */
#define LIMIT_PEERS         65536u /* in the table of one live frame */
#define LIMIT_VECTOR        65536u /* entries of a version vector: as many as a frame holds */
#define LIMIT_OLD_PEERS     1024u  /* of Open: edit sessions whose work is not known to be stored */
#define LIMIT_LINEAGE_BYTES 16u
/* Changes kept whose parents are missing, per document. */
#define LIMIT_PENDING_BYTES (8u * 1024u * 1024u)
/* 0x7fffffff events: seqs, positions and log positions stay below 2^31. */
#define LIMIT_DOCUMENT_EVENTS 0x7fffffffu
/* Bytes of one document's log. */
#define LIMIT_DOCUMENT_BYTES ((uint64_t)4 << 30)
/* Parts of one snapshot: 4 GiB in pieces of 64 KiB. */
#define LIMIT_SNAPSHOT_PARTS 65536u

/* ---- Names (FEATURE_NAMES) ------------------------------------------------------------------- */

#define LIMIT_NAMES 4096u /* entries of each table of a channel */
/* Memory of both tables of one direction, 8 bytes for a peer, 64 and its name for a
 * container.  It is what one hostile channel may hold for ever, and what a newcomer is sent before
 * his first live frame; a document with 900 busy containers still fits. */
#define LIMIT_NAMES_BYTES 65536u

/* ---- Connections ----------------------------------------------------------------------------- */

#define LIMIT_PREAUTH_BYTES (64u * 1024u)  /* before sign-in a stranger costs no more than this */
#define LIMIT_HANDSHAKE_MS  5000u          /* from TCP to Hello: a phone on a bad line manages */
#define LIMIT_TOKEN_BYTES   4096u          /* a JWT with many claims is 2 KiB */
#define LIMIT_CLIENT_BYTES  128u           /* program and version, for logs */
#define LIMIT_DETAIL_BYTES  1024u          /* a sentence for people */
#define LIMIT_CHANNELS      1000u          /* open documents of one connection */
#define LIMIT_WINDOW_BYTES  (256u * 1024u) /* first credit of a channel, either way */
/* Credit that may pile up: more than any window, and far from overflow. */
#define LIMIT_CREDIT_BYTES (1u << 30)
/* Peers new to a document that one user may bring in an hour: one per edit session, so 1,000 is a
 * program gone wild. */
#define LIMIT_NEW_PEERS    1000u
#define LIMIT_HEARTBEAT_MS 20000u /* below the 30 to 60 s after which proxies drop silent lines */

/* ---- Presence -------------------------------------------------------------------------------- */

#define LIMIT_PRESENCE_BYTES  4096u /* one session's state: it is sent to everyone */
#define LIMIT_PRESENCE_FRAME  (2u * LIMIT_PRESENCE_BYTES) /* of one session, with its cursors */
#define LIMIT_PRESENCE_MS     100u                        /* the tick: faster than people see */
#define LIMIT_PRESENCE_TTL_MS 600000u                     /* a ghost stays ten minutes at most */
#define PRESENCE_TTL_MS       30000u                      /* the default */
#define LIMIT_CURSORS         64u                         /* selections of one session */

/* ---- JSON ------------------------------------------------------------------------------------ */

#define LIMIT_JSON_DEPTH 256u /* nesting, read or written: recursion there is bounded by it */
#define LIMIT_JSON_BYTES (16u * 1024u * 1024u)

#endif
