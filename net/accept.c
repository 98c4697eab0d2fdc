/* accept.c -- Changes from a client, and edits by the program that the server lives in.
 *
 * The checks that need no document come first (rights, who answers for a peer, gaps, limits), then
 * core judges the rest by applying it; a refusal names every peer of the frame, because what is in
 * flight behind it stands on it. */
#include "hub_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One peer's part of a frame. */
struct part {
    uint64_t peer; /* 0: no events here, only named as a parent */
    uint32_t first, next;
    uint32_t last;  /* seq of the last event in the frame */
    bool continued; /* another run of the frame stands on the last event */
};

struct offer {
    struct channel *ch;
    struct room *room;
    const syn_changes *set;
    struct part *parts;      /* one per set->peers */
    uint64_t events, naming; /* naming: steps, see naming_work */
    uint32_t bytes;
};

struct refusal {
    enum code code;
    bool permanent;
    uint32_t retry_ms, op_run;
    const char *detail;
};

static uint32_t next_of(struct room *room, const struct room_peer *peer)
{
    uint32_t next = syn_doc_next(room->doc, peer->peer);
    return next > peer->next ? next : peer->next;
}

static void find_parts(struct offer *offer)
{
    const syn_changes *set = offer->set;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        struct part *part = &offer->parts[run->peer];
        if (part->peer == 0)
            *part = (struct part){.peer = set->peers[run->peer], .first = run->seq};
        if (run->seq < part->first) part->first = run->seq;
        if (run->seq + run->len - 1 > part->last) part->last = run->seq + run->len - 1;
        offer->events += run->len;
    }
    for (uint32_t i = 0; i < set->dep_count; i++) {
        struct part *part = &offer->parts[set->deps[i].peer];
        if (part->peer != 0 && part->last == set->deps[i].seq) part->continued = true;
    }
}

/* ---- Refusing -------------------------------------------------------------------------------- */

static void nack_part(const struct offer *offer, const struct part *part, const struct refusal *why)
{
    struct channel *ch = offer->ch;
    struct frame frame = {.channel = ch->number, .kind = FRAME_NACK};
    struct msg_nack *nack = &frame.as.nack;
    struct room_peer peer;
    nack->first_seq = part->first;
    if (why->code == CODE_GAP || why->code == CODE_FORKED) {
        if (room_gather(offer->room) || room_peer_read(offer->room, part->peer, &peer)) {
            channel_closed(ch, CODE_RESYNC, false, RETRY_MS, "the next event is not known");
            return;
        }
        nack->next = next_of(offer->room, &peer);
        if (why->code == CODE_FORKED) nack->chain = peer.chain;
        if (why->code == CODE_GAP && nack->next < part->first) nack->first_seq = nack->next;
    }
    nack->peer = part->peer == ch->peer ? 0 : part->peer;
    nack->code = why->code;
    nack->permanent = why->permanent;
    nack->retry_ms = why->retry_ms;
    nack->detail = syn_s(why->detail);
    nack->op_run = why->op_run;
    if (channel_ignore(ch, part->peer, nack->first_seq)) {
        hold_frame(ch, &frame);
    } else { /* it starts anew, rather than that every frame is held against a long list */
        ch->closing = true;
        hold_closed(ch, CODE_RESYNC, false, "too many peers were refused");
    }
}

static void refuse(struct offer *offer, const struct refusal *why)
{
    struct channel *ch = offer->ch;
    offer->room->hub->stats.nacks++;
    hub_count(offer->room->hub, why->code);
    for (uint32_t i = 0; i < offer->set->peer_count && ch->conn != NULL && !ch->closing; i++)
        if (offer->parts[i].peer != 0) nack_part(offer, &offer->parts[i], why);
    if (ch->conn != NULL && !ch->closing) hold_touch(ch, offer->bytes, NULL, 0);
}

/* It goes on from what was refused.  With it goes what others have in the same frame, and what was
 * sent again in it: nobody would send that once more without being told. */
static void pass_over(struct offer *offer)
{
    const struct refusal why = {CODE_GAP, false, 0, 0, "its frame goes on from what was refused"};
    struct channel *ch = offer->ch;
    for (uint32_t i = 0; i < offer->set->peer_count && ch->conn != NULL && !ch->closing; i++) {
        const struct part *part = &offer->parts[i];
        if (part->peer != 0 && !channel_awaits(ch, part->peer, part->first))
            nack_part(offer, part, &why);
    }
    if (ch->conn != NULL && !ch->closing) hold_touch(ch, offer->bytes, NULL, 0);
}

static struct refusal refusal_of(syn_err err, const syn_doc *doc)
{
    const char *text = syn_doc_error(doc);
    uint32_t op_run = syn_doc_fault(doc).op_run;
    switch (err) {
    case SYN_EMISSING:
        return (struct refusal){CODE_PARENTS, false, 0, op_run, text};
    case SYN_EHISTORY:
        return (struct refusal){CODE_TRIMMED, true, 0, op_run, text};
    case SYN_EGAP:
        return (struct refusal){CODE_GAP, false, 0, op_run, text};
    case SYN_EFORKED:
        return (struct refusal){CODE_FORKED, true, 0, op_run, text};
    case SYN_ELIMIT:
        return (struct refusal){CODE_LIMIT, true, 0, op_run, text};
    case SYN_EUNSUPPORTED:
        return (struct refusal){CODE_VERSION, true, 0, op_run, text};
    case SYN_ENOMEM:
        return (struct refusal){CODE_BUSY, false, RETRY_MS, 0, "out of memory"};
    default:
        return (struct refusal){CODE_MALFORMED, true, 0, op_run, text};
    }
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static bool check_rights(const struct offer *offer, struct refusal *why)
{
    const struct channel *ch = offer->ch;
    const struct room *room = offer->room;
    if (room->deleting)
        *why = (struct refusal){CODE_DELETED, true, 0, 0, "the document was deleted"};
    else if (!(ch->rights & RIGHT_WRITE))
        *why = (struct refusal){CODE_FORBIDDEN, true, 0, 0, "no right to write this document"};
    else if (!room->exists && !(ch->rights & RIGHT_CREATE))
        *why = (struct refusal){CODE_FORBIDDEN, true, 0, 0, "no right to create this document"};
    else if (offer->set->author != NULL && !(ch->rights & RIGHT_RELAY))
        *why = (struct refusal){CODE_FORBIDDEN, true, 0, 0, "only relays may name authors"};
    else if (store_failing(room->hub->store))
        *why = (struct refusal){CODE_STORAGE, false, RETRY_MS, 0,
                                "the server's disk is full or failing; it is read-only for now"};
    else
        return true;
    return false;
}

/* Beyond a limit of the server's; retry_ms 0: as usual. */
static struct refusal limited(hub *h, enum limit limit, uint32_t retry_ms)
{
    const struct limit_info *info = limits_info(limit);
    if (retry_ms > MAX_RETRY_MS) retry_ms = MAX_RETRY_MS;
    if (retry_ms == 0) retry_ms = RETRY_MS;
    hub_count_limit(h, limit);
    return (struct refusal){info->code, info->permanent, info->permanent ? 0 : retry_ms, 0,
                            info->name};
}

static bool check_size(const struct offer *offer, struct refusal *why)
{
    struct room *room = offer->room;
    const uint64_t *most = room->limits->of;
    struct account *account = offer->ch->conn->account;
    struct hourly *creates = account != NULL ? &account->creates : NULL;
    if (syn_doc_events(room->doc) + offer->events > most[LIM_DOCUMENT_EVENTS])
        *why = limited(room->hub, LIM_DOCUMENT_EVENTS, 0);
    else if (room->log_bytes + offer->bytes > most[LIM_DOCUMENT_BYTES])
        *why = limited(room->hub, LIM_DOCUMENT_BYTES, 0);
    else if (!room->exists && creates != NULL &&
             !hourly_left(creates, account->limits->of[LIM_USER_CREATES], 1, room->hub->now))
        *why = limited(room->hub, LIM_USER_CREATES, hourly_wait(creates, room->hub->now));
    else if (!room->exists && account != NULL && !documents_left(room->hub, account))
        *why = limited(room->hub, LIM_USER_DOCUMENTS, 0);
    else
        return true;
    return false;
}

static bool check_pace(const struct offer *offer, struct refusal *why)
{
    struct pace pace = rates_offered(offer->ch, offer->bytes);
    if (offer->room->shedding) {
        *why = limited(offer->room->hub, LIM_MEMORY, RETRY_MS);
        return false;
    }
    if (pace.state < BUCKET_REFUSE) return true;
    *why = limited(offer->room->hub, pace.limit, pace.wait_ms);
    return false;
}

/* The chain of a peer names each event's container together with all that it is merged under
 * (PROTOCOL.md, 7), so an event far down costs as many levels.  How deep a document is has no
 * limit, for not every replica could judge it; what one frame costs has. */
static uint64_t naming_work(const syn_changes *set, uint32_t *depth)
{
    enum { STEPS_OF_A_LEVEL = 4 };
    uint64_t work = 0;
    for (uint32_t i = 0; i < set->container_count; i++) {
        const struct change_container *c = &set->containers[i];
        depth[i] = c->form == CONTAINER_MERGEABLE ? depth[c->parent] + 1 : 0;
    }
    for (uint32_t i = 0; i < set->op_count; i++)
        if (set->ops[i].kind != OP_NOTHING)
            work += (uint64_t)depth[set->ops[i].container] * set->ops[i].len * STEPS_OF_A_LEVEL;
    return work;
}

static bool check_naming(struct offer *offer, struct refusal *why)
{
    enum { FEW = 8, MOST_STEPS = 100000000 }; /* as much as merging may cost */
    if (offer->set->container_count <= FEW) return true;
    uint32_t *depth = malloc(offer->set->container_count * sizeof *depth);
    if (depth == NULL) {
        *why = (struct refusal){CODE_BUSY, false, RETRY_MS, 0, "out of memory"};
        return false;
    }
    offer->naming = naming_work(offer->set, depth);
    free(depth);
    if (offer->naming <= MOST_STEPS) return true;
    *why = (struct refusal){CODE_LIMIT, true, 0, 0,
                            "too many events in containers nested this deep: send fewer at once"};
    return false;
}

static bool own_peer(const struct channel *ch, uint64_t peer)
{
    if (peer == ch->peer) return true;
    for (uint32_t i = 0; i < ch->own_count; i++)
        if (ch->own[i] == peer) return true;
    return false;
}

/* Heads that stand on one user's peers. */
static uint32_t user_heads(struct room *room, uint32_t user)
{
    syn_id heads[LIMIT_PARENTS];
    size_t count = syn_doc_heads(room->doc, heads, LIMIT_PARENTS);
    uint32_t own = 0;
    if (count < LIMIT_USER_HEADS) return 0;
    for (size_t i = 0; i < count && i < LIMIT_PARENTS; i++) {
        struct room_peer peer;
        if (room_peer_read(room, heads[i].peer, &peer) == SYN_OK && peer.user == user) own++;
    }
    return own;
}

/* The frame's new peers and those of them that it leaves as heads, with what was before. */
static bool check_newcomers(const struct offer *offer, uint32_t user, uint32_t peers,
                            uint32_t heads, struct refusal *why)
{
    struct room *room = offer->room;
    struct room_user *who = &room->users[user];
    const struct account *account = offer->ch->conn->account;
    const struct limits *limits = account != NULL ? account->limits : &room->hub->limits;
    uint64_t now = room->hub->now, most = limits->of[LIM_USER_NEW_PEERS];
    if (!hourly_left(&who->newcomers, most, peers, now)) {
        *why = limited(room->hub, LIM_USER_NEW_PEERS, hourly_wait(&who->newcomers, now));
        return false;
    }
    if (heads > LIMIT_USER_HEADS || user_heads(room, user) >= LIMIT_USER_HEADS) {
        *why = (struct refusal){CODE_LIMIT, true, 0, 0,
                                "64 heads of one user: merge them before writing under a new peer"};
        return false;
    }
    return true;
}

/* Who may write as whom; and no gaps. */
static bool check_part(const struct offer *offer, const struct part *part, uint32_t user,
                       bool *is_new, struct refusal *why)
{
    const struct channel *ch = offer->ch;
    struct room_peer peer;
    if (room_peer_read(offer->room, part->peer, &peer)) {
        *why = (struct refusal){CODE_STORAGE, false, RETRY_MS, 0, "the peer table cannot be read"};
        return false;
    }
    bool relays = (ch->rights & RIGHT_RELAY) != 0;
    if (peer.user != 0 && peer.user != user && !ch->helping && !relays) {
        *why = (struct refusal){CODE_FOREIGN_PEER, true, 0, 0,
                                "this peer's events are another user's"};
        return false;
    }
    uint32_t next = next_of(offer->room, &peer);
    if (part->first > next) {
        *why = (struct refusal){CODE_GAP, false, 0, 0, "not the next event of this peer"};
        return false;
    }
    *is_new = next == 0 && user != 0 && (!ch->helping || own_peer(ch, part->peer)) &&
              offer->set->author == NULL;
    return true;
}

static bool check_peers(const struct offer *offer, struct refusal *why)
{
    const hub_conn *conn = offer->ch->conn;
    uint32_t user, newcomers = 0, heads = 0;
    if (room_user(offer->room, (syn_str){conn->user, conn->user_len}, &user)) {
        *why = (struct refusal){CODE_BUSY, false, RETRY_MS, 0, "out of memory"};
        return false;
    }
    for (uint32_t i = 0; i < offer->set->peer_count; i++) {
        const struct part *part = &offer->parts[i];
        bool is_new;
        if (part->peer == 0) continue;
        if (!check_part(offer, part, user, &is_new, why)) return false;
        newcomers += is_new;
        heads += is_new && !part->continued;
    }
    return newcomers == 0 || check_newcomers(offer, user, newcomers, heads, why);
}

/* ---- Taking in ------------------------------------------------------------------------------- */

static syn_err apply(struct room *room, const syn_changes *set, syn_applied *applied)
{
    syn_err err = syn_apply(room->doc, set, false, applied);
    bool below = err == SYN_EHISTORY || err == SYN_EMISSING || err == SYN_EGAP;
    if (!below || syn_doc_has_history(room->doc)) return err;
    syn_err lacks = room_backfill(room);
    if (lacks) return lacks == SYN_EBUSY || lacks == SYN_ENOMEM ? lacks : err;
    return syn_apply(room->doc, set, false, applied);
}

/* Whoever brings a peer's first event answers for it from then on. */
static syn_err bind_peers(struct offer *offer)
{
    const struct channel *ch = offer->ch;
    uint32_t user;
    syn_err err = room_user(offer->room, (syn_str){ch->conn->user, ch->conn->user_len}, &user);
    for (uint32_t i = 0; !err && i < offer->set->peer_count; i++) {
        struct part *part = &offer->parts[i];
        struct room_peer *peer;
        if (part->peer == 0) continue;
        err = room_peer_get(offer->room, part->peer, &peer);
        if (err) break;
        part->next = next_of(offer->room, peer);
        const syn_str *author = offer->set->author;
        if (author != NULL) err = room_user(offer->room, author[i], &user);
        if (err) break;
        if (peer->user != 0 || (ch->helping && !own_peer(ch, part->peer))) continue;
        if (peer->next == 0 && user != 0) offer->room->users[user].newcomers.count++;
        peer->user = user;
        peer->dirty = true;
    }
    return err;
}

static void acknowledge(const struct offer *offer)
{
    uint32_t count = 0;
    syn_id few[16], *acked = few;
    if (offer->set->peer_count > 16) acked = calloc(offer->set->peer_count, sizeof *acked);
    if (acked == NULL) { /* taken, and never said to be: asked again, it is */
        channel_closed(offer->ch, CODE_RESYNC, false, RETRY_MS, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < offer->set->peer_count; i++)
        if (offer->parts[i].peer != 0)
            acked[count++] = (syn_id){offer->parts[i].peer, offer->parts[i].next};
    hold_touch(offer->ch, offer->bytes, acked, count);
    if (acked != few) free(acked);
}

static void take_in(struct offer *offer)
{
    struct room *room = offer->room;
    struct channel *ch = offer->ch;
    syn_applied applied;
    syn_err err = apply(room, offer->set, &applied);
    rates_taken(ch, err ? 0 : applied.applied + applied.duplicate,
                syn_doc_take_work(room->doc) + offer->naming);
    if (err == SYN_EBUSY) { /* what it stands on is being read */
        ch->credit_up += offer->bytes;
        wait_frame(ch);
        return;
    }
    if (err) {
        struct refusal why = refusal_of(err, room->doc);
        refuse(offer, &why);
        return;
    }
    hub *h = room->hub;
    struct turn_room *at = turn_room(room);
    err = at != NULL ? bind_peers(offer) : SYN_ENOMEM;
    if (err) { /* it is in the document, but nobody is bound: start anew from the disk */
        room_drop(room, CODE_RESYNC, "out of memory");
        return;
    }
    h->stats.events_in += applied.applied;
    h->stats.duplicates += applied.duplicate;
    if (applied.applied != 0) {
        author_add(&at->author, ch->session);
        room->dirty = true;
        if (!room->exists && ch->conn->account != NULL) ch->conn->account->creates.count++;
        if (!room->exists) {
            if (ch->conn->account != NULL &&
                ch->conn->account->shared) /* bound above: it is there */
                (void)room_user(room, (syn_str){ch->conn->user, ch->conn->user_len}, &room->maker);
            room_create(room, NULL);
        }
    }
    if (ch->conn != NULL) acknowledge(offer);
}

void accept_changes(struct channel *ch, const syn_changes *set, size_t frame_bytes)
{
    struct offer offer = {.ch = ch, .room = ch->room, .set = set, .bytes = (uint32_t)frame_bytes};
    struct part few[8] = {{0}};
    struct refusal why;
    if (ch->credit_up <= 0) {
        channel_closed(ch, CODE_LIMIT, false, RETRY_MS, "sent without credit");
        return;
    }
    ch->credit_up -= (int64_t)frame_bytes;
    bool small = set->peer_count <= sizeof few / sizeof few[0];
    offer.parts = small ? few : calloc(set->peer_count, sizeof *offer.parts);
    if (offer.parts == NULL) {
        channel_closed(ch, CODE_BUSY, false, RETRY_MS, "out of memory");
        return;
    }
    channel_ref(ch);
    find_parts(&offer);
    if (channel_ignored(ch, set))
        pass_over(&offer);
    else if (check_pace(&offer, &why) && check_rights(&offer, &why) && check_size(&offer, &why) &&
             check_naming(&offer, &why) && check_peers(&offer, &why))
        take_in(&offer);
    else
        refuse(&offer, &why);
    channel_unref(ch);
    if (!small) free(offer.parts);
}

/* ---- The embedder's edits -------------------------------------------------------------------- */

static syn_err own_edit(struct room *room, hub_edit_fn fn, void *user)
{
    hub *h = room->hub;
    uint32_t before = syn_doc_log_end(room->doc), index;
    struct room_peer *peer;
    syn_err err = SYN_OK;
    while (room->server_peer == 0) room->server_peer = h->port.random(h->port.user);
    if (syn_doc_peer(room->doc) != room->server_peer)
        err = syn_doc_set_peer(room->doc, room->server_peer, false);
    if (err) return err;
    syn_err refused = fn(user, room->doc);
    if (syn_doc_log_end(room->doc) == before) return refused;
    struct turn_room *at = turn_room(room);
    err = at != NULL ? room_user(room, syn_s("syncline:server"), &index) : SYN_ENOMEM;
    if (!err) err = room_peer_get(room, room->server_peer, &peer);
    if (err) {
        room_drop(room, CODE_RESYNC, "out of memory");
        return SYN_ENOMEM; /* which says that there is no room any more, too */
    }
    peer->user = index;
    peer->dirty = room->dirty = true;
    author_add(&at->author, NOBODY);
    if (!room->exists) room_create(room, NULL);
    return refused;
}

/* NULL in *room: the call waits. */
static syn_err room_for(hub *h, syn_str document, const struct hub_call *call, struct room **room)
{
    char detail[DETAIL_BYTES];
    bool valid = document.len != 0 && document.len <= LIMIT_NAME_BYTES;
    if (valid && !pressure_may_open(h, document)) return SYN_ENOMEM;
    syn_err err = valid ? room_get(h, document, false, room, detail) : SYN_EMISUSE;
    if (err || !(*room)->opening) return err;
    wait_call(*room, call);
    *room = NULL;
    return SYN_OK;
}

/* false: a limit of its user's or of the document's is in the way. */
static bool request_fits(struct room *room, struct hub_request *request)
{
    hub *h = room->hub;
    const uint64_t *most = room->limits->of;
    struct account *account = account_of(h, request->user);
    request->limit = LIM_NONE;
    if (!rates_request(h, request, room)) return false;
    if (syn_doc_events(room->doc) >= most[LIM_DOCUMENT_EVENTS])
        request_limited(h, request, LIM_DOCUMENT_EVENTS, 0);
    else if (room->log_bytes + request->bytes > most[LIM_DOCUMENT_BYTES])
        request_limited(h, request, LIM_DOCUMENT_BYTES, 0);
    else if (!room->exists && account != NULL &&
             !hourly_left(&account->creates, account->limits->of[LIM_USER_CREATES], 1, h->now))
        request_limited(h, request, LIM_USER_CREATES, hourly_wait(&account->creates, h->now));
    else if (!room->exists && account != NULL && !documents_left(h, account))
        request_limited(h, request, LIM_USER_DOCUMENTS, 0);
    return request->limit == LIM_NONE;
}

static syn_err edit_for(struct room *room, const struct hub_call *call)
{
    hub *h = room->hub;
    bool fresh = !room->exists;
    uint32_t before = syn_doc_log_end(room->doc);
    (void)syn_doc_take_work(room->doc); /* somebody else's */
    syn_err err = own_edit(room, call->fn, call->user);
    if (err == SYN_ENOMEM) return err;
    if (err == SYN_ELIMIT && call->request->limit != LIM_NONE) /* as it was being made */
        request_limited(h, call->request, call->request->limit, 0);
    struct account *account = account_of(h, call->request->user);
    if (fresh && room->exists && account != NULL) {
        account->creates.count++;
        if (room_user(room, call->request->user, &room->maker)) room->maker = 0;
    }
    rates_edited(room, call->request, syn_doc_log_end(room->doc) - before,
                 syn_doc_take_work(room->doc));
    return err;
}

static void call_edit(hub *h, struct room *room, const struct hub_call *call)
{
    syn_err err = room->deleting ? SYN_EDELETED : store_failing(h->store) ? SYN_EIO : SYN_OK;
    if (room->shedding) err = SYN_ENOMEM;
    bool edits = room->exists || call->create;
    if (!err && edits && call->request != NULL && !request_fits(room, call->request))
        err = SYN_ELIMIT;
    if (err) {
        if (call->done != NULL) call->done(call->user, err);
        return;
    }
    if (!edits)
        err = call->fn(call->user, NULL);
    else if (call->request != NULL)
        err = edit_for(room, call);
    else
        err = own_edit(room, call->fn, call->user);
    hold_done(h, err == SYN_ENOMEM ? NULL : room, call->done, call->user, err);
}

static void call_read(hub *h, struct room *room, const struct hub_call *call)
{
    if (room->deleting) {
        if (call->done != NULL) call->done(call->user, SYN_EDELETED);
        return;
    }
    if (room->channel_count == 0) room->idle_since = h->now;
    syn_err err = call->fn(call->user, room->exists ? room->doc : NULL);
    if (err == SYN_EBUSY) {
        room_read(room, call);
        return;
    }
    hold_done(h, room, call->done, call->user, err);
}

static void call_delete(hub *h, struct room *room, const struct hub_call *call)
{
    syn_err err = !room->exists || room->deleting ? SYN_ENOTFOUND : SYN_OK;
    struct turn_room *at = err ? NULL : turn_room(room);
    if (!err && at == NULL) err = SYN_ENOMEM;
    if (err) {
        if (call->done != NULL) call->done(call->user, err);
        return;
    }
    room->deleting = at->deleted = true;
    hold_done(h, room, call->done, call->user, SYN_OK);
}

void hub_call(hub *h, syn_str document, const struct hub_call *call)
{
    static void (*const calls[])(hub *, struct room *, const struct hub_call *) = {
        [CALL_EDIT] = call_edit, [CALL_READ] = call_read, [CALL_DELETE] = call_delete};
    struct room *room;
    syn_err err = room_for(h, document, call, &room);
    if (!err && room != NULL) calls[call->kind](h, room, call);
    if (err && call->done != NULL) call->done(call->user, err);
}

void hub_edit(hub *h, syn_str document, bool create, hub_edit_fn fn, hub_done_fn done, void *user,
              uint64_t now)
{
    h->now = now;
    hub_call(h, document, &(struct hub_call){CALL_EDIT, create, fn, done, user, NULL});
}

void hub_edit_for(hub *h, syn_str document, bool create, hub_edit_fn fn, hub_done_fn done,
                  void *user, struct hub_request *request, uint64_t now)
{
    h->now = now;
    request->limit = LIM_NONE;
    hub_call(h, document, &(struct hub_call){CALL_EDIT, create, fn, done, user, request});
}

void hub_read(hub *h, syn_str document, hub_edit_fn fn, hub_done_fn done, void *user, uint64_t now)
{
    h->now = now;
    hub_call(h, document, &(struct hub_call){CALL_READ, false, fn, done, user, NULL});
}

void hub_delete(hub *h, syn_str document, hub_done_fn done, void *user, uint64_t now)
{
    h->now = now;
    hub_call(h, document, &(struct hub_call){CALL_DELETE, false, NULL, done, user, NULL});
}
