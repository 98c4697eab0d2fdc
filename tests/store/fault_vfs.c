#include "fault_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512

/* A write or a truncation since the last sync of its file; newest first. */
struct change {
    struct change *older;
    sqlite3_int64 offset, old_size, new_size;
    int len;                   /* 0: a truncation */
    unsigned char *old, *made; /* what was there (zeros beyond the end), what came */
};

struct fault_file {
    sqlite3_file base;
    struct fault_file *next; /* open files */
    struct change *changes;
    char *name;
    sqlite3_file *real;
};

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs vfs, *real;
    unsigned calls;
    enum fault_kind kind;
    long at, counted, given;
    bool from_then_on, recording, ignoring;
    struct fault_file *open;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct fault_file *file_of(sqlite3_file *file)
{
    return (struct fault_file *)(void *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return file_of(file)->real;
}

/* With the lock: is it this call's turn to fail? */
static bool fails(enum fault_call call)
{
    if ((state.calls & call) == 0) return false;
    state.counted++;
    if (state.at == 0) return false;
    bool now = state.from_then_on ? state.counted >= state.at : state.counted == state.at;
    state.given += now;
    return now;
}

/* ---- Recording ------------------------------------------------------------------------------- */

static void forget(struct fault_file *f)
{
    for (struct change *c = f->changes, *older; c != NULL; c = older) {
        older = c->older;
        free(c->old);
        free(c->made);
        free(c);
    }
    f->changes = NULL;
}

static void remember(struct fault_file *f, const void *data, int len, sqlite3_int64 offset,
                     sqlite3_int64 new_size)
{
    struct change *c = calloc(1, sizeof *c);
    if (c == NULL) abort();
    (void)f->real->pMethods->xFileSize(f->real, &c->old_size);
    if (data == NULL) { /* the part that is cut off */
        offset = new_size;
        len = c->old_size > new_size ? (int)(c->old_size - new_size) : 0;
    }
    c->offset = offset;
    c->len = len;
    c->new_size = data == NULL ? new_size : c->old_size;
    if (data != NULL && offset + len > c->old_size) c->new_size = offset + len;
    c->old = calloc(1, (size_t)len + 1);
    c->made = data == NULL ? NULL : malloc((size_t)len + 1);
    if (c->old == NULL) abort();
    (void)f->real->pMethods->xRead(f->real, c->old, len, offset);
    if (c->made != NULL) memcpy(c->made, data, (size_t)len);
    c->older = f->changes;
    f->changes = c;
}

static void put(int fd, const void *data, size_t len, sqlite3_int64 offset)
{
    if (pwrite(fd, data, len, offset) != (ssize_t)len) abort();
}

/* Oldest first: some of the writes reached the disk after all. */
static void redo(int fd, const struct change *c, uint64_t *seed)
{
    if (c == NULL) return;
    redo(fd, c->older, seed);
    for (int at = 0; c->made != NULL && at < c->len; at += SECTOR) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if (*seed >> 63 == 0) continue;
        put(fd, c->made + at, (size_t)(c->len - at < SECTOR ? c->len - at : SECTOR),
            c->offset + at);
    }
}

_Noreturn void fault_power_cut(uint64_t seed)
{
    pthread_mutex_lock(&state.lock);
    for (struct fault_file *f = state.open; f != NULL; f = f->next) {
        if (f->changes == NULL) continue;
        int fd = open(f->name, O_RDWR);
        if (fd < 0) continue;
        for (struct change *c = f->changes; c != NULL; c = c->older) {
            put(fd, c->old, (size_t)c->len, c->offset);
            if (ftruncate(fd, c->old_size) != 0) abort();
        }
        if (seed != 0) redo(fd, f->changes, &seed);
    }
    _exit(0);
}

/* ---- File methods ---------------------------------------------------------------------------- */

static int fault_close(sqlite3_file *file)
{
    struct fault_file *f = file_of(file);
    pthread_mutex_lock(&state.lock);
    for (struct fault_file **at = &state.open; *at != NULL; at = &(*at)->next) {
        if (*at != f) continue;
        *at = f->next;
        break;
    }
    forget(f);
    free(f->name);
    pthread_mutex_unlock(&state.lock);
    return f->real->pMethods == NULL ? SQLITE_OK : f->real->pMethods->xClose(f->real);
}

static int fault_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    pthread_mutex_lock(&state.lock);
    bool failing = fails(FAULT_READ);
    pthread_mutex_unlock(&state.lock);
    if (failing) return SQLITE_IOERR_READ;
    return real_of(file)->pMethods->xRead(real_of(file), data, len, offset);
}

static int fault_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    struct fault_file *f = file_of(file);
    int rc = SQLITE_OK;
    pthread_mutex_lock(&state.lock);
    if (state.recording && f->name != NULL) remember(f, data, len, offset, 0);
    if (!fails(FAULT_WRITE)) {
        rc = f->real->pMethods->xWrite(f->real, data, len, offset);
    } else if (state.kind == FAULT_TORN) {
        (void)f->real->pMethods->xWrite(f->real, data, len / 2, offset);
        rc = SQLITE_IOERR_WRITE;
    } else {
        rc = state.kind == FAULT_ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    pthread_mutex_unlock(&state.lock);
    return rc;
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_file *f = file_of(file);
    pthread_mutex_lock(&state.lock);
    if (state.recording && f->name != NULL) remember(f, NULL, 0, 0, size);
    int rc =
        fails(FAULT_TRUNCATE) ? SQLITE_IOERR_TRUNCATE : f->real->pMethods->xTruncate(f->real, size);
    pthread_mutex_unlock(&state.lock);
    return rc;
}

static int fault_sync(sqlite3_file *file, int flags)
{
    struct fault_file *f = file_of(file);
    pthread_mutex_lock(&state.lock);
    int rc = fails(FAULT_SYNC) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
    /* While recording the cut is made by hand: waiting for the real disk would only be slower. */
    if (rc == SQLITE_OK && !state.recording) rc = f->real->pMethods->xSync(f->real, flags);
    if (rc == SQLITE_OK && !state.ignoring) forget(f);
    pthread_mutex_unlock(&state.lock);
    return rc;
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int fault_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int fault_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int fault_check_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int fault_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int fault_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int fault_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int fault_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int fault_shm_unmap(sqlite3_file *file, int delete_it)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_device,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct fault_file *f = file_of(file);
    (void)vfs;
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(void *)(f + 1);
    int rc = state.real->xOpen(state.real, name, f->real, flags, out);
    if (rc != SQLITE_OK) return rc;
    f->base.pMethods = &methods;
    f->name = name == NULL ? NULL : strdup(name);
    pthread_mutex_lock(&state.lock);
    f->next = state.open;
    state.open = f;
    pthread_mutex_unlock(&state.lock);
    return SQLITE_OK;
}

/* ---- What tests call ------------------------------------------------------------------------- */

const char *fault_vfs(void)
{
    if (state.real == NULL) {
        state.real = sqlite3_vfs_find(NULL);
        state.vfs = *state.real;
        state.vfs.zName = "fault";
        state.vfs.szOsFile = (int)sizeof(struct fault_file) + state.real->szOsFile;
        state.vfs.xOpen = fault_open;
        if (sqlite3_vfs_register(&state.vfs, 0) != SQLITE_OK) abort();
    }
    return "fault";
}

void fault_arm(unsigned calls, enum fault_kind kind, long at, bool from_then_on)
{
    pthread_mutex_lock(&state.lock);
    state.calls = calls;
    state.kind = kind;
    state.at = at;
    state.from_then_on = from_then_on;
    state.counted = state.given = 0;
    pthread_mutex_unlock(&state.lock);
}

void fault_disarm(void)
{
    pthread_mutex_lock(&state.lock);
    state.calls = 0;
    pthread_mutex_unlock(&state.lock);
}

long fault_calls(void)
{
    pthread_mutex_lock(&state.lock);
    long n = state.counted;
    pthread_mutex_unlock(&state.lock);
    return n;
}

long fault_given(void)
{
    pthread_mutex_lock(&state.lock);
    long n = state.given;
    pthread_mutex_unlock(&state.lock);
    return n;
}

void fault_record(void)
{
    pthread_mutex_lock(&state.lock);
    state.recording = true;
    pthread_mutex_unlock(&state.lock);
}

void fault_ignore_syncs(bool ignore)
{
    state.ignoring = ignore;
}
