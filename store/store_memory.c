/* store_memory.c -- the twin: the same promises in plain arrays, for tests and simulation.
 *
 *     docs [ {name, row, pieces[], parts[], peers[], notes[]} ... ]     tombstones [ ... ]
 *
 * No thread: a turn is applied inside submit, its report waits for store_poll.  A document's part
 * of a turn is applied to a copy of the document, which replaces it if every operation went well;
 * the bytes are shared between the copies and counted. */
#include "store_impl.h"

#include "copy.h"

#include <stdio.h>
#include <stdlib.h>

/* Bytes with a count of their holders. */
struct blob {
    uint32_t holders;
    size_t len;
    char bytes[];
};

struct piece {
    uint32_t from, end; /* log: positions; snapshot: part, count */
    int64_t seq;
    bool packed;
    struct blob *blob;
    size_t effects; /* so many of the blob's bytes, the last */
};

struct note {
    struct blob *key, *value;
};

struct doc {
    bool there;
    struct store_doc row;
    struct blob *name;
    ARRAY(struct piece) log;
    ARRAY(struct piece) parts;
    ARRAY(struct store_peer) peers; /* ascending by (int64_t)peer, as SQLite has them */
    ARRAY(struct note) notes;       /* ascending by key */
};

struct tombstone {
    int64_t number; /* ascending */
    struct blob *name;
    uint8_t lineage[STORE_LINEAGE_BYTES];
};

struct memory {
    syn_store base;
    ARRAY(struct doc) docs; /* slot 0: the file's notes; later ones in order of creation */
    ARRAY(struct tombstone) tombstones;
    int64_t last_seq, last_deletion;
};

static struct memory *memory_of(syn_store *store)
{
    return (struct memory *)(void *)store;
}

/* ---- Blobs and documents --------------------------------------------------------------------- */

static struct blob *blob_new(const syn_mem *mem, syn_str text)
{
    struct blob *blob = mem_alloc(mem, sizeof *blob + text.len);
    if (blob == NULL) return NULL;
    blob->holders = 1;
    blob->len = text.len;
    copy_str(blob->bytes, text);
    return blob;
}

static struct blob *blob_hold(struct blob *blob)
{
    if (blob != NULL) blob->holders++;
    return blob;
}

static void blob_let_go(const syn_mem *mem, struct blob *blob)
{
    if (blob == NULL || --blob->holders > 0) return;
    mem_free(mem, blob, sizeof *blob + blob->len);
}

static syn_str blob_text(const struct blob *blob)
{
    return (syn_str){blob->bytes, blob->len};
}

static int compare(syn_str a, syn_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static void drop_log(const syn_mem *mem, struct doc *doc)
{
    for (uint32_t i = 0; i < doc->log.n; i++) blob_let_go(mem, doc->log.at[i].blob);
    array_free(mem, &doc->log);
}

static void drop_parts(const syn_mem *mem, struct doc *doc)
{
    for (uint32_t i = 0; i < doc->parts.n; i++) blob_let_go(mem, doc->parts.at[i].blob);
    array_free(mem, &doc->parts);
}

static void doc_drop(const syn_mem *mem, struct doc *doc)
{
    drop_log(mem, doc);
    drop_parts(mem, doc);
    for (uint32_t i = 0; i < doc->notes.n; i++) {
        blob_let_go(mem, doc->notes.at[i].key);
        blob_let_go(mem, doc->notes.at[i].value);
    }
    array_free(mem, &doc->notes);
    array_free(mem, &doc->peers);
    blob_let_go(mem, doc->name);
    memset(doc, 0, sizeof *doc);
}

static syn_err doc_copy(const syn_mem *mem, const struct doc *from, struct doc *to)
{
    *to = (struct doc){.there = from->there, .row = from->row, .name = blob_hold(from->name)};
    syn_err err = array_reserve(mem, &to->log, from->log.n);
    if (err == SYN_OK) err = array_reserve(mem, &to->parts, from->parts.n);
    if (err == SYN_OK) err = array_reserve(mem, &to->peers, from->peers.n);
    if (err == SYN_OK) err = array_reserve(mem, &to->notes, from->notes.n);
    if (err != SYN_OK) {
        doc_drop(mem, to);
        return err;
    }
    for (uint32_t i = 0; i < from->log.n; i++) {
        *array_push(&to->log) = from->log.at[i];
        blob_hold(from->log.at[i].blob);
    }
    for (uint32_t i = 0; i < from->parts.n; i++) {
        *array_push(&to->parts) = from->parts.at[i];
        blob_hold(from->parts.at[i].blob);
    }
    for (uint32_t i = 0; i < from->peers.n; i++) *array_push(&to->peers) = from->peers.at[i];
    for (uint32_t i = 0; i < from->notes.n; i++) {
        *array_push(&to->notes) = from->notes.at[i];
        blob_hold(from->notes.at[i].key);
        blob_hold(from->notes.at[i].value);
    }
    return SYN_OK;
}

static struct doc *doc_by_id(struct memory *m, int64_t id)
{
    for (uint32_t i = 1; i < m->docs.n; i++)
        if (m->docs.at[i].there && m->docs.at[i].row.id == id) return &m->docs.at[i];
    return id == 0 ? &m->docs.at[0] : NULL;
}

static struct doc *doc_by_name(struct memory *m, syn_str name)
{
    for (uint32_t i = 1; i < m->docs.n; i++)
        if (m->docs.at[i].there && compare(blob_text(m->docs.at[i].name), name) == 0)
            return &m->docs.at[i];
    return NULL;
}

/* ---- Applying -------------------------------------------------------------------------------- */

struct work {
    struct memory *m;
    store_turn *turn;
    struct doc doc; /* the copy */
    bool deleted;
    int64_t seq;
    const char *why;
};

static syn_err fail(struct work *w, syn_err err, const char *why)
{
    w->why = why;
    return err;
}

static syn_err add_piece(struct work *w, bool part, const struct turn_op *op, int64_t seq)
{
    const syn_mem *mem = &w->m->base.mem;
    syn_err err = part ? array_reserve(mem, &w->doc.parts, 1) : array_reserve(mem, &w->doc.log, 1);
    syn_str bytes = turn_text(w->turn, op->bytes);
    struct blob *blob = err == SYN_OK ? blob_new(mem, bytes) : NULL;
    if (blob == NULL) return fail(w, SYN_ENOMEM, "out of memory");
    struct piece piece = {op->from, op->end, seq, op->packed, blob, (size_t)op->y};
    if (part)
        *array_push(&w->doc.parts) = piece;
    else
        *array_push(&w->doc.log) = piece;
    w->doc.row.bytes += bytes.len;
    return SYN_OK;
}

static syn_err create(struct work *w, const struct turn_op *op)
{
    syn_str name = turn_text(w->turn, op->key), lineage = turn_text(w->turn, op->bytes);
    if (w->doc.there) return fail(w, SYN_EMISUSE, "the document was created already");
    if (doc_by_name(w->m, name) != NULL)
        return fail(w, SYN_EMISUSE, "a document of that name is there");
    w->doc.name = blob_new(&w->m->base.mem, name);
    if (w->doc.name == NULL) return fail(w, SYN_ENOMEM, "out of memory");
    w->doc.there = true;
    w->doc.row.id = op->doc;
    w->doc.row.has_lineage = lineage.len != 0;
    copy_str(w->doc.row.lineage, lineage);
    return SYN_OK;
}

static syn_err append(struct work *w, const struct turn_op *op)
{
    if (op->from != w->doc.row.events) return fail(w, SYN_EMISUSE, "not where the log ends");
    syn_err err = add_piece(w, false, op, w->seq + 1);
    if (err != SYN_OK) return err;
    w->seq++;
    w->doc.row.events = op->end;
    return SYN_OK;
}

static syn_err set_peer(struct work *w, const struct turn_op *op)
{
    if (array_reserve(&w->m->base.mem, &w->doc.peers, 1) != SYN_OK)
        return fail(w, SYN_ENOMEM, "out of memory");
    struct store_peer peer = {.peer = op->x, .next = op->from, .chain = op->y};
    syn_str user = turn_text(w->turn, op->bytes);
    copy_str(peer.user, user);
    uint32_t at = 0;
    while (at < w->doc.peers.n && (int64_t)w->doc.peers.at[at].peer < (int64_t)op->x) at++;
    if (at == w->doc.peers.n || w->doc.peers.at[at].peer != op->x) {
        (void)array_push(&w->doc.peers);
        memmove(&w->doc.peers.at[at + 1], &w->doc.peers.at[at],
                (w->doc.peers.n - 1 - at) * sizeof peer);
    }
    w->doc.peers.at[at] = peer;
    return SYN_OK;
}

/* Where the key is or would be. */
static uint32_t note_at(const struct doc *doc, syn_str key, bool *there)
{
    uint32_t at = 0;
    int order = -1;
    while (at < doc->notes.n && (order = compare(blob_text(doc->notes.at[at].key), key)) < 0) at++;
    *there = at < doc->notes.n && order == 0;
    return at;
}

static void remove_note(struct work *w, uint32_t at)
{
    blob_let_go(&w->m->base.mem, w->doc.notes.at[at].key);
    blob_let_go(&w->m->base.mem, w->doc.notes.at[at].value);
    w->doc.notes.n--;
    memmove(&w->doc.notes.at[at], &w->doc.notes.at[at + 1],
            (w->doc.notes.n - at) * sizeof *w->doc.notes.at);
}

static syn_err set_note(struct work *w, const struct turn_op *op)
{
    const syn_mem *mem = &w->m->base.mem;
    bool there;
    uint32_t at = note_at(&w->doc, turn_text(w->turn, op->key), &there);
    if (op->kind == TURN_NO_NOTE) {
        if (there) remove_note(w, at);
        return SYN_OK;
    }
    if (array_reserve(mem, &w->doc.notes, 1) != SYN_OK) return fail(w, SYN_ENOMEM, "out of memory");
    struct note note = {blob_new(mem, turn_text(w->turn, op->key)),
                        blob_new(mem, turn_text(w->turn, op->bytes))};
    if (note.key == NULL || note.value == NULL) {
        blob_let_go(mem, note.key);
        blob_let_go(mem, note.value);
        return fail(w, SYN_ENOMEM, "out of memory");
    }
    if (there) remove_note(w, at);
    (void)array_push(&w->doc.notes);
    memmove(&w->doc.notes.at[at + 1], &w->doc.notes.at[at],
            (w->doc.notes.n - 1 - at) * sizeof note);
    w->doc.notes.at[at] = note;
    return SYN_OK;
}

static syn_err clear(struct work *w)
{
    drop_log(&w->m->base.mem, &w->doc);
    drop_parts(&w->m->base.mem, &w->doc);
    array_free(&w->m->base.mem, &w->doc.peers);
    struct store_doc *row = &w->doc.row;
    row->events = row->snapshot_at = 0;
    row->bytes = row->snapshot_events = 0;
    return SYN_OK;
}

static syn_err delete(struct work *w)
{
    struct memory *m = w->m;
    w->deleted = true;
    if (!w->doc.row.has_lineage) return SYN_OK;
    if (array_reserve(&m->base.mem, &m->tombstones, 1) != SYN_OK)
        return fail(w, SYN_ENOMEM, "out of memory");
    return SYN_OK; /* the stone itself is set when nothing can fail any more */
}

/* The pieces that start in [from, end) give way to the chunks; both ends must be seams. */
static syn_err fold(struct work *w, struct turn_op *op)
{
    uint32_t first = 0, last, count = (uint32_t)op->x;
    while (first < w->doc.log.n && w->doc.log.at[first].from != op->from) first++;
    for (last = first; last < w->doc.log.n && w->doc.log.at[last].end != op->end;) last++;
    if (last >= w->doc.log.n) return fail(w, SYN_EMISUSE, "a fold across the seams of the log");

    ARRAY(struct piece) old = {w->doc.log.at, w->doc.log.n, w->doc.log.cap};
    memset(&w->doc.log, 0, sizeof w->doc.log);
    syn_err err = array_reserve(&w->m->base.mem, &w->doc.log, old.n + count);
    for (uint32_t i = 0; i < first && err == SYN_OK; i++) *array_push(&w->doc.log) = old.at[i];
    for (uint32_t i = 1; i <= count && err == SYN_OK; i++) {
        int64_t seq = 0;
        for (uint32_t j = first; j <= last; j++)
            if (old.at[j].from < op[i].end && old.at[j].end > op[i].from && old.at[j].seq > seq)
                seq = old.at[j].seq;
        err = add_piece(w, false, &op[i], seq);
    }
    if (err != SYN_OK) { /* the copy is thrown away: give it one list that owns every blob once */
        for (uint32_t i = first; i < w->doc.log.n; i++)
            blob_let_go(&w->m->base.mem, w->doc.log.at[i].blob);
        array_free(&w->m->base.mem, &w->doc.log);
        memcpy(&w->doc.log, &old, sizeof w->doc.log);
        return fail(w, err, "out of memory");
    }
    for (uint32_t i = first; i <= last; i++) {
        w->doc.row.bytes -= old.at[i].blob->len;
        blob_let_go(&w->m->base.mem, old.at[i].blob);
    }
    for (uint32_t i = last + 1; i < old.n; i++) *array_push(&w->doc.log) = old.at[i];
    array_free(&w->m->base.mem, &old);
    return SYN_OK;
}

static syn_err snapshot(struct work *w, const struct turn_op *op)
{
    struct store_doc *row = &w->doc.row;
    if (op->from > row->events) return fail(w, SYN_EMISUSE, "a snapshot above the end of the log");
    for (uint32_t i = 0; i < w->doc.parts.n; i++) row->bytes -= w->doc.parts.at[i].blob->len;
    drop_parts(&w->m->base.mem, &w->doc);
    row->snapshot_at = op->from;
    row->snapshot_events = op->x;
    syn_err err = SYN_OK;
    for (uint32_t i = 1; i <= op->end && err == SYN_OK; i++) err = add_piece(w, true, &op[i], 0);
    return err;
}

static syn_err apply(struct work *w, struct turn_op *op)
{
    bool file = op->kind == TURN_NOTE || op->kind == TURN_NO_NOTE || op->kind == TURN_PROBE ||
                op->kind == TURN_VACUUM;
    if (op->doc == 0 && !file)
        return fail(w, SYN_EMISUSE, "document 0 is the file: it has notes only");
    if (op->doc != 0 && op->kind != TURN_CREATE && (!w->doc.there || w->deleted))
        return fail(w, SYN_ENOTFOUND, "no document of that number");
    if (w->doc.row.damaged && op->kind != TURN_REPAIRED && op->kind != TURN_DAMAGED)
        return fail(w, SYN_EDAMAGED, "the document is damaged: nothing is stored over it");
    switch ((enum turn_kind)op->kind) {
    case TURN_CREATE:
        return create(w, op);
    case TURN_LINEAGE:
        w->doc.row.has_lineage = true;
        memcpy(w->doc.row.lineage, turn_text(w->turn, op->bytes).data, STORE_LINEAGE_BYTES);
        return SYN_OK;
    case TURN_APPEND:
        return append(w, op);
    case TURN_PEER:
        return set_peer(w, op);
    case TURN_NOTE:
    case TURN_NO_NOTE:
        return set_note(w, op);
    case TURN_DELETE:
        return delete (w);
    case TURN_CLEAR:
        return clear(w);
    case TURN_FOLD:
        return fold(w, op);
    case TURN_SNAPSHOT:
        return snapshot(w, op);
    case TURN_DAMAGED:
    case TURN_REPAIRED:
        w->doc.row.damaged = op->kind == TURN_DAMAGED;
        return SYN_OK;
    default:
        return SYN_OK; /* PROBE, VACUUM: nothing to do; CHUNK, PART: taken by what they follow */
    }
}

/* Room for it was reserved.  Deleted once more (it was brought back in between): only its last
 * deletion is kept. */
static void set_tombstone(struct memory *m, const struct doc *doc)
{
    uint32_t kept = 0;
    struct blob *name = blob_hold(doc->name);
    for (uint32_t i = 0; i < m->tombstones.n; i++) {
        struct tombstone stone = m->tombstones.at[i];
        if (memcmp(stone.lineage, doc->row.lineage, STORE_LINEAGE_BYTES) == 0 &&
            compare(blob_text(stone.name), blob_text(name)) == 0)
            blob_let_go(&m->base.mem, stone.name);
        else
            m->tombstones.at[kept++] = stone;
    }
    m->tombstones.n = kept;
    struct tombstone *stone = array_push(&m->tombstones);
    stone->number = ++m->last_deletion;
    stone->name = name;
    memcpy(stone->lineage, doc->row.lineage, STORE_LINEAGE_BYTES);
}

/* The copy takes the document's place.  Cannot fail. */
static void keep(struct work *w, struct doc *old)
{
    struct memory *m = w->m;
    if (w->deleted && w->doc.row.has_lineage) set_tombstone(m, &w->doc);
    m->last_seq = w->seq;
    if (old == NULL)
        old = array_push(&m->docs);
    else
        doc_drop(&m->base.mem, old);
    *old = w->doc;
    if (w->deleted) doc_drop(&m->base.mem, old);
}

static void apply_doc(struct memory *m, store_turn *turn, uint32_t first, uint32_t end)
{
    struct work w = {.m = m, .turn = turn, .seq = m->last_seq, .why = "out of memory"};
    int64_t id = turn->ops.at[first].doc;
    struct doc *old = doc_by_id(m, id);
    syn_err err = array_reserve(&m->base.mem, &m->docs, 1);
    old = doc_by_id(m, id);
    if (err == SYN_OK && old != NULL) err = doc_copy(&m->base.mem, old, &w.doc);
    for (uint32_t i = first; i < end && err == SYN_OK; i++) err = apply(&w, &turn->ops.at[i]);
    if (err == SYN_OK && (old != NULL || w.doc.there)) {
        keep(&w, old);
        return;
    }
    doc_drop(&m->base.mem, &w.doc);
    if (err != SYN_OK) turn_doc_failed(turn, id, err, w.why);
}

static void memory_submit(syn_store *store, store_turn *turn)
{
    struct memory *m = memory_of(store);
    turn_sort(turn);
    for (uint32_t i = 0, end; i < turn->ops.n; i = end) {
        end = turn_run(turn, i);
        apply_doc(m, turn, i, end);
    }
    turn->result.commit_seq = m->last_seq;
    pthread_mutex_lock(&store->lock);
    store->stats.commits++;
    store->stats.rows += turn->ops.n;
    store->stats.bytes += turn->bytes.n;
    pthread_mutex_unlock(&store->lock);
    store_ended(store, turn);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static syn_err no_document(syn_store *store)
{
    return store_refuse(store, SYN_ENOTFOUND, "no document of that number");
}

static syn_err memory_find(syn_store *store, syn_str name, struct store_doc *out)
{
    struct memory *m = memory_of(store);
    const struct doc *doc = doc_by_name(m, name);
    if (doc != NULL) {
        *out = doc->row;
        if (store_is_damaged(store, doc->row.id)) out->damaged = true;
        return SYN_OK;
    }
    for (uint32_t i = m->tombstones.n; i-- > 0;) {
        if (compare(blob_text(m->tombstones.at[i].name), name) != 0) continue;
        out->has_lineage = true;
        memcpy(out->lineage, m->tombstones.at[i].lineage, STORE_LINEAGE_BYTES);
        return store_refuse(store, SYN_EDELETED, "the document was deleted");
    }
    return store_refuse(store, SYN_ENOTFOUND, "no document of that name");
}

static syn_err memory_was_deleted(syn_store *store, syn_str name, const uint8_t *lineage, bool *out)
{
    struct memory *m = memory_of(store);
    *out = false;
    for (uint32_t i = 0; i < m->tombstones.n && !*out; i++)
        *out = compare(blob_text(m->tombstones.at[i].name), name) == 0 &&
               memcmp(m->tombstones.at[i].lineage, lineage, STORE_LINEAGE_BYTES) == 0;
    return SYN_OK;
}

static syn_err visit_piece(const struct piece *piece, store_visit visit, void *user)
{
    struct store_piece view = {
        piece->from, piece->end, piece->packed, blob_text(piece->blob), {"", 0}};
    view.bytes.len -= piece->effects;
    view.effects = (syn_str){view.bytes.data + view.bytes.len, piece->effects};
    return visit(user, &view);
}

static syn_err memory_read_snapshot(syn_store *store, int64_t id, store_visit visit, void *user)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    if (doc == NULL || id == 0) return no_document(store);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; i < doc->parts.n && err == SYN_OK; i++)
        err = visit_piece(&doc->parts.at[i], visit, user);
    return err;
}

static syn_err memory_read_log(syn_store *store, int64_t id, uint32_t from, uint32_t end,
                               store_visit visit, void *user)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    if (doc == NULL || id == 0) return no_document(store);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; i < doc->log.n && err == SYN_OK; i++)
        if (doc->log.at[i].from < end && doc->log.at[i].end > from && from < end)
            err = visit_piece(&doc->log.at[i], visit, user);
    return err;
}

static syn_err memory_read_peer(syn_store *store, int64_t id, uint64_t peer, struct store_peer *out)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    for (uint32_t i = 0; doc != NULL && i < doc->peers.n; i++) {
        if (doc->peers.at[i].peer != peer) continue;
        *out = doc->peers.at[i];
        return SYN_OK;
    }
    return store_refuse(store, SYN_ENOTFOUND, "no events of that peer");
}

static syn_err memory_read_peers(syn_store *store, int64_t id,
                                 syn_err (*visit)(void *, const struct store_peer *), void *user)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; doc != NULL && i < doc->peers.n && err == SYN_OK; i++)
        err = visit(user, &doc->peers.at[i]);
    return err;
}

static syn_err memory_read_note(syn_store *store, int64_t id, syn_str key, void *out, size_t cap,
                                size_t *len)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    bool there = false;
    uint32_t at = doc == NULL ? 0 : note_at(doc, key, &there);
    if (!there) return store_refuse(store, SYN_ENOTFOUND, "no such note");
    syn_str value = blob_text(doc->notes.at[at].value);
    size_t copied = value.len < cap ? value.len : cap;
    if (copied > 0) memcpy(out, value.data, copied);
    *len = value.len;
    return SYN_OK;
}

static syn_err memory_read_notes(syn_store *store, int64_t id, syn_str prefix,
                                 syn_err (*visit)(void *, syn_str, syn_str), void *user)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; doc != NULL && i < doc->notes.n && err == SYN_OK; i++) {
        syn_str key = blob_text(doc->notes.at[i].key);
        if (key.len >= prefix.len &&
            (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0))
            err = visit(user, key, blob_text(doc->notes.at[i].value));
    }
    return err;
}

/* Calls for the documents or pieces in order, by looking for the next higher one each time: a twin
 * may be slow, but its visitors may write. */
static syn_err memory_list(syn_store *store,
                           syn_err (*visit)(void *, syn_str, const struct store_doc *), void *user)
{
    struct memory *m = memory_of(store);
    struct blob *last = NULL;
    syn_err err = SYN_OK;
    while (err == SYN_OK) {
        const struct doc *next = NULL;
        for (uint32_t i = 1; i < m->docs.n; i++) {
            const struct doc *doc = &m->docs.at[i];
            if (!doc->there) continue;
            if (last != NULL && compare(blob_text(doc->name), blob_text(last)) <= 0) continue;
            if (next == NULL || compare(blob_text(doc->name), blob_text(next->name)) < 0)
                next = doc;
        }
        if (next == NULL) break;
        struct store_doc row = next->row;
        if (store_is_damaged(store, row.id)) row.damaged = true;
        blob_let_go(&m->base.mem, last);
        last = blob_hold(next->name);
        err = visit(user, blob_text(last), &row);
    }
    blob_let_go(&m->base.mem, last);
    return err;
}

static syn_err memory_feed(syn_store *store, struct store_cursor after,
                           syn_err (*visit)(void *, const struct store_news *), void *user)
{
    struct memory *m = memory_of(store);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; i < m->tombstones.n && err == SYN_OK; i++) {
        const struct tombstone *stone = &m->tombstones.at[i];
        if (stone->number <= after.deletion) continue;
        const struct store_news news = {.at.deletion = stone->number,
                                        .name = blob_text(stone->name)};
        err = visit(user, &news);
    }
    for (int64_t seq = after.commit < 0 ? 1 : after.commit + 1; seq <= m->last_seq && !err; seq++)
        for (uint32_t i = 1; i < m->docs.n && err == SYN_OK; i++)
            for (uint32_t j = 0; j < m->docs.at[i].log.n && err == SYN_OK; j++) {
                struct piece piece = m->docs.at[i].log.at[j];
                const struct store_news news = {.at.commit = seq,
                                                .doc = m->docs.at[i].row.id,
                                                .from = piece.from,
                                                .end = piece.end};
                if (piece.seq == seq) err = visit(user, &news);
            }
    return err;
}

static syn_err memory_feed_end(syn_store *store, struct store_cursor *out)
{
    const struct memory *m = memory_of(store);
    *out = (struct store_cursor){m->last_seq, m->last_deletion};
    return SYN_OK;
}

static syn_err memory_name(syn_store *store, int64_t id, char *name, size_t *len)
{
    const struct doc *doc = doc_by_id(memory_of(store), id);
    if (doc == NULL) return store_refuse(store, SYN_ENOTFOUND, "no document of that number");
    syn_str text = blob_text(doc->name);
    copy_str(name, text);
    *len = text.len;
    return SYN_OK;
}

static syn_err memory_fsck(syn_store *store, void (*problem)(void *, const char *),
                           store_progress progress, void *user)
{
    struct memory *m = memory_of(store);
    bool found = false;
    if (progress != NULL) progress(user, 0, m->docs.n);
    for (uint32_t i = 1; i < m->docs.n; i++) {
        const struct doc *doc = &m->docs.at[i];
        uint32_t at = 0;
        for (uint32_t j = 0; j < doc->log.n; j++)
            at = doc->log.at[j].from == at ? doc->log.at[j].end : UINT32_MAX;
        if (at != doc->row.events || doc->row.damaged) {
            found = true;
            if (problem != NULL) problem(user, "a document is damaged");
        }
        if (progress != NULL) progress(user, i + 1, m->docs.n);
    }
    return found ? store_refuse(store, SYN_EDAMAGED, "the file has problems") : SYN_OK;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void memory_close(syn_store *store)
{
    struct memory *m = memory_of(store);
    const syn_mem mem = store->mem;
    store_poll(store); /* every `done` runs once */
    for (uint32_t i = 0; i < m->docs.n; i++) doc_drop(&mem, &m->docs.at[i]);
    for (uint32_t i = 0; i < m->tombstones.n; i++) blob_let_go(&mem, m->tombstones.at[i].name);
    array_free(&mem, &m->docs);
    array_free(&mem, &m->tombstones);
    store_base_free(store);
    mem_free(&mem, m, sizeof *m);
}

static const struct store_backend memory_backend = {
    .close = memory_close,
    .submit = memory_submit,
    .find = memory_find,
    .was_deleted = memory_was_deleted,
    .read_snapshot = memory_read_snapshot,
    .read_log = memory_read_log,
    .read_peer = memory_read_peer,
    .read_peers = memory_read_peers,
    .read_note = memory_read_note,
    .read_notes = memory_read_notes,
    .list = memory_list,
    .feed = memory_feed,
    .feed_end = memory_feed_end,
    .name = memory_name,
    .fsck = memory_fsck,
};

syn_err store_open_memory(syn_store **out, const store_options *options, char detail[256])
{
    struct memory *m = mem_zalloc(&options->mem, sizeof *m);
    syn_err err = m == NULL ? SYN_ENOMEM : store_base_init(&m->base, options, &memory_backend);
    if (err != SYN_OK) {
        mem_free(&options->mem, m, m == NULL ? 0 : sizeof *m);
        (void)snprintf(detail, 256, "out of memory");
        return err;
    }
    if (options->random_id != NULL) memcpy(m->base.id, options->random_id, STORE_ID_BYTES);
    err = array_reserve(&m->base.mem, &m->docs, 1);
    if (err != SYN_OK) {
        memory_close(&m->base);
        (void)snprintf(detail, 256, "out of memory");
        return err;
    }
    memset(array_push(&m->docs), 0, sizeof(struct doc));
    *out = &m->base;
    return SYN_OK;
}
