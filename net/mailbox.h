/* mailbox.h -- messages from one thread to another, in batches.
 *
 *     writer: bag |mail|mail|mail|  --post-->  box  --take-->  bag |mail|mail|  :reader
 *
 * A bag is one piece of memory with mails one after the other, each its head and some bytes.  The
 * writer fills his without a lock and posts it whole; if the box is empty the bags change places
 * and nothing is copied.  Only who posts into an empty box has to wake the reader: one wake for a
 * batch, however long. */
#ifndef SYN_MAILBOX_H
#define SYN_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mail {
    uint32_t kind, len; /* len: of the bytes that follow */
    void *to, *with;    /* as the kind says */
    uint64_t number;
};

struct bag {
    char *bytes;
    size_t len, cap;
};

/* Room for a mail with `len` bytes, which the caller fills.  Never NULL: a mail that is lost would
 * be a connection that hangs for ever, so who has no memory waits for it. */
struct mail *bag_put(struct bag *bag, const struct mail *head, size_t len);
char *mail_bytes(struct mail *mail);
/* Walks a bag: at starts with 0; NULL at the end. */
struct mail *bag_next(const struct bag *bag, size_t *at);
/* Everything was read; memory above the usual is given back. */
void bag_empty(struct bag *bag);
void bag_free(struct bag *bag);

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t taken;
    struct bag bag;
    bool closed; /* nobody waits any more */
};

void mailbox_init(struct mailbox *box);
void mailbox_free(struct mailbox *box);
/* Leaves the bag empty.  true: the reader has to be woken. */
bool mailbox_post(struct mailbox *box, struct bag *bag);
/* The bag, which is empty, gets everything. */
void mailbox_take(struct mailbox *box, struct bag *bag);
/* Waits while more than `most` bytes are in the box: who writes faster than is read has to. */
void mailbox_wait(struct mailbox *box, size_t most);
void mailbox_close(struct mailbox *box);

#endif
