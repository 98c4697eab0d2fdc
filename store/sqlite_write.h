/* sqlite_write.h -- turns become rows. */
#ifndef SYN_STORE_SQLITE_WRITE_H
#define SYN_STORE_SQLITE_WRITE_H

#include "sqlite_db.h"

/* Applies a turn inside the transaction that is open, each document in a savepoint.  A document's
 * own error goes to turn->failed.  An error returned is the transaction's. */
syn_err write_turn(struct db *db, store_turn *turn, int64_t *last_seq, uint64_t *rows);

#endif
