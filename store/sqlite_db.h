/* sqlite_db.h -- one SQLite connection with its statements; the only header of SQLite's side.
 *
 * A store has several: the writer's, which alone writes and checkpoints (SQLite before 3.51.3 can
 * corrupt a WAL that two connections checkpoint), used by the writer thread; and readers', each
 * used under its own lock by whoever reads.  SQL is named in one table and prepared at first use.
 */
#ifndef SYN_STORE_SQLITE_DB_H
#define SYN_STORE_SQLITE_DB_H

#include "store_impl.h"

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

#define SCHEMA_VERSION 2
#define APPLICATION_ID 0x53796e63 /* "Sync" */

enum sql {
    SQL_BEGIN,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_ROLLBACK_TO,
    SQL_STORE,
    SQL_STORE_ID,
    SQL_PROBE,
    SQL_SEQUENCE,
    SQL_DOC_BY_NAME,
    SQL_DOC_BY_ID,
    SQL_DOC_LIST,
    SQL_DOC_INSERT,
    SQL_DOC_UPDATE,
    SQL_DOC_DELETE,
    SQL_DOC_DAMAGED,
    SQL_TAIL_INSERT,
    SQL_TAIL_DELETE,
    SQL_CHUNK_INSERT,
    SQL_CHUNK_DELETE,
    SQL_PIECES,
    SQL_PIECES_V1,
    SQL_PIECE_STARTS,
    SQL_PIECE_ENDS,
    SQL_PIECE_SEQ,
    SQL_PIECE_BYTES,
    SQL_FEED,
    SQL_FEED_END,
    SQL_SNAPSHOT_READ,
    SQL_SNAPSHOT_INSERT,
    SQL_SNAPSHOT_DELETE,
    SQL_SNAPSHOT_BYTES,
    SQL_PEER_READ,
    SQL_PEER_ALL,
    SQL_PEER_SET,
    SQL_PEER_DELETE,
    SQL_NOTE_READ,
    SQL_NOTE_ALL,
    SQL_NOTE_SET,
    SQL_NOTE_REMOVE,
    SQL_NOTE_DELETE,
    SQL_TOMBSTONE_SET,
    SQL_TOMBSTONE_LAST,
    SQL_TOMBSTONE_IS,
    SQL_TOMBSTONE_ALL,
    SQL_ORPHANS,
    SQL_COUNT_ROWS,
    SQL_COUNT /* how many there are */
};

struct db {
    sqlite3 *handle;
    sqlite3_stmt *statement[SQL_COUNT];
    bool busy[SQL_COUNT]; /* in use further up the stack: a visitor reads again */
    int64_t version;      /* of the file's schema */
    char error[200];
};

/* Modes: the owner's writer, a reader beside it or of a file at rest, a copy's target. */
enum db_mode { DB_WRITE, DB_CREATE, DB_READ, DB_COPY };

syn_err db_open(struct db *db, const char *path, const char *vfs, enum db_mode mode);
/* checkpoint: let SQLite move the WAL into the file if this is its last connection. */
void db_close(struct db *db, bool checkpoint);
/* Is it ours, of our version or an older one?  SYN_ENOTFOUND: an SQLite file without any table. */
syn_err db_check_ours(struct db *db, char detail[256]);
/* Brings an older file to our version, in one transaction. */
syn_err db_migrate(struct db *db);
/* For whoever only reads an older file: its owner may migrate it at any time. */
syn_err db_look_again(struct db *db);
syn_err db_create_schema(struct db *db, const uint8_t id[STORE_ID_BYTES]);
syn_err db_read_id(struct db *db, uint8_t id[STORE_ID_BYTES]);
syn_err db_write_id(struct db *db, const uint8_t id[STORE_ID_BYTES]);

/* A statement ready to bind.  Give it back with db_put, whatever happened. */
syn_err db_get(struct db *db, enum sql sql, sqlite3_stmt **out);
void db_put(struct db *db, enum sql sql, sqlite3_stmt *statement);
/* SYN_OK and *row: is there a row?  Keeps SQLite's words in db->error. */
syn_err db_step(struct db *db, sqlite3_stmt *statement, bool *row);
/* A statement without parameters or rows. */
syn_err db_run(struct db *db, enum sql sql);
syn_err db_exec(struct db *db, const char *text);
syn_err db_number(struct db *db, const char *text, int64_t *out);
syn_err db_error(struct db *db, int rc);
syn_err db_say(struct db *db, syn_err err, const char *what);

void db_bind_bytes(sqlite3_stmt *statement, int at, syn_str bytes); /* borrowed until db_put */
syn_str db_bytes(sqlite3_stmt *statement, int column);

/* The checksum of a row: its kind, up to four numbers of its key and content, two strings. */
struct row_key {
    char kind;
    int64_t doc;
    uint64_t number[4];
};
uint64_t row_sum(const struct row_key *key, syn_str a, syn_str b);

/* A row of table doc. */
struct doc_row {
    struct store_doc doc;
    uint32_t parts; /* of the snapshot */
    uint32_t name_len;
    char name[STORE_MAX_NAME];
};
/* From the columns of SQL_DOC_*; SYN_EDAMAGED (row filled as far as it goes) when its sum is
 * wrong. */
syn_err doc_row_read(struct db *db, sqlite3_stmt *statement, struct doc_row *row);
/* A row of SQL_TOMBSTONE_ALL: does its sum fit? */
bool db_tombstone_holds(sqlite3_stmt *statement);
uint64_t doc_row_sum(const struct doc_row *row);
syn_err doc_row_by_id(struct db *db, int64_t id, struct doc_row *row); /* SYN_ENOTFOUND */

/* Columns of SQL_PIECES, SQL_SNAPSHOT_READ, SQL_PEER_*, SQL_NOTE_*: verified, else SYN_EDAMAGED. */
syn_err piece_read(struct db *db, sqlite3_stmt *statement, int64_t doc, struct store_piece *piece);
syn_err part_read(struct db *db, sqlite3_stmt *statement, const struct doc_row *row,
                  struct store_piece *piece);
syn_err peer_read(struct db *db, sqlite3_stmt *statement, int64_t doc, struct store_peer *peer);
syn_err note_read(struct db *db, sqlite3_stmt *statement, int64_t doc, syn_str *key,
                  syn_str *value);

#endif
