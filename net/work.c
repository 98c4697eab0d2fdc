/* work.c -- threads that take work from one list and leave it on another, both under one lock.
 *
 * Two lists suffice, oldest first: jobs take milliseconds, so the lock is nothing to them, and the
 * order in which they end is nobody's promise. */
#include "work.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct row {
    struct work *first, **last;
    uint32_t count;
};

struct work_pool {
    pthread_mutex_t lock; /* of the rows and of stopping */
    pthread_cond_t more;
    struct row queued, ended;
    uint32_t max_queued, threads;
    bool stopping;
    void (*wake)(void *user);
    void *user;
    pthread_t thread[];
};

static void row_add(struct row *row, struct work *work)
{
    work->next = NULL;
    *row->last = work;
    row->last = &work->next;
    row->count++;
}

static struct work *row_take(struct row *row)
{
    struct work *work = row->first;
    if (work == NULL) return NULL;
    row->first = work->next;
    if (row->first == NULL) row->last = &row->first;
    row->count--;
    return work;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void *worker(void *user)
{
    work_pool *pool = user;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct work *work = row_take(&pool->queued);
        if (work == NULL && pool->stopping) break;
        if (work == NULL) {
            pthread_cond_wait(&pool->more, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        uint64_t since = now_us();
        work->run(work);
        work->took_us = now_us() - since;
        pthread_mutex_lock(&pool->lock);
        row_add(&pool->ended, work);
        pool->wake(pool->user);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the threads of the program, not for ours. */
static void start_threads(work_pool *pool, uint32_t threads)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (pool->threads < threads &&
           pthread_create(&pool->thread[pool->threads], NULL, worker, pool) == 0)
        pool->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

work_pool *work_new(uint32_t threads, uint32_t max_queued, void (*wake)(void *user), void *user)
{
    work_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->thread[0]);
    if (pool == NULL) return NULL;
    pool->max_queued = max_queued;
    pool->wake = wake;
    pool->user = user;
    pool->queued.last = &pool->queued.first;
    pool->ended.last = &pool->ended.first;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    start_threads(pool, threads);
    if (pool->threads != 0) return pool;
    work_free(pool);
    return NULL;
}

bool work_submit(work_pool *pool, struct work *work)
{
    pthread_mutex_lock(&pool->lock);
    bool taken = !pool->stopping && pool->queued.count < pool->max_queued;
    if (taken) {
        row_add(&pool->queued, work);
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

struct work *work_poll(work_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct work *work = row_take(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return work;
}

void work_stop(work_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->threads; i++) pthread_join(pool->thread[i], NULL);
    pool->threads = 0;
}

void work_free(work_pool *pool)
{
    if (pool == NULL) return;
    assert(pool->threads == 0 && pool->queued.count == 0 && pool->ended.count == 0);
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
