/* sqlite_fsck.c -- everything that can be checked without knowing what the bytes mean.
 *
 * First SQLite's own integrity check, then our rows: each document's pieces from 0 to its end, its
 * snapshot, its peers and notes; the tombstones; rows without a document.  A document that fails is
 * marked damaged and the check goes on. */
#include "store_sqlite.h"

#include <sqlite3.h>
#include <stdio.h>

struct fsck {
    struct sqlite_store *store;
    void (*problem)(void *, const char *);
    void *user;
    uint64_t found;
    uint64_t bytes; /* seen of the document at hand */
};

static void tell(struct fsck *f, const struct doc_row *row, const char *what)
{
    char text[512];
    if (row == NULL)
        (void)snprintf(text, sizeof text, "%s", what);
    else
        (void)snprintf(text, sizeof text, "document %lld \"%.*s\": %s", (long long)row->doc.id,
                       (int)row->name_len, row->name, what);
    f->found++;
    if (f->problem != NULL) f->problem(f->user, text);
}

/* SYN_EDAMAGED is a finding and not the end. */
static syn_err noted(struct fsck *f, const struct doc_row *row, syn_err err)
{
    if (err != SYN_EDAMAGED) return err;
    tell(f, row, f->store->base.error);
    return SYN_OK;
}

static syn_err add_bytes(void *user, const struct store_piece *piece)
{
    struct fsck *f = user;
    f->bytes += piece->bytes.len + piece->effects.len;
    return SYN_OK;
}

static syn_err pass_peer(void *user, const struct store_peer *peer)
{
    (void)user;
    (void)peer;
    return SYN_OK;
}

static syn_err pass_note(void *user, syn_str key, syn_str value)
{
    (void)user;
    (void)key;
    (void)value;
    return SYN_OK;
}

static syn_err check_doc(struct fsck *f, const struct doc_row *row)
{
    syn_store *store = &f->store->base;
    int64_t id = row->doc.id;
    uint64_t before = f->found;
    f->bytes = 0;
    syn_err err = noted(f, row, sqlite_read_log(store, id, 0, UINT32_MAX, add_bytes, f));
    if (err == SYN_OK) err = noted(f, row, sqlite_read_snapshot(store, id, add_bytes, f));
    if (err == SYN_OK && f->found == before && f->bytes != row->doc.bytes) {
        store_damage_found(store, id);
        tell(f, row, "holds rows that are not its own, or lacks some");
    }
    if (err == SYN_OK) err = noted(f, row, sqlite_read_peers(store, id, pass_peer, NULL));
    if (err == SYN_OK)
        err = noted(f, row, sqlite_read_notes(store, id, (syn_str){"", 0}, pass_note, NULL));
    if (err == SYN_OK && row->doc.damaged && f->found == before)
        tell(f, row, "is marked damaged, although every row of it is right");
    return err;
}

static syn_err check_docs(struct fsck *f, store_progress progress, uint64_t total)
{
    struct db *db = &f->store->readers[0].db;
    sqlite3_stmt *statement;
    syn_err err = db_get(db, SQL_DOC_LIST, &statement);
    for (uint64_t done = 0; err == SYN_OK; done++) {
        struct doc_row row;
        bool more;
        err = db_step(db, statement, &more);
        if (err != SYN_OK || !more) break;
        err = doc_row_read(db, statement, &row);
        if (err == SYN_EDAMAGED) {
            tell(f, &row, db->error);
            store_damage_found(&f->store->base, row.doc.id);
            err = SYN_OK;
        } else {
            err = check_doc(f, &row);
        }
        if (progress != NULL) progress(f->user, done + 1, total);
    }
    db_put(db, SQL_DOC_LIST, statement);
    return err;
}

static syn_err check_tombstones(struct fsck *f)
{
    struct db *db = &f->store->readers[0].db;
    sqlite3_stmt *statement;
    syn_err err = db_get(db, SQL_TOMBSTONE_ALL, &statement);
    if (err == SYN_OK) sqlite3_bind_int64(statement, 1, 0);
    for (bool more = true; err == SYN_OK;) {
        err = db_step(db, statement, &more);
        if (err != SYN_OK || !more) break;
        if (!db_tombstone_holds(statement)) tell(f, NULL, "a tombstone is damaged");
    }
    db_put(db, SQL_TOMBSTONE_ALL, statement);
    return err;
}

static syn_err check_orphans(struct fsck *f)
{
    struct db *db = &f->store->readers[0].db;
    sqlite3_stmt *statement;
    syn_err err = db_get(db, SQL_ORPHANS, &statement);
    for (bool more = true; err == SYN_OK;) {
        char text[96];
        err = db_step(db, statement, &more);
        if (err != SYN_OK || !more) break;
        (void)snprintf(text, sizeof text,
                       "table %.20s has rows of document %lld, which is not there",
                       (const char *)sqlite3_column_text(statement, 0),
                       (long long)sqlite3_column_int64(statement, 1));
        tell(f, NULL, text);
    }
    db_put(db, SQL_ORPHANS, statement);
    return err;
}

static syn_err check_file(struct fsck *f)
{
    struct db *db = &f->store->readers[0].db;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db->handle, "PRAGMA integrity_check(20)", -1, &statement, NULL);
    syn_err err = db_error(db, rc);
    for (bool more = true; err == SYN_OK;) {
        err = db_step(db, statement, &more);
        if (err != SYN_OK || !more) break;
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text != NULL && strcmp(text, "ok") != 0) tell(f, NULL, text);
    }
    sqlite3_finalize(statement);
    return err;
}

/* A step that fails because the file is damaged is a finding too. */
static syn_err step_noted(struct fsck *f, syn_err err)
{
    if (err == SYN_EDAMAGED) tell(f, NULL, f->store->readers[0].db.error);
    return err == SYN_EDAMAGED ? SYN_OK : err;
}

syn_err sqlite_fsck(syn_store *store, void (*problem)(void *, const char *),
                    store_progress progress, void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct fsck f = {.store = s, .problem = problem, .user = user};
    int64_t docs = 0;
    syn_err err = read_begin_first(s);
    if (err != SYN_OK) return err;
    err = step_noted(&f, db_number(&s->readers[0].db, "SELECT count(*) FROM doc", &docs));
    if (progress != NULL) progress(user, 0, (uint64_t)docs);
    if (err == SYN_OK) err = step_noted(&f, check_file(&f));
    if (err == SYN_OK) err = step_noted(&f, check_docs(&f, progress, (uint64_t)docs));
    if (err == SYN_OK) err = step_noted(&f, check_tombstones(&f));
    if (err == SYN_OK) err = step_noted(&f, check_orphans(&f));
    if (err == SYN_OK && f.found > 0)
        err = db_say(&s->readers[0].db, SYN_EDAMAGED, "the file has problems");
    return read_end(s, &s->readers[0].db, 0, err);
}
