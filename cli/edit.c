/* edit.c -- `set`, `insert`, `delete`, `incr`: one edit, done when it is durable.
 *
 * A PATH is a JSON Pointer into the document as JSON: its first step is a root container of that
 * name if there is one, else a key of the root map "".  What is missing on the way becomes
 * mergeable maps, so that two people who make the same path at once share it. */
#include "path.h"
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
    json_t *value = json_loads(text, flags, &error);
    /* An integer beyond 64 bits is a real number. */
    if (value == NULL && json_error_code(&error) == json_error_numeric_overflow)
        value = json_loads(text, flags | JSON_DECODE_INT_AS_REAL, &error);
    if (value == NULL)
        (void)wrong_use(self, "%s is no JSON value: %s (a string needs its quotes: '\"text\"')",
                        text, error.text);
    return value;
}

static syn_value to_value(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return (syn_value){.kind = SYN_VALUE_CHILD, .child = SYN_MAP};
    case JSON_ARRAY:
        return (syn_value){.kind = SYN_VALUE_CHILD, .child = SYN_LIST};
    case JSON_STRING:
        return syn_string((syn_str){json_string_value(json), json_string_length(json)});
    case JSON_INTEGER:
        return syn_int(json_integer_value(json));
    case JSON_REAL:
        return syn_real(json_real_value(json));
    case JSON_TRUE:
        return syn_bool(true);
    case JSON_FALSE:
        return syn_bool(false);
    case JSON_NULL:
        break;
    }
    return syn_null();
}

/* Fills a new container.  Recursion ends where jansson's parser does, at 2,048 levels. */
static syn_err fill(syn_doc *doc, syn_obj made, json_t *json)
{
    syn_err err = SYN_OK;
    const char *key;
    json_t *item;
    size_t index;
    if (json_is_object(json)) {
        json_object_foreach(json, key, item)
        {
            syn_obj child = SYN_NO_OBJ;
            if (err == SYN_OK) err = syn_map_set(doc, made, syn_s(key), to_value(item), &child);
            if (err == SYN_OK) err = fill(doc, child, item);
        }
    } else if (json_is_array(json)) {
        json_array_foreach(json, index, item)
        {
            syn_obj child = SYN_NO_OBJ;
            if (err == SYN_OK) err = syn_list_insert(doc, made, index, to_value(item), &child);
            if (err == SYN_OK) err = fill(doc, child, item);
        }
    }
    return err;
}

/* ---- The edits: each inside a transaction ---------------------------------------------------- */

struct edit {
    syn_doc *doc;
    const struct path *path; /* set, incr, and containers given by path */
    const char *container;   /* insert, delete */
    bool force;
    json_t *json;
    uint64_t pos, count;
    syn_str text;
    int64_t delta;
    char *why; /* PATH_WHY_BYTES */
};

static syn_err say(struct edit *edit, syn_err err, const char *what)
{
    if (edit->why[0] == '\0') (void)snprintf(edit->why, PATH_WHY_BYTES, "%s", what);
    return err;
}

static syn_err edit_set(struct edit *edit)
{
    struct place at;
    syn_err err = path_enter(edit->doc, edit->path, edit->force, &at, edit->why);
    if (err != SYN_OK) return err;
    syn_obj made = SYN_NO_OBJ;
    syn_value value = to_value(edit->json);
    if (at.kind == PLACE_ROOT)
        return say(edit, SYN_EKIND,
                   "that is a whole root container; set what is inside it, or use insert, delete "
                   "or incr");
    if (at.kind == PLACE_KEY)
        err = syn_map_set(edit->doc, at.obj, at.key, value, &made);
    else if (at.index < syn_list_len(edit->doc, at.obj))
        err = syn_list_set(edit->doc, at.obj, at.index, value, &made);
    else
        err = syn_list_insert(edit->doc, at.obj, at.index, value, &made);
    return err == SYN_OK ? fill(edit->doc, made, edit->json) : err;
}

/* The container that insert and delete work in: a root text's name, or a path. */
static syn_err find_container(struct edit *edit, bool make, syn_obj *obj)
{
    if (edit->path == NULL) return syn_root(edit->doc, syn_s(edit->container), SYN_TEXT, obj);
    struct place at;
    syn_err err = path_enter(edit->doc, edit->path, false, &at, edit->why);
    if (err != SYN_OK) return err;
    if (at.kind == PLACE_ROOT) {
        *obj = at.obj;
        return SYN_OK;
    }
    return place_child(edit->doc, &at, SYN_TEXT, make, obj, edit->why);
}

static syn_err edit_insert(struct edit *edit)
{
    syn_obj text;
    syn_err err = find_container(edit, true, &text);
    if (err != SYN_OK) return err;
    if (syn_obj_kind(edit->doc, text) != SYN_TEXT)
        return say(edit, SYN_EKIND, "that is no text; lists are edited with set");
    if (edit->pos > syn_text_len(edit->doc, text)) {
        (void)snprintf(edit->why, PATH_WHY_BYTES, "the text has %zu characters",
                       syn_text_len(edit->doc, text));
        return SYN_ERANGE;
    }
    return syn_text_insert(edit->doc, text, (size_t)edit->pos, edit->text);
}

static syn_err edit_delete(struct edit *edit)
{
    syn_obj obj;
    syn_err err = find_container(edit, false, &obj);
    if (err != SYN_OK) return err;
    syn_kind kind = syn_obj_kind(edit->doc, obj);
    if (kind != SYN_TEXT && kind != SYN_LIST)
        return say(edit, SYN_EKIND, "that is neither a text nor a list");
    size_t len = kind == SYN_TEXT ? syn_text_len(edit->doc, obj) : syn_list_len(edit->doc, obj);
    if (edit->pos > len || edit->count > len - edit->pos) {
        (void)snprintf(edit->why, PATH_WHY_BYTES, "there are only %zu %s", len,
                       kind == SYN_TEXT ? "characters" : "items");
        return SYN_ERANGE;
    }
    if (edit->count == 0) return SYN_OK;
    return kind == SYN_TEXT
               ? syn_text_delete(edit->doc, obj, (size_t)edit->pos, (size_t)edit->count)
               : syn_list_delete(edit->doc, obj, (size_t)edit->pos, (size_t)edit->count);
}

static syn_err edit_unset(struct edit *edit)
{
    struct place at;
    syn_value old;
    syn_err err = syn_doc_resolve(edit->doc, syn_s(edit->container), &old);
    if (err != SYN_OK) return say(edit, err, "there is nothing at that path");
    err = path_enter(edit->doc, edit->path, false, &at, edit->why);
    if (err != SYN_OK) return err;
    if (at.kind == PLACE_ROOT)
        return say(edit, SYN_EKIND, "a root container cannot be taken away, only emptied");
    if (at.kind == PLACE_KEY) return syn_map_delete(edit->doc, at.obj, at.key);
    return syn_list_delete(edit->doc, at.obj, at.index, 1);
}

static syn_err edit_incr(struct edit *edit)
{
    struct place at;
    syn_obj counter;
    syn_err err = path_enter(edit->doc, edit->path, false, &at, edit->why);
    if (err != SYN_OK) return err;
    counter = at.obj;
    if (at.kind != PLACE_ROOT)
        err = place_child(edit->doc, &at, SYN_COUNTER, true, &counter, edit->why);
    if (err != SYN_OK) return err;
    if (syn_obj_kind(edit->doc, counter) != SYN_COUNTER)
        return say(edit, SYN_EKIND, "that is no counter");
    return syn_counter_add(edit->doc, counter, edit->delta);
}

/* Opens, edits in one transaction, waits until it is durable. */
static int carry_out(const struct command *self, struct edit *edit, syn_err (*fn)(struct edit *),
                     char **argv, const char *timeout)
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
    struct edit edit = {0};
    const struct option_spec specs[] = {
        {"timeout", &timeout, NULL}, {"force", NULL, &edit.force}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 4, 4)) return EXIT_USAGE;
    edit.json = parse_json(self, argv[3]);
    if (edit.json == NULL) return EXIT_USAGE;
    int status = carry_out(self, &edit, edit_set, argv, timeout);
    json_decref(edit.json);
    return status;
}

static int run_insert(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 5, 5)) return EXIT_USAGE;
    struct edit edit = {.container = argv[2], .text = syn_s(argv[4])};
    if (!read_number(argv[3], SEQ_MAX, &edit.pos))
        return wrong_use(self, "POS is a number from 0, not %s", argv[3]);
    return carry_out(self, &edit, edit_insert, argv, timeout);
}

static int run_delete(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 3, 5)) return EXIT_USAGE;
    struct edit edit = {.container = argv[2]};
    if (argc == 3 && argv[2][0] != '/') return wrong_use(self, "POS and COUNT are missing");
    if (argc == 3) return carry_out(self, &edit, edit_unset, argv, timeout);
    if (argc == 4) return wrong_use(self, "COUNT is missing");
    if (!read_number(argv[3], SEQ_MAX, &edit.pos) || !read_number(argv[4], SEQ_MAX, &edit.count))
        return wrong_use(self, "POS and COUNT are numbers from 0");
    return carry_out(self, &edit, edit_delete, argv, timeout);
}

static int run_incr(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 4, 4)) return EXIT_USAGE;
    struct edit edit = {0};
    if (!read_int64(argv[3], &edit.delta))
        return wrong_use(self, "N is a whole number of 64 bits, not %s", argv[3]);
    return carry_out(self, &edit, edit_incr, argv, timeout);
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
