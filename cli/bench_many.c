/* bench_many.c -- works of no trace: ten thousand small documents open at once, and 1,540 clients
 * that set one key.
 *
 *     small document   32 edits of 32 characters by two writers in turns: a KiB -> bytes
 *     open             MANY_DOCS times those bytes -> documents, one edit each; then what they
 * hold: by the allocator hook, and by what the process has in memory */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MANY_DOCS   10000
#define MANY_EDITS  32
#define MANY_CHARS  32
#define MAP_CLIENTS 1540

/* 0: this system does not say. */
static uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
    (void)fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Two writers in turns, each edit after the other's; the whole as bytes. */
static syn_err small_document(syn_buf *all, syn_buf *state)
{
    char words[MANY_CHARS];
    for (size_t i = 0; i < sizeof words; i++) words[i] = (char)('a' + i % 26);
    syn_doc *doc = NULL;
    syn_obj text;
    syn_err err = bench_doc(&doc, &text, NULL, 1, false);
    for (uint32_t i = 0; err == SYN_OK && i < MANY_EDITS; i++) {
        err = syn_doc_set_peer(doc, 1 + i % 2, true);
        if (err == SYN_OK)
            err =
                syn_text_insert(doc, text, syn_text_len(doc, text), (syn_str){words, sizeof words});
    }
    if (err == SYN_OK) err = syn_save(doc, all);
    if (err == SYN_OK) err = syn_save_state(doc, state);
    syn_doc_free(doc);
    return err;
}

/* Opens MANY_DOCS copies and makes one edit in each; bytes are of one, as its allocator counts. */
static syn_err open_many(struct bench_run *run, const syn_buf *bytes)
{
    syn_doc **docs = calloc(MANY_DOCS, sizeof *docs);
    if (docs == NULL) return SYN_ENOMEM;
    syn_err err = SYN_OK;
    uint64_t before = resident_bytes();
    double start = bench_cpu_ms();
    for (uint32_t i = 0; err == SYN_OK && i < MANY_DOCS; i++) {
        syn_obj text;
        err = bench_doc(&docs[i], &text, run->mem, 0, false);
        if (err == SYN_OK) err = syn_load(docs[i], bytes->data, bytes->len);
        if (err == SYN_OK) err = syn_doc_set_peer(docs[i], 3, false);
        if (err == SYN_OK)
            err = syn_text_insert(docs[i], text, syn_text_len(docs[i], text) / 2, syn_s("x"));
    }
    run->ms = bench_cpu_ms() - start;
    run->rss = (resident_bytes() - before) / MANY_DOCS;
    if (run->held != NULL) run->bytes = *run->held / MANY_DOCS;
    for (uint32_t i = 0; i < MANY_DOCS; i++) syn_doc_free(docs[i]);
    free(docs);
    return err;
}

static syn_err many(struct bench_run *run, bool history)
{
    syn_buf all = {0}, state = {0};
    syn_err err = small_document(&all, &state);
    if (err == SYN_OK) err = open_many(run, history ? &all : &state);
    syn_buf_free(&all);
    syn_buf_free(&state);
    return err;
}

syn_err bench_many(struct bench_run *run)
{
    return many(run, true);
}
syn_err bench_many_state(struct bench_run *run)
{
    return many(run, false);
}

/* What each client sends that sets one key of a map, none knowing of another. */
static syn_err map_frames(struct bench_frames *frames)
{
    syn_err err = SYN_OK;
    for (uint32_t c = 0; err == SYN_OK && c < MAP_CLIENTS; c++) {
        syn_doc *doc = NULL;
        syn_obj text, map;
        err = bench_doc(&doc, &text, NULL, 1 + c, false);
        if (err == SYN_OK) err = syn_root(doc, syn_s("map"), SYN_MAP, &map);
        if (err == SYN_OK) err = syn_map_set(doc, map, syn_s("key"), syn_int(c), NULL);
        if (err == SYN_OK) err = syn_export_since(doc, NULL, 0, &frames->bytes);
        if (err == SYN_OK) err = bench_frame_ended(frames);
        syn_doc_free(doc);
    }
    return err;
}

syn_err bench_map(struct bench_run *run)
{
    struct bench_frames frames = {0};
    syn_err err = map_frames(&frames);
    if (err == SYN_OK) err = bench_take_frames(run, &frames);
    bench_frames_free(&frames);
    return err;
}
