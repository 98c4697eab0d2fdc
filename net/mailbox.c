#include "mailbox.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT_BYTES ((size_t)256 << 10) /* of an empty bag */

static size_t size_of(size_t len)
{
    return sizeof(struct mail) + ((len + 7) & ~(size_t)7);
}

char *mail_bytes(struct mail *mail)
{
    return (char *)(mail + 1);
}

static void bag_grow(struct bag *bag, size_t more)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    size_t cap = bag->cap != 0 ? bag->cap : 4096;
    if (bag->cap - bag->len >= more) return;
    while (cap - bag->len < more) cap *= 2;
    char *grown;
    while ((grown = realloc(bag->bytes, cap)) == NULL) nanosleep(&pause, NULL);
    bag->bytes = grown;
    bag->cap = cap;
}

struct mail *bag_put(struct bag *bag, const struct mail *head, size_t len)
{
    bag_grow(bag, size_of(len));
    struct mail *mail = (struct mail *)(void *)(bag->bytes + bag->len);
    *mail = *head;
    mail->len = (uint32_t)len;
    bag->len += size_of(len);
    return mail;
}

struct mail *bag_next(const struct bag *bag, size_t *at)
{
    if (*at == bag->len) return NULL;
    struct mail *mail = (struct mail *)(void *)(bag->bytes + *at);
    *at += size_of(mail->len);
    return mail;
}

void bag_empty(struct bag *bag)
{
    bag->len = 0;
    if (bag->cap > KEPT_BYTES) bag_free(bag);
}

void bag_free(struct bag *bag)
{
    free(bag->bytes);
    *bag = (struct bag){NULL, 0, 0};
}

void mailbox_init(struct mailbox *box)
{
    memset(box, 0, sizeof *box);
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->taken, NULL);
}

void mailbox_free(struct mailbox *box)
{
    bag_free(&box->bag);
    pthread_cond_destroy(&box->taken);
    pthread_mutex_destroy(&box->lock);
}

bool mailbox_post(struct mailbox *box, struct bag *bag)
{
    if (bag->len == 0) return false;
    pthread_mutex_lock(&box->lock);
    bool first = box->bag.len == 0;
    if (first) {
        struct bag spare = box->bag;
        box->bag = *bag;
        *bag = spare;
    } else {
        bag_grow(&box->bag, bag->len);
        memcpy(box->bag.bytes + box->bag.len, bag->bytes, bag->len);
        box->bag.len += bag->len;
    }
    pthread_mutex_unlock(&box->lock);
    bag_empty(bag);
    return first;
}

void mailbox_take(struct mailbox *box, struct bag *bag)
{
    pthread_mutex_lock(&box->lock);
    struct bag full = box->bag;
    box->bag = *bag;
    *bag = full;
    pthread_cond_signal(&box->taken);
    pthread_mutex_unlock(&box->lock);
}

void mailbox_wait(struct mailbox *box, size_t most)
{
    pthread_mutex_lock(&box->lock);
    while (box->bag.len > most && !box->closed) pthread_cond_wait(&box->taken, &box->lock);
    pthread_mutex_unlock(&box->lock);
}

void mailbox_close(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    pthread_cond_signal(&box->taken);
    pthread_mutex_unlock(&box->lock);
}
