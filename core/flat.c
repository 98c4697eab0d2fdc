/* flat.c -- merging a short window by asking every record (layout: flat.h). */
#include "flat.h"

#define START (UINT32_MAX - 1) /* left origin of what has none */
#define END   UINT32_MAX       /* right origin of what has none */

/* ---- Stamps ---------------------------------------------------------------------------------- */

#define FIELD 16 /* bits */
#define NEVER 0x7fffu
#define UPPER UINT64_C(0x8000800080008000) /* of all fields of a word */
#define MADE  UINT64_C(0x0000800000008000) /* of those of `made` */

static inline uint64_t made_field(uint32_t value, uint32_t writer)
{
    return (uint64_t)value << (2 * FIELD * (writer % 2));
}

static inline uint64_t gone_field(uint32_t value, uint32_t writer)
{
    return made_field(value, writer) << FIELD;
}

static inline bool is_known(const struct flat_merge *f, const struct flat_record *r)
{
    const uint64_t *now = f->now.word, *when = r->when.word;
    return (((now[0] + when[0]) | (now[1] + when[1])) & MADE) == 0;
}

/* few: there are two writers at most. */
static inline bool is_seen(struct flat_stamp now, const struct flat_record *r, bool few)
{
    uint64_t unknown = now.word[0] + r->when.word[0];
    if (!few) unknown |= now.word[1] + r->when.word[1];
    return (unknown & UPPER) == 0;
}

/* 1 + the event, counted from the window's first, of which lv is 1 + the LV. */
static inline uint32_t stamp_of(const struct flat_merge *f, lv_t lv)
{
    return lv - f->dense->window.from;
}

void flat_go_to(struct flat_merge *f, uint32_t row)
{
    const struct dense_run *run = &f->dense->runs.at[row];
    f->writer = run->writer;
    f->now = (struct flat_stamp){{0}};
    f->near = (struct flat_place){0, 0, 0};
    for (uint32_t w = 0; w < f->dense->writers; w++) {
        uint32_t upto = run->upto[w] == 0 ? 0 : stamp_of(f, run->upto[w]);
        f->now.word[w / 2] += made_field(NEVER - upto, w) + gone_field(upto + 1, w);
    }
}

/* The version now has the writer's events up to there; those of the piece at hand are seen all or
 * none. */
static inline void know_upto(struct flat_merge *f, lv_t end)
{
    uint64_t *word = &f->now.word[f->writer / 2];
    uint32_t upto = stamp_of(f, end), w = f->writer;
    *word &= ~(made_field(NEVER, w) | gone_field(NEVER, w));
    *word += made_field(NEVER - upto, w) + gone_field(upto + 1, w);
}

/* ---- Records --------------------------------------------------------------------------------- */

syn_err flat_begin(struct flat_merge *f, const syn_mem *mem, const struct dense *dense,
                   uint32_t base_len)
{
    f->list.n = 0;
    f->dense = dense;
    f->base_len = base_len;
    f->work = 0;
    syn_err err = array_reserve(mem, &f->list, 16);
    if (err != SYN_OK) return err;
    if (base_len > 0)
        *array_push(&f->list) =
            (struct flat_record){.len = base_len, .shown = base_len, .left = START, .right = END};
    *array_push(&f->list) = (struct flat_record){.id = END, .len = UINT32_MAX};
    return SYN_OK;
}

void flat_free(struct flat_merge *f, const syn_mem *mem)
{
    array_free(mem, &f->list);
    array_free(mem, &f->effects);
}

#ifdef SYN_STRESS
enum { STEPS = 1 }; /* an event: so that windows are given up, too */
#else
enum { STEPS = 64 };
#endif

bool flat_worth_it(const struct flat_merge *f)
{
    return f->work <= STEPS * (uint64_t)(f->dense->window.end - f->dense->window.from);
}

/* Opens a place before record i, for which there is room. */
static struct flat_record *open_at(struct flat_merge *f, uint32_t i)
{
    struct flat_record *at = &f->list.at[i];
    memmove(at + 1, at, (f->list.n - i) * sizeof *at);
    f->list.n++;
    return at;
}

/* Makes element `off` of record i the first of a record of its own, i + 1; there is room. */
static void cut(struct flat_merge *f, uint32_t i, uint32_t off)
{
    struct flat_record *front = open_at(f, i), *back = front + 1;
    assert(off > 0 && off < front->len);
    front->len = off;
    back->id += off;
    back->len -= off;
    back->left = back->id - 1;
    if (front->shown == 0) return;
    front->shown = front->len;
    back->shown = back->len;
}

/* A visible element: its record, which of it, and what stands before the record in the effect
 * version. */
struct spot {
    uint32_t i, off, shown;
};

static inline bool find_seen(struct flat_merge *f, uint32_t pos, bool few, struct spot *out)
{
    struct flat_place at = f->near;
    const struct flat_stamp now = f->now;
    if (pos < at.seen) at = (struct flat_place){0, 0, 0};
    const struct flat_record *r = f->list.at + at.i;
    uint32_t left = pos - at.seen;
    for (;; r++) {
        uint32_t seen = is_seen(now, r, few) ? r->len : 0;
        if (left < seen) break;
        left -= seen;
        at.shown += r->shown;
    }
    *out = (struct spot){(uint32_t)(r - f->list.at), left, at.shown};
    f->near = (struct flat_place){out->i, pos - left, at.shown};
    return r->id != END;
}

/* The pos-th visible element.  false: there are not so many. */
static bool find(struct flat_merge *f, uint32_t pos, struct spot *out)
{
    return f->dense->writers <= 2 ? find_seen(f, pos, true, out) : find_seen(f, pos, false, out);
}

/* ---- Inserting ------------------------------------------------------------------------------- */

/* Index of the record that the element is in. */
static uint32_t locate(struct flat_merge *f, uint32_t id)
{
    uint32_t i = 0;
    while (id - f->list.at[i].id >= f->list.at[i].len) i++;
    f->work += i + 1;
    return i;
}

static bool stands_before(struct flat_merge *f, uint32_t a, uint32_t b)
{
    if (a == b || a == END || b == START) return false;
    if (a == START || b == END) return true;
    uint32_t i = locate(f, a), k = locate(f, b);
    return i != k ? i < k : a < b;
}

/* The gap behind the pos-th visible element, which becomes r's left origin. */
static bool gap_after(struct flat_merge *f, uint32_t pos, struct flat_record *r, struct spot *gap)
{
    *gap = (struct spot){0, 0, 0};
    r->left = START;
    if (pos == 0) {
        f->near = (struct flat_place){0, 0, 0};
        return true;
    }
    if (!find(f, pos - 1, gap)) return false;
    const struct flat_record *at = &f->list.at[gap->i];
    uint32_t end = gap->off + 1;
    r->left = at->id + gap->off;
    gap->shown += at->shown > 0 ? end : 0;
    if (end < at->len) cut(f, gap->i, end);
    gap->i++;
    return true;
}

/* The right origin of what goes before record i. */
static uint32_t known_after(const struct flat_merge *f, uint32_t i)
{
    while (!is_known(f, &f->list.at[i])) i++;
    return f->list.at[i].id;
}

/* Does unknown record i have its right origin before r's, which is the end of the unknown stretch
 * it is in?  Typing backwards makes each record the right origin of the one before it. */
static bool right_is_before(struct flat_merge *f, uint32_t i, const struct flat_record *r)
{
    const struct flat_record *at = &f->list.at[i];
    if (at[1].id == at->right) return !is_known(f, &at[1]);
    return stands_before(f, at->right, r->right);
}

/* FugueMax: where r goes among concurrent records, from the gap behind its left origin on (the
 * rules: tracker_scan.c). */
static struct spot integrate(struct flat_merge *f, const struct flat_record *r, struct spot gap)
{
    struct spot now = gap;
    uint32_t first = gap.i; /* the record before it may be the one that r's left origin is in */
    bool scanning = false;
    const uint64_t *peer = f->dense->peer;
    for (; !is_known(f, &f->list.at[now.i]); f->work++) {
        const struct flat_record *at = &f->list.at[now.i];
        bool hangs_on_last = now.i > first && at->left - at[-1].id < at[-1].len;
        if (at->left == r->left) {
            if (at->right != r->right)
                scanning = right_is_before(f, now.i, r);
            else if (peer[r->writer] < peer[at->writer])
                break;
            else
                scanning = false;
        } else if (!hangs_on_last && !stands_before(f, r->left, at->left)) {
            break;
        }
        now.shown += at->shown;
        now.i++;
        if (!scanning) gap = now;
    }
    return gap;
}

/* Lengthens the record before the gap by r, if r continues it. */
static bool extend(struct flat_merge *f, uint32_t gap, const struct flat_record *r, lv_t from)
{
    if (gap == 0 || dense_is_cut(f->dense, from)) return false;
    struct flat_record *at = &f->list.at[gap - 1];
    if (at->id + at->len != r->id || r->left != r->id - 1) return false;
    if (at->right != r->right || at->shown == 0) return false;
    at->len += r->len;
    at->shown += r->len;
    return true;
}

syn_err flat_insert(struct flat_merge *f, const syn_mem *mem, const struct op_piece *piece,
                    uint32_t *pos)
{
    uint32_t len = piece->end - piece->from;
    struct flat_record r = {.id = piece->from - f->dense->window.from + f->base_len,
                            .len = len,
                            .shown = len,
                            .writer = f->writer};
    r.when.word[f->writer / 2] = made_field(stamp_of(f, piece->from + 1), f->writer);
    struct spot gap;
    syn_err err = array_reserve(mem, &f->list, 2);
    if (err != SYN_OK) return err;
    know_upto(f, piece->end);
    if (!gap_after(f, piece->pos, &r, &gap)) return SYN_ERANGE;
    r.right = known_after(f, gap.i);
    gap = integrate(f, &r, gap);
    *pos = gap.shown;
    if (!extend(f, gap.i, &r, piece->from)) *open_at(f, gap.i) = r;
    return SYN_OK;
}

/* ---- Deleting -------------------------------------------------------------------------------- */

/* Deletes at most len elements of one record: from the pos-th visible on, or (back) up to it.
 * *done: how many. */
static syn_err delete_piece(struct flat_merge *f, const syn_mem *mem, const struct op_piece *piece,
                            uint32_t pos, uint32_t len, uint32_t *done)
{
    struct spot spot;
    syn_err err = array_reserve(mem, &f->list, 2);
    if (err == SYN_OK) err = array_reserve(mem, &f->effects, 1);
    if (err != SYN_OK) return err;
    if (!find(f, pos, &spot)) return SYN_ERANGE;
    bool back = piece->kind == OP_DELETE_BACK;
    const struct flat_record *at = &f->list.at[spot.i];
    uint32_t room = back ? spot.off + 1 : at->len - spot.off;
    uint32_t n = len < room ? len : room, first = back ? spot.off + 1 - n : spot.off;
    if (at->shown > 0) *array_push(&f->effects) = (struct tracker_effect){spot.shown + first, n};
    if (first + n < at->len) cut(f, spot.i, first + n);
    if (first > 0) cut(f, spot.i++, first);
    struct flat_record *gone = &f->list.at[spot.i];
    gone->when.word[f->writer / 2] += gone_field(NEVER - stamp_of(f, piece->from + 1), f->writer);
    gone->shown = 0;
    f->work++;
    *done = n;
    return SYN_OK;
}

syn_err flat_delete(struct flat_merge *f, const syn_mem *mem, const struct op_piece *piece)
{
    uint32_t pos = piece->pos, len = piece->end - piece->from, done = 0;
    bool back = piece->kind == OP_DELETE_BACK;
    f->effects.n = 0;
    if (back && len - 1 > pos) return SYN_ERANGE;
    know_upto(f, piece->end);
    for (syn_err err; len > 0; len -= done) {
        err = delete_piece(f, mem, piece, pos, len, &done);
        if (err != SYN_OK) return err;
        if (back) pos -= done;
    }
    return SYN_OK;
}
