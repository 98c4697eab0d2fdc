/* server_limits.h -- what the server allows, whom, and what happens beyond: those that whoever runs
 * it may set.
 *
 * The protocol's own limits (a frame, a name, ...) stand in proto_limits.h and cannot be set, for
 * all programs must agree on them; limits_fixed() lists those that people ask about.
 *
 * A rate lets through `burst` seconds' worth at once, then its number each second.  Beyond, credit
 * is withheld (nothing is lost, the client waits), then changes get a Nack, then the connection is
 * closed; all of that says when to come again. */
#ifndef SYN_SERVER_LIMITS_H
#define SYN_SERVER_LIMITS_H

#include "bucket.h"
#include "proto.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LIMIT_MEGABYTE 1048576u

/* X(id, name, default, unit, code, permanent, what happens beyond, why there is one).  0: none. */
#define LIMITS(X)                                                                                  \
    X(CONNECTIONS, "connections", 20000, "", BUSY, false, "503, or Error",                         \
      "descriptors; 10 KiB of memory each")                                                        \
    X(ADDRESS_CONNECTIONS, "address_connections", 2000, "", BUSY, false, "503",                    \
      "an office behind one address; IPv6 by /64; loopback only if it is set")                     \
    X(ADDRESS_HANDSHAKES, "address_handshakes", 200, "/s", BUSY, false, "503",                     \
      "a handshake costs more than asking for it; loopback only if it is set")                     \
    X(ADDRESS_REQUESTS, "address_requests", 2000, "/s", BUSY, false, "429",                        \
      "HTTP on connections that stay; loopback only if a limit by address is set")                 \
    X(UNFINISHED_BYTES, "unfinished_bytes", 256 * LIMIT_MEGABYTE, "bytes", BUSY, false, "Error",   \
      "messages that were begun and not ended, of all connections")                                \
    X(CONNECTION_DOCUMENTS, "connection_documents", LIMIT_CHANNELS, "", LIMIT, false, "Closed",    \
      "each open document is some hundred bytes, and work for every change")                       \
    X(CONNECTION_QUEUE, "connection_queue", LIMIT_MEGABYTE, "bytes", TOO_SLOW, false, "close",     \
      "answers for a client that does not read")                                                   \
    X(CONNECTION_CONTROL, "connection_control", 1000, "/s", BUSY, false, "Error",                  \
      "frames that cost no credit: Ping, Open, Presence, ...")                                     \
    X(CONNECTION_FRAMES, "connection_frames", 10000, "/s", BUSY, false, "wait, Nack, Error",       \
      "a fifth of a core")                                                                         \
    X(CONNECTION_BYTES, "connection_bytes", 16 * LIMIT_MEGABYTE, "bytes/s", BUSY, false,           \
      "wait, Nack, Error", "a fast line")                                                          \
    X(CONNECTION_EVENTS, "connection_events", 2000000, "/s", BUSY, false, "wait, Nack, Error",     \
      "two megabytes of text: a sixth of a core, and imports of 20 MB pass at once")               \
    X(CONNECTION_WORK, "connection_work", 20000000, "steps/s", BUSY, false, "wait, Nack, Error",   \
      "merging takes 10 ns a step: a fifth of a core")                                             \
    X(USER_CONNECTIONS, "user_connections", 1000, "", BUSY, false, "Error",                        \
      "programs that forget to close")                                                             \
    X(USER_FRAMES, "user_frames", 20000, "/s", BUSY, false, "wait, Nack, Error",                   \
      "as connection_frames, for all of a user's connections")                                     \
    X(USER_BYTES, "user_bytes", 32 * LIMIT_MEGABYTE, "bytes/s", BUSY, false, "wait, Nack, Error",  \
      "as connection_bytes")                                                                       \
    X(USER_EVENTS, "user_events", 4000000, "/s", BUSY, false, "wait, Nack, Error",                 \
      "as connection_events")                                                                      \
    X(USER_WORK, "user_work", 30000000, "steps/s", BUSY, false, "wait, Nack, Error",               \
      "as connection_work")                                                                        \
    X(USER_CREATES, "user_creates", 10000, "/hour", BUSY, false, "Nack",                           \
      "documents that a user makes in an hour")                                                    \
    X(USER_DOCUMENTS, "user_documents", 100000, "", LIMIT, true, "Nack",                           \
      "documents that a user made, and that are there")                                            \
    X(USER_NEW_PEERS, "user_new_peers", LIMIT_NEW_PEERS, "/hour", BUSY, false, "Nack",             \
      "edit sessions of a user in one document: more is a program gone wild")                      \
    X(DOCUMENT_READERS, "document_readers", 20000, "", BUSY, false, "Closed",                      \
      "every change is sent to each of them")                                                      \
    X(DOCUMENT_FRAMES, "document_frames", 100000, "/s", BUSY, false, "wait, Nack, Error",          \
      "one document must not fill the server")                                                     \
    X(DOCUMENT_BYTES_RATE, "document_bytes_rate", 64 * LIMIT_MEGABYTE, "bytes/s", BUSY, false,     \
      "wait, Nack, Error", "as document_frames")                                                   \
    X(DOCUMENT_EVENTS_RATE, "document_events_rate", 8000000, "/s", BUSY, false,                    \
      "wait, Nack, Error", "as document_frames")                                                   \
    X(DOCUMENT_WORK, "document_work", 50000000, "steps/s", BUSY, false, "wait, Nack, Error",       \
      "half a core")                                                                               \
    X(DOCUMENT_EVENTS, "document_events", LIMIT_DOCUMENT_EVENTS, "", LIMIT, true, "Nack",          \
      "numbers in the engine stay below 2^31")                                                     \
    X(DOCUMENT_BYTES, "document_bytes", LIMIT_DOCUMENT_BYTES, "bytes", LIMIT, true, "Nack",        \
      "what is stored of one document")                                                            \
    X(DOCUMENT_PRESENCE, "document_presence", LIMIT_MEGABYTE / 2, "bytes", LIMIT, false,           \
      "not shown", "everyone present is sent to every newcomer")                                   \
    X(MEMORY, "memory", 0, "bytes", BUSY, false, "sheds load",                                     \
      "as --memory: idle documents, new opens, new connections, the largest")                      \
    X(BURST, "burst", 10, "s", OK, false, "", "what a rate lets through at once, in its seconds")

enum limit {
#define X(id, ...) LIM_##id,
    LIMITS(X)
#undef X
        LIM_COUNT,
    LIM_NONE = LIM_COUNT
};

struct limit_info {
    const char *name, *unit, *effect, *reason;
    uint64_t value; /* the default */
    enum code code;
    bool permanent;
};

struct limits {
    uint64_t of[LIM_COUNT];
    bool set[LIM_COUNT]; /* by hand */
};

void limits_default(struct limits *limits);
const struct limit_info *limits_info(enum limit limit);
/* LIM_COUNT: there is none of that name. */
enum limit limits_find(syn_str name);
/* Above what the protocol allows: no. */
bool limits_may_be(enum limit limit, uint64_t value);
/* "NAME=VALUE,..."; a VALUE may end in K, M or G (1,024s).  SYN_EMISUSE: `why` (200 bytes) says
 * what is wrong with it, and nothing was set. */
syn_err limits_read(struct limits *limits, const char *list, char *why);
/* "12", "64K", "256M", "1G"; false: none of these. */
bool limits_size(const char *text, size_t len, uint64_t *out);
struct bucket_rate limits_rate(const struct limits *limits, enum limit limit);

/* ---- The protocol's */
struct limit_fixed {
    const char *name, *unit, *effect, *reason;
    uint64_t value;
    enum code code;
    bool permanent;
};
/* NULL: no more. */
const struct limit_fixed *limits_fixed(size_t index);

#ifdef __cplusplus
}
#endif
#endif
