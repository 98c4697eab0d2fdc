/* decode_frame.c -- one Frame: which body, and the messages that are no columns.
 *
 * wire_scan() has checked a body before protobuf-c unpacks it into the arena; then it is turned
 * into proto.h's struct and its contents checked (names, lineages, versions, cursors).  A generated
 * struct has one array per column with a length each; rows() joins them. */
#include "wire.h"
#include "syncline.pb-c.h"

#define P(name) Syncline__V1__##name

/* ---- Helpers --------------------------------------------------------------------------------- */

static syn_err malformed(struct decoding *d, const char *why)
{
    return refuse(d->fault, CODE_MALFORMED, "%s", why);
}

static syn_str str_of(ProtobufCBinaryData data)
{
    return (syn_str){.data = (const char *)data.data, .len = data.len};
}

/* Rows of a table of two columns, either of which may be left out. */
static syn_err rows(struct decoding *d, size_t a, size_t b, const char *what, uint32_t *count)
{
    if (a != 0 && b != 0 && a != b)
        return refuse(d->fault, CODE_MALFORMED, "columns of %s differ in length", what);
    *count = (uint32_t)(a != 0 ? a : b);
    return SYN_OK;
}

static syn_err check_detail(struct decoding *d, syn_str detail)
{
    if (detail.len > LIMIT_DETAIL_BYTES) return refuse(d->fault, CODE_LIMIT, "detail too long");
    return check_text(d->fault, detail, "detail");
}

static syn_err check_lineage(struct decoding *d, syn_str lineage)
{
    if (lineage.len == 0 || lineage.len == LIMIT_LINEAGE_BYTES) return SYN_OK;
    return malformed(d, "lineage is neither empty nor 16 bytes");
}

static syn_err check_token(struct decoding *d, syn_str token)
{
    if (token.len <= LIMIT_TOKEN_BYTES) return SYN_OK;
    return refuse(d->fault, CODE_LIMIT, "token of more than %u bytes", LIMIT_TOKEN_BYTES);
}

/* ---- Versions -------------------------------------------------------------------------------- */

static syn_err zip_ids(struct decoding *d, const uint64_t *peers, size_t peer_count,
                       const uint32_t *seqs, size_t seq_count, uint32_t max_seq, const syn_id **out,
                       uint32_t *count)
{
    if (seq_count != 0 && seq_count != peer_count)
        return malformed(d, "columns of Version differ in length");
    syn_id *ids = arena_array(d->arena, peer_count, sizeof *ids);
    if (ids == NULL) return refuse_memory(d->arena, d->fault);
    for (size_t i = 0; i < peer_count; i++) {
        ids[i] = (syn_id){.peer = peers[i], .seq = seq_count != 0 ? seqs[i] : 0};
        if (ids[i].peer == 0) return malformed(d, "Version: peer 0");
        if (ids[i].seq > max_seq) return malformed(d, "Version: seq too large");
        if (i > 0 && ids[i - 1].peer >= ids[i].peer)
            return malformed(d, "Version: peers are not in ascending order");
    }
    *out = ids;
    *count = (uint32_t)peer_count;
    return SYN_OK;
}

static syn_err version(struct decoding *d, const P(Version) * in, struct msg_version *out)
{
    if (in == NULL) return SYN_OK;
    if (in->n_head_peer + in->n_head_seq > 0 && in->n_peer + in->n_next > 0)
        return malformed(d, "Version: both heads and a vector");
    if (in->n_head_peer > d->max_parents)
        return refuse(d->fault, CODE_LIMIT, "more than %u heads", d->max_parents);
    if (in->n_peer > LIMIT_VECTOR)
        return refuse(d->fault, CODE_LIMIT, "vector of more than %u peers", LIMIT_VECTOR);
    syn_err err = zip_ids(d, in->head_peer, in->n_head_peer, in->head_seq, in->n_head_seq, SEQ_MAX,
                          &out->heads, &out->head_count);
    if (err != SYN_OK) return err;
    return zip_ids(d, in->peer, in->n_peer, in->next, in->n_next, SEQ_MAX + 1u, &out->vector,
                   &out->vector_count);
}

syn_err decode_version(struct decoding *d, syn_str bytes, struct msg_version *out)
{
    memset(out, 0, sizeof *out);
    syn_err err = wire_scan(d, &syncline__v1__version__descriptor, bytes.data, bytes.len, 0);
    if (err != SYN_OK) return err;
    ProtobufCAllocator allocator = arena_allocator(d->arena);
    P(Version) *in =
        syncline__v1__version__unpack(&allocator, bytes.len, (const uint8_t *)bytes.data);
    if (in == NULL) return refuse_memory(d->arena, d->fault);
    return version(d, in, out);
}

/* ---- Connection ------------------------------------------------------------------------------ */

static syn_err hello(struct decoding *d, const P(Hello) * in, struct msg_hello *out)
{
    *out = (struct msg_hello){.min_version = in->min_version,
                              .max_version = in->max_version,
                              .features = in->features,
                              .token = str_of(in->token),
                              .client = str_of(in->client),
                              .max_frame = in->max_frame,
                              .max_raw = in->max_raw};
    if (out->min_version > out->max_version)
        return malformed(d, "Hello: min_version > max_version");
    syn_err err = check_token(d, out->token);
    if (err != SYN_OK) return err;
    return check_name(d->fault, out->client, LIMIT_CLIENT_BYTES, "client");
}

static void told_limits(const P(Limits) * in, struct msg_limits *out)
{
    if (in == NULL) return;
    *out = (struct msg_limits){.frame_bytes = in->frame_bytes,
                               .raw_bytes = in->raw_bytes,
                               .frame_events = in->frame_events,
                               .documents = in->documents,
                               .window_bytes = in->window_bytes,
                               .value_bytes = in->value_bytes,
                               .parents = in->parents,
                               .document_events = in->document_events,
                               .document_bytes = in->document_bytes,
                               .presence_bytes = in->presence_bytes,
                               .presence_ms = in->presence_ms,
                               .new_peers = in->new_peers};
}

static syn_err welcome(struct decoding *d, const P(Welcome) * in, struct msg_welcome *out)
{
    *out = (struct msg_welcome){.version = in->version,
                                .features = in->features,
                                .connection = in->connection,
                                .store = str_of(in->store),
                                .heartbeat_ms = in->heartbeat_ms,
                                .expires_ms = in->expires_ms,
                                .user = str_of(in->user),
                                .server = str_of(in->server)};
    told_limits(in->limits, &out->limits);
    if (out->store.len != 0 && out->store.len != LIMIT_LINEAGE_BYTES)
        return malformed(d, "Welcome: store is not 16 bytes");
    syn_err err = check_name(d->fault, out->user, LIMIT_USER_BYTES, "user");
    if (err != SYN_OK) return err;
    return check_name(d->fault, out->server, LIMIT_CLIENT_BYTES, "server");
}

static syn_err error(struct decoding *d, const P(Error) * in, struct msg_error *out)
{
    *out = (struct msg_error){.code = (uint32_t)in->code,
                              .permanent = in->permanent,
                              .retry_ms = in->retry_ms,
                              .detail = str_of(in->detail),
                              .min_version = in->min_version,
                              .max_version = in->max_version};
    return check_detail(d, out->detail);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static syn_err open_(struct decoding *d, const P(Open) * in, struct msg_open *out)
{
    *out = (struct msg_open){.document = str_of(in->document),
                             .lineage = str_of(in->lineage),
                             .rights = in->rights,
                             .peer = in->peer,
                             .old_peers = in->old_peer,
                             .old_peer_count = (uint32_t)in->n_old_peer,
                             .window_bytes = in->window_bytes,
                             .no_presence = in->no_presence,
                             .state_only = in->state_only,
                             .authors = in->authors,
                             .history = in->history};
    if (out->document.len == 0) return malformed(d, "Open: empty document name");
    if (in->n_old_peer > LIMIT_OLD_PEERS)
        return refuse(d->fault, CODE_LIMIT, "more than %u old peers", LIMIT_OLD_PEERS);
    syn_err err = check_name(d->fault, out->document, LIMIT_NAME_BYTES, "document name");
    if (err == SYN_OK) err = check_lineage(d, out->lineage);
    if (err == SYN_OK) err = check_peers(d, out->old_peers, out->old_peer_count);
    return err == SYN_OK ? version(d, in->version, &out->version) : err;
}

/* Two columns padded to the same length, for either may be absent. */
static syn_err pad_standing(struct decoding *d, const P(Opened) * in, struct msg_opened *out)
{
    syn_err err = rows(d, in->n_peer_next, in->n_peer_chain, "Opened", &out->peer_count);
    if (err != SYN_OK) return err;
    uint32_t *next = arena_array(d->arena, out->peer_count, sizeof *next);
    uint64_t *chain = arena_array(d->arena, out->peer_count, sizeof *chain);
    if (next == NULL || chain == NULL) return refuse_memory(d->arena, d->fault);
    for (uint32_t i = 0; i < out->peer_count; i++) {
        next[i] = in->n_peer_next != 0 ? in->peer_next[i] : 0;
        chain[i] = in->n_peer_chain != 0 ? in->peer_chain[i] : 0;
        if (next[i] > SEQ_MAX + 1u) return malformed(d, "Opened: peer_next too large");
    }
    out->peer_next = next;
    out->peer_chain = chain;
    return SYN_OK;
}

static syn_err opened(struct decoding *d, const P(Opened) * in, struct msg_opened *out)
{
    *out = (struct msg_opened){.lineage = str_of(in->lineage),
                               .rights = in->rights,
                               .plan = (enum plan)in->plan,
                               .session = in->session,
                               .window_bytes = in->window_bytes,
                               .expires_ms = in->expires_ms};
    if ((uint32_t)in->plan > PLAN_NEED_VECTOR) return malformed(d, "Opened: unknown plan");
    syn_err err = check_lineage(d, out->lineage);
    if (err == SYN_OK) err = pad_standing(d, in, out);
    if (err == SYN_OK) err = version(d, in->version, &out->version);
    return err == SYN_OK ? version(d, in->trimmed, &out->trimmed) : err;
}

static syn_err want(struct decoding *d, const P(Want) * in, struct msg_want *out)
{
    syn_err err = version(d, in->have, &out->have);
    return err == SYN_OK ? version(d, in->upto, &out->upto) : err;
}

static syn_err closed(struct decoding *d, const P(Closed) * in, struct msg_closed *out)
{
    *out = (struct msg_closed){.code = (uint32_t)in->code,
                               .permanent = in->permanent,
                               .retry_ms = in->retry_ms,
                               .detail = str_of(in->detail)};
    return check_detail(d, out->detail);
}

static syn_err ack(struct decoding *d, const P(Ack) * in, struct msg_ack *out)
{
    out->next = in->next;
    if (in->next > SEQ_MAX + 1u) return malformed(d, "Ack: next too large");
    return zip_ids(d, in->peer, in->n_peer, in->peer_next, in->n_peer_next, SEQ_MAX + 1u,
                   &out->peers, &out->peer_count);
}

static syn_err nack(struct decoding *d, const P(Nack) * in, struct msg_nack *out)
{
    *out = (struct msg_nack){.peer = in->peer,
                             .first_seq = in->first_seq,
                             .code = (uint32_t)in->code,
                             .permanent = in->permanent,
                             .retry_ms = in->retry_ms,
                             .detail = str_of(in->detail),
                             .next = in->next,
                             .chain = in->chain,
                             .op_run = in->op_run};
    if (in->first_seq > SEQ_MAX + 1u || in->next > SEQ_MAX + 1u)
        return malformed(d, "Nack: seq too large");
    return check_detail(d, out->detail);
}

static syn_err packed(struct decoding *d, const P(Packed) * in, struct msg_packed *out)
{
    *out = (struct msg_packed){.inside = (enum packed_inside)in->inside,
                               .codec = in->codec,
                               .raw_size = in->raw_size,
                               .data = str_of(in->data)};
    if (in->codec != 0)
        return refuse(d->fault, CODE_VERSION, "Packed: codec %u, a later version's", in->codec);
    if ((uint32_t)in->inside > PACKED_SNAPSHOT)
        return refuse(d->fault, CODE_VERSION, "Packed: a later version's message inside");
    return SYN_OK;
}

/* ---- Presence, names, digest ----------------------------------------------------------------- */

struct presence_tables {
    uint32_t peers, containers;
};

static syn_err cursor(struct decoding *d, const P(Cursor) * in, struct presence_tables tables,
                      struct msg_cursor *out)
{
    *out = (struct msg_cursor){.container = in->container, .anchor = in->anchor, .head = in->head};
    int64_t head = (int64_t)in->anchor + in->head;
    if (in->anchor > SEQ_MAX || head < 0 || head > SEQ_MAX)
        return malformed(d, "Cursor: position out of range");
    if (in->container >= tables.containers)
        return malformed(d, "Cursor: container outside the table");
    syn_err err = rows(d, in->n_at_peer, in->n_at_seq, "Cursor", &out->at_count);
    if (err != SYN_OK) return err;
    struct change_dep *at = arena_array(d->arena, out->at_count, sizeof *at);
    if (at == NULL) return refuse_memory(d->arena, d->fault);
    for (uint32_t i = 0; i < out->at_count; i++) {
        at[i].peer = in->n_at_peer != 0 ? in->at_peer[i] : 0;
        at[i].seq = in->n_at_seq != 0 ? in->at_seq[i] : 0;
        if (at[i].peer >= tables.peers) return malformed(d, "Cursor: at_peer outside the table");
        if (at[i].seq > SEQ_MAX) return malformed(d, "Cursor: at_seq too large");
    }
    out->at = at;
    return SYN_OK;
}

static syn_err presence_state(struct decoding *d, const P(PresenceState) * in,
                              struct presence_tables tables, struct msg_presence_state *out)
{
    *out = (struct msg_presence_state){.session = in->session,
                                       .user = str_of(in->user),
                                       .state = str_of(in->state),
                                       .cursor_count = (uint32_t)in->n_cursors,
                                       .ttl_ms = in->ttl_ms,
                                       .gone = in->gone,
                                       .unchanged = in->unchanged};
    if (out->state.len > LIMIT_PRESENCE_BYTES)
        return refuse(d->fault, CODE_LIMIT, "presence of more than %u bytes", LIMIT_PRESENCE_BYTES);
    if (in->n_cursors > LIMIT_CURSORS)
        return refuse(d->fault, CODE_LIMIT, "more than %u cursors", LIMIT_CURSORS);
    if (in->ttl_ms > LIMIT_PRESENCE_TTL_MS)
        return refuse(d->fault, CODE_LIMIT, "ttl_ms above %u", LIMIT_PRESENCE_TTL_MS);
    syn_err err = check_name(d->fault, out->user, LIMIT_USER_BYTES, "user");
    if (err != SYN_OK) return err;
    struct msg_cursor *cursors = arena_array(d->arena, in->n_cursors, sizeof *cursors);
    if (cursors == NULL) return refuse_memory(d->arena, d->fault);
    for (size_t i = 0; i < in->n_cursors && err == SYN_OK; i++)
        err = cursor(d, in->cursors[i], tables, &cursors[i]);
    out->cursors = cursors;
    return err;
}

/* Containers are read in place from the body's bytes, where Changes reads them too. */
static syn_err container_table(struct decoding *d, const ProtobufCMessageDescriptor *type,
                               uint32_t number, syn_str body, uint32_t peers,
                               const struct change_container **out, uint32_t *count)
{
    struct field fields[WIRE_FIELDS];
    syn_err err = wire_split(type, body.data, body.len, UNKNOWN_IGNORED, fields, NULL, d->fault);
    return err == SYN_OK ? decode_containers(d, &fields[number], peers, out, count) : err;
}

static syn_err presence(struct decoding *d, syn_str body, const P(Presence) * in,
                        struct msg_presence *out)
{
    out->peers = in->peers;
    out->peer_count = (uint32_t)in->n_peers;
    syn_err err = check_peers(d, in->peers, out->peer_count);
    if (err == SYN_OK)
        err = container_table(d, &syncline__v1__presence__descriptor, 3, body, out->peer_count,
                              &out->containers, &out->container_count);
    if (err != SYN_OK) return err;
    struct presence_tables tables = {.peers = out->peer_count, .containers = out->container_count};
    if (tables.containers == 0) {
        out->containers = &root_container;
        out->container_count = tables.containers = 1;
    }
    struct msg_presence_state *states = arena_array(d->arena, in->n_states, sizeof *states);
    if (states == NULL) return refuse_memory(d->arena, d->fault);
    for (size_t i = 0; i < in->n_states && err == SYN_OK; i++)
        err = presence_state(d, in->states[i], tables, &states[i]);
    out->states = states;
    out->state_count = (uint32_t)in->n_states;
    return err;
}

/* Indexes are of the channel's tables as they are afterwards. */
static syn_err names(struct decoding *d, syn_str body, const P(Names) * in, struct msg_names *out)
{
    uint32_t before = d->base != NULL ? d->base->peer_count : 0;
    if (in->n_peers > LIMIT_NAMES || in->n_containers > LIMIT_NAMES)
        return refuse(d->fault, CODE_LIMIT, "Names: more than %u entries", LIMIT_NAMES);
    out->peers = in->peers;
    out->peer_count = (uint32_t)in->n_peers;
    syn_err err = check_peers(d, in->peers, out->peer_count);
    if (err != SYN_OK) return err;
    return container_table(d, &syncline__v1__names__descriptor, 2, body, before + out->peer_count,
                           &out->containers, &out->container_count);
}

static syn_err digest(struct decoding *d, syn_str body, const P(Digest) * in,
                      struct msg_digest *out)
{
    *out = (struct msg_digest){.hash = in->hash,
                               .kinds = in->kinds,
                               .peers = in->peers,
                               .peer_count = (uint32_t)in->n_peers};
    if (in->n_container_hash != 0 && in->n_container_hash != in->n_containers)
        return malformed(d, "columns of Digest differ in length");
    syn_err err = check_peers(d, in->peers, out->peer_count);
    if (err == SYN_OK) err = version(d, in->version, &out->version);
    if (err == SYN_OK)
        err = container_table(d, &syncline__v1__digest__descriptor, 4, body, out->peer_count,
                              &out->containers, &out->container_count);
    if (err != SYN_OK) return err;
    uint64_t *hash = arena_array(d->arena, in->n_containers, sizeof *hash);
    if (hash == NULL) return refuse_memory(d->arena, d->fault);
    for (size_t i = 0; i < in->n_containers; i++)
        hash[i] = in->n_container_hash != 0 ? in->container_hash[i] : 0;
    out->container_hash = hash;
    return SYN_OK;
}

/* ---- The frame ------------------------------------------------------------------------------- */

static syn_err convert(struct decoding *d, syn_str body, const ProtobufCMessage *in,
                       struct frame *out)
{
    const void *m = in;
    switch (out->kind) {
    case FRAME_ACK:
        return ack(d, m, &out->as.ack);
    case FRAME_PRESENCE:
        return presence(d, body, m, &out->as.presence);
    case FRAME_PACKED:
        return packed(d, m, &out->as.packed);
    case FRAME_CREDIT:
        out->as.credit.bytes = ((const P(Credit) *)m)->bytes;
        return SYN_OK;
    case FRAME_NACK:
        return nack(d, m, &out->as.nack);
    case FRAME_DIGEST:
        return SERVES ? digest(d, body, m, &out->as.digest) : SYN_OK;
    case FRAME_OPEN:
        return SERVES ? open_(d, m, &out->as.open) : SYN_OK;
    case FRAME_OPENED:
        return opened(d, m, &out->as.opened);
    case FRAME_CLOSED:
        return closed(d, m, &out->as.closed);
    case FRAME_WANT:
        return want(d, m, &out->as.want);
    case FRAME_NAMES:
        return NAMES ? names(d, body, m, &out->as.names) : SYN_OK;
    case FRAME_HELLO:
        return SERVES ? hello(d, m, &out->as.hello) : SYN_OK;
    case FRAME_WELCOME:
        return welcome(d, m, &out->as.welcome);
    case FRAME_AUTH:
        out->as.auth.token = str_of(((const P(Auth) *)m)->token);
        return check_token(d, out->as.auth.token);
    case FRAME_ACCESS:
        out->as.access = (struct msg_access){.rights = ((const P(Access) *)m)->rights,
                                             .expires_ms = ((const P(Access) *)m)->expires_ms};
        return SYN_OK;
    case FRAME_PING:
        out->as.ping.nonce = ((const P(Ping) *)m)->nonce;
        return SYN_OK;
    case FRAME_PONG:
        out->as.ping.nonce = ((const P(Pong) *)m)->nonce;
        return SYN_OK;
    case FRAME_ERROR:
        return error(d, m, &out->as.error);
    default:
        return SYN_OK; /* Close is empty */
    }
}

static syn_err unpack_body(struct decoding *d, syn_str body, struct frame *out)
{
    const ProtobufCMessageDescriptor *type =
        message_of(&syncline__v1__frame__descriptor.fields[out->kind - 1]);
    syn_err err = wire_scan(d, type, body.data, body.len, 1);
    if (err != SYN_OK) return err;
    ProtobufCAllocator allocator = arena_allocator(d->arena);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, &allocator, body.len, (const uint8_t *)body.data);
    if (message == NULL) return refuse_memory(d->arena, d->fault);
    return convert(d, body, message, out);
}

static syn_err find_body(struct decoding *d, const struct field *fields, bool unknown,
                         struct frame *out)
{
    for (uint32_t i = FRAME_CHANGES; i <= FRAME_ERROR; i++) {
        if (!fields[i].seen) continue;
        if (out->kind != 0) return malformed(d, "Frame: two bodies");
        out->kind = (enum frame_kind)i;
    }
    if (out->kind == 0 && !unknown) return malformed(d, "Frame: no body");
    return SYN_OK;
}

static struct decoding decoding_begin(proto_arena *arena, const struct proto_limits *limits,
                                      struct proto_fault *fault, uint32_t events)
{
    struct decoding d = {.arena = arena,
                         .fault = fault,
                         .max_events = events,
                         .max_value = LIMIT_VALUE_BYTES,
                         .max_parents = LIMIT_PARENTS,
                         .max_peers = events > LIMIT_FRAME_EVENTS ? UINT32_MAX : LIMIT_PEERS};
    if (fault != NULL) {
        fault->code = CODE_OK;
        fault->text[0] = '\0';
    }
    if (limits == NULL) return d;
    if (limits->frame_events != 0) d.max_events = limits->frame_events;
    if (limits->value_bytes != 0) d.max_value = limits->value_bytes;
    if (limits->parents != 0) d.max_parents = limits->parents;
    return d;
}

syn_err proto_decode(proto_arena *arena, const void *bytes, size_t len,
                     const struct proto_limits *limits, proto_tables_fn tables, void *user,
                     struct frame *out, struct proto_fault *fault)
{
    struct decoding d = decoding_begin(arena, limits, fault, LIMIT_FRAME_EVENTS);
    struct field fields[WIRE_FIELDS];
    uint32_t max =
        limits != NULL && limits->frame_bytes != 0 ? limits->frame_bytes : LIMIT_FRAME_BYTES;
    bool unknown;
    proto_arena_reset(arena);
    arena->limit = LIMIT_FRAME_MEMORY;
    out->channel = 0;
    out->kind = (enum frame_kind)0;
    memset(&out->as, 0, sizeof out->as);
    if (len > max) return refuse(fault, CODE_LIMIT, "frame of %zu bytes, more than %u", len, max);
    syn_err err = wire_split(&syncline__v1__frame__descriptor, bytes, len, UNKNOWN_IGNORED, fields,
                             &unknown, fault);
    out->channel = (uint32_t)fields[1].value;
    if (err == SYN_OK) err = find_body(&d, fields, unknown, out);
    if (err != SYN_OK || out->kind == 0) return err;
    syn_str body = field_str(&fields[out->kind]);
    if (out->kind == FRAME_SNAPSHOT)
        return decode_snapshot(&d, body.data, body.len, &out->as.snapshot);
    struct proto_tables channel = {0};
    bool about = out->kind == FRAME_CHANGES || out->kind == FRAME_NAMES;
    bool known = about && tables != NULL && tables(user, out->channel, &channel);
    if (NAMES && known && out->kind == FRAME_NAMES) d.base = &channel;
    if (out->kind != FRAME_CHANGES) return unpack_body(&d, body, out);
    return decode_changes(&d, body.data, body.len, known ? &channel : NULL, &out->as.changes);
}

syn_err proto_decode_changes(proto_arena *arena, const void *bytes, size_t len,
                             const struct proto_limits *limits, const struct proto_tables *tables,
                             syn_changes *out, struct proto_fault *fault)
{
    struct decoding d = decoding_begin(arena, limits, fault, LIMIT_CHUNK_EVENTS);
    arena->limit = LIMIT_CHUNK_MEMORY;
    return decode_changes(&d, bytes, len, tables, out);
}

syn_err proto_decode_snapshot(proto_arena *arena, const void *bytes, size_t len,
                              struct msg_snapshot *out, struct proto_fault *fault)
{
    struct decoding d = decoding_begin(arena, NULL, fault, LIMIT_CHUNK_EVENTS);
    arena->limit = LIMIT_CHUNK_MEMORY;
    return decode_snapshot(&d, bytes, len, out);
}
