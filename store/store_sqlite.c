/* store_sqlite.c -- opening and closing, and the writer thread.
 *
 * Group commit: whatever was submitted while the last transaction ran is the next one.  A
 * transaction starts as soon as the thread is idle, but not sooner than min_gap after the start of
 * the one before: a lone edit pays nothing for that, and under load half of the CPU is saved.
 *
 * A COMMIT that failed has an unknown outcome: its pages may have reached the disk although
 * fdatasync said no.  So the turns are reported as failed, and the connection, whose cache may
 * disagree with the file, is opened anew before the next write.
 *
 * Checkpoints are PASSIVE, on this thread, after the turns were reported.  One takes some ms, in
 * which nothing is committed, nearly the same for a long WAL as for a short one, which has most
 * pages but once: so when nothing has come for a while and the WAL is longer than 1,000 pages, or
 * regardless when it is 24,000 pages longer than at the last one.  "Idle" is not an empty queue:
 * who waits for a commit sends his next turn when it has landed. */
#include "store_sqlite.h"

#include "file_lock.h"
#include "sqlite_write.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define CHECKPOINT_IDLE_PAGES   1000u
#define CHECKPOINT_IDLE_US      30000u
#define CHECKPOINT_ALWAYS_PAGES 24000u /* 96 MB */

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- The writer thread ----------------------------------------------------------------------- */

static int wal_grew(void *user, sqlite3 *handle, const char *name, int pages)
{
    struct sqlite_store *s = user;
    (void)handle;
    (void)name;
    s->wrote = s->unmoved = true;
    if ((uint64_t)pages < s->moved_at) s->moved_at = 0; /* the WAL began anew */
    pthread_mutex_lock(&s->base.lock);
    s->base.stats.wal_pages = (uint64_t)pages;
    pthread_mutex_unlock(&s->base.lock);
    return SQLITE_OK;
}

static syn_err open_writer(struct sqlite_store *s, enum db_mode mode)
{
    syn_err err = db_open(&s->writer, s->path, s->vfs, mode);
    if (err == SYN_OK) (void)sqlite3_wal_hook(s->writer.handle, wal_grew, s);
    return err;
}

static syn_err write_turns(struct db *db, store_turn *first, const store_turn *end,
                           struct write_progress *at)
{
    syn_err err = db_run(db, SQL_BEGIN);
    for (store_turn *turn = first; turn != end && err == SYN_OK; turn = turn->next)
        err = write_turn(db, turn, at);
    return err;
}

/* All turns up to `end` in one transaction. */
static syn_err commit_turns(struct sqlite_store *s, store_turn *first, const store_turn *end,
                            uint64_t *rows)
{
    struct db *db = &s->writer;
    struct write_progress at = {.last_seq = s->last_seq};
    syn_err err = db->handle == NULL ? open_writer(s, DB_WRITE) : SYN_OK;
    s->wrote = false;
    if (err == SYN_OK) err = write_turns(db, first, end, &at);
    if (at.doc_failed) {
        at = (struct write_progress){.savepoints = true, .last_seq = s->last_seq};
        err = db_run(db, SQL_ROLLBACK);
        if (err == SYN_OK) err = write_turns(db, first, end, &at);
    }
    s->last_seq = at.last_seq;
    *rows = at.rows;
    return err == SYN_OK ? db_run(db, SQL_COMMIT) : err;
}

static syn_err vacuum(struct sqlite_store *s)
{
    struct db *db = &s->writer;
    syn_err err = db->handle == NULL ? open_writer(s, DB_WRITE) : SYN_OK;
    if (err == SYN_OK) err = db_exec(db, "VACUUM");
    /* The one place where the file and the WAL shrink: nobody is being served. */
    if (err == SYN_OK) err = db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    return err;
}

static void report(struct sqlite_store *s, store_turn *turn, store_turn *end, syn_err err,
                   uint64_t took)
{
    for (store_turn *next; turn != end; turn = next) {
        next = turn->next;
        turn->result.err = err;
        turn->result.commit_us = took;
        if (err != SYN_OK) {
            turn->failed.n = 0;
            (void)snprintf(turn->detail, sizeof turn->detail, "%.150s", s->writer.error);
        }
        store_ended(&s->base, turn);
    }
}

static void count(struct sqlite_store *s, syn_err err, uint64_t rows, uint64_t bytes, uint64_t took)
{
    struct store_stats *stats = &s->base.stats;
    pthread_mutex_lock(&s->base.lock);
    stats->commits += err == SYN_OK;
    stats->failed += err != SYN_OK;
    stats->rows += err == SYN_OK ? rows : 0;
    stats->bytes += err == SYN_OK ? bytes : 0;
    store_count_commit(stats, took);
    pthread_mutex_unlock(&s->base.lock);
}

static bool is_vacuum(const store_turn *turn)
{
    return turn->ops.n == 1 && turn->ops.at[0].kind == TURN_VACUUM;
}

/* One transaction: the turns from `first` on, up to the end or to a VACUUM, which stands alone.
 * Returns the first turn that was not taken. */
static store_turn *commit_some(struct sqlite_store *s, store_turn *first)
{
    uint64_t rows = 0, bytes = 0;
    store_turn *end = first->next;
    bool alone = is_vacuum(first);
    while (!alone && end != NULL && !is_vacuum(end)) end = end->next;
    for (store_turn *turn = first; turn != end; turn = turn->next) bytes += turn->bytes.n;

    s->last_start = now_us();
    syn_err err = alone ? vacuum(s) : commit_turns(s, first, end, &rows);
    uint64_t took = now_us() - s->last_start;
    if (err != SYN_OK) {
        char why[sizeof s->writer.error];
        memcpy(why, s->writer.error, sizeof why);
        db_close(&s->writer, false);
        memcpy(s->writer.error, why, sizeof why);
        if (err == SYN_EIO || err == SYN_EFULL) atomic_store(&s->base.failing, true);
    } else if (s->wrote) {
        atomic_store(&s->base.failing, false);
    }
    count(s, err, rows, bytes, took);
    report(s, first, end, err, took);
    return end;
}

/* A failed checkpoint loses nothing, the WAL has it all; it is tried again after a later commit. */
static void checkpoint(struct sqlite_store *s)
{
    s->moved_at = s->base.stats.wal_pages; /* this thread alone writes it */
    s->unmoved = false;
    if (s->writer.handle == NULL) return;
    (void)sqlite3_wal_checkpoint_v2(s->writer.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static bool too_long(const struct sqlite_store *s)
{
    return s->unmoved && s->base.stats.wal_pages > s->moved_at + CHECKPOINT_ALWAYS_PAGES;
}

/* With the lock: false if that time has come. */
static bool wait_until(struct sqlite_store *s, uint64_t due)
{
    struct timespec until = {(time_t)(due / 1000000), (long)(due % 1000000) * 1000};
    return pthread_cond_timedwait(&s->work, &s->base.lock, &until) == 0;
}

/* With the lock, which it gives up meanwhile.  Nothing is queued. */
static void use_the_quiet(struct sqlite_store *s)
{
    if (!s->unmoved || s->base.stats.wal_pages <= CHECKPOINT_IDLE_PAGES) {
        pthread_cond_wait(&s->work, &s->base.lock);
    } else if (!wait_until(s, now_us() + CHECKPOINT_IDLE_US) && s->queue == NULL) {
        pthread_mutex_unlock(&s->base.lock);
        checkpoint(s);
        pthread_mutex_lock(&s->base.lock);
    }
}

/* With the lock: sleeps until a commit may start.  False: stop, and nothing is left. */
static bool wait_for_work(struct sqlite_store *s)
{
    while (s->queue == NULL && !s->stop) use_the_quiet(s);
    uint64_t due = s->last_start + s->min_gap_us;
    while (!s->stop && now_us() < due) (void)wait_until(s, due);
    return s->queue != NULL;
}

static void *writer_main(void *user)
{
    struct sqlite_store *s = user;
    pthread_mutex_lock(&s->base.lock);
    while (wait_for_work(s)) {
        store_turn *turn = s->queue;
        s->queue = s->queue_last = NULL;
        pthread_mutex_unlock(&s->base.lock);
        while (turn != NULL) turn = commit_some(s, turn);
        if (too_long(s)) checkpoint(s);
        pthread_mutex_lock(&s->base.lock);
    }
    pthread_mutex_unlock(&s->base.lock);
    return NULL;
}

static void sqlite_submit(syn_store *store, store_turn *turn)
{
    struct sqlite_store *s = sqlite_of(store);
    turn->next = NULL;
    pthread_mutex_lock(&store->lock);
    if (s->queue == NULL) s->queue = turn;
    if (s->queue_last != NULL) s->queue_last->next = turn;
    s->queue_last = turn;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&store->lock);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void release(struct sqlite_store *s)
{
    for (uint32_t i = 0; i < READERS; i++) {
        db_close(&s->readers[i].db, false);
        pthread_mutex_destroy(&s->readers[i].lock);
    }
    db_close(&s->writer, true); /* the last connection: the WAL goes into the file */
    file_unlock(s->lock_fd);
    pthread_cond_destroy(&s->work);
    const syn_mem mem = s->base.mem;
    mem_free(&mem, s->path, s->path_size);
    mem_free(&mem, s->vfs, s->vfs_size);
    store_base_free(&s->base);
    mem_free(&mem, s, sizeof *s);
}

static void sqlite_close(syn_store *store)
{
    struct sqlite_store *s = sqlite_of(store);
    if (s->threaded) {
        pthread_mutex_lock(&store->lock);
        s->stop = true;
        pthread_cond_signal(&s->work);
        pthread_mutex_unlock(&store->lock);
        pthread_join(s->thread, NULL);
    }
    store_poll(store); /* every `done` runs once */
    release(s);
}

static const struct store_backend sqlite_backend = {
    .close = sqlite_close,
    .submit = sqlite_submit,
    .find = sqlite_find,
    .was_deleted = sqlite_was_deleted,
    .read_snapshot = sqlite_read_snapshot,
    .read_log = sqlite_read_log,
    .read_peer = sqlite_read_peer,
    .read_peers = sqlite_read_peers,
    .read_note = sqlite_read_note,
    .read_notes = sqlite_read_notes,
    .list = sqlite_list,
    .feed = sqlite_feed,
    .feed_end = sqlite_feed_end,
    .name = sqlite_name,
    .fsck = sqlite_fsck,
};

static bool init_readers(struct sqlite_store *s)
{
    pthread_mutexattr_t recursive;
    uint32_t n = 0;
    if (pthread_mutexattr_init(&recursive) != 0) return false;
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    while (n < READERS && pthread_mutex_init(&s->readers[n].lock, &recursive) == 0) n++;
    pthread_mutexattr_destroy(&recursive);
    if (n == READERS) return true;
    while (n != 0) pthread_mutex_destroy(&s->readers[--n].lock);
    return false;
}

static syn_err init_waiting(struct sqlite_store *s)
{
    pthread_condattr_t clock;
    if (pthread_condattr_init(&clock) != 0) return SYN_ENOMEM;
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&s->work, &clock);
    pthread_condattr_destroy(&clock);
    if (rc != 0) return SYN_ENOMEM;
    if (init_readers(s)) return SYN_OK;
    pthread_cond_destroy(&s->work);
    return SYN_ENOMEM;
}

/* A copy of text from the store's memory; NULL for NULL, and then *size is 0. */
static char *copy_text(const syn_mem *mem, const char *text, size_t *size)
{
    *size = text == NULL ? 0 : strlen(text) + 1;
    char *copy = text == NULL ? NULL : mem_alloc(mem, *size);
    if (copy != NULL) memcpy(copy, text, *size);
    return copy;
}

static syn_err make_store(struct sqlite_store **out, const store_options *options)
{
    struct sqlite_store *s = mem_zalloc(&options->mem, sizeof *s);
    if (s == NULL) return SYN_ENOMEM;
    syn_err err = store_base_init(&s->base, options, &sqlite_backend);
    if (err == SYN_OK && (err = init_waiting(s)) != SYN_OK) store_base_free(&s->base);
    if (err != SYN_OK) {
        mem_free(&options->mem, s, sizeof *s);
        return err;
    }
    s->lock_fd = -1;
    s->min_gap_us = options->min_gap_us;
    s->path = copy_text(&s->base.mem, options->path, &s->path_size);
    s->vfs = copy_text(&s->base.mem, options->vfs, &s->vfs_size);
    if (s->path != NULL && (s->vfs != NULL || options->vfs == NULL)) {
        *out = s;
        return SYN_OK;
    }
    release(s);
    return SYN_ENOMEM;
}

static bool file_size(const char *path, const char *suffix, int64_t *size)
{
    char name[4096];
    struct stat status;
    if (snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name) return false;
    if (stat(name, &status) != 0) return false;
    *size = S_ISREG(status.st_mode) ? (int64_t)status.st_size : -1;
    return true;
}

/* What the folder says before SQLite is asked; SQLite would make an empty file of anything. */
static syn_err look(const store_options *options, char detail[256])
{
    int64_t size = 0, wal = 0;
    bool there = file_size(options->path, "", &size);
    if (!there && (!options->create || options->read_only)) {
        (void)snprintf(detail, 256, "no such file: %.200s", options->path);
        return SYN_ENOTFOUND;
    }
    if (size < 0) {
        (void)snprintf(detail, 256, "not a file: %.200s", options->path);
        return SYN_EVERSION;
    }
    /* SQLite throws away a WAL that stands beside an empty file; here it is somebody's data. */
    if (size == 0 && file_size(options->path, "-wal", &wal) && wal != 0) {
        (void)snprintf(detail, 256, "the file is empty but its -wal is not: restore a backup");
        return SYN_EDAMAGED;
    }
    return SYN_OK;
}

static syn_err say_open(const struct db *db, syn_err err, char detail[256])
{
    if (detail[0] != '\0') return err;
    (void)snprintf(detail, 256, "%s: %.200s",
                   err == SYN_EDAMAGED ? "the file is damaged: restore a backup"
                                       : "cannot open the file",
                   db->error);
    return err;
}

static syn_err prepare_file(struct sqlite_store *s, const store_options *options, char detail[256])
{
    struct db *db = &s->writer;
    syn_err err = open_writer(s, options->create ? DB_CREATE : DB_WRITE);
    if (err != SYN_OK && err != SYN_EVERSION) return say_open(db, err, detail);
    if (err == SYN_OK) err = db_check_ours(db, detail);
    if (err == SYN_OK) err = db_migrate(db);
    if (err == SYN_EVERSION && detail[0] == '\0')
        (void)snprintf(detail, 256, "not a Syncline file: give another name, or move it away");
    if (err == SYN_ENOTFOUND && options->create) {
        detail[0] = '\0';
        err = options->random_id == NULL ? db_say(db, SYN_EMISUSE, "a new file needs an id")
                                         : db_create_schema(db, options->random_id);
        if (err == SYN_OK) err = file_sync_folder(s->path);
    }
    return err == SYN_OK ? SYN_OK : say_open(db, err, detail);
}

static syn_err open_reader(struct sqlite_store *s, char detail[256])
{
    syn_err err = db_open(&s->readers[0].db, s->path, s->vfs, DB_READ);
    if (err == SYN_OK) err = db_check_ours(&s->readers[0].db, detail);
    if (err == SYN_OK) err = db_read_id(&s->readers[0].db, s->base.id);
    return err == SYN_OK ? SYN_OK : say_open(&s->readers[0].db, err, detail);
}

/* The numbers to go on from: the highest ever given out, not the highest that is there. */
static syn_err read_sequences(struct sqlite_store *s, char detail[256])
{
    int64_t doc = 0;
    syn_err err =
        db_number(&s->readers[0].db, "SELECT max(seq) FROM sqlite_sequence WHERE name = 'tail'",
                  &s->last_seq);
    if (err == SYN_OK)
        err = db_number(&s->readers[0].db,
                        "SELECT max(seq) FROM sqlite_sequence WHERE name = 'doc'", &doc);
    if (err == SYN_OK && (doc < 0 || doc > INT64_MAX / 2 || s->last_seq < 0))
        err = db_say(&s->readers[0].db, SYN_EDAMAGED, "its sequence numbers are damaged");
    atomic_store(&s->base.next_doc, doc + 1);
    return err == SYN_OK ? SYN_OK : say_open(&s->readers[0].db, err, detail);
}

static syn_err start(struct sqlite_store *s, const store_options *options, char detail[256])
{
    syn_err err = look(options, detail);
    if (err == SYN_OK && !options->read_only)
        err = file_lock(s->path, options->owner, &s->lock_fd, detail);
    if (err == SYN_OK && !options->read_only) err = prepare_file(s, options, detail);
    if (err == SYN_OK) err = open_reader(s, detail);
    if (err == SYN_OK) err = read_sequences(s, detail);
    if (err != SYN_OK || options->read_only) return err;
    s->threaded = pthread_create(&s->thread, NULL, writer_main, s) == 0;
    return s->threaded ? SYN_OK : SYN_ENOMEM;
}

syn_err store_open_sqlite(syn_store **out, const store_options *options, char detail[256])
{
    struct sqlite_store *s;
    syn_err err = make_store(&s, options);
    if (err == SYN_OK) {
        err = start(s, options, detail);
        if (err == SYN_OK)
            *out = &s->base;
        else
            release(s);
    }
    if (err == SYN_ENOMEM && detail[0] == '\0') (void)snprintf(detail, 256, "out of memory");
    return err;
}

void store_limit_memory(uint64_t bytes)
{
    sqlite3_soft_heap_limit64((sqlite3_int64)(bytes / 8));
    sqlite3_hard_heap_limit64((sqlite3_int64)(bytes / 4));
}
