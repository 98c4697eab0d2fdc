/* turn.c -- filling a turn (store_impl.h shows its form).
 *
 * Everything a backend could be tripped by, sizes and the order of chunks, is checked here on the
 * caller's thread, where the refusal reaches the one who made the mistake. */
#include "store_impl.h"

#include <stdlib.h>

syn_err store_turn_new(syn_store *store, store_turn **out)
{
    if (store->read_only) return store_refuse(store, SYN_EMISUSE, "opened for reading only");
    store_turn *turn = mem_zalloc(&store->mem, sizeof *turn);
    if (turn == NULL) return store_refuse(store, SYN_ENOMEM, "no memory for a turn");
    turn->store = store;
    *out = turn;
    return SYN_OK;
}

void store_turn_drop(store_turn *turn)
{
    if (turn == NULL) return;
    const syn_mem mem = turn->store->mem;
    array_free(&mem, &turn->ops);
    array_free(&mem, &turn->bytes);
    array_free(&mem, &turn->failed);
    mem_free(&mem, turn, sizeof *turn);
}

/* Room for `ops` operations with `bytes` bytes; after it the pushes cannot fail. */
static syn_err reserve(store_turn *turn, uint32_t ops, uint64_t bytes)
{
    const syn_mem *mem = &turn->store->mem;
    if (turn->bytes.n + bytes > UINT32_MAX || (uint64_t)turn->ops.n + ops > UINT32_MAX)
        return store_refuse(turn->store, SYN_ELIMIT, "a turn holds at most 4 GiB");
    syn_err err = array_reserve(mem, &turn->ops, ops);
    if (err == SYN_OK) err = array_reserve(mem, &turn->bytes, bytes);
    if (err == SYN_OK)
        err = mem_reserve(mem, (void **)(void *)&turn->failed.at, &turn->failed.cap,
                          (uint64_t)turn->ops.n + ops, sizeof *turn->failed.at);
    return err == SYN_OK ? SYN_OK : store_refuse(turn->store, err, "no memory for a turn");
}

static struct turn_op *push(store_turn *turn, enum turn_kind kind, int64_t doc)
{
    struct turn_op *op = array_push(&turn->ops);
    *op = (struct turn_op){.kind = (uint8_t)kind, .doc = doc, .order = turn->ops.n - 1};
    return op;
}

static struct turn_span keep(store_turn *turn, syn_str text)
{
    struct turn_span span = {turn->bytes.n, (uint32_t)text.len};
    assert(text.len <= turn->bytes.cap - turn->bytes.n);
    if (text.len > 0) memcpy(turn->bytes.at + span.at, text.data, text.len);
    turn->bytes.n += span.len;
    return span;
}

syn_err turn_push(store_turn *turn, enum turn_kind kind, int64_t doc)
{
    syn_err err = reserve(turn, 1, 0);
    if (err == SYN_OK) push(turn, kind, doc);
    return err;
}

/* One operation of a key and bytes. */
static syn_err push_with(store_turn *turn, struct turn_op as, syn_str key, syn_str bytes)
{
    if (key.len > STORE_MAX_KEY || bytes.len > STORE_MAX_ROW)
        return store_refuse(turn->store, SYN_ELIMIT, "a key or a row that is too long");
    syn_err err = reserve(turn, 1, key.len + bytes.len);
    if (err != SYN_OK) return err;
    struct turn_op *op = push(turn, as.kind, as.doc);
    as.order = op->order;
    as.key = keep(turn, key);
    as.bytes = keep(turn, bytes);
    *op = as;
    return SYN_OK;
}

static syn_str lineage_text(const uint8_t *lineage)
{
    return lineage == NULL ? (syn_str){"", 0}
                           : (syn_str){(const char *)lineage, STORE_LINEAGE_BYTES};
}

static const syn_str nothing = {"", 0};

syn_err store_turn_create(store_turn *turn, syn_str name, const uint8_t *lineage, int64_t *doc)
{
    if (name.len == 0 || name.len > STORE_MAX_NAME)
        return store_refuse(turn->store, SYN_ELIMIT, "a name is 1 to %u bytes", STORE_MAX_NAME);
    int64_t id = atomic_fetch_add(&turn->store->next_doc, 1);
    struct turn_op op = {.kind = TURN_CREATE, .doc = id};
    syn_err err = push_with(turn, op, name, lineage_text(lineage));
    if (err == SYN_OK) *doc = id;
    return err;
}

syn_err store_turn_lineage(store_turn *turn, int64_t doc,
                           const uint8_t lineage[STORE_LINEAGE_BYTES])
{
    struct turn_op op = {.kind = TURN_LINEAGE, .doc = doc};
    return push_with(turn, op, nothing, lineage_text(lineage));
}

syn_err store_turn_append(store_turn *turn, int64_t doc, uint32_t from, uint32_t end, syn_str bytes)
{
    if (from >= end) return store_refuse(turn->store, SYN_EMISUSE, "an append without events");
    struct turn_op op = {.kind = TURN_APPEND, .doc = doc, .from = from, .end = end};
    return push_with(turn, op, nothing, bytes);
}

syn_err store_turn_peer(store_turn *turn, int64_t doc, const struct store_peer *peer)
{
    size_t len = strnlen(peer->user, sizeof peer->user);
    if (len == sizeof peer->user)
        return store_refuse(turn->store, SYN_ELIMIT, "a user name without its end");
    struct turn_op op = {.kind = TURN_PEER, .doc = doc, .x = peer->peer, .y = peer->chain};
    op.from = peer->next;
    return push_with(turn, op, nothing, (syn_str){peer->user, len});
}

syn_err store_turn_note(store_turn *turn, int64_t doc, syn_str key, syn_str value)
{
    struct turn_op op = {.kind = value.data == NULL ? TURN_NO_NOTE : TURN_NOTE, .doc = doc};
    return push_with(turn, op, key, value.data == NULL ? nothing : value);
}

syn_err store_turn_delete(store_turn *turn, int64_t doc)
{
    return turn_push(turn, TURN_DELETE, doc);
}

syn_err store_turn_clear(store_turn *turn, int64_t doc)
{
    return turn_push(turn, TURN_CLEAR, doc);
}

/* Bytes of all chunks; false when the row of them is no row. */
static bool measure_chunks(const struct store_piece *chunks, uint32_t count, uint64_t *bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        if (chunks[i].from >= chunks[i].end) return false;
        if (i > 0 && chunks[i].from != chunks[i - 1].end) return false;
        uint64_t len = (uint64_t)chunks[i].bytes.len + chunks[i].effects.len;
        if (len > STORE_MAX_ROW) return false;
        *bytes += len;
    }
    return count > 0;
}

syn_err store_turn_fold(store_turn *turn, int64_t doc, const struct store_piece *chunks,
                        uint32_t count)
{
    uint64_t bytes = 0;
    if (!measure_chunks(chunks, count, &bytes))
        return store_refuse(turn->store, SYN_EMISUSE, "chunks that are no row without gaps");
    syn_err err = reserve(turn, count + 1, bytes);
    if (err != SYN_OK) return err;
    struct turn_op *fold = push(turn, TURN_FOLD, doc);
    fold->from = chunks[0].from;
    fold->end = chunks[count - 1].end;
    fold->x = count;
    for (uint32_t i = 0; i < count; i++) {
        struct turn_op *op = push(turn, TURN_CHUNK, doc);
        op->from = chunks[i].from;
        op->end = chunks[i].end;
        op->packed = chunks[i].packed;
        op->bytes = keep(turn, chunks[i].bytes);
        op->bytes.len += keep(turn, chunks[i].effects).len; /* right behind */
        op->y = chunks[i].effects.len;
    }
    return SYN_OK;
}

syn_err store_turn_snapshot(store_turn *turn, int64_t doc, uint32_t at, uint64_t events,
                            const syn_str *parts, uint32_t count, bool packed)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].len > STORE_MAX_ROW)
            return store_refuse(turn->store, SYN_ELIMIT, "a part that is too long");
        bytes += parts[i].len;
    }
    syn_err err = reserve(turn, count + 1, bytes);
    if (err != SYN_OK) return err;
    struct turn_op *snapshot = push(turn, TURN_SNAPSHOT, doc);
    snapshot->from = at;
    snapshot->end = count;
    snapshot->x = events;
    for (uint32_t i = 0; i < count; i++) {
        struct turn_op *op = push(turn, TURN_PART, doc);
        op->from = i;
        op->end = count;
        op->packed = packed;
        op->bytes = keep(turn, parts[i]);
    }
    return SYN_OK;
}

static int by_doc(const void *left, const void *right)
{
    const struct turn_op *a = left, *b = right;
    if (a->doc != b->doc) return a->doc < b->doc ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

void turn_sort(store_turn *turn)
{
    for (uint32_t i = 1; i < turn->ops.n; i++) {
        if (turn->ops.at[i - 1].doc <= turn->ops.at[i].doc) continue;
        qsort(turn->ops.at, turn->ops.n, sizeof *turn->ops.at, by_doc);
        return;
    }
}

uint32_t turn_run(const store_turn *turn, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < turn->ops.n && turn->ops.at[end].doc == turn->ops.at[first].doc) end++;
    return end;
}

void turn_doc_failed(store_turn *turn, int64_t doc, syn_err err, const char *why)
{
    if (turn->failed.n == 0) {
        turn->doc_err = err;
        size_t len = strnlen(why, sizeof turn->detail - 1);
        memcpy(turn->detail, why, len);
        turn->detail[len] = '\0';
    }
    *array_push(&turn->failed) = doc;
}
