/* describe.c -- frames as text for transcripts: everything that a reader of the protocol would ask
 * for, nothing that is random by nature. */
#include "describe.h"

#include <inttypes.h>

static void put_ids(FILE *out, const char *name, const syn_id *ids, uint32_t count)
{
    if (count == 0) return;
    fprintf(out, " %s=", name);
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "%s%" PRIx64 ":%" PRIu32, i != 0 ? "," : "", ids[i].peer, ids[i].seq);
}

static void put_version(FILE *out, const char *name, const struct msg_version *version)
{
    put_ids(out, name, version->heads, version->head_count);
    put_ids(out, "vector", version->vector, version->vector_count);
}

static void put_text(FILE *out, syn_str text)
{
    size_t shown = text.len <= 40 ? text.len : 24;
    fprintf(out, " \"");
    for (size_t i = 0; i < shown; i++) {
        if (text.data[i] == '\n')
            fprintf(out, "\\n");
        else
            fputc(text.data[i], out);
    }
    if (shown == text.len)
        fprintf(out, "\"");
    else
        fprintf(out, "...\" (%zu bytes)", text.len);
}

static void put_runs(FILE *out, const syn_changes *set)
{
    const struct change_dep *dep = set->deps;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        fprintf(out, " %" PRIx64 ":%" PRIu32, set->peers[run->peer], run->seq);
        if (run->len > 1) fprintf(out, "-%" PRIu32, run->seq + run->len - 1);
        if (run->explicit_parents) {
            fprintf(out, "(after");
            for (uint32_t k = 0; k < run->dep_count; k++, dep++)
                fprintf(out, " %" PRIx64 ":%" PRIu32, set->peers[dep->peer], dep->seq);
            fprintf(out, ")");
        }
    }
}

static void put_ops(FILE *out, const syn_changes *set)
{
    size_t text = 0;
    fprintf(out, " |");
    for (uint32_t i = 0; i < set->op_count; i++) {
        const struct change_op *op = &set->ops[i];
        if (i == 6) {
            fprintf(out, " ... %" PRIu32 " operations", set->op_count);
            return;
        }
        if (op->kind == OP_TEXT_INSERT) {
            size_t from = text;
            for (uint32_t n = 0; n < op->len; n++) {
                text++;
                while (text < set->text.len && ((unsigned char)set->text.data[text] & 0xc0) == 0x80)
                    text++;
            }
            fprintf(out, " insert %" PRIu32, op->pos);
            put_text(out, (syn_str){set->text.data + from, text - from});
        } else if (op->kind == OP_DELETE || op->kind == OP_DELETE_BACK) {
            fprintf(out, " delete%s %" PRIu32 " %" PRIu32, op->kind == OP_DELETE ? "" : "-back",
                    op->pos, op->len);
        } else {
            fprintf(out, " op%" PRIu32 " %" PRIu32, op->kind, op->len);
        }
    }
}

static void put_packed(FILE *out, const struct msg_packed *packed)
{
    proto_arena *raw = NULL, *inner = NULL;
    struct proto_fault fault;
    struct msg_packed copy = *packed;
    struct msg_snapshot snapshot;
    syn_changes set;
    syn_str bytes;
    if (proto_arena_new(&raw, NULL) || proto_arena_new(&inner, NULL)) return;
    if (proto_inflate(raw, &copy, 0, &bytes, &fault)) {
        fprintf(out, " not inflatable: %s", fault.text);
    } else if (copy.inside == PACKED_CHANGES) {
        syn_err err = proto_decode_changes(inner, bytes.data, bytes.len, NULL, NULL, &set, &fault);
        fprintf(out, " Changes");
        if (!err) put_runs(out, &set);
    } else {
        syn_err err = proto_decode_snapshot(inner, bytes.data, bytes.len, &snapshot, &fault);
        if (!err) {
            fprintf(out, " Snapshot part %" PRIu32 " of %" PRIu32, snapshot.part, snapshot.parts);
            put_ids(out, "heads", snapshot.piece.heads, snapshot.piece.head_count);
        }
    }
    proto_arena_free(raw);
    proto_arena_free(inner);
}

static void put_snapshot(FILE *out, const struct msg_snapshot *snapshot)
{
    fprintf(out, " part %" PRIu32 " of %" PRIu32 " events=%" PRIu64, snapshot->part,
            snapshot->parts, snapshot->piece.events);
    put_ids(out, "heads", snapshot->piece.heads, snapshot->piece.head_count);
    for (uint32_t i = 0; i < snapshot->piece.state_count; i++)
        put_text(out, snapshot->piece.states[i].text);
}

static void put_opened(FILE *out, const struct msg_opened *opened)
{
    static const char *const plans[] = {"CHANGES", "SNAPSHOT", "NEED_VECTOR"};
    fprintf(out, " %s session=%" PRIu32 " rights=%" PRIx32, plans[opened->plan], opened->session,
            opened->rights);
    fprintf(out, opened->lineage.len == 16 ? " lineage=" : " no-lineage");
    for (size_t i = 0; i < opened->lineage.len && i < 4; i++)
        fprintf(out, "%02x", (unsigned char)opened->lineage.data[i]);
    put_version(out, "heads", &opened->version);
    for (uint32_t i = 0; i < opened->peer_count; i++)
        fprintf(out, " next=%" PRIu32 "/%016" PRIx64, opened->peer_next[i], opened->peer_chain[i]);
    if (opened->window_bytes != 0) fprintf(out, " window=%" PRIu32, opened->window_bytes);
}

static void put_end(FILE *out, uint32_t code, bool permanent, uint32_t retry_ms, syn_str detail)
{
    fprintf(out, " %s%s", proto_code_name(code), permanent ? " permanent" : "");
    if (retry_ms != 0) fprintf(out, " retry=%" PRIu32, retry_ms);
    if (detail.len != 0) put_text(out, detail);
}

static void put_nack(FILE *out, const struct msg_nack *nack)
{
    fprintf(out, " peer=%" PRIx64 " from=%" PRIu32, nack->peer, nack->first_seq);
    put_end(out, nack->code, nack->permanent, nack->retry_ms, nack->detail);
    if (nack->next != 0) fprintf(out, " next=%" PRIu32, nack->next);
    if (nack->chain != 0) fprintf(out, " chain=%016" PRIx64, nack->chain);
}

static void put_presence(FILE *out, const struct msg_presence *presence)
{
    for (uint32_t i = 0; i < presence->state_count; i++) {
        const struct msg_presence_state *state = &presence->states[i];
        fprintf(out, " [session %" PRIu32 "%s%s", state->session, state->gone ? " gone" : "",
                state->unchanged ? " unchanged" : "");
        if (state->user.len != 0) fprintf(out, " %.*s", (int)state->user.len, state->user.data);
        if (state->state.len != 0) put_text(out, state->state);
        for (uint32_t k = 0; k < state->cursor_count; k++) {
            const struct msg_cursor *cursor = &state->cursors[k];
            fprintf(out, " cursor %" PRIu32 "%+" PRId32, cursor->anchor, cursor->head);
            for (uint32_t h = 0; h < cursor->at_count; h++)
                fprintf(out, " at %" PRIx64 ":%" PRIu32, presence->peers[cursor->at[h].peer],
                        cursor->at[h].seq);
        }
        fprintf(out, "]");
    }
}

static void put_body(FILE *out, const struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_CHANGES:
        put_runs(out, &frame->as.changes);
        put_ops(out, &frame->as.changes);
        break;
    case FRAME_ACK:
        if (frame->as.ack.next != 0) fprintf(out, " next=%" PRIu32, frame->as.ack.next);
        put_ids(out, "others", frame->as.ack.peers, frame->as.ack.peer_count);
        break;
    case FRAME_PACKED:
        put_packed(out, &frame->as.packed);
        break;
    case FRAME_SNAPSHOT:
        put_snapshot(out, &frame->as.snapshot);
        break;
    case FRAME_OPENED:
        put_opened(out, &frame->as.opened);
        break;
    case FRAME_NACK:
        put_nack(out, &frame->as.nack);
        break;
    case FRAME_PRESENCE:
        put_presence(out, &frame->as.presence);
        break;
    case FRAME_CREDIT:
        fprintf(out, " %" PRIu32, frame->as.credit.bytes);
        break;
    case FRAME_WANT:
        put_version(out, "have", &frame->as.want.have);
        put_version(out, "upto", &frame->as.want.upto);
        break;
    case FRAME_CLOSED:
        put_end(out, frame->as.closed.code, frame->as.closed.permanent, frame->as.closed.retry_ms,
                frame->as.closed.detail);
        break;
    case FRAME_ERROR:
        put_end(out, frame->as.error.code, frame->as.error.permanent, frame->as.error.retry_ms,
                frame->as.error.detail);
        break;
    case FRAME_WELCOME:
        fprintf(out, " version=%" PRIu32 " features=%" PRIx64 " user=%.*s",
                frame->as.welcome.version, frame->as.welcome.features,
                (int)frame->as.welcome.user.len, frame->as.welcome.user.data);
        break;
    case FRAME_ACCESS:
        fprintf(out, " rights=%" PRIx32, frame->as.access.rights);
        break;
    case FRAME_DIGEST:
        put_version(out, "heads", &frame->as.digest.version);
        fprintf(out, " containers=%" PRIu32, frame->as.digest.container_count);
        break;
    default:
        break;
    }
}

void describe_frame(FILE *out, const void *bytes, size_t len)
{
    proto_arena *arena = NULL;
    struct proto_fault fault;
    struct frame frame = {0};
    if (proto_arena_new(&arena, NULL)) return;
    if (proto_decode(arena, bytes, len, NULL, NULL, NULL, &frame, &fault)) {
        fprintf(out, "undecodable: %s", fault.text);
    } else {
        fprintf(out, "%s", proto_frame_name(frame.kind));
        if (frame.channel != 0) fprintf(out, " %" PRIu32, frame.channel);
        put_body(out, &frame);
    }
    proto_arena_free(arena);
}
