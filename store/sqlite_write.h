/* sqlite_write.h -- turns become rows. */
#ifndef SYN_STORE_SQLITE_WRITE_H
#define SYN_STORE_SQLITE_WRITE_H

#include "sqlite_db.h"

/* A transaction and how far it got. */
struct write_progress {
    bool savepoints;  /* one for each document: its own errors go to turn->failed */
    int64_t last_seq; /* commit_seq given out last */
    uint64_t rows;
    bool doc_failed; /* why it ended: do it again with savepoints */
};

/* Applies a turn inside the transaction that is open.  An error ends the transaction. */
syn_err write_turn(struct db *db, store_turn *turn, struct write_progress *at);

#endif
