/* session_send.c -- own events out; acks, nacks and credit in.
 *
 * One cursor over the document's log (send_at) finds what is to be sent; per peer `sent` says what
 * went out on this channel, so that going back for one peer does not repeat another's.  Marks
 * remember when events were made: a short ring, for "the oldest unsaved is that old" needs no more;
 * when it is full its two youngest become one. */
#include "session_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Own peers ------------------------------------------------------------------------------- */

struct own_peer *own_find(const session_doc *sd, uint64_t peer)
{
    for (uint32_t i = 0; i < sd->peer_count; i++)
        if (sd->peers[i].peer == peer) return &sd->peers[i];
    return NULL;
}

syn_err own_add(session_doc *sd, uint64_t peer, struct own_peer **out)
{
    struct own_peer *p = own_find(sd, peer);
    if (p == NULL) {
        if (!grow((void **)&sd->peers, sd->peer_count, &sd->peer_cap, sizeof *sd->peers))
            return SYN_ENOMEM;
        p = &sd->peers[sd->peer_count++];
        *p = (struct own_peer){.peer = peer};
    }
    *out = p;
    return SYN_OK;
}

uint32_t own_next(const session_doc *sd, const struct own_peer *p)
{
    return syn_doc_next(sd->doc, p->peer);
}

static uint32_t unacked_of(const session_doc *sd, const struct own_peer *p)
{
    uint32_t next = own_next(sd, p);
    return next > p->acked ? next - p->acked : 0;
}

uint32_t doc_unacked(const session_doc *sd)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < sd->peer_count; i++) sum += unacked_of(sd, &sd->peers[i]);
    return sum;
}

bool any_foreign(const session_doc *sd)
{
    for (uint32_t i = 0; i < sd->peer_count; i++)
        if (sd->peers[i].foreign) return true;
    return false;
}

/* Peers that are saved to the end and will not write again. */
void own_prune(session_doc *sd)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        struct own_peer *p = &sd->peers[i];
        if (p->peer == sd->peer || p->forked || unacked_of(sd, p) != 0) sd->peers[kept++] = *p;
    }
    sd->peer_count = kept;
    if (!any_foreign(sd)) sd->one_by_one = false;
}

syn_err doc_new_peer(session_doc *sd)
{
    struct own_peer *p = NULL;
    uint64_t peer = 0;
    while (peer == 0 || own_find(sd, peer) != NULL) peer = session_random(sd->s);
    syn_err err = own_add(sd, peer, &p);
    if (!err) err = syn_doc_set_peer(sd->doc, peer, false);
    if (err && p != NULL) sd->peer_count--;
    if (!err) sd->peer = peer;
    return err;
}

uint32_t session_doc_own(const session_doc *sd, struct session_own *out, uint32_t cap)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        const struct own_peer *p = &sd->peers[i];
        if (p->foreign || unacked_of(sd, p) == 0) continue;
        if (count < cap) out[count] = (struct session_own){p->peer, p->acked};
        count++;
    }
    return count;
}

/* ---- Unsaved --------------------------------------------------------------------------------- */

static uint32_t marked(const session_doc *sd)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < sd->mark_count; i++) sum += sd->marks[i].events;
    return sum;
}

static void mark_add(session_doc *sd, uint64_t at, uint32_t events, uint64_t bytes)
{
    if (sd->mark_count == MARKS) {
        struct mark *last = &sd->marks[MARKS - 1];
        last[-1].events += last->events;
        last[-1].bytes += last->bytes;
        sd->mark_count--;
    }
    sd->marks[sd->mark_count++] = (struct mark){.at = at, .events = events, .bytes = bytes};
}

/* Brings the marks level with the peers: saved events leave at the front. */
void marks_settle(session_doc *sd)
{
    uint32_t want = doc_unacked(sd), have = marked(sd), gone = 0;
    if (want > have) mark_add(sd, sd->s->now, want - have, 0);
    while (have > want) {
        struct mark *first = &sd->marks[gone];
        uint32_t take = have - want < first->events ? have - want : first->events;
        first->bytes -= first->bytes * take / first->events;
        first->events -= take;
        have -= take;
        if (first->events == 0) gone++;
    }
    sd->mark_count -= gone;
    memmove(sd->marks, sd->marks + gone, sd->mark_count * sizeof *sd->marks);
}

syn_unsaved session_doc_unsaved(const session_doc *sd, uint64_t now)
{
    syn_unsaved out = {.events = doc_unacked(sd)};
    for (uint32_t i = 0; i < sd->mark_count; i++) out.bytes += sd->marks[i].bytes;
    if (out.events != 0 && sd->mark_count != 0 && now > sd->marks[0].at)
        out.since_ms = now - sd->marks[0].at;
    return out;
}

void session_commit(session_doc *sd, size_t bytes, uint64_t now)
{
    uint32_t want = doc_unacked(sd), have = marked(sd);
    if (sd->s->now < now) sd->s->now = now;
    if (want > have) mark_add(sd, now, want - have, bytes);
}

/* ---- Sending --------------------------------------------------------------------------------- */

void doc_send_restart(session_doc *sd)
{
    uint32_t at = syn_doc_log_end(sd->doc);
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        const struct own_peer *p = &sd->peers[i];
        if (own_next(sd, p) <= p->sent) continue;
        uint32_t first = syn_doc_position(sd->doc, (syn_id){p->peer, p->sent});
        if (first < at) at = first;
    }
    sd->send_at = at;
}

static bool to_send(const session_doc *sd, uint32_t position)
{
    syn_id id = syn_doc_event_id(sd->doc, position);
    const struct own_peer *p = own_find(sd, id.peer);
    return p != NULL && !p->unasked && id.seq >= p->sent;
}

static uint32_t skip_others(const session_doc *sd, uint32_t at, uint32_t end)
{
    while (at < end && !to_send(sd, at)) at++;
    return at;
}

static bool goes_along(const session_doc *sd, uint64_t first, uint32_t at)
{
    return !sd->one_by_one || syn_doc_event_id(sd->doc, at).peer == first;
}

/* The next spans of own events, together few enough for one frame. */
static uint32_t gather(session_doc *sd, syn_span spans[SEND_SPANS])
{
    uint32_t end = syn_doc_log_end(sd->doc), count = 0, total = 0;
    uint32_t at = sd->send_at = skip_others(sd, sd->send_at, end);
    uint64_t first = at < end ? syn_doc_event_id(sd->doc, at).peer : 0;
    while (at < end && count < SEND_SPANS && total < sd->max_events && goes_along(sd, first, at)) {
        uint32_t from = at;
        while (at < end && total < sd->max_events && to_send(sd, at) && goes_along(sd, first, at)) {
            at++;
            total++;
        }
        if (count != 0 && total > SEND_GATHER) break;
        spans[count++] = (syn_span){from, at};
        at = skip_others(sd, at, end);
    }
    return count;
}

static const struct change_container root_container = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

/* Sends what the set speaks of and the server does not know by number; it costs a new peer or
 * container its name once more, and saves it in every frame after. */
static void name_new(session_doc *sd, const syn_changes *set)
{
    struct frame frame = {.channel = sd->channel, .kind = FRAME_NAMES};
    uint32_t peers = sd->out.peer_count, containers = sd->out.container_count;
    if (containers == 0 || sd->channel_peer == 0 || !proto_names_learn(&sd->out, set)) return;
    if (peers == sd->out.peer_count && containers == sd->out.container_count) return;
    frame.as.names = proto_names_since(&sd->out, peers, containers);
    session_send(sd->s, &frame);
}

static syn_err encode_set(session_doc *sd, const syn_changes *set)
{
    session *s = sd->s;
    struct proto_tables tables = {&sd->channel_peer, 1, &root_container, 1};
    if (NAMES) name_new(sd, set);
    if (NAMES && sd->out.container_count != 0) tables = proto_names_tables(&sd->out);
    s->out.len = 0;
    syn_err err = proto_encode_channel(&s->out, sd->channel);
    return err ? err : proto_encode_changes_body(&s->out, set, &tables);
}

static void note_sent(session_doc *sd, const syn_changes *set)
{
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        struct own_peer *p = own_find(sd, set->peers[run->peer]);
        assert(p != NULL && run->seq == p->sent);
        p->sent = run->seq + run->len;
    }
}

static uint32_t frame_limit(const session *s)
{
    return s->limits.frame_bytes != 0 ? s->limits.frame_bytes : LIMIT_FRAME_BYTES;
}

/* One event that no frame can hold: the server would refuse it, and so do we. */
static void too_large(session_doc *sd, uint32_t position)
{
    syn_id id = syn_doc_event_id(sd->doc, position);
    doc_set_aside(sd, id.peer, id.seq, CODE_LIMIT, syn_s("an edit larger than a frame may be"));
}

/* false: nothing was sent, and nothing more can be now. */
static bool send_spans(session_doc *sd, const syn_span *spans, uint32_t count)
{
    session *s = sd->s;
    syn_changes set;
    uint32_t cut = spans[count - 1].end;
    syn_err err;
    if (count > 1)
        err = syn_doc_export_spans(sd->doc, spans, count, &set);
    else
        err = syn_doc_export(sd->doc, spans[0], sd->max_events, sd->max_bytes, &set, &cut);
    if (!err) err = encode_set(sd, &set);
    if (err) {
        doc_resync(sd, s->backoff_max, "out of memory");
        return false;
    }
    if (s->out.len <= frame_limit(s)) {
        note_sent(sd, &set);
        sd->send_at = cut;
        if (sd->credited) sd->credit -= (int64_t)s->out.len;
        session_send_bytes(s, (syn_str){s->out.data, s->out.len});
        return true;
    }
    if (count > 1) return send_spans(sd, spans, 1);
    if (cut - spans[0].from == 1)
        too_large(sd, spans[0].from);
    else
        sd->max_events = (cut - spans[0].from) / 2;
    return sd->state == CHANNEL_OPEN;
}

static bool any_forked(const session_doc *sd)
{
    for (uint32_t i = 0; i < sd->peer_count; i++)
        if (sd->peers[i].forked) return true;
    return false;
}

static bool may_send(const session_doc *sd)
{
    const session *s = sd->s;
    if (!session_live(s) || s->blocked || sd->state != CHANNEL_OPEN) return false;
    if (sd->unsure || sd->retry_at > s->now || any_forked(sd)) return false;
    return !sd->credited || sd->credit > 0;
}

void doc_pump(session_doc *sd)
{
    syn_span spans[SEND_SPANS];
    while (may_send(sd)) {
        sd->retry_at = 0;
        uint32_t count = gather(sd, spans);
        if (count == 0 || !send_spans(sd, spans, count)) return;
    }
}

/* ---- Acks ------------------------------------------------------------------------------------ */

void own_acked(session_doc *sd, struct own_peer *p, uint32_t next)
{
    if (next <= p->acked) return;
    p->acked = next;
    sd->failures = 0;
    if (p->sent < next) p->sent = next;
    sd->max_events =
        sd->s->limits.frame_events != 0 ? sd->s->limits.frame_events : LIMIT_FRAME_EVENTS;
}

static bool take_ack(session_doc *sd, uint64_t peer, uint32_t next)
{
    struct own_peer *p = own_find(sd, peer);
    if (p == NULL) return true;
    if (next > own_next(sd, p)) return false;
    own_acked(sd, p, next);
    return true;
}

/* Old peers that did not fit into Open are asked about when the first ones are through. */
static void ask_the_rest(session_doc *sd)
{
    bool rest = false;
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        const struct own_peer *p = &sd->peers[i];
        if (p->unasked)
            rest = true;
        else if (unacked_of(sd, p) != 0)
            return;
    }
    if (rest) doc_resync(sd, 0, "more earlier peers than one Open can name");
}

void handle_ack(session_doc *sd, const struct msg_ack *ack)
{
    session *s = sd->s;
    uint32_t before = doc_unacked(sd);
    bool ok = ack->next == 0 || take_ack(sd, sd->channel_peer, ack->next);
    for (uint32_t i = 0; i < ack->peer_count; i++)
        if (!take_ack(sd, ack->peers[i].peer, ack->peers[i].seq)) ok = false;
    if (!ok) {
        doc_resync(sd, 0, "the server acknowledged what was never written");
        return;
    }
    if (doc_unacked(sd) == before) return;
    own_prune(sd);
    marks_settle(sd);
    if (s->port.acked != NULL) s->port.acked(s->port.user, sd);
    ask_the_rest(sd);
    doc_pump(sd);
}

/* ---- Nacks ----------------------------------------------------------------------------------- */

static void send_again(session_doc *sd, struct own_peer *p, uint32_t from, uint64_t wait)
{
    session *s = sd->s;
    p->sent = from > p->acked ? from : p->acked;
    doc_send_restart(sd);
    if (wait != 0) sd->retry_at = s->now + wait + session_jitter(s, wait);
    doc_pump(sd);
}

enum nack_act {
    NACK_ASIDE,
    NACK_SPLIT,
    NACK_REKEY,
    NACK_RESEND,
    NACK_REOPEN,
    NACK_WAIT,
    NACK_TOKEN
};

/* PROTOCOL.md, "What a client does on each code". */
static enum nack_act nack_act(const struct msg_nack *nack)
{
    switch (nack->code) {
    case CODE_LIMIT:
        return NACK_SPLIT;
    case CODE_MALFORMED:
    case CODE_VERSION:
    case CODE_TRIMMED:
        return NACK_ASIDE;
    case CODE_FORKED:
        return NACK_REOPEN; /* Opened's chain, and what comes, tell where it parted */
    case CODE_FOREIGN_PEER:
        return NACK_REKEY;
    case CODE_GAP:
        return NACK_RESEND;
    case CODE_PARENTS:
    case CODE_RESYNC:
        return NACK_REOPEN;
    case CODE_BUSY:
    case CODE_STORAGE:
    case CODE_TOO_SLOW:
    case CODE_DAMAGED:
        return NACK_WAIT;
    case CODE_UNAUTHENTICATED:
    case CODE_EXPIRED:
        return NACK_TOKEN;
    default:
        return nack->permanent ? NACK_ASIDE : NACK_WAIT;
    }
}

static bool foreign_on_the_way(const session_doc *sd)
{
    for (uint32_t i = 0; i < sd->peer_count; i++)
        if (sd->peers[i].foreign && sd->peers[i].sent > sd->peers[i].acked) return true;
    return false;
}

/* Others' events that a restored server asked for and does not take are not ours to save. */
static void give_up_foreign(session_doc *sd, struct own_peer *p)
{
    p->acked = p->sent = own_next(sd, p);
    own_prune(sd);
    marks_settle(sd);
    doc_send_restart(sd);
}

static void on_limit(session_doc *sd, struct own_peer *p, uint32_t from,
                     const struct msg_nack *nack)
{
    if (sd->max_events > 1) {
        uint32_t sent = p->sent - from;
        uint32_t most = sent < sd->max_events ? sent : sd->max_events;
        sd->max_events = most > 8 ? most / 8 : 1;
        send_again(sd, p, from, nack->retry_ms);
    } else if (nack->permanent) {
        doc_set_aside(sd, p->peer, from, nack->code, nack->detail);
    } else {
        send_again(sd, p, from, nack->retry_ms != 0 ? nack->retry_ms : sd->s->backoff_min);
    }
}

static void rekey(session_doc *sd, struct own_peer *p, uint32_t from)
{
    if (doc_rekey(sd, p->peer, from, NULL))
        doc_resync(sd, 0, "a refused peer could not be renamed");
    else
        doc_pump(sd);
}

void handle_nack(session_doc *sd, const struct msg_nack *nack)
{
    session *s = sd->s;
    struct own_peer *p = own_find(sd, nack->peer != 0 ? nack->peer : sd->channel_peer);
    if (p == NULL || nack->first_seq >= p->sent)
        return; /* sent again since, or not ours any more */
    uint32_t from = nack->first_seq > p->acked ? nack->first_seq : p->acked;
    enum nack_act act = nack_act(nack);
    uint64_t wait = nack->retry_ms != 0 ? nack->retry_ms : s->backoff_min;
    bool refused = act == NACK_ASIDE || act == NACK_REKEY || act == NACK_SPLIT;
    if (refused && !sd->one_by_one && foreign_on_the_way(sd)) {
        /* Every peer of the frame is nacked for one, and that one's may be there already. */
        sd->one_by_one = true;
        doc_resync(sd, 0, proto_code_name(nack->code));
        return;
    }
    if (refused && p->foreign && sd->helping) {
        give_up_foreign(sd, p);
        return;
    }
    if (p->foreign && act == NACK_REKEY) act = NACK_ASIDE; /* not ours to sign */
    if (act == NACK_REKEY &&
        !p->refused) { /* renamed, what another brought for us would be twice */
        p->refused = true;
        act = NACK_REOPEN;
    }
    if (act == NACK_RESEND && nack->first_seq < p->acked) act = NACK_REOPEN;
    switch (act) {
    case NACK_ASIDE:
        doc_set_aside(sd, p->peer, from, nack->code, nack->detail);
        break;
    case NACK_SPLIT:
        on_limit(sd, p, from, nack);
        break;
    case NACK_REKEY:
        rekey(sd, p, from);
        break;
    case NACK_RESEND:
        send_again(sd, p, from, 0);
        break;
    case NACK_REOPEN:
        doc_resync(sd, nack->retry_ms, proto_code_name(nack->code));
        break;
    case NACK_WAIT:
        send_again(sd, p, from, wait);
        break;
    case NACK_TOKEN:
        session_hang_up(s, proto_code_name(nack->code));
        break;
    }
}
