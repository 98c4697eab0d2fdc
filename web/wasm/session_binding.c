/* session_binding.c -- the protocol session, as JavaScript drives it.
 *
 *     WebSocket --message--> client_receive --> session --> web_event(SEND, ...) --> WebSocket
 *
 * The session is net/session.c, the same as in the C client; here are only its port, which turns
 * every callback into one web_event(), and exports.  What a callback has beside bytes lies in
 * web_out.  JavaScript acts on SEND, CLOSE and REJECTED at once and notes the others down until
 * the call returns.
 *
 * A Packed frame is inflated by the browser, which takes its time: client_packed() says what is to
 * be inflated, and client_receive() is then called with the frame and what came out.  packed.c is
 * not compiled here; proto_inflate below hands out those bytes. */
#include "web.h"
#include "wire.h"

#include "change.h"

#include <stdlib.h>
#include <string.h>

enum event {
    EVENT_SEND = 1,
    EVENT_CLOSE,
    EVENT_STATUS,
    EVENT_CHANGED,
    EVENT_REBUILT,
    EVENT_ACKED,
    EVENT_LINEAGE,
    EVENT_REJECTED,
    EVENT_PRESENCE,
    EVENT_WELCOME,
};

static session *the_session;
static proto_arena *packed_arena;
static syn_str inflated;

/* ---- Inflated bytes -------------------------------------------------------------------------- */

static bool claims_fit(const struct msg_packed *packed)
{
    return packed->codec == 0 && packed->raw_size <= LIMIT_RAW_BYTES &&
           packed->raw_size / LIMIT_DEFLATE_RATIO <= packed->data.len;
}

syn_err proto_inflate(proto_arena *arena, const struct msg_packed *packed, uint32_t max_raw,
                      syn_str *raw, struct proto_fault *fault)
{
    (void)max_raw;
    arena->limit = LIMIT_CHUNK_MEMORY;
    if (packed->codec != 0) return refuse(fault, CODE_VERSION, "Packed: codec %u", packed->codec);
    if (!claims_fit(packed) || inflated.data == NULL || inflated.len != packed->raw_size)
        return refuse(fault, CODE_MALFORMED, "Packed: data is not one stream of raw_size bytes");
    *raw = inflated;
    return SYN_OK;
}

/* Is the frame a Packed one?  out: address and length of its data (good until the next call),
 * raw_size. */
EXPORT(client_packed) uint32_t js_client_packed(const void *bytes, uint32_t len)
{
    struct frame frame;
    if (packed_arena == NULL && proto_arena_new(&packed_arena, NULL)) return 0;
    if (proto_decode(packed_arena, bytes, len, NULL, NULL, NULL, &frame, NULL)) return 0;
    if (frame.kind != FRAME_PACKED || !claims_fit(&frame.as.packed)) return 0;
    web_out_bytes(0, frame.as.packed.data.data, frame.as.packed.data.len);
    web_out[2] = frame.as.packed.raw_size;
    return 1;
}

/* ---- The port -------------------------------------------------------------------------------- */

static uint32_t id_of(const session_doc *sd)
{
    const struct web_doc *d = session_doc_owner(sd);
    return d->id;
}

static uint64_t on_random(void *user)
{
    (void)user;
    uint64_t high = web_random();
    return high << 32 | web_random();
}

static bool on_send(void *user, syn_str message)
{
    (void)user;
    return web_event(EVENT_SEND, 0, message.data, message.len) != 0;
}

static void on_close(void *user, const char *reason)
{
    (void)user;
    web_event(EVENT_CLOSE, 0, reason, strlen(reason));
}

static bool on_welcome(void *user, const struct msg_welcome *welcome)
{
    (void)user;
    web_out_bytes(0, welcome->server.data, welcome->server.len);
    return web_event(EVENT_WELCOME, 0, welcome->user.data, welcome->user.len) != 0;
}

static void on_status(void *user, session_doc *sd)
{
    (void)user;
    web_event(EVENT_STATUS, id_of(sd), NULL, 0);
}

static void on_changed(void *user, session_doc *sd)
{
    (void)user;
    web_event(EVENT_CHANGED, id_of(sd), NULL, 0);
}

static void on_rebuilt(void *user, session_doc *sd)
{
    (void)user;
    web_event(EVENT_REBUILT, id_of(sd), NULL, 0);
}

static void on_acked(void *user, session_doc *sd)
{
    (void)user;
    web_event(EVENT_ACKED, id_of(sd), NULL, 0);
}

static void on_lineage(void *user, session_doc *sd)
{
    (void)user;
    web_event(EVENT_LINEAGE, id_of(sd), session_doc_lineage(sd), LIMIT_LINEAGE_BYTES);
}

/* data: the edits as Changes; out: code, detail. */
static void on_rejected(void *user, session_doc *sd, const char *code, syn_str detail,
                        const syn_changes *removed)
{
    syn_buf bytes = {0};
    (void)user;
    (void)proto_encode_changes(&bytes, removed, NULL); /* no memory: a branch of 0 bytes */
    web_out_bytes(0, code, strlen(code));
    web_out_bytes(2, detail.data, detail.len);
    web_event(EVENT_REJECTED, id_of(sd), bytes.data, bytes.len);
    syn_buf_free(&bytes);
}

/* data: the state; out: session, gone, user. */
static void on_presence(void *user, session_doc *sd, const struct msg_presence_state *state)
{
    (void)user;
    web_out[0] = state->session;
    web_out[1] = state->gone;
    web_out_bytes(2, state->user.data, state->user.len);
    web_event(EVENT_PRESENCE, id_of(sd), state->state.data, state->state.len);
}

/* ---- The connection -------------------------------------------------------------------------- */

/* token and name lie behind each other. */
EXPORT(client_new)
syn_err js_client_new(const char *text, uint32_t token_len, uint32_t name_len, uint32_t backoff_min,
                      uint32_t backoff_max)
{
    struct session_port port = {
        .random = on_random,
        .send = on_send,
        .close = on_close,
        .welcome = on_welcome,
        .status = on_status,
        .changed = on_changed,
        .rebuilt = on_rebuilt,
        .acked = on_acked,
        .lineage = on_lineage,
        .rejected = on_rejected,
        .presence = on_presence,
    };
    struct session_config config = {.token = {text, token_len},
                                    .client = {text + token_len, name_len},
                                    .backoff_min_ms = backoff_min,
                                    .backoff_max_ms = backoff_max};
    return session_new(&the_session, &port, &config);
}

EXPORT(client_set_token) syn_err js_client_set_token(const char *token, uint32_t len)
{
    return session_set_token(the_session, (syn_str){token, len});
}

EXPORT(client_connected) void js_client_connected(double now)
{
    session_connected(the_session, (uint64_t)now);
}

EXPORT(client_disconnected) void js_client_disconnected(double now)
{
    session_disconnected(the_session, (uint64_t)now);
}

/* raw: what a Packed frame held, or NULL. */
EXPORT(client_receive)
void js_client_receive(const void *bytes, uint32_t len, const char *raw, uint32_t raw_len,
                       double now)
{
    inflated = (syn_str){raw, raw_len};
    session_receive(the_session, bytes, len, (uint64_t)now);
    inflated = (syn_str){NULL, 0};
}

EXPORT(client_writable) void js_client_writable(double now)
{
    session_writable(the_session, (uint64_t)now);
}

EXPORT(client_tick) void js_client_tick(double now)
{
    session_tick(the_session, (uint64_t)now);
    session_flush(the_session, (uint64_t)now);
}

static double time_out(uint64_t at)
{
    return at == UINT64_MAX ? -1. : (double)at; /* -1: never */
}

EXPORT(client_next_tick) double js_client_next_tick(void)
{
    return time_out(session_next_tick(the_session));
}

EXPORT(client_reconnect_at) double js_client_reconnect_at(void)
{
    return time_out(session_reconnect_at(the_session));
}

EXPORT(client_retry_now) void js_client_retry_now(double now)
{
    session_retry_now(the_session, (uint64_t)now);
}

EXPORT(client_live) uint32_t js_client_live(void)
{
    return session_live(the_session);
}

EXPORT(client_reason) void js_client_reason(void)
{
    const char *reason = session_reason(the_session);
    web_out_bytes(0, reason, strlen(reason));
}

/* ---- Documents ------------------------------------------------------------------------------- */

static struct session_own *own_in(const uint32_t *words, uint32_t count)
{
    struct session_own *own = malloc((count + 1u) * sizeof *own);
    for (uint32_t i = 0; own != NULL && i < count; i++)
        own[i] =
            (struct session_own){(uint64_t)words[3 * i + 1] << 32 | words[3 * i], words[3 * i + 2]};
    return own;
}

/* text: the name; lineage: 16 bytes or NULL; own: 3 words each (peer, acked). */
EXPORT(doc_attach)
syn_err js_doc_attach(struct web_doc *d, const char *name, uint32_t len, const uint8_t *lineage,
                      const uint32_t *own_words, uint32_t own_count, uint32_t rights,
                      uint32_t history, double now)
{
    struct session_own *own = own_in(own_words, own_count);
    if (own == NULL) return SYN_ENOMEM;
    struct session_options options = {.lineage = lineage,
                                      .own = own,
                                      .own_count = own_count,
                                      .rights = rights,
                                      .history = history != 0};
    syn_err err = session_attach(the_session, &d->sd, (syn_str){name, len}, d->doc, d, &options,
                                 (uint64_t)now);
    free(own);
    return err;
}

EXPORT(doc_detach) void js_doc_detach(struct web_doc *d, double now)
{
    if (d->sd != NULL) session_detach(the_session, d->sd, (uint64_t)now);
    d->sd = NULL;
}

EXPORT(doc_committed) void js_doc_committed(struct web_doc *d, uint32_t bytes, double now)
{
    if (d->sd != NULL) session_commit(d->sd, bytes, (uint64_t)now);
}

/* Changes from elsewhere; with a time they are sent as well.  out[0]: events that were new; out[1]:
 * they wait for what they stand on. */
EXPORT(doc_import)
syn_err js_doc_import(struct web_doc *d, const void *bytes, uint32_t len, double now)
{
    syn_changes set, fresh;
    syn_applied applied = {0};
    proto_arena *arena;
    uint32_t cut, from = syn_doc_log_end(d->doc);
    web_out[0] = web_out[1] = 0;
    if (len == 0) return SYN_OK;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err) return err;
    err = proto_decode_changes(arena, bytes, len, NULL, NULL, &set, NULL);
    if (!err) err = syn_apply(d->doc, &set, true, &applied);
    proto_arena_free(arena);
    uint32_t end = syn_doc_log_end(d->doc);
    if (!err && d->sd != NULL && now > 0 && end > from) { /* what was pending came in, too */
        err = syn_doc_export(d->doc, (syn_span){from, end}, UINT32_MAX, SIZE_MAX, &fresh, &cut);
        if (!err) err = session_relay(d->sd, &fresh, (uint64_t)now);
    }
    web_out[0] = applied.applied;
    web_out[1] = applied.pending;
    return err;
}

/* out: reason, code, rights, exists. */
EXPORT(doc_status) uint32_t js_doc_status_now(const struct web_doc *d)
{
    if (d->sd == NULL) return SYN_OFFLINE;
    const char *reason = session_doc_reason(d->sd);
    web_out_bytes(0, reason, strlen(reason));
    web_out[2] = session_doc_code(d->sd);
    web_out[3] = session_doc_rights(d->sd);
    web_out[4] = session_doc_exists(d->sd);
    return session_doc_status(d->sd);
}

/* out: bytes (2), age in ms (2). */
EXPORT(doc_unsaved) uint32_t js_doc_unsaved(const struct web_doc *d, double now)
{
    syn_unsaved unsaved = {0};
    if (d->sd != NULL) unsaved = session_doc_unsaved(d->sd, (uint64_t)now);
    web_out_u64(0, unsaved.bytes);
    web_out_u64(2, unsaved.since_ms);
    return unsaved.events;
}

/* Own peers with events that are not known to be saved, 3 words each, in a block that the caller
 * gives back; out: address, count. */
EXPORT(doc_own) syn_err js_doc_own(const struct web_doc *d)
{
    uint32_t count = d->sd != NULL ? session_doc_own(d->sd, NULL, 0) : 0;
    struct session_own *own = malloc((count + 1u) * sizeof *own);
    uint32_t *words = malloc((count + 1u) * 3 * sizeof *words);
    if (own == NULL || words == NULL) {
        free(own);
        free(words);
        return SYN_ENOMEM;
    }
    if (count != 0) session_doc_own(d->sd, own, count);
    for (uint32_t i = 0; i < count; i++) {
        words[3 * i] = (uint32_t)own[i].peer;
        words[3 * i + 1] = (uint32_t)(own[i].peer >> 32);
        words[3 * i + 2] = own[i].acked;
    }
    free(own);
    web_out_bytes(0, words, count);
    return SYN_OK;
}

EXPORT(doc_presence)
syn_err js_doc_presence(struct web_doc *d, const char *state, uint32_t len, uint32_t ttl,
                        double now)
{
    if (d->sd == NULL) return SYN_OK;
    return session_presence(d->sd, (syn_str){state, len}, ttl, (uint64_t)now);
}
