/* file.c -- `fsck`, `backup`, `restore`, `compact`: looking after a database file. */
#include "fold.h"
#include "target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Walking over the documents of a file ---------------------------------------------------- */

struct walk {
    syn_store *store;
    const char *file;
    const char *doing; /* shown as progress */
    syn_str *names;    /* owned */
    uint32_t count;
    uint64_t problems, events;
};

/* Names first, documents later: nothing is read or written inside a visit of the list. */
static syn_err collect_name(void *user, syn_str name, const struct store_doc *row)
{
    struct walk *walk = user;
    (void)row;
    syn_str *more = realloc(walk->names, ((size_t)walk->count + 1) * sizeof *more);
    if (more == NULL) return SYN_ENOMEM;
    walk->names = more;
    char *copy = strndup(name.data, name.len);
    if (copy == NULL) return SYN_ENOMEM;
    walk->names[walk->count++] = (syn_str){copy, name.len};
    return SYN_OK;
}

static int walk_begin(struct walk *walk, const char *file)
{
    *walk = (struct walk){.file = file};
    int status = open_file(&walk->store, file, false);
    if (status != EXIT_DONE) return status;
    syn_err err = store_list(walk->store, collect_name, walk);
    return err == SYN_OK ? EXIT_DONE : failed("%s: %s", file, store_error(walk->store));
}

static void walk_end(struct walk *walk)
{
    for (uint32_t i = 0; i < walk->count; i++) free((char *)(uintptr_t)walk->names[i].data);
    free(walk->names);
    store_close(walk->store);
}

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    const struct walk *walk = user;
    progress(walk->doing, done, total);
}

/* ---- fsck ------------------------------------------------------------------------------------ */

static void print_problem(void *user, const char *text)
{
    struct walk *walk = user;
    walk->problems++;
    progress_end();
    (void)printf("%s\n", text);
}

static void doc_problem(struct walk *walk, syn_str name, const char *what, const char *detail)
{
    char text[640];
    (void)snprintf(text, sizeof text, "document %.*s: %s%s%s", (int)name.len, name.data, what,
                   detail[0] != '\0' ? ": " : "", detail);
    print_problem(walk, text);
}

/* The whole history, replayed in one go by a document of its own, must lead to the same state. */
static syn_err replay_cold(syn_doc *doc, uint64_t *digest)
{
    syn_doc *cold = NULL;
    syn_err err = syn_doc_new(&cold, NULL);
    uint32_t at = syn_doc_log_start(doc), end = syn_doc_log_end(doc);
    while (err == SYN_OK && at < end) {
        syn_changes set;
        uint32_t cut = at;
        err = syn_doc_export(doc, (syn_span){at, end}, UINT32_MAX, 1u << 20, &set, &cut);
        if (err == SYN_OK) err = syn_apply(cold, &set, false, NULL);
        at = cut;
    }
    if (err == SYN_OK) err = syn_doc_digest(cold, digest);
    syn_doc_free(cold);
    return err;
}

static void check_document(struct walk *walk, syn_str name)
{
    struct store_doc row;
    syn_doc *doc = NULL;
    char detail[DETAIL_BYTES] = "";
    uint64_t loaded = 0, replayed = 0;
    uint32_t added = 0;
    syn_err err = doc_store_load(walk->store, name, NULL, &doc, &row, detail);
    if (err != SYN_OK) {
        doc_problem(walk, name, "cannot be loaded", detail[0] ? detail : syn_strerror(err));
        return;
    }
    err = syn_doc_digest(doc, &loaded);
    if (err == SYN_OK && !syn_doc_has_history(doc))
        err = doc_store_backfill(walk->store, &row, doc, &added);
    if (err == SYN_OK) err = replay_cold(doc, &replayed);
    if (err != SYN_OK)
        doc_problem(walk, name, "its history does not lead to its state", syn_strerror(err));
    else if (loaded != replayed)
        doc_problem(walk, name, "its history leads to another state than its snapshot says", "");
    walk->events += syn_doc_events(doc);
    syn_doc_free(doc);
}

static int run_fsck(const struct command *self, int argc, char **argv)
{
    if (!take_options(self, NULL, &argc, argv, 1, 1)) return EXIT_USAGE;
    struct walk walk;
    int status = walk_begin(&walk, argv[0]);
    if (status == EXIT_DONE) {
        walk.doing = "checking";
        syn_err err = store_fsck(walk.store, print_problem, show_progress, &walk);
        if (err != SYN_OK && err != SYN_EDAMAGED)
            status = failed("%s: %s", argv[0], store_error(walk.store));
        for (uint32_t i = 0; i < walk.count; i++) {
            progress("replaying documents", i + 1, walk.count);
            check_document(&walk, walk.names[i]);
        }
        progress_end();
        if (status == EXIT_DONE && walk.problems > 0)
            status = failed("%s: %" PRIu64 " problems; keep a copy of the file, then put a backup "
                            "in its place (syncline restore)",
                            argv[0], walk.problems);
        else if (status == EXIT_DONE)
            (void)printf("%s: clean, %" PRIu32 " documents, %" PRIu64 " events\n", argv[0],
                         walk.count, walk.events);
    }
    walk_end(&walk);
    return finish_output(status);
}

/* ---- compact --------------------------------------------------------------------------------- */

static int compact_document(struct walk *walk, syn_str name)
{
    struct store_doc row;
    syn_doc *doc = NULL;
    store_turn *turn = NULL;
    char detail[DETAIL_BYTES] = "";
    syn_err err = doc_store_load(walk->store, name, NULL, &doc, &row, detail);
    if (err == SYN_OK) err = store_turn_new(walk->store, &turn);
    if (err == SYN_OK) {
        err = fold_document(walk->store, name, doc, turn);
        if (err == SYN_OK)
            err = store_commit(turn);
        else
            store_turn_drop(turn);
    }
    syn_doc_free(doc);
    if (err == SYN_OK) return EXIT_DONE;
    return failed("document %.*s: %s; see syncline fsck %s", (int)name.len, name.data,
                  detail[0] != '\0' ? detail : syn_strerror(err), walk->file);
}

static int run_compact(const struct command *self, int argc, char **argv)
{
    if (!take_options(self, NULL, &argc, argv, 1, 1)) return EXIT_USAGE;
    struct walk walk;
    int status = walk_begin(&walk, argv[0]);
    bool opened = status == EXIT_DONE;
    for (uint32_t i = 0; opened && i < walk.count; i++) {
        progress("folding documents", i + 1, walk.count);
        if (compact_document(&walk, walk.names[i]) != EXIT_DONE) status = EXIT_FAILED;
    }
    progress_end();
    if (opened) {
        walk.doing = "giving space back";
        syn_err err = store_vacuum(walk.store, show_progress, &walk);
        progress_end();
        if (err != SYN_OK) status = failed("%s: %s", argv[0], store_error(walk.store));
    }
    walk_end(&walk);
    return finish_output(status);
}

/* ---- backup, restore ------------------------------------------------------------------------- */

static int run_backup(const struct command *self, int argc, char **argv)
{
    if (!take_options(self, NULL, &argc, argv, 2, 2)) return EXIT_USAGE;
    char detail[DETAIL_BYTES] = "";
    struct walk walk = {.doing = "pages"};
    syn_err err = store_backup(argv[0], argv[1], show_progress, &walk, detail);
    progress_end();
    if (err == SYN_OK) return EXIT_DONE;
    return failed("no backup: %s", detail[0] != '\0' ? detail : syn_strerror(err));
}

static int run_restore(const struct command *self, int argc, char **argv)
{
    if (!take_options(self, NULL, &argc, argv, 2, 2)) return EXIT_USAGE;
    char detail[DETAIL_BYTES] = "";
    uint8_t id[STORE_ID_BYTES];
    if (!fill_random(id, sizeof id)) return failed("the system gives no random bytes");
    syn_err err = store_restore(argv[0], argv[1], id, detail);
    if (err == SYN_OK) return EXIT_DONE;
    return failed("not restored: %s", detail[0] != '\0' ? detail : syn_strerror(err));
}

const struct command commands_fsck = {
    .name = "fsck",
    .run = run_fsck,
    .synopsis = "fsck FILE",
    .summary = "check a database file from top to bottom",
    .help = "Checks the database's own structure, every checksum, that no event is missing, and\n"
            "for every document that its history, replayed, leads to the state that is stored.\n"
            "Prints one line per problem; exit status 0 only if there was none.  Nobody may serve\n"
            "the file meanwhile (check a backup instead).\n\n"
            "Examples:\n"
            "  syncline fsck syncline.db\n"
            "  syncline backup live.db copy.db && syncline fsck copy.db\n",
};

const struct command commands_backup = {
    .name = "backup",
    .run = run_backup,
    .synopsis = "backup FILE TO",
    .summary = "copy a database file, even one in use",
    .help =
        "Makes a consistent copy of FILE, which may be served meanwhile.  TO must not exist.\n\n"
        "Examples:\n"
        "  syncline backup syncline.db /backups/$(date +%F).db\n",
};

const struct command commands_restore = {
    .name = "restore",
    .run = run_restore,
    .synopsis = "restore FILE FROM",
    .summary = "put a backup in a database file's place",
    .help = "Puts the backup FROM in the place of FILE, which nobody may serve; what was there is\n"
            "kept as FILE.before-restore.  Clients notice when they connect again, and bring what\n"
            "they have and the backup lacks.\n\n"
            "Examples:\n"
            "  syncline restore syncline.db /backups/2026-11-22.db && syncline serve\n",
};

const struct command commands_compact = {
    .name = "compact",
    .run = run_compact,
    .synopsis = "compact FILE",
    .summary = "fold logs into chunks and give space back",
    .help = "Folds every document's log into large deflated chunks, writes a fresh snapshot, and\n"
            "gives free space back to the file system.  Nothing is lost.  Nobody may serve the\n"
            "file meanwhile.\n\n"
            "Examples:\n"
            "  syncline compact syncline.db && ls -l syncline.db\n",
};
