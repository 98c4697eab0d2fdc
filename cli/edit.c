/* edit.c -- `set`, `insert`, `delete`, `incr`: one edit, done when it is durable.
 *
 * What a PATH is: doc_edit.h. */
#include "doc_edit.h"
#include "target.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON into values ------------------------------------------------------------------------ */

static json_t *parse_json(const struct command *self, const char *text)
{
    json_error_t error;
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    json_t *value = doc_edit_json(syn_s(text), flags, &error);
    if (value == NULL)
        (void)wrong_use(self, "%s is no JSON value: %s (a string needs its quotes: '\"text\"')",
                        text, error.text);
    return value;
}

/* Opens, edits in one transaction, waits until it is durable. */
static int carry_out(const struct command *self, struct doc_edit *edit,
                     syn_err (*fn)(struct doc_edit *), char **argv, const char *timeout)
{
    struct target target;
    struct path path;
    char why[PATH_WHY_BYTES] = "";
    edit->why = why;
    bool by_path = edit->container == NULL || edit->container[0] == '/';
    if (by_path && !path_parse(&path, argv[2], why)) return wrong_use(self, "%s: %s", argv[2], why);
    edit->path = by_path ? &path : NULL;
    int status = target_open(&target, argv[0], argv[1], TARGET_EDIT, timeout);
    if (status == EXIT_DONE) {
        edit->doc = target.doc;
        syn_err err = syn_begin(edit->doc);
        if (err == SYN_OK && (err = fn(edit)) != SYN_OK) (void)syn_rollback(edit->doc);
        if (err == SYN_OK) err = syn_commit(edit->doc);
        if (err == SYN_OK)
            status = target_save(&target);
        else if (why[0] != '\0')
            status = failed("%s: %s", argv[2], why);
        else
            status =
                failed("%s: %s%s%s", argv[2], syn_strerror(err),
                       *syn_doc_error(edit->doc) != '\0' ? ": " : "", syn_doc_error(edit->doc));
    }
    target_close(&target);
    if (by_path) path_free(&path);
    return status;
}

/* ---- The commands ---------------------------------------------------------------------------- */

static int run_set(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    struct doc_edit edit = {0};
    const struct option_spec specs[] = {
        {"timeout", &timeout, NULL}, {"force", NULL, &edit.force}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 4, 4)) return EXIT_USAGE;
    edit.json = parse_json(self, argv[3]);
    if (edit.json == NULL) return EXIT_USAGE;
    int status = carry_out(self, &edit, doc_edit_set, argv, timeout);
    json_decref(edit.json);
    return status;
}

static int run_insert(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 5, 5)) return EXIT_USAGE;
    struct doc_edit edit = {.container = argv[2], .text = syn_s(argv[4])};
    if (!read_number(argv[3], SEQ_MAX, &edit.pos))
        return wrong_use(self, "POS is a number from 0, not %s", argv[3]);
    return carry_out(self, &edit, doc_edit_insert, argv, timeout);
}

static int run_delete(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 3, 5)) return EXIT_USAGE;
    struct doc_edit edit = {.container = argv[2]};
    if (argc == 3 && argv[2][0] != '/') return wrong_use(self, "POS and COUNT are missing");
    if (argc == 3) return carry_out(self, &edit, doc_edit_unset, argv, timeout);
    if (argc == 4) return wrong_use(self, "COUNT is missing");
    if (!read_number(argv[3], SEQ_MAX, &edit.pos) || !read_number(argv[4], SEQ_MAX, &edit.count))
        return wrong_use(self, "POS and COUNT are numbers from 0");
    return carry_out(self, &edit, doc_edit_delete, argv, timeout);
}

static int run_incr(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 4, 4)) return EXIT_USAGE;
    struct doc_edit edit = {0};
    if (!read_int64(argv[3], &edit.delta))
        return wrong_use(self, "N is a whole number of 64 bits, not %s", argv[3]);
    return carry_out(self, &edit, doc_edit_incr, argv, timeout);
}

#define TIMEOUT_HELP "  --timeout SECONDS  how long to wait for the server (10)\n"

const struct command commands_set = {
    .name = "set",
    .run = run_set,
    .synopsis = "set TARGET DOC PATH JSON [--force]",
    .summary = "set a value in a map or list",
    .help = "Sets the value at PATH (a JSON Pointer) and returns when it is durable.  Makes the\n"
            "document and missing maps on the way.  In a list: replaces an item, or inserts at\n"
            "the end with /- or its length.  An object or array becomes a map or list.\n\n"
            "  --force            replaces a value that stands where a map is needed\n" TIMEOUT_HELP
            "\nExamples:\n"
            "  syncline set ws://127.0.0.1:7700 notes /title '\"Plan\"'\n"
            "  syncline set notes.db notes /tasks '[\"buy milk\"]'\n"
            "  syncline set notes.db notes /tasks/- '{\"text\":\"call Ada\",\"done\":false}'\n"
            "  syncline set notes.db notes /tasks/1/done true\n",
};

const struct command commands_insert = {
    .name = "insert",
    .run = run_insert,
    .synopsis = "insert TARGET DOC CONTAINER POS STRING",
    .summary = "insert into a text",
    .help = "Inserts STRING at character POS (from 0) of a text and returns when it is durable.\n"
            "CONTAINER is a root text's name (\"\" is the default one of `syncline text`), or a\n"
            "path to a text inside maps, made if it is missing.\n\n" TIMEOUT_HELP "\nExamples:\n"
            "  syncline insert ws://127.0.0.1:7700 notes body 0 'Hello '\n"
            "  syncline insert notes.db notes /chapters/one 0 'It was a dark night.'\n",
};

const struct command commands_delete = {
    .name = "delete",
    .run = run_delete,
    .synopsis = "delete TARGET DOC CONTAINER POS COUNT | delete TARGET DOC PATH",
    .summary = "delete from a text or list, or a key",
    .help = "Deletes COUNT characters of a text (items of a list) from POS on; or what stands at\n"
            "PATH.  Returns when it is durable.\n\n" TIMEOUT_HELP "\nExamples:\n"
            "  syncline delete ws://127.0.0.1:7700 notes body 0 6\n"
            "  syncline delete notes.db notes /tasks 0 1       # the first item\n"
            "  syncline delete notes.db notes /title           # the key\n",
};

const struct command commands_incr = {
    .name = "incr",
    .run = run_incr,
    .synopsis = "incr TARGET DOC PATH N",
    .summary = "add to a counter",
    .help = "Adds N (may be negative) to the counter at PATH, which is made if it is missing, and\n"
            "returns when it is durable.  Concurrent additions all count.\n\n" TIMEOUT_HELP
            "\nExamples:\n"
            "  syncline incr ws://127.0.0.1:7700 page /likes 1\n"
            "  syncline incr shop.db stock /apples -3\n",
};
