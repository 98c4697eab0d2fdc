/* bench_made.c -- histories made from a seed, of any size.
 *
 *     author   a replica and a cursor: types letters, and one time in fifty moves elsewhere
 *
 *     typing   one author; beyond a size each letter typed costs another one
 *     wide     seed text -> authors that hear nothing: frames by turns, one edit each
 *     pair     left:  [burst 1] [burst 2] hears right's 1 [burst 3] hears right's 2 ...
 *              right: the same of left; so some events of each are always unknown to the other
 *
 * The same numbers give the same history, on every machine. */
#include "bench.h"

#include <stdlib.h>

#define MOVE_ONE_IN 50
#define SEED_CHARS  1000

struct author {
    syn_doc *doc;
    syn_obj text;
    uint64_t dice;
    size_t at;
};

static uint32_t draw(struct author *a, size_t below)
{
    a->dice ^= a->dice << 13;
    a->dice ^= a->dice >> 7;
    a->dice ^= a->dice << 17;
    return (uint32_t)((a->dice >> 11) % below);
}

static syn_err author_init(struct author *a, uint64_t peer)
{
    *a = (struct author){.dice = 88172645463325252u + peer};
    return bench_doc(&a->doc, &a->text, NULL, peer, false);
}

static syn_err type_one(struct author *a)
{
    size_t len = syn_text_len(a->doc, a->text);
    if (a->at > len || draw(a, MOVE_ONE_IN) == 0) a->at = draw(a, len + 1);
    char letter = (char)('a' + draw(a, 26));
    return syn_text_insert(a->doc, a->text, a->at++, (syn_str){&letter, 1});
}

static syn_err delete_one(struct author *a)
{
    if (a->at == 0) a->at = 1 + draw(a, syn_text_len(a->doc, a->text));
    return syn_text_delete(a->doc, a->text, --a->at, 1);
}

syn_err bench_made_typing(syn_doc **doc, uint32_t events, uint32_t size, double *ms)
{
    struct author a;
    double start = bench_cpu_ms();
    syn_err err = author_init(&a, 1);
    for (uint32_t i = 0; err == SYN_OK && i < events; i++) {
        bool full = i >= size && (i - size) % 2 != 0;
        err = full ? delete_one(&a) : type_one(&a);
    }
    *ms = bench_cpu_ms() - start;
    *doc = a.doc;
    return err;
}

/* ---- Several authors: what each does is a frame ---------------------------------------------- */

/* Bytes of what the document has beyond its heads of before; `had` heads fit in two. */
static syn_err type_frame(struct author *a, struct bench_frames *frames)
{
    syn_id heads[8];
    size_t had = syn_doc_heads(a->doc, heads, 8);
    syn_err err = had <= 8 ? type_one(a) : SYN_EMISUSE;
    if (err == SYN_OK) err = syn_export_since(a->doc, heads, had, &frames->bytes);
    return err == SYN_OK ? bench_frame_ended(frames) : err;
}

static syn_err import_frames(syn_doc *doc, const struct bench_frames *frames, uint32_t from,
                             uint32_t end)
{
    syn_err err = SYN_OK;
    for (uint32_t i = from; err == SYN_OK && i < end; i++) {
        size_t start = i == 0 ? 0 : frames->ends[i - 1];
        err = syn_import(doc, frames->bytes.data + start, frames->ends[i] - start);
    }
    return err;
}

/* The document that has every frame. */
static syn_err gather(struct bench_material *m)
{
    syn_obj text;
    syn_err err = bench_doc(&m->doc, &text, NULL, 0, false);
    return err == SYN_OK ? import_frames(m->doc, &m->frames, 0, m->frames.count) : err;
}

/* The first frame: a text that all begin with. */
static syn_err seed_frame(struct bench_frames *frames)
{
    syn_doc *doc = NULL;
    double ms;
    syn_err err = bench_made_typing(&doc, SEED_CHARS, SEED_CHARS, &ms);
    if (err == SYN_OK) err = syn_export_since(doc, NULL, 0, &frames->bytes);
    syn_doc_free(doc);
    return err == SYN_OK ? bench_frame_ended(frames) : err;
}

syn_err bench_made_wide(struct bench_material *m, uint32_t events, uint32_t writers)
{
    *m = (struct bench_material){0};
    struct author *authors = calloc(writers, sizeof *authors);
    syn_err err = authors != NULL ? seed_frame(&m->frames) : SYN_ENOMEM;
    for (uint32_t w = 0; err == SYN_OK && w < writers; w++) {
        err = author_init(&authors[w], w + 2);
        if (err == SYN_OK) err = import_frames(authors[w].doc, &m->frames, 0, 1);
        authors[w].at = SEED_CHARS + 1; /* begin anywhere */
    }
    for (uint32_t i = 0; err == SYN_OK && i < events; i++)
        err = type_frame(&authors[i % writers], &m->frames);
    for (uint32_t w = 0; authors != NULL && w < writers; w++) syn_doc_free(authors[w].doc);
    free(authors);
    return err == SYN_OK ? gather(m) : err;
}

syn_err bench_made_pair(struct bench_material *m, uint32_t events, uint32_t burst)
{
    *m = (struct bench_material){0};
    struct author sides[2] = {{0}};
    uint32_t heard[2] = {0, 0}; /* from here on each side's last burst, unknown to the other */
    syn_err err = seed_frame(&m->frames);
    for (uint32_t s = 0; err == SYN_OK && s < 2; s++) {
        err = author_init(&sides[s], s + 2);
        if (err == SYN_OK) err = import_frames(sides[s].doc, &m->frames, 0, 1);
        sides[s].at = SEED_CHARS + 1;
    }
    for (uint32_t turn = 0; err == SYN_OK && m->frames.count <= events; turn++) {
        uint32_t s = turn % 2, from = m->frames.count;
        for (uint32_t i = 0; err == SYN_OK && i < burst; i++)
            err = type_frame(&sides[s], &m->frames);
        /* the other hears of the burst before this one */
        if (err == SYN_OK && turn >= 2)
            err = import_frames(sides[1 - s].doc, &m->frames, heard[s], heard[s] + burst);
        heard[s] = from;
    }
    for (uint32_t s = 0; s < 2; s++) syn_doc_free(sides[s].doc);
    return err == SYN_OK ? gather(m) : err;
}
