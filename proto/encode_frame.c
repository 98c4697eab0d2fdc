/* encode_frame.c -- proto.h's messages as bytes, field by field in ascending order.
 *
 * Written with our own writer and not with protobuf-c's generated code, which wants every struct
 * copied into one of its own first; the tests compare the two byte for byte. */
#include "wire.h"

static void put_pair(struct writer *w, uint32_t number, const syn_id *ids, uint32_t count)
{
    if (count == 0) return;
    size_t mark = field_begin(w, number);
    for (uint32_t i = 0; i < count; i++) put_fixed(w, ids[i].peer);
    field_end(w, mark);
    mark = field_begin(w, number + 1);
    uint32_t any = 0;
    for (uint32_t i = 0; i < count; i++) {
        put_varint(w, ids[i].seq);
        any |= ids[i].seq;
    }
    column_end(w, mark, number + 1, any != 0);
}

static void put_hashes(struct writer *w, uint32_t number, const uint64_t *hashes, uint32_t count)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < count; i++) any |= hashes[i];
    if (any != 0) put_peers(w, number, hashes, count);
}

/* ---- Connection ------------------------------------------------------------------------------ */

static void hello(struct writer *w, const struct msg_hello *m)
{
    put_uint(w, 1, m->min_version);
    put_uint(w, 2, m->max_version);
    put_uint(w, 3, m->features);
    put_bytes(w, 4, m->token);
    put_bytes(w, 5, m->client);
    put_uint(w, 6, m->max_frame);
    put_uint(w, 7, m->max_raw);
}

static void told_limits(struct writer *w, uint32_t number, const struct msg_limits *m)
{
    size_t mark = field_begin(w, number), start = w->buf->len;
    put_uint(w, 1, m->frame_bytes);
    put_uint(w, 2, m->raw_bytes);
    put_uint(w, 3, m->frame_events);
    put_uint(w, 4, m->documents);
    put_uint(w, 5, m->window_bytes);
    put_uint(w, 6, m->value_bytes);
    put_uint(w, 7, m->parents);
    put_uint(w, 8, m->document_events);
    put_uint(w, 9, m->document_bytes);
    put_uint(w, 10, m->presence_bytes);
    put_uint(w, 11, m->presence_ms);
    put_uint(w, 12, m->new_peers);
    column_end(w, mark, number, w->buf->len != start);
}

static void welcome(struct writer *w, const struct msg_welcome *m)
{
    put_uint(w, 1, m->version);
    put_uint(w, 2, m->features);
    put_fixed64(w, 3, m->connection);
    put_bytes(w, 4, m->store);
    told_limits(w, 5, &m->limits);
    put_uint(w, 6, m->heartbeat_ms);
    put_uint(w, 7, m->expires_ms);
    put_bytes(w, 8, m->user);
    put_bytes(w, 9, m->server);
}

static void error(struct writer *w, const struct msg_error *m)
{
    put_uint(w, 1, m->code);
    put_uint(w, 2, m->permanent);
    put_uint(w, 3, m->retry_ms);
    put_bytes(w, 4, m->detail);
    put_uint(w, 5, m->min_version);
    put_uint(w, 6, m->max_version);
}

static void access(struct writer *w, const struct msg_access *m)
{
    put_uint(w, 1, m->rights);
    put_uint(w, 2, m->expires_ms);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static void open_(struct writer *w, const struct msg_open *m)
{
    put_bytes(w, 1, m->document);
    put_bytes(w, 2, m->lineage);
    put_uint(w, 3, m->rights);
    put_version(w, 4, &m->version);
    put_fixed64(w, 5, m->peer);
    put_peers(w, 6, m->old_peers, m->old_peer_count);
    put_uint(w, 7, m->window_bytes);
    put_uint(w, 8, m->no_presence);
    put_uint(w, 9, m->state_only);
    put_uint(w, 10, m->authors);
    put_uint(w, 11, m->history);
}

static void opened(struct writer *w, const struct msg_opened *m)
{
    put_bytes(w, 1, m->lineage);
    put_uint(w, 2, m->rights);
    put_uint(w, 3, m->plan);
    put_version(w, 4, &m->version);
    uint32_t any = 0;
    for (uint32_t i = 0; i < m->peer_count; i++) any |= m->peer_next[i];
    if (any != 0) {
        size_t mark = field_begin(w, 5);
        for (uint32_t i = 0; i < m->peer_count; i++) put_varint(w, m->peer_next[i]);
        field_end(w, mark);
    }
    put_hashes(w, 6, m->peer_chain, m->peer_count);
    put_uint(w, 7, m->session);
    put_uint(w, 8, m->window_bytes);
    put_version(w, 9, &m->trimmed);
    put_uint(w, 10, m->expires_ms);
}

static void want(struct writer *w, const struct msg_want *m)
{
    put_version(w, 1, &m->have);
    put_version(w, 2, &m->upto);
}

static void closed(struct writer *w, const struct msg_closed *m)
{
    put_uint(w, 1, m->code);
    put_uint(w, 2, m->permanent);
    put_uint(w, 3, m->retry_ms);
    put_bytes(w, 4, m->detail);
}

static void ack(struct writer *w, const struct msg_ack *m)
{
    put_uint(w, 1, m->next);
    put_pair(w, 2, m->peers, m->peer_count);
}

static void nack(struct writer *w, const struct msg_nack *m)
{
    put_fixed64(w, 1, m->peer);
    put_uint(w, 2, m->first_seq);
    put_uint(w, 3, m->code);
    put_uint(w, 4, m->permanent);
    put_uint(w, 5, m->retry_ms);
    put_bytes(w, 6, m->detail);
    put_uint(w, 7, m->next);
    put_fixed64(w, 8, m->chain);
    put_uint(w, 9, m->op_run);
}

static void packed(struct writer *w, const struct msg_packed *m)
{
    put_uint(w, 1, m->inside);
    put_uint(w, 2, m->codec);
    put_uint(w, 3, m->raw_size);
    put_bytes(w, 4, m->data);
}

/* ---- Presence, names, digest ----------------------------------------------------------------- */

static void cursor(struct writer *w, const struct msg_cursor *m)
{
    put_uint(w, 1, m->container);
    uint32_t any_peer = 0, any_seq = 0;
    for (uint32_t i = 0; i < m->at_count; i++) {
        any_peer |= m->at[i].peer;
        any_seq |= m->at[i].seq;
    }
    /* The number of rows must show even when all are (index 0, seq 0). */
    size_t mark = field_begin(w, 2);
    for (uint32_t i = 0; i < m->at_count; i++) put_varint(w, m->at[i].peer);
    column_end(w, mark, 2, any_peer != 0 || (any_seq == 0 && m->at_count > 0));
    mark = field_begin(w, 3);
    for (uint32_t i = 0; i < m->at_count; i++) put_varint(w, m->at[i].seq);
    column_end(w, mark, 3, any_seq != 0);
    put_uint(w, 4, m->anchor);
    put_sint(w, 5, m->head);
}

static void presence_state(struct writer *w, const struct msg_presence_state *m)
{
    put_uint(w, 1, m->session);
    put_bytes(w, 2, m->user);
    put_bytes(w, 3, m->state);
    for (uint32_t i = 0; i < m->cursor_count; i++) {
        size_t mark = field_begin(w, 4);
        cursor(w, &m->cursors[i]);
        field_end(w, mark);
    }
    put_uint(w, 5, m->ttl_ms);
    put_uint(w, 6, m->gone);
    put_uint(w, 7, m->unchanged);
}

static void presence(struct writer *w, const struct msg_presence *m)
{
    for (uint32_t i = 0; i < m->state_count; i++) {
        size_t mark = field_begin(w, 1);
        presence_state(w, &m->states[i]);
        field_end(w, mark);
    }
    put_peers(w, 2, m->peers, m->peer_count);
    put_containers(w, 3, m->containers, m->container_count);
}

static void names(struct writer *w, const struct msg_names *m)
{
    put_peers(w, 1, m->peers, m->peer_count);
    for (uint32_t i = 0; i < m->container_count; i++) put_container(w, 2, &m->containers[i]);
}

static void digest(struct writer *w, const struct msg_digest *m)
{
    put_version(w, 1, &m->version);
    put_fixed64(w, 2, m->hash);
    put_uint(w, 3, m->kinds);
    for (uint32_t i = 0; i < m->container_count; i++) put_container(w, 4, &m->containers[i]);
    put_hashes(w, 5, m->container_hash, m->container_count);
    put_peers(w, 6, m->peers, m->peer_count);
}

/* ---- The frame ------------------------------------------------------------------------------- */

/* Of kinds that only a server, or a client with zlib, sends. */
static void put_answer(struct writer *w, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_ACK:
        ack(w, &f->as.ack);
        break;
    case FRAME_PACKED:
        packed(w, &f->as.packed);
        break;
    case FRAME_NACK:
        nack(w, &f->as.nack);
        break;
    case FRAME_DIGEST:
        digest(w, &f->as.digest);
        break;
    case FRAME_SNAPSHOT:
        put_snapshot(w, &f->as.snapshot);
        break;
    case FRAME_OPENED:
        opened(w, &f->as.opened);
        break;
    case FRAME_CLOSED:
        closed(w, &f->as.closed);
        break;
    case FRAME_WELCOME:
        welcome(w, &f->as.welcome);
        break;
    case FRAME_ACCESS:
        access(w, &f->as.access);
        break;
    case FRAME_ERROR:
        error(w, &f->as.error);
        break;
    default:
        break; /* Close is empty */
    }
}

static void put_body(struct writer *w, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_CHANGES:
        put_changes(w, &f->as.changes, NULL);
        break;
    case FRAME_PRESENCE:
        presence(w, &f->as.presence);
        break;
    case FRAME_CREDIT:
        put_uint(w, 1, f->as.credit.bytes);
        break;
    case FRAME_OPEN:
        open_(w, &f->as.open);
        break;
    case FRAME_WANT:
        want(w, &f->as.want);
        break;
    case FRAME_NAMES:
        if (NAMES) names(w, &f->as.names);
        break;
    case FRAME_HELLO:
        hello(w, &f->as.hello);
        break;
    case FRAME_AUTH:
        put_bytes(w, 1, f->as.auth.token);
        break;
    case FRAME_PING:
    case FRAME_PONG:
        put_uint(w, 1, f->as.ping.nonce);
        break;
    default: /* a page sends none of these, and its build has no code for them */
        if (SERVES) put_answer(w, f);
    }
}

syn_err proto_encode(syn_buf *buf, const struct frame *frame)
{
    if (frame->kind < FRAME_CHANGES || frame->kind > FRAME_ERROR) return SYN_EMISUSE;
    struct writer w = writer_begin(buf);
    put_uint(&w, 1, frame->channel);
    size_t mark = field_begin(&w, frame->kind);
    put_body(&w, frame);
    field_end(&w, mark);
    return writer_end(&w);
}

/* ---- Names of codes and frames --------------------------------------------------------------- */

const char *proto_code_name(uint32_t code)
{
    static const char texts[] = "OK\0MALFORMED\0LIMIT\0VERSION\0UNAUTHENTICATED\0EXPIRED\0"
                                "FORBIDDEN\0NOT_FOUND\0DELETED\0LINEAGE\0TRIMMED\0FORKED\0"
                                "GAP\0PARENTS\0FOREIGN_PEER\0DAMAGED\0STORAGE\0BUSY\0"
                                "RESYNC\0GOING_AWAY\0TOO_SLOW\0REJECTED\0UNKNOWN";
    const char *text = texts;
    for (uint32_t n = code <= CODE_REJECTED ? code : CODE_REJECTED + 1u; n > 0; n--)
        text += strlen(text) + 1;
    return text;
}

const char *proto_frame_name(enum frame_kind kind)
{
    static const char *const text[] = {
        "Changes",  "Ack",     "Presence", "Packed", "Credit", "Nack", "Digest",
        "Snapshot", "Open",    "Opened",   "Close",  "Closed", "Want", "Names",
        "Hello",    "Welcome", "Auth",     "Access", "Ping",   "Pong", "Error",
    };
    bool known = kind >= FRAME_CHANGES && kind <= FRAME_ERROR;
    return known ? text[kind - FRAME_CHANGES] : "Unknown";
}
