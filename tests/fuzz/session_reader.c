/* session_reader.c -- what the server says, judged. */
#include "session_world.h"

#include "fold.h"
#include "syncline_bytes.h"

struct copy *copy_find(struct client *c, uint32_t channel)
{
    for (uint32_t i = 0; i < COPIES; i++)
        if (c->copies[i].channel == channel && channel != 0) return &c->copies[i];
    return NULL;
}

struct copy *copy_asked(struct client *c, uint32_t channel, const struct msg_open *open)
{
    struct copy *copy = copy_find(c, channel);
    if (copy != NULL) { /* may fill in the peer */
        if (copy->peer == 0) copy->peer = open->peer;
        return copy;
    }
    for (uint32_t i = 0; i < COPIES && copy == NULL; i++)
        if (c->copies[i].channel == 0) copy = &c->copies[i];
    if (copy == NULL || channel == 0 || open->document.len > LIMIT_NAME_BYTES) return NULL;
    *copy = (struct copy){
        .world = c->world, .client = c->number, .channel = channel, .peer = open->peer};
    copy->name_len = open->document.len;
    memcpy(copy->name, open->document.data, open->document.len);
    return copy;
}

static void drop_parts(struct copy *copy)
{
    while (copy->part_count != 0) free((char *)(uintptr_t)copy->parts[--copy->part_count].data);
}

static void drop_replica(struct copy *copy)
{
    syn_doc_free(copy->replica);
    copy->replica = NULL;
    copy->clean = false;
    drop_parts(copy);
}

void copy_free(struct copy *copy)
{
    drop_replica(copy);
    proto_names_free(&copy->down);
    proto_names_free(&copy->up);
    *copy = (struct copy){0};
}

void client_forget(struct client *c)
{
    for (uint32_t i = 0; i < COPIES; i++) copy_free(&c->copies[i]);
    *c = (struct client){.world = c->world, .number = c->number};
}

void client_spoils(struct client *c)
{
    for (uint32_t i = 0; i < COPIES; i++) c->copies[i].clean = false;
}

/* ---- Nothing that is not stored -------------------------------------------------------------- */

static const struct room *room_of(const struct copy *copy)
{
    return room_find(copy->world->hub, (syn_str){copy->name, copy->name_len});
}

/* Is every event of this peer below `next` in the store, in this very document?  A deletion may be
 * committed while what came before it is still being told. */
static bool is_stored(const struct copy *copy, uint64_t peer, uint32_t next)
{
    const struct room *room = room_of(copy);
    struct store_doc found;
    struct store_peer row;
    int doc = doc_index((syn_str){copy->name, copy->name_len});
    if (doc >= 0 && copy->world->deleting & 1u << doc) return true;
    int64_t id = room != NULL ? room->id : 0;
    if (id == 0 && /* not open, or still being opened */
        !store_find(copy->world->store, (syn_str){copy->name, copy->name_len}, &found))
        id = found.id;
    return id != 0 && !store_read_peer(copy->world->store, id, peer, &row) && row.next >= next;
}

static void check_set(struct copy *copy, const syn_changes *set)
{
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        bool stored = is_stored(copy, set->peers[run->peer], run->seq + run->len);
        if (!stored)
            fprintf(stderr, "%.*s: client %u, peer %llx to %u\n", (int)copy->name_len, copy->name,
                    copy->client, (unsigned long long)set->peers[run->peer], run->seq + run->len);
        require(stored, "events that are not in the store of that document were sent");
    }
}

static void note_ack(struct copy *copy, uint64_t peer, uint32_t next)
{
    struct world *w = copy->world;
    int doc = doc_index((syn_str){copy->name, copy->name_len});
    require(is_stored(copy, peer, next), "acknowledged, and not in the store");
    for (uint32_t i = 0; i < w->ack_count; i++) {
        struct ack *ack = &w->acks[i];
        if (ack->doc != doc || ack->peer != peer) continue;
        if (next > ack->next) ack->next = next;
        return;
    }
    if (doc < 0 || w->deleting & 1u << doc || w->ack_count == ACKS) return;
    w->acks[w->ack_count++] = (struct ack){doc, peer, next};
}

void acks_forget(struct world *w, int doc)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->ack_count; i++)
        if (w->acks[i].doc != doc) w->acks[kept++] = w->acks[i];
    w->ack_count = kept;
}

static void take_ack(struct copy *copy, const struct msg_ack *ack)
{
    if (ack->next != 0) {
        note_ack(copy, copy->peer, ack->next);
        if (ack->next > copy->acked) copy->acked = ack->next;
        require(!copy->clean || ack->next <= copy->sent, "more is acknowledged than was sent");
    }
    for (uint32_t i = 0; i < ack->peer_count; i++)
        note_ack(copy, ack->peers[i].peer, ack->peers[i].seq);
}

/* ---- The replica ----------------------------------------------------------------------------- */

/* In one channel events come after their parents, so a right reader can always take them.  A
 * snapshot may have been asked for, without the history that a later event stands on. */
static void take_set(struct copy *copy, const syn_changes *set)
{
    check_set(copy, set);
    if (copy->replica == NULL) return;
    syn_err err = syn_apply(copy->replica, set, false, NULL);
    if (err == SYN_OK) return;
    bool trimmed = err == SYN_EHISTORY || !syn_doc_has_history(copy->replica);
    if (copy->clean && !trimmed) fprintf(stderr, "%s\n", syn_doc_error(copy->replica));
    require(!copy->clean || trimmed, "a right reader cannot take what it was sent");
    drop_replica(copy);
}

static void take_part(struct copy *copy, const struct msg_snapshot *part, syn_str bytes)
{
    struct world *w = copy->world;
    syn_snapshot snapshot;
    struct proto_fault fault;
    uint64_t digest;
    if (copy->replica == NULL) return;
    if (part->part != copy->part_count || part->part >= MAX_PARTS) {
        require(!copy->clean || part->part >= MAX_PARTS, "parts of a snapshot out of order");
        drop_replica(copy);
        return;
    }
    char *bytes_copy = malloc(bytes.len + 1);
    require(bytes_copy != NULL, "no memory");
    memcpy(bytes_copy, bytes.data, bytes.len);
    copy->parts[copy->part_count++] = (syn_str){bytes_copy, bytes.len};
    if (copy->part_count < part->parts) return;
    proto_arena_reset(w->inner);
    syn_err err =
        proto_join_snapshot(w->inner, copy->parts, copy->part_count, &snapshot, &digest, &fault);
    require(err == SYN_OK, "a snapshot that cannot be joined");
    if (syn_doc_events(copy->replica) == 0)
        require(syn_doc_load(copy->replica, &snapshot) == SYN_OK, "a snapshot cannot be loaded");
    else
        drop_replica(copy); /* it wrote before: starts anew in real life */
    drop_parts(copy);
}

static void take_packed(struct copy *copy, const struct msg_packed *packed)
{
    struct world *w = copy->world;
    struct proto_fault fault;
    struct msg_snapshot part;
    syn_changes set;
    syn_str raw;
    require(proto_inflate(w->arena, packed, 0, &raw, &fault) == SYN_OK, "Packed does not inflate");
    if (packed->inside == PACKED_SNAPSHOT) {
        proto_arena_reset(w->inner);
        require(!proto_decode_snapshot(w->inner, raw.data, raw.len, &part, &fault), fault.text);
        take_part(copy, &part, raw);
        return;
    }
    proto_arena_reset(w->inner);
    require(!proto_decode_changes(w->inner, raw.data, raw.len, NULL, NULL, &set, &fault),
            fault.text);
    take_set(copy, &set);
}

/* The message inside a Frame with one body, whose head is a tag and a length. */
static syn_str message_of(syn_str frame)
{
    size_t at = 0;
    if (frame.data[0] == 8) { /* channel */
        for (at = 1; (unsigned char)frame.data[at] & 0x80; at++) {
        }
        at++;
    }
    at++;
    while ((unsigned char)frame.data[at] & 0x80) at++;
    at++;
    return (syn_str){frame.data + at, frame.len - at};
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* Rights are looked up at Open, and again with a fresh token (Access); what an Opened says may be
 * from before they were taken away. */
static void take_opened(struct client *c, struct copy *copy, const struct msg_opened *opened)
{
    syn_str name = {copy->name, copy->name_len};
    struct world before = {.revoked = false};
    require((opened->rights & ~rights_of(&before, c->user, name)) == 0, "rights from nowhere");
    copy->rights = opened->rights;
    copy->open = true;
    if (opened->peer_count != 0) {
        require(opened->peer_next[0] == 0 || is_stored(copy, copy->peer, opened->peer_next[0]),
                "Opened names events that are not stored");
        if (copy->clean && copy->sent == 0) copy->sent = copy->acked = opened->peer_next[0];
    }
}

/* What shows a document, or who looks at it. */
static bool shows(enum frame_kind kind)
{
    return kind == FRAME_CHANGES || kind == FRAME_PACKED || kind == FRAME_SNAPSHOT ||
           kind == FRAME_NAMES || kind == FRAME_PRESENCE || kind == FRAME_DIGEST;
}

static bool named_tables(void *user, uint32_t channel, struct proto_tables *out)
{
    struct copy *copy = copy_find(user, channel);
    if (copy == NULL) return false;
    if (copy->down.container_count == 0)
        require(proto_names_begin(&copy->down, 0) == SYN_OK, "no memory");
    *out = proto_names_tables(&copy->down);
    return true;
}

static void take_content(struct copy *copy, const struct frame *frame, syn_str bytes)
{
    struct proto_fault fault;
    struct msg_snapshot part =
        frame->kind == FRAME_SNAPSHOT ? frame->as.snapshot : (struct msg_snapshot){0};
    require(copy->open, "content before Opened");
    require((copy->rights & RIGHT_READ) != 0, "content for somebody without the right to read");
    if (frame->kind == FRAME_CHANGES) take_set(copy, &frame->as.changes);
    if (frame->kind == FRAME_PACKED) take_packed(copy, &frame->as.packed);
    if (frame->kind == FRAME_SNAPSHOT) take_part(copy, &part, message_of(bytes));
    if (frame->kind == FRAME_NAMES)
        require(!proto_names_add(&copy->down, &frame->as.names, &fault), fault.text);
    bool costs = frame->kind == FRAME_CHANGES || frame->kind == FRAME_PACKED ||
                 frame->kind == FRAME_SNAPSHOT;
    if (costs) copy->owed += (uint32_t)bytes.len;
}

static void take_on_channel(struct client *c, const struct frame *frame, syn_str bytes)
{
    struct copy *copy = copy_find(c, frame->channel);
    if (copy == NULL) { /* only a client that opens more than it keeps may meet this */
        require(c->number >= HONEST || !shows(frame->kind),
                "a frame on a channel that is not open");
        return;
    }
    if (shows(frame->kind)) take_content(copy, frame, bytes);
    if (frame->kind == FRAME_OPENED) take_opened(c, copy, &frame->as.opened);
    if (frame->kind == FRAME_ACK) take_ack(copy, &frame->as.ack);
    if (frame->kind == FRAME_ACCESS) {
        syn_str name = {copy->name, copy->name_len};
        uint32_t rights = frame->as.access.rights;
        require((rights & ~rights_of(c->world, c->user, name)) == 0, "rights from nowhere");
        copy->rights = rights;
    }
    if (frame->kind == FRAME_NACK) copy->clean = false;
    if (frame->kind == FRAME_CLOSED) copy_free(copy);
}

/* A hostile client may have opened channels under numbers that it does not remember; their names
 * were not kept, so frames that need them cannot be read. */
bool reader_takes(struct client *c, syn_str head, syn_str body)
{
    struct world *w = c->world;
    struct frame frame;
    struct proto_fault fault;
    size_t len = head.len + body.len;
    char *bytes = malloc(len + 1);
    w->sends++;
    require(!c->closing, "a frame after the connection was closed");
    require(bytes != NULL, "no memory");
    memcpy(bytes, head.data, head.len);
    if (body.len != 0) memcpy(bytes + head.len, body.data, body.len);
    proto_arena_reset(w->arena);
    syn_err err = proto_decode(w->arena, bytes, len, NULL, named_tables, c, &frame, &fault);
    bool unknown = c->number >= HONEST && copy_find(c, frame.channel) == NULL && frame.channel != 0;
    if (err && !unknown) fprintf(stderr, "%s: %s\n", syn_errname(err), fault.text);
    require(err == SYN_OK || unknown, "the server sent a malformed frame");
    if (err == SYN_OK && frame.kind == FRAME_WELCOME) {
        c->welcome = true;
        c->features = frame.as.welcome.features;
        snprintf(c->user, sizeof c->user, "%.*s", (int)frame.as.welcome.user.len,
                 frame.as.welcome.user.data);
    }
    if (err == SYN_OK && frame.channel != 0) take_on_channel(c, &frame, (syn_str){bytes, len});
    free(bytes);
    return !c->stopped;
}

/* ---- At rest --------------------------------------------------------------------------------- */

static uint64_t digest_of(syn_doc *doc)
{
    uint64_t digest = 0;
    require(syn_doc_digest(doc, &digest) == SYN_OK, "no digest");
    return digest;
}

static void check_copy(struct client *c, struct copy *copy)
{
    bool live = c->conn != NULL && !c->closing && copy->channel != 0 && copy->open && copy->clean;
    const struct room *room = live && copy->replica != NULL ? room_of(copy) : NULL;
    if (room == NULL) return;
    syn_doc_check(copy->replica);
    require(copy->acked == copy->sent, "at rest, and not everything was acknowledged");
    if (!(copy->rights & RIGHT_READ)) return;
    require(syn_doc_events(copy->replica) == syn_doc_events(room->doc), "a reader lacks events");
    require(digest_of(copy->replica) == digest_of(room->doc), "a reader holds something else");
}

/* The document as it would be found after a restart. */
static void check_stored(struct world *w, int index)
{
    syn_str name = syn_s(doc_names[index]);
    const struct room *room = room_find(w->hub, name);
    char detail[DETAIL_BYTES] = "";
    struct store_doc row;
    syn_doc *doc = NULL;
    syn_err err = doc_store_load(w->store, name, NULL, &doc, &row, detail);
    bool absent = err == SYN_ENOTFOUND || err == SYN_EDELETED;
    if (err && !absent) fprintf(stderr, "%s: %s\n", syn_errname(err), detail);
    require(err == SYN_OK || absent, "a stored document cannot be opened");
    if (room != NULL) require(room->exists == !absent, "a document is there, or it is not");
    for (uint32_t i = 0; i < w->ack_count; i++) {
        struct store_peer peer;
        if (w->acks[i].doc != index) continue;
        require(!absent, "an acknowledged document is lost");
        require(!store_read_peer(w->store, row.id, w->acks[i].peer, &peer) &&
                    peer.next >= w->acks[i].next,
                "an acknowledged event is lost");
        require(!syn_doc_has_history(doc) ||
                    syn_doc_has(doc, (syn_id){w->acks[i].peer, w->acks[i].next - 1}),
                "an acknowledged event is not in the document");
    }
    if (!absent && room != NULL)
        require(digest_of(doc) == digest_of(room->doc), "the store holds something else");
    syn_doc_free(doc);
}

void check_rest(struct world *w)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        for (uint32_t k = 0; k < COPIES; k++) check_copy(&w->clients[i], &w->clients[i].copies[k]);
    for (int i = 0; i < DOCS; i++) check_stored(w, i);
}
