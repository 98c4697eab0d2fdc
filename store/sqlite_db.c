/* sqlite_db.c -- opening a connection the careful way, statements, errors, checksums of rows.
 *
 * Why these settings: the file may come from anyone (a backup, an attacker), so the schema is not
 * trusted and cells are checked; mmap is off because a damaged or shortened file would then be a
 * SIGBUS instead of an error; the WAL is never shortened while serving, because overwriting it in
 * place makes a commit's fdatasync 2.4 times cheaper than growing it. */
#include "sqlite_db.h"

#include "copy.h"
#include "schema_sql.h"

#define XXH_INLINE_ALL
#include <sqlite3.h>
#include <stdio.h>
#include <xxhash.h>

#define PIECES                                                                                     \
    "(SELECT doc, lo, hi, commit_seq, packed, sum, bytes FROM chunk"                               \
    " UNION ALL SELECT doc, lo, hi, commit_seq, 0, sum, bytes FROM tail)"
#define PIECES_OF(effects)                                                                         \
    /* From the last piece that starts at or below ?2, so that the index does the seeking. */      \
    "SELECT lo, hi, packed, sum, bytes, " effects " FROM chunk WHERE doc = ?1 AND lo < ?3"         \
    " AND lo >= coalesce((SELECT max(lo) FROM chunk WHERE doc = ?1 AND lo <= ?2), 0)"              \
    " AND hi > ?2"                                                                                 \
    " UNION ALL "                                                                                  \
    "SELECT lo, hi, 0, sum, bytes, NULL FROM tail WHERE doc = ?1 AND lo < ?3"                      \
    " AND lo >= coalesce((SELECT max(lo) FROM tail WHERE doc = ?1 AND lo <= ?2), 0)"               \
    " AND hi > ?2"                                                                                 \
    " ORDER BY 1"
#define DOC_COLUMNS                                                                                \
    "SELECT id, name, lineage, events, bytes, snapshot_at, snapshot_events, snapshot_parts,"       \
    " damaged, sum FROM doc "

static const char *const sql_text[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT doc",
    [SQL_RELEASE] = "RELEASE doc",
    [SQL_ROLLBACK_TO] = "ROLLBACK TO doc",
    [SQL_STORE] = "SELECT id, sum FROM store WHERE one = 1",
    [SQL_STORE_ID] = "INSERT OR REPLACE INTO store VALUES (1, ?1, 0, ?2)",
    [SQL_PROBE] = "UPDATE store SET probe = probe + 1",
    [SQL_SEQUENCE] = "SELECT max(seq) FROM sqlite_sequence WHERE name = ?1",
    [SQL_DOC_BY_NAME] = DOC_COLUMNS "WHERE name = ?1",
    [SQL_DOC_BY_ID] = DOC_COLUMNS "WHERE id = ?1",
    [SQL_DOC_LIST] = DOC_COLUMNS "ORDER BY name",
    [SQL_DOC_INSERT] = "INSERT INTO doc VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)",
    [SQL_DOC_UPDATE] = "UPDATE doc SET lineage = ?3, events = ?4, bytes = ?5, snapshot_at = ?6,"
                       " snapshot_events = ?7, snapshot_parts = ?8, sum = ?9 WHERE id = ?1",
    [SQL_DOC_DELETE] = "DELETE FROM doc WHERE id = ?1",
    [SQL_DOC_DAMAGED] = "UPDATE doc SET damaged = ?2 WHERE id = ?1",
    [SQL_TAIL_INSERT] = "INSERT INTO tail (doc, lo, hi, sum, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_TAIL_DELETE] = "DELETE FROM tail WHERE doc = ?1 AND lo >= ?2 AND lo < ?3",
    [SQL_CHUNK_INSERT] = "INSERT INTO chunk VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_CHUNK_DELETE] = "DELETE FROM chunk WHERE doc = ?1 AND lo >= ?2 AND lo < ?3",
    [SQL_PIECES] = PIECES_OF("effects"),
    [SQL_PIECES_V1] = PIECES_OF("NULL"),
    [SQL_PIECE_STARTS] = "SELECT 1 FROM chunk WHERE doc = ?1 AND lo = ?2"
                         " UNION ALL SELECT 1 FROM tail WHERE doc = ?1 AND lo = ?2",
    [SQL_PIECE_ENDS] = "SELECT 1 FROM chunk WHERE doc = ?1 AND hi = ?2 AND lo < ?2"
                       " UNION ALL SELECT 1 FROM tail WHERE doc = ?1 AND hi = ?2 AND lo < ?2",
    [SQL_PIECE_SEQ] = "SELECT max(commit_seq) FROM " PIECES
                      " WHERE doc = ?1 AND lo >= ?2 AND lo < ?4 AND hi > ?3",
    [SQL_PIECE_BYTES] =
        "SELECT total(bytes) FROM (SELECT doc, lo, length(bytes) + coalesce(length(effects), 0)"
        " AS bytes FROM chunk UNION ALL SELECT doc, lo, length(bytes) FROM tail)"
        " WHERE doc = ?1 AND lo >= ?2 AND lo < ?3",
    [SQL_FEED] = "SELECT commit_seq, doc, lo, hi FROM chunk WHERE commit_seq > ?1 UNION ALL"
                 " SELECT commit_seq, doc, lo, hi FROM tail WHERE commit_seq > ?1 ORDER BY 1, 3",
    [SQL_FEED_END] = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'tail'),"
                     " (SELECT seq FROM sqlite_sequence WHERE name = 'tombstone')",
    [SQL_SNAPSHOT_READ] = "SELECT part, packed, sum, bytes FROM snapshot WHERE doc = ?1"
                          " ORDER BY part",
    [SQL_SNAPSHOT_INSERT] = "INSERT INTO snapshot VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_SNAPSHOT_DELETE] = "DELETE FROM snapshot WHERE doc = ?1",
    [SQL_SNAPSHOT_BYTES] = "SELECT total(length(bytes)) FROM snapshot WHERE doc = ?1",
    [SQL_PEER_READ] = "SELECT peer, next, chain, user, sum FROM peer WHERE doc = ?1 AND peer = ?2",
    [SQL_PEER_ALL] = "SELECT peer, next, chain, user, sum FROM peer WHERE doc = ?1 ORDER BY peer",
    [SQL_PEER_SET] = "INSERT INTO peer VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET"
                     " next = ?3, chain = ?4, user = ?5, sum = ?6",
    [SQL_PEER_DELETE] = "DELETE FROM peer WHERE doc = ?1",
    [SQL_NOTE_READ] = "SELECT key, value, sum FROM note WHERE doc = ?1 AND key = ?2",
    [SQL_NOTE_ALL] = "SELECT key, value, sum FROM note WHERE doc = ?1 AND key >= ?2 ORDER BY key",
    [SQL_NOTE_SET] = "INSERT INTO note VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET"
                     " value = ?3, sum = ?4",
    [SQL_NOTE_REMOVE] = "DELETE FROM note WHERE doc = ?1 AND key = ?2",
    [SQL_NOTE_DELETE] = "DELETE FROM note WHERE doc = ?1",
    [SQL_TOMBSTONE_SET] = "INSERT OR REPLACE INTO tombstone (name, lineage, sum)"
                          " VALUES (?1, ?2, ?3)",
    [SQL_TOMBSTONE_LAST] = "SELECT lineage, sum FROM tombstone WHERE name = ?1"
                           " ORDER BY id DESC LIMIT 1",
    [SQL_TOMBSTONE_IS] = "SELECT 1 FROM tombstone WHERE name = ?1 AND lineage = ?2",
    [SQL_TOMBSTONE_ALL] = "SELECT name, lineage, sum, id FROM tombstone WHERE id > ?1 ORDER BY id",
    [SQL_ORPHANS] = "SELECT 'tail', doc FROM tail WHERE doc NOT IN (SELECT id FROM doc)"
                    " UNION SELECT 'chunk', doc FROM chunk WHERE doc NOT IN (SELECT id FROM doc)"
                    " UNION SELECT 'snapshot', doc FROM snapshot"
                    " WHERE doc NOT IN (SELECT id FROM doc)"
                    " UNION SELECT 'peer', doc FROM peer WHERE doc NOT IN (SELECT id FROM doc)"
                    " UNION SELECT 'note', doc FROM note"
                    " WHERE doc <> 0 AND doc NOT IN (SELECT id FROM doc)",
    [SQL_COUNT_ROWS] = "SELECT count(*) FROM doc",
};

/* ---- Errors and statements ------------------------------------------------------------------- */

syn_err db_say(struct db *db, syn_err err, const char *what)
{
    (void)snprintf(db->error, sizeof db->error, "%s", what);
    return err;
}

static syn_err translate(int rc)
{
    if (rc == SQLITE_IOERR_NOMEM) return SYN_ENOMEM;
    switch (rc & 0xFF) {
    case SQLITE_OK:
        return SYN_OK;
    case SQLITE_NOMEM:
        return SYN_ENOMEM;
    case SQLITE_FULL:
        return SYN_EFULL;
    case SQLITE_CORRUPT:
        return SYN_EDAMAGED;
    case SQLITE_NOTADB:
        return SYN_EVERSION;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SYN_EBUSY;
    case SQLITE_TOOBIG:
        return SYN_ELIMIT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return SYN_EMISUSE;
    default:
        return SYN_EIO;
    }
}

syn_err db_error(struct db *db, int rc)
{
    syn_err err = translate(rc);
    if (err == SYN_OK) return SYN_OK;
    int extended = db->handle == NULL ? rc : sqlite3_extended_errcode(db->handle);
    (void)snprintf(db->error, sizeof db->error, "%s (SQLite %d)",
                   db->handle == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(db->handle), extended);
    return err;
}

syn_err db_get(struct db *db, enum sql sql, sqlite3_stmt **out)
{
    *out = NULL;
    if (!db->busy[sql] && db->statement[sql] != NULL) {
        db->busy[sql] = true;
        *out = db->statement[sql];
        return SYN_OK;
    }
    unsigned flags = db->busy[sql] ? 0 : SQLITE_PREPARE_PERSISTENT;
    int rc = sqlite3_prepare_v3(db->handle, sql_text[sql], -1, flags, out, NULL);
    if (rc != SQLITE_OK) return db_error(db, rc);
    if (!db->busy[sql]) {
        db->busy[sql] = true;
        db->statement[sql] = *out;
    }
    return SYN_OK;
}

void db_put(struct db *db, enum sql sql, sqlite3_stmt *statement)
{
    if (statement == NULL) return;
    if (statement != db->statement[sql]) {
        sqlite3_finalize(statement);
        return;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    db->busy[sql] = false;
}

syn_err db_step(struct db *db, sqlite3_stmt *statement, bool *row)
{
    int rc = sqlite3_step(statement);
    *row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SYN_OK : db_error(db, rc);
}

syn_err db_run(struct db *db, enum sql sql)
{
    sqlite3_stmt *statement;
    bool row;
    syn_err err = db_get(db, sql, &statement);
    if (err == SYN_OK) err = db_step(db, statement, &row);
    db_put(db, sql, statement);
    return err;
}

syn_err db_exec(struct db *db, const char *text)
{
    return db_error(db, sqlite3_exec(db->handle, text, NULL, NULL, NULL));
}

syn_err db_number(struct db *db, const char *text, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    int rc = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);
    syn_err err = rc == SQLITE_OK ? db_step(db, statement, &row) : db_error(db, rc);
    *out = row ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return err;
}

void db_bind_bytes(sqlite3_stmt *statement, int at, syn_str bytes)
{
    /* A NULL pointer would bind NULL, an empty string is what is meant. */
    (void)sqlite3_bind_blob64(statement, at, bytes.len == 0 ? "" : bytes.data, bytes.len,
                              SQLITE_STATIC);
}

syn_str db_bytes(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    int len = sqlite3_column_bytes(statement, column);
    return data == NULL ? (syn_str){"", 0} : (syn_str){data, (size_t)len};
}

/* ---- Opening --------------------------------------------------------------------------------- */

static syn_err configure(struct db *db, enum db_mode mode)
{
    static const struct {
        int option, value;
    } option[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_DQS_DML, 0},
    };
    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        (void)sqlite3_db_config(db->handle, option[i].option, option[i].value, (int *)NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, mode == DB_READ,
                            (int *)NULL);
    (void)sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, (int)STORE_MAX_ROW + 4096);
    (void)sqlite3_limit(db->handle, SQLITE_LIMIT_SQL_LENGTH, 16384);
    (void)sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 1); /* VACUUM attaches */
    (void)sqlite3_busy_timeout(db->handle, 5000);
    syn_err err =
        db_exec(db, "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                    "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = -1;");
    if (err != SYN_OK || mode == DB_READ) return err;
    return db_exec(db, "PRAGMA page_size = 4096; PRAGMA synchronous = FULL;"
                       "PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"
                       "PRAGMA cache_size = -16384;");
}

syn_err db_open(struct db *db, const char *path, const char *vfs, enum db_mode mode)
{
    static const int flags[] = {
        [DB_WRITE] = SQLITE_OPEN_READWRITE,
        [DB_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
        [DB_READ] = SQLITE_OPEN_READONLY,
        [DB_COPY] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
    };
    memset(db, 0, sizeof *db);
    /* "file:..." would be a URI and ":memory:" no file: with a folder before it a name is a name.*/
    char *plain = sqlite3_mprintf("%s%s", path[0] == '/' || path[0] == '.' ? "" : "./", path);
    if (plain == NULL) return db_say(db, SYN_ENOMEM, "no memory to open the file");
    int rc = sqlite3_open_v2(plain, &db->handle,
                             flags[mode] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
    sqlite3_free(plain);
    syn_err err = rc == SQLITE_OK ? configure(db, mode) : db_error(db, rc);
    if (err != SYN_OK) db_close(db, false);
    return err;
}

void db_close(struct db *db, bool checkpoint)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(db->statement[i]);
        db->statement[i] = NULL;
        db->busy[i] = false;
    }
    if (db->handle == NULL) return;
    if (!checkpoint)
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    int rc = sqlite3_close(db->handle);
    assert(rc == SQLITE_OK); /* else a statement was not given back */
    (void)rc;
    db->handle = NULL;
}

static syn_err read_identity(struct db *db, int64_t *application, int64_t *version, int64_t *tables)
{
    syn_err err = db_number(db, "SELECT count(*) FROM sqlite_schema", tables);
    if (err == SYN_OK) err = db_number(db, "PRAGMA application_id", application);
    if (err == SYN_OK) err = db_number(db, "PRAGMA user_version", version);
    return err;
}

syn_err db_check_ours(struct db *db, char detail[256])
{
    int64_t application, version, tables;
    syn_err err = read_identity(db, &application, &version, &tables);
    if (err == SYN_EVERSION) {
        (void)snprintf(detail, 256, "not a Syncline file: give another name, or move it away");
    } else if (err == SYN_EDAMAGED) {
        (void)snprintf(detail, 256, "the file is damaged: restore a backup (%.150s)", db->error);
    } else if (err != SYN_OK) {
        (void)snprintf(detail, 256, "cannot read the file: %.200s", db->error);
    } else if (tables == 0 && application == 0) {
        err = SYN_ENOTFOUND;
        (void)snprintf(detail, 256, "the file is empty");
    } else if (application != APPLICATION_ID) {
        err = SYN_EVERSION;
        (void)snprintf(detail, 256, "an SQLite database of another program: give another name");
    } else if (version > SCHEMA_VERSION) {
        err = SYN_EVERSION;
        (void)snprintf(detail, 256,
                       "written by a newer Syncline (schema %lld, this one knows %d): upgrade",
                       (long long)version, SCHEMA_VERSION);
    } else if (version < 1) {
        err = SYN_EDAMAGED;
        (void)snprintf(detail, 256, "the file is damaged: it has no schema version");
    }
    db->version = err == SYN_OK ? version : 0;
    return err;
}

syn_err db_look_again(struct db *db)
{
    if (db->version == SCHEMA_VERSION) return SYN_OK;
    return db_number(db, "PRAGMA user_version", &db->version);
}

static syn_err end_change_of_schema(struct db *db, syn_err err)
{
    if (err == SYN_OK) err = db_run(db, SQL_COMMIT);
    if (err != SYN_OK && !sqlite3_get_autocommit(db->handle))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL); /* db->error stays */
    return err;
}

syn_err db_migrate(struct db *db)
{
    if (db->version == SCHEMA_VERSION) return SYN_OK;
    syn_err err = db_run(db, SQL_BEGIN);
    if (err == SYN_OK) err = db_exec(db, "ALTER TABLE chunk ADD COLUMN effects BLOB");
    if (err == SYN_OK) err = db_exec(db, "PRAGMA user_version = 2");
    err = end_change_of_schema(db, err);
    if (err == SYN_OK) db->version = SCHEMA_VERSION;
    return err;
}

syn_err db_create_schema(struct db *db, const uint8_t id[STORE_ID_BYTES])
{
    syn_err err = db_exec(db, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE;"
                              "PRAGMA journal_mode = WAL;");
    if (err == SYN_OK) err = db_run(db, SQL_BEGIN);
    if (err == SYN_OK) err = db_exec(db, schema_sql);
    if (err == SYN_OK) err = db_write_id(db, id);
    char identity[96];
    (void)snprintf(identity, sizeof identity,
                   "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
                   SCHEMA_VERSION);
    if (err == SYN_OK) err = db_exec(db, identity);
    err = end_change_of_schema(db, err);
    if (err == SYN_OK) db->version = SCHEMA_VERSION;
    return err;
}

static uint64_t id_sum(syn_str id)
{
    return row_sum(&(struct row_key){.kind = 'i'}, id, (syn_str){"", 0});
}

syn_err db_write_id(struct db *db, const uint8_t id[STORE_ID_BYTES])
{
    sqlite3_stmt *statement;
    bool row;
    syn_str bytes = {(const char *)id, STORE_ID_BYTES};
    syn_err err = db_get(db, SQL_STORE_ID, &statement);
    if (err != SYN_OK) return err;
    db_bind_bytes(statement, 1, bytes);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)id_sum(bytes));
    err = db_step(db, statement, &row);
    db_put(db, SQL_STORE_ID, statement);
    return err;
}

syn_err db_read_id(struct db *db, uint8_t id[STORE_ID_BYTES])
{
    sqlite3_stmt *statement;
    bool row;
    syn_err err = db_get(db, SQL_STORE, &statement);
    if (err != SYN_OK) return err;
    err = db_step(db, statement, &row);
    if (err == SYN_OK) {
        syn_str bytes = row ? db_bytes(statement, 0) : (syn_str){"", 0};
        if (bytes.len != STORE_ID_BYTES ||
            (uint64_t)sqlite3_column_int64(statement, 1) != id_sum(bytes))
            err = db_say(db, SYN_EDAMAGED, "the store's id is damaged");
        else
            memcpy(id, bytes.data, STORE_ID_BYTES);
    }
    db_put(db, SQL_STORE, statement);
    return err;
}

/* ---- Rows and their sums --------------------------------------------------------------------- */

uint64_t row_sum(const struct row_key *key, syn_str a, syn_str b)
{
    uint64_t number[6] = {(uint64_t)key->doc, key->number[0], key->number[1],
                          key->number[2],     key->number[3], a.len};
    unsigned char plain[1 + 8 * 6];
    plain[0] = (unsigned char)key->kind;
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 8; j++) plain[1 + 8 * i + j] = (unsigned char)(number[i] >> (8 * j));
    uint64_t sum = XXH64(plain, sizeof plain, 0);
    sum = XXH64(a.data, a.len, sum);
    return b.len == 0 ? sum : XXH64(b.data, b.len, sum);
}

bool db_tombstone_holds(sqlite3_stmt *statement)
{
    const struct row_key key = {.kind = 't'};
    uint64_t sum = row_sum(&key, db_bytes(statement, 0), db_bytes(statement, 1));
    return sum == (uint64_t)sqlite3_column_int64(statement, 2);
}

uint64_t doc_row_sum(const struct doc_row *row)
{
    const struct store_doc *d = &row->doc;
    struct row_key key = {'d', d->id, {d->events, d->bytes, d->snapshot_events, 0}};
    key.number[3] = (uint64_t)d->snapshot_at << 32 | row->parts;
    syn_str lineage = {(const char *)d->lineage, d->has_lineage ? STORE_LINEAGE_BYTES : 0};
    return row_sum(&key, (syn_str){row->name, row->name_len}, lineage);
}

syn_err doc_row_read(struct db *db, sqlite3_stmt *statement, struct doc_row *row)
{
    struct store_doc *d = &row->doc;
    memset(row, 0, sizeof *row);
    d->id = sqlite3_column_int64(statement, 0);
    syn_str name = db_bytes(statement, 1), lineage = db_bytes(statement, 2);
    bool fits =
        name.len <= sizeof row->name && (lineage.len == STORE_LINEAGE_BYTES || lineage.len == 0);
    if (fits) {
        row->name_len = (uint32_t)name.len;
        copy_str(row->name, name);
        d->has_lineage = lineage.len != 0;
        copy_str(d->lineage, lineage);
    }
    d->events = (uint32_t)sqlite3_column_int64(statement, 3);
    d->bytes = (uint64_t)sqlite3_column_int64(statement, 4);
    d->snapshot_at = (uint32_t)sqlite3_column_int64(statement, 5);
    d->snapshot_events = (uint64_t)sqlite3_column_int64(statement, 6);
    row->parts = (uint32_t)sqlite3_column_int64(statement, 7);
    d->damaged = sqlite3_column_int64(statement, 8) != 0;
    if (fits && (uint64_t)sqlite3_column_int64(statement, 9) == doc_row_sum(row)) return SYN_OK;
    d->damaged = true;
    return db_say(db, SYN_EDAMAGED, "the document's row is damaged");
}

syn_err doc_row_by_id(struct db *db, int64_t id, struct doc_row *row)
{
    sqlite3_stmt *statement;
    bool found;
    syn_err err = db_get(db, SQL_DOC_BY_ID, &statement);
    if (err != SYN_OK) return err;
    sqlite3_bind_int64(statement, 1, id);
    err = db_step(db, statement, &found);
    if (err == SYN_OK)
        err = found ? doc_row_read(db, statement, row)
                    : db_say(db, SYN_ENOTFOUND, "no document of that number");
    db_put(db, SQL_DOC_BY_ID, statement);
    return err;
}

syn_err piece_read(struct db *db, sqlite3_stmt *statement, int64_t doc, struct store_piece *piece)
{
    piece->from = (uint32_t)sqlite3_column_int64(statement, 0);
    piece->end = (uint32_t)sqlite3_column_int64(statement, 1);
    piece->packed = sqlite3_column_int64(statement, 2) != 0;
    piece->bytes = db_bytes(statement, 4);
    piece->effects = db_bytes(statement, 5);
    struct row_key key = {'l', doc, {piece->from, piece->end, piece->packed, 0}};
    uint64_t sum = row_sum(&key, piece->bytes, piece->effects);
    if (sum == (uint64_t)sqlite3_column_int64(statement, 3) && piece->from < piece->end)
        return SYN_OK;
    return db_say(db, SYN_EDAMAGED, "a piece of the log is damaged");
}

syn_err part_read(struct db *db, sqlite3_stmt *statement, const struct doc_row *row,
                  struct store_piece *piece)
{
    piece->from = (uint32_t)sqlite3_column_int64(statement, 0);
    piece->end = row->parts;
    piece->packed = sqlite3_column_int64(statement, 1) != 0;
    piece->effects = (syn_str){"", 0};
    piece->bytes = db_bytes(statement, 3);
    struct row_key key = {'s', row->doc.id, {piece->from, row->parts, row->doc.snapshot_at, 0}};
    key.number[3] = row->doc.snapshot_events << 1 | piece->packed;
    uint64_t sum = row_sum(&key, piece->bytes, (syn_str){"", 0});
    if (sum == (uint64_t)sqlite3_column_int64(statement, 2)) return SYN_OK;
    return db_say(db, SYN_EDAMAGED, "a part of the snapshot is damaged");
}

syn_err peer_read(struct db *db, sqlite3_stmt *statement, int64_t doc, struct store_peer *peer)
{
    memset(peer, 0, sizeof *peer);
    peer->peer = (uint64_t)sqlite3_column_int64(statement, 0);
    peer->next = (uint32_t)sqlite3_column_int64(statement, 1);
    peer->chain = (uint64_t)sqlite3_column_int64(statement, 2);
    syn_str user = db_bytes(statement, 3);
    struct row_key key = {'p', doc, {peer->peer, peer->next, peer->chain, 0}};
    uint64_t sum = row_sum(&key, user, (syn_str){"", 0});
    if (user.len >= sizeof peer->user || sum != (uint64_t)sqlite3_column_int64(statement, 4))
        return db_say(db, SYN_EDAMAGED, "a peer's row is damaged");
    copy_str(peer->user, user);
    return SYN_OK;
}

syn_err note_read(struct db *db, sqlite3_stmt *statement, int64_t doc, syn_str *key, syn_str *value)
{
    *key = db_bytes(statement, 0);
    *value = db_bytes(statement, 1);
    uint64_t sum = row_sum(&(struct row_key){.kind = 'n', .doc = doc}, *key, *value);
    if (sum == (uint64_t)sqlite3_column_int64(statement, 2)) return SYN_OK;
    return db_say(db, SYN_EDAMAGED, "a note is damaged");
}
