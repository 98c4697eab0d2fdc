/* inflate.c -- Packed from a client: what is inside is taken in like Changes.
 *
 * A frame of 1 MiB may claim 64 MiB.  Much is inflated off the loop: the frame waits like one whose
 * document is not ready (waiting.c), what it claims is charged before a byte of it is made, and
 * when it is read again its inside stands ready in ch->inflated. */
#include "hub_impl.h"

#include "copy.h"

#include <stdlib.h>
#include <string.h>

/* What is inside is one message like others, but for its bytes: events are what unpacking costs. */
static const struct proto_limits inside_limits = {.frame_bytes = LIMIT_RAW_BYTES,
                                                  .frame_events = LIMIT_FRAME_EVENTS};

/* Claimed by all channels at once: one of the largest. */
#define MAX_INFLATING LIMIT_RAW_BYTES

struct inflate_job {
    struct room_job job;
    struct channel *ch;
    struct inflated *made;
    struct msg_packed packed;
    syn_err err;
    struct proto_fault fault;
    char data[];
};

static struct inflate_job *inflate_job_of(struct room_job *job)
{
    return (struct inflate_job *)(void *)job; /* its first member */
}

void inflated_free(struct inflated *made)
{
    if (made == NULL) return;
    made->hub->inflating -= made->charged;
    proto_arena_free(made->arena);
    free(made);
}

static void run(struct room_job *job)
{
    struct inflate_job *inflate = inflate_job_of(job);
    inflate->err = proto_inflate(inflate->made->arena, &inflate->packed, 0, &inflate->made->raw,
                                 &inflate->fault);
}

static void close_faulty(struct channel *ch, const struct proto_fault *fault)
{
    channel_closed(ch, fault->code, fault->code != CODE_BUSY, 0, fault->text);
}

static void done(struct room_job *job)
{
    struct inflate_job *inflate = inflate_job_of(job);
    struct channel *ch = inflate->ch;
    bool wanted = ch->conn != NULL && !job->room->dead;
    ch->inflating = false;
    if (wanted && !inflate->err) {
        ch->inflated = inflate->made;
        inflate->made = NULL;
    } else if (wanted) {
        close_faulty(ch, &inflate->fault);
    }
    if (!job->room->dead) room_go_on(job->room); /* what waits for nobody is let go, too */
    inflated_free(inflate->made);
    channel_unref(ch);
    free(inflate);
}

static struct inflate_job *prepare(struct channel *ch, const struct msg_packed *packed)
{
    hub *h = ch->conn->hub;
    struct inflate_job *inflate = calloc(1, sizeof *inflate + packed->data.len);
    struct inflated *made = calloc(1, sizeof *made);
    if (inflate == NULL || made == NULL || proto_arena_new(&made->arena, NULL)) {
        free(inflate);
        free(made);
        return NULL;
    }
    made->hub = h;
    made->charged = packed->raw_size;
    h->inflating += made->charged;
    inflate->job.run = run;
    inflate->job.done = done;
    inflate->ch = ch;
    inflate->made = made;
    inflate->packed = *packed;
    inflate->packed.data.data = copy_str(inflate->data, packed->data);
    inflate->fault.code = CODE_MALFORMED;
    return inflate;
}

/* The frame is read again when this is done. */
static void begin(struct channel *ch, const struct msg_packed *packed)
{
    hub *h = ch->conn->hub;
    bool fits = packed->raw_size <= MAX_INFLATING - h->inflating;
    struct inflate_job *inflate = fits ? prepare(ch, packed) : NULL;
    if (inflate == NULL) {
        channel_closed(ch, CODE_BUSY, false, RETRY_MS, "too much is being inflated");
        return;
    }
    channel_ref(ch);
    ch->inflating = true;
    if (room_job_start(&inflate->job, ch->room)) {
        wait_frame(ch);
        return;
    }
    ch->inflating = false;
    channel_closed(ch, CODE_BUSY, false, RETRY_MS, "too much is going on");
    inflated_free(inflate->made);
    channel_unref(ch);
    free(inflate);
}

/* Refused without any work: whatever proto_inflate() would refuse before it begins. */
static bool much(const hub *h, const struct msg_packed *packed)
{
    return h->port.work != NULL && packed->codec == 0 &&
           packed->raw_size > h->tuning.inflate_at_once &&
           packed->raw_size <= pressure_raw_bytes(h) &&
           packed->raw_size / LIMIT_DEFLATE_RATIO <= packed->data.len;
}

void inflate_receive(struct channel *ch, const struct msg_packed *packed, size_t frame_bytes)
{
    hub *h = ch->conn->hub;
    struct proto_tables tables = channel_tables(ch);
    struct proto_fault fault = {.code = CODE_MALFORMED};
    struct msg_packed copy = *packed;
    syn_changes set;
    syn_err err = SYN_OK;
    if (copy.inside != PACKED_CHANGES || !(ch->conn->features & FEATURE_PACKED)) {
        channel_closed(ch, CODE_MALFORMED, true, 0, "Packed was not agreed, or holds a Snapshot");
        return;
    }
    struct inflated *made = ch->inflated;
    if (made == NULL && ch->inflating) { /* another job of the room has ended */
        wait_frame(ch);
        return;
    }
    if (made == NULL && much(h, packed)) {
        begin(ch, packed);
        return;
    }
    syn_str raw = made != NULL ? made->raw : (syn_str){NULL, 0};
    ch->inflated = NULL;
    if (made == NULL) err = proto_inflate(h->arena, &copy, pressure_raw_bytes(h), &raw, &fault);
    if (!err)
        err = proto_decode_changes(h->inner, raw.data, raw.len, &inside_limits, &tables, &set,
                                   &fault);
    if (err)
        close_faulty(ch, &fault);
    else
        accept_changes(ch, &set, frame_bytes); /* may wait for history: then once more from here */
    proto_arena_reset(h->inner);               /* a hundred times what came: not until the next */
    inflated_free(made);
}
