/* sqlite_write.c -- turns become rows.
 *
 * One document at a time: its row is read once, kept in hand while the operations go by (which
 * check themselves against it), and written back once.
 *
 *     SAVEPOINT   read doc row   tail += ..   peer = ..   write doc row   RELEASE
 *         |                        |
 *         +---- ROLLBACK TO -------+   an error of this document: the others go on
 *
 * Savepoints copy every page that is written, for errors that never happen: a transaction goes
 * without them at first, and is begun again with them after an error of a document.
 *
 * Errors of the disk or of memory are not a document's: they end the transaction. */
#include "sqlite_write.h"

#include "copy.h"

#include <sqlite3.h>

struct work {
    struct db *db;
    store_turn *turn;
    struct doc_row row;
    bool exists; /* the row stands for a document */
    bool fresh;  /* not inserted yet */
    bool dirty;
    struct write_progress *at;
};

/* Numbers and strings of one statement, bound in order. */
static void bind_numbers(sqlite3_stmt *statement, int at, const int64_t *number, int count)
{
    for (int i = 0; i < count; i++) sqlite3_bind_int64(statement, at + i, number[i]);
}

static syn_err finish(struct work *w, enum sql sql, sqlite3_stmt *statement)
{
    bool row;
    syn_err err = db_step(w->db, statement, &row);
    db_put(w->db, sql, statement);
    if (err == SYN_OK) w->at->rows++;
    return err;
}

/* A statement whose parameters are the document and at most two positions. */
static syn_err run_range(struct work *w, enum sql sql, uint32_t from, uint64_t end)
{
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, sql, &statement);
    if (err != SYN_OK) return err;
    int64_t number[3] = {w->row.doc.id, from, (int64_t)end};
    bind_numbers(statement, 1, number, sqlite3_bind_parameter_count(statement));
    return finish(w, sql, statement);
}

/* The one number that a query gives, 0 for none or NULL. */
static syn_err ask(struct work *w, enum sql sql, const int64_t *number, int count, int64_t *out)
{
    sqlite3_stmt *statement;
    bool row;
    syn_err err = db_get(w->db, sql, &statement);
    if (err != SYN_OK) return err;
    bind_numbers(statement, 1, number, count);
    err = db_step(w->db, statement, &row);
    *out = err == SYN_OK && row ? sqlite3_column_int64(statement, 0) : 0;
    db_put(w->db, sql, statement);
    return err;
}

static syn_err put_row(struct work *w)
{
    enum sql sql = w->fresh ? SQL_DOC_INSERT : SQL_DOC_UPDATE;
    const struct store_doc *d = &w->row.doc;
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, sql, &statement);
    if (err != SYN_OK) return err;
    sqlite3_bind_int64(statement, 1, d->id);
    if (w->fresh) db_bind_bytes(statement, 2, (syn_str){w->row.name, w->row.name_len});
    if (d->has_lineage)
        db_bind_bytes(statement, 3, (syn_str){(const char *)d->lineage, STORE_LINEAGE_BYTES});
    int64_t number[6] = {d->events,      (int64_t)d->bytes,
                         d->snapshot_at, (int64_t)d->snapshot_events,
                         w->row.parts,   (int64_t)doc_row_sum(&w->row)};
    bind_numbers(statement, 4, number, 6);
    err = finish(w, sql, statement);
    return err == SYN_EMISUSE ? db_say(w->db, err, "a document of that name is there") : err;
}

static syn_err create(struct work *w, const struct turn_op *op)
{
    if (w->exists) return db_say(w->db, SYN_EMISUSE, "the document was created already");
    memset(&w->row, 0, sizeof w->row);
    syn_str name = turn_text(w->turn, op->key), lineage = turn_text(w->turn, op->bytes);
    w->row.doc.id = op->doc;
    w->row.name_len = (uint32_t)name.len;
    copy_str(w->row.name, name);
    w->row.doc.has_lineage = lineage.len != 0;
    copy_str(w->row.doc.lineage, lineage);
    w->exists = w->fresh = w->dirty = true;
    /* Now, not at the end: a name that is taken is refused before its rows are written. */
    syn_err err = put_row(w);
    w->fresh = false;
    return err;
}

static syn_err append(struct work *w, const struct turn_op *op)
{
    struct store_doc *d = &w->row.doc;
    if (op->from != d->events) return db_say(w->db, SYN_EMISUSE, "not where the log ends");
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, SQL_TAIL_INSERT, &statement);
    if (err != SYN_OK) return err;
    syn_str bytes = turn_text(w->turn, op->bytes);
    struct row_key key = {'l', d->id, {op->from, op->end, false, 0}};
    int64_t number[4] = {d->id, op->from, op->end, (int64_t)row_sum(&key, bytes, (syn_str){"", 0})};
    bind_numbers(statement, 1, number, 4);
    db_bind_bytes(statement, 5, bytes);
    err = finish(w, SQL_TAIL_INSERT, statement);
    if (err != SYN_OK) return err;
    w->at->last_seq = sqlite3_last_insert_rowid(w->db->handle);
    d->events = op->end;
    d->bytes += bytes.len;
    w->dirty = true;
    return SYN_OK;
}

static syn_err set_peer(struct work *w, const struct turn_op *op)
{
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, SQL_PEER_SET, &statement);
    if (err != SYN_OK) return err;
    syn_str user = turn_text(w->turn, op->bytes);
    struct row_key key = {'p', op->doc, {op->x, op->from, op->y, 0}};
    int64_t number[4] = {op->doc, (int64_t)op->x, op->from, (int64_t)op->y};
    bind_numbers(statement, 1, number, 4);
    db_bind_bytes(statement, 5, user);
    sqlite3_bind_int64(statement, 6, (int64_t)row_sum(&key, user, (syn_str){"", 0}));
    return finish(w, SQL_PEER_SET, statement);
}

static syn_err set_note(struct work *w, const struct turn_op *op)
{
    bool remove = op->kind == TURN_NO_NOTE;
    enum sql sql = remove ? SQL_NOTE_REMOVE : SQL_NOTE_SET;
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, sql, &statement);
    if (err != SYN_OK) return err;
    syn_str key = turn_text(w->turn, op->key), value = turn_text(w->turn, op->bytes);
    sqlite3_bind_int64(statement, 1, op->doc);
    db_bind_bytes(statement, 2, key);
    if (!remove) {
        db_bind_bytes(statement, 3, value);
        struct row_key as = {.kind = 'n', .doc = op->doc};
        sqlite3_bind_int64(statement, 4, (int64_t)row_sum(&as, key, value));
    }
    return finish(w, sql, statement);
}

static syn_err clear(struct work *w)
{
    syn_err err = run_range(w, SQL_TAIL_DELETE, 0, UINT32_MAX);
    if (err == SYN_OK) err = run_range(w, SQL_CHUNK_DELETE, 0, UINT32_MAX);
    if (err == SYN_OK) err = run_range(w, SQL_SNAPSHOT_DELETE, 0, 0);
    if (err == SYN_OK) err = run_range(w, SQL_PEER_DELETE, 0, 0);
    struct store_doc *d = &w->row.doc;
    d->events = d->snapshot_at = w->row.parts = 0;
    d->bytes = d->snapshot_events = 0;
    w->dirty = true;
    return err;
}

static syn_err tombstone(struct work *w)
{
    if (!w->row.doc.has_lineage)
        return SYN_OK; /* no server ever had it: nobody can bring it back */
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, SQL_TOMBSTONE_SET, &statement);
    if (err != SYN_OK) return err;
    syn_str name = {w->row.name, w->row.name_len};
    syn_str lineage = {(const char *)w->row.doc.lineage, STORE_LINEAGE_BYTES};
    db_bind_bytes(statement, 1, name);
    db_bind_bytes(statement, 2, lineage);
    sqlite3_bind_int64(statement, 3,
                       (int64_t)row_sum(&(struct row_key){.kind = 't'}, name, lineage));
    return finish(w, SQL_TOMBSTONE_SET, statement);
}

static syn_err delete(struct work *w)
{
    syn_err err = clear(w);
    if (err == SYN_OK) err = run_range(w, SQL_NOTE_DELETE, 0, 0);
    if (err == SYN_OK) err = tombstone(w);
    if (err == SYN_OK) err = run_range(w, SQL_DOC_DELETE, 0, 0);
    w->exists = w->dirty = false;
    return err;
}

/* ---- Folding --------------------------------------------------------------------------------- */

/* Both ends of the fold must be seams between pieces that are there. */
static syn_err check_seams(struct work *w, const struct turn_op *fold)
{
    int64_t starts = 0, ends = 0;
    int64_t from[2] = {fold->doc, fold->from}, end[2] = {fold->doc, fold->end};
    syn_err err = ask(w, SQL_PIECE_STARTS, from, 2, &starts);
    if (err == SYN_OK) err = ask(w, SQL_PIECE_ENDS, end, 2, &ends);
    if (err == SYN_OK && (starts == 0 || ends == 0))
        err = db_say(w->db, SYN_EMISUSE, "a fold across the seams of the log");
    return err;
}

static syn_err insert_chunk(struct work *w, const struct turn_op *op)
{
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, SQL_CHUNK_INSERT, &statement);
    if (err != SYN_OK) return err;
    syn_str bytes = turn_text(w->turn, op->bytes);
    bytes.len -= op->y;
    syn_str effects = {bytes.data + bytes.len, op->y};
    struct row_key key = {'l', op->doc, {op->from, op->end, op->packed, 0}};
    int64_t number[6] = {op->doc,        op->from,   op->end,
                         (int64_t)op->x, op->packed, (int64_t)row_sum(&key, bytes, effects)};
    bind_numbers(statement, 1, number, 6);
    db_bind_bytes(statement, 7, bytes);
    if (effects.len != 0) db_bind_bytes(statement, 8, effects);
    w->row.doc.bytes += op->bytes.len;
    return finish(w, SQL_CHUNK_INSERT, statement);
}

/* `fold` is followed by its chunks.  They keep the highest commit_seq of what they replace, so that
 * a reader of the feed who was behind still meets them. */
static syn_err fold(struct work *w, struct turn_op *op)
{
    uint32_t count = (uint32_t)op->x;
    int64_t gone = 0, range[3] = {op->doc, op->from, op->end};
    syn_err err = check_seams(w, op);
    for (uint32_t i = 1; i <= count && err == SYN_OK; i++) {
        int64_t seq = 0, span[4] = {op->doc, op->from, op[i].from, op[i].end};
        err = ask(w, SQL_PIECE_SEQ, span, 4, &seq);
        op[i].x = (uint64_t)seq;
    }
    if (err == SYN_OK) err = ask(w, SQL_PIECE_BYTES, range, 3, &gone);
    if (err == SYN_OK) err = run_range(w, SQL_TAIL_DELETE, op->from, op->end);
    if (err == SYN_OK) err = run_range(w, SQL_CHUNK_DELETE, op->from, op->end);
    w->row.doc.bytes -= (uint64_t)gone;
    for (uint32_t i = 1; i <= count && err == SYN_OK; i++) err = insert_chunk(w, &op[i]);
    w->dirty = true;
    return err;
}

static syn_err insert_part(struct work *w, const struct turn_op *op)
{
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, SQL_SNAPSHOT_INSERT, &statement);
    if (err != SYN_OK) return err;
    const struct store_doc *d = &w->row.doc;
    syn_str bytes = turn_text(w->turn, op->bytes);
    struct row_key key = {'s', d->id, {op->from, op->end, d->snapshot_at, 0}};
    key.number[3] = d->snapshot_events << 1 | op->packed;
    int64_t number[4] = {d->id, op->from, op->packed,
                         (int64_t)row_sum(&key, bytes, (syn_str){"", 0})};
    bind_numbers(statement, 1, number, 4);
    db_bind_bytes(statement, 5, bytes);
    w->row.doc.bytes += bytes.len;
    return finish(w, SQL_SNAPSHOT_INSERT, statement);
}

static syn_err snapshot(struct work *w, const struct turn_op *op)
{
    struct store_doc *d = &w->row.doc;
    int64_t gone = 0;
    if (op->from > d->events)
        return db_say(w->db, SYN_EMISUSE, "a snapshot above the end of the log");
    syn_err err = ask(w, SQL_SNAPSHOT_BYTES, &d->id, 1, &gone);
    if (err == SYN_OK) err = run_range(w, SQL_SNAPSHOT_DELETE, 0, 0);
    d->bytes -= (uint64_t)gone;
    d->snapshot_at = op->from;
    d->snapshot_events = op->x;
    w->row.parts = op->end;
    for (uint32_t i = 1; i <= op->end && err == SYN_OK; i++) err = insert_part(w, &op[i]);
    w->dirty = true;
    return err;
}

/* ---- A document's part of a turn ------------------------------------------------------------- */

static syn_err apply(struct work *w, struct turn_op *op)
{
    if (op->doc != 0 && op->kind != TURN_CREATE && !w->exists)
        return db_say(w->db, SYN_ENOTFOUND, "no document of that number");
    switch ((enum turn_kind)op->kind) {
    case TURN_CREATE:
        return create(w, op);
    case TURN_LINEAGE:
        w->row.doc.has_lineage = w->dirty = true;
        memcpy(w->row.doc.lineage, turn_text(w->turn, op->bytes).data, STORE_LINEAGE_BYTES);
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
    case TURN_PROBE:
        return db_run(w->db, SQL_PROBE);
    default:
        return SYN_OK; /* CHUNK and PART: taken by what they follow */
    }
}

/* Only notes and probes are the file's own. */
static bool fits_file(const struct turn_op *op)
{
    return op->kind == TURN_NOTE || op->kind == TURN_NO_NOTE || op->kind == TURN_PROBE;
}

static syn_err set_damaged(struct work *w, int64_t doc, bool damaged)
{
    sqlite3_stmt *statement;
    syn_err err = db_get(w->db, SQL_DOC_DAMAGED, &statement);
    if (err != SYN_OK) return err;
    int64_t number[2] = {doc, damaged};
    bind_numbers(statement, 1, number, 2);
    err = finish(w, SQL_DOC_DAMAGED, statement);
    if (err == SYN_OK && sqlite3_changes(w->db->handle) == 0) err = SYN_ENOTFOUND;
    return err;
}

static syn_err load_row(struct work *w, int64_t doc)
{
    syn_err err = doc_row_by_id(w->db, doc, &w->row);
    if (err == SYN_ENOTFOUND) return SYN_OK;
    w->exists = true;
    if (err == SYN_OK && (w->row.doc.damaged || store_is_damaged(w->turn->store, doc)))
        err = db_say(w->db, SYN_EDAMAGED, "the document is damaged: nothing is stored over it");
    return err;
}

static syn_err apply_doc(struct work *w, struct turn_op *op, uint32_t count)
{
    int64_t doc = op->doc;
    if (op->kind == TURN_DAMAGED || op->kind == TURN_REPAIRED)
        return set_damaged(w, doc, op->kind == TURN_DAMAGED);
    syn_err err = doc == 0 ? SYN_OK : load_row(w, doc);
    for (uint32_t i = 0; i < count && err == SYN_OK; i++) {
        if (doc == 0 && !fits_file(&op[i]))
            err = db_say(w->db, SYN_EMISUSE, "document 0 is the file: it has notes only");
        else
            err = apply(w, &op[i]);
    }
    return err == SYN_OK && w->dirty && w->exists ? put_row(w) : err;
}

/* Is this error the transaction's?  SQLite may have rolled it back by itself, too. */
static bool ends_transaction(const struct db *db, syn_err err)
{
    return err == SYN_EIO || err == SYN_EFULL || err == SYN_ENOMEM || err == SYN_EBUSY ||
           sqlite3_get_autocommit(db->handle) != 0;
}

static syn_err write_doc(struct work *w, struct turn_op *op, uint32_t count)
{
    struct db *db = w->db;
    syn_err err = db_run(db, SQL_SAVEPOINT);
    if (err != SYN_OK) return err;
    err = apply_doc(w, op, count);
    if (err != SYN_OK && ends_transaction(db, err)) return err;
    if (err != SYN_OK) {
        turn_doc_failed(w->turn, op->doc, err, db->error);
        syn_err undone = db_run(db, SQL_ROLLBACK_TO);
        if (undone != SYN_OK) return undone;
    }
    return db_run(db, SQL_RELEASE);
}

syn_err write_turn(struct db *db, store_turn *turn, struct write_progress *at)
{
    turn_sort(turn);
    for (uint32_t i = 0, end; i < turn->ops.n; i = end) {
        struct turn_op *op = &turn->ops.at[i];
        end = turn_run(turn, i);
        struct work w = {.db = db, .turn = turn, .at = at};
        syn_err err = at->savepoints ? write_doc(&w, op, end - i) : apply_doc(&w, op, end - i);
        if (err == SYN_OK) continue;
        at->doc_failed = !at->savepoints && !ends_transaction(db, err);
        return err;
    }
    turn->result.commit_seq = at->last_seq;
    return SYN_OK;
}
