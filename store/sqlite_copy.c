/* sqlite_copy.c -- backup of a file that may be in use, and putting one back.
 *
 * Both copy through SQLite's online backup into NAME.part and rename when it is whole and on the
 * disk, so that half a copy never bears the name of a whole one.  The source is held in one read
 * transaction: the copy is of that moment however long it takes, and the owner writes on. */
#include "file_lock.h"
#include "sqlite_db.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define STEP_PAGES 512

static syn_err say(char detail[256], syn_err err, const char *what, const char *which)
{
    (void)snprintf(detail, 256, "%.180s: %.180s", what, which);
    return err;
}

/* base + suffix in out. */
static bool name_with(char out[PATH_MAX], const char *base, const char *suffix)
{
    return snprintf(out, PATH_MAX, "%s%s", base, suffix) < PATH_MAX;
}

static void remove_with(const char *base, const char *suffix)
{
    char name[PATH_MAX];
    if (name_with(name, base, suffix)) (void)unlink(name);
}

static void remove_database(const char *path)
{
    remove_with(path, "-wal");
    remove_with(path, "-shm");
    remove_with(path, "-journal");
    remove_with(path, "");
}

static syn_err run_backup(struct db *to, struct db *from, store_progress progress, void *user)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->handle, "main", from->handle, "main");
    if (backup == NULL) return db_error(to, sqlite3_errcode(to->handle));
    int rc;
    do {
        rc = sqlite3_backup_step(backup, STEP_PAGES);
        uint64_t total = (uint64_t)sqlite3_backup_pagecount(backup);
        if (progress != NULL)
            progress(user, total - (uint64_t)sqlite3_backup_remaining(backup), total);
    } while (rc == SQLITE_OK);
    int finished = sqlite3_backup_finish(backup);
    return db_error(to, rc == SQLITE_DONE ? finished : rc);
}

/* Everything from `from`, as of now, into the new file `to`. */
static syn_err copy_open(struct db *from, const char *to, const uint8_t *new_id,
                         store_progress progress, void *user, char detail[256])
{
    struct db copy;
    int64_t pages;
    remove_database(to); /* what an interrupted copy left */
    syn_err err = db_open(&copy, to, NULL, DB_COPY);
    if (err != SYN_OK) return say(detail, err, "cannot write the copy", copy.error);
    err = db_run(from, SQL_BEGIN_READ);
    if (err == SYN_OK) err = db_number(from, "SELECT count(*) FROM sqlite_schema", &pages);
    if (err != SYN_OK) (void)say(detail, err, "cannot read the source", from->error);
    if (err == SYN_OK) {
        err = run_backup(&copy, from, progress, user);
        if (err == SYN_OK && new_id != NULL) err = db_write_id(&copy, new_id);
        if (err != SYN_OK) (void)say(detail, err, "cannot write the copy", copy.error);
    }
    if (!sqlite3_get_autocommit(from->handle)) (void)db_run(from, SQL_COMMIT);
    db_close(&copy, true);
    if (err != SYN_OK) remove_database(to);
    return err;
}

/* `to` as a copy of the file `path`, which must be ours. */
static syn_err copy_file(const char *path, const char *to, const uint8_t *new_id, bool check,
                         store_progress progress, void *user, char detail[256])
{
    struct db from;
    detail[0] = '\0';
    if (access(path, F_OK) != 0) return say(detail, SYN_ENOTFOUND, "no such file", path);
    syn_err err = db_open(&from, path, NULL, DB_READ);
    if (err != SYN_OK) return say(detail, err, "cannot open the source", from.error);
    err = db_check_ours(&from, detail);
    int64_t good = 1;
    if (err == SYN_OK && check)
        err = db_number(&from, "SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'",
                        &good);
    if (err == SYN_OK && good != 1)
        err = say(detail, SYN_EDAMAGED, "the backup is damaged: take another", path);
    if (err == SYN_OK) err = copy_open(&from, to, new_id, progress, user, detail);
    if (err != SYN_OK && detail[0] == '\0') (void)say(detail, err, "cannot copy", from.error);
    db_close(&from, false);
    return err;
}

/* fsync of a file by name: the closing checkpoint did it, unless the copy came from a database in
 * another journal mode. */
static syn_err sync_file(const char *path)
{
    FILE *file = fopen(path, "r+b");
    if (file == NULL) return SYN_EIO;
    int rc = fsync(fileno(file));
    (void)fclose(file);
    return rc == 0 ? file_sync_folder(path) : SYN_EIO;
}

syn_err store_backup(const char *from, const char *to, store_progress progress, void *user,
                     char detail[256])
{
    char part[PATH_MAX];
    detail[0] = '\0';
    if (!name_with(part, to, ".part")) return say(detail, SYN_EMISUSE, "the path is too long", to);
    if (access(to, F_OK) == 0)
        return say(detail, SYN_EBUSY, to, "is there already: give another name");
    syn_err err = copy_file(from, part, NULL, false, progress, user, detail);
    if (err != SYN_OK) return err;
    err = sync_file(part);
    if (err == SYN_OK && rename(part, to) != 0) err = SYN_EIO;
    if (err == SYN_OK) err = file_sync_folder(to);
    return err == SYN_OK ? SYN_OK : say(detail, err, "cannot write the copy", strerror(errno));
}

/* Brings everything of the old file into one file.  If that cannot be done, because it is damaged,
 * its WAL is kept under the new name beside it: a stale WAL must not meet the restored file. */
static syn_err settle_old(const char *file, const char *kept)
{
    struct db old;
    char wal[PATH_MAX], kept_wal[PATH_MAX];
    if (db_open(&old, file, NULL, DB_WRITE) == SYN_OK) {
        (void)db_exec(&old, "PRAGMA wal_checkpoint(TRUNCATE)");
        db_close(&old, true);
    }
    remove_with(file, "-shm");
    if (!name_with(wal, file, "-wal") || !name_with(kept_wal, kept, "-wal")) return SYN_EMISUSE;
    if (rename(wal, kept_wal) != 0 && errno != ENOENT) return SYN_EIO;
    return SYN_OK;
}

/* link before rename: there is no moment without a file, in which a server would make a new one. */
static syn_err swap(const char *file, const char *part, char detail[256])
{
    char kept[PATH_MAX];
    if (!name_with(kept, file, ".before-restore"))
        return say(detail, SYN_EMISUSE, "the path is too long", file);
    if (access(file, F_OK) == 0) {
        if (access(kept, F_OK) == 0)
            return say(detail, SYN_EBUSY, kept, "is there already: move it away");
        if (settle_old(file, kept) != SYN_OK || link(file, kept) != 0)
            return say(detail, SYN_EIO, "cannot keep the old file", strerror(errno));
    }
    if (rename(part, file) != 0 || file_sync_folder(file) != SYN_OK)
        return say(detail, SYN_EIO, "cannot put the backup in place", strerror(errno));
    return SYN_OK;
}

syn_err store_restore(const char *file, const char *from, const uint8_t new_id[STORE_ID_BYTES],
                      char detail[256])
{
    char part[PATH_MAX];
    int lock = -1;
    detail[0] = '\0';
    if (!name_with(part, file, ".part"))
        return say(detail, SYN_EMISUSE, "the path is too long", file);
    syn_err err = file_lock(file, "syncline restore", &lock, detail);
    if (err != SYN_OK) return err;
    err = copy_file(from, part, new_id, true, NULL, NULL, detail);
    if (err == SYN_OK && sync_file(part) != SYN_OK)
        err = say(detail, SYN_EIO, "cannot write the copy", strerror(errno));
    if (err == SYN_OK) err = swap(file, part, detail);
    if (err != SYN_OK) remove_database(part);
    file_unlock(lock);
    return err;
}
