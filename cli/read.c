/* read.c -- `get`, `text`, `docs`, `log`: looking at documents. */
#include "http.h"
#include "path.h"
#include "target.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- get, text ------------------------------------------------------------------------------- */

static int run_get(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 2, 3)) return EXIT_USAGE;
    const char *path = argc == 3 ? argv[2] : "";
    if (path[0] != '\0' && path[0] != '/')
        return wrong_use(self, "a path begins with / (like /title or /items/0), not %s", path);
    struct target target;
    int status = target_open(&target, argv[0], argv[1], TARGET_READ, timeout);
    if (status == EXIT_DONE) {
        syn_value value;
        syn_err err = SYN_OK;
        if (path[0] == '\0') {
            err = syn_doc_json(target.doc, SYN_NO_OBJ, write_file, stdout);
        } else {
            err = syn_doc_resolve(target.doc, syn_s(path), &value);
            if (err == SYN_OK) err = syn_value_json(target.doc, &value, write_file, stdout);
        }
        if (err == SYN_ENOTFOUND)
            status = failed("%s has nothing at %s", argv[1], path);
        else if (err != SYN_OK)
            status = failed("%s: %s", argv[1], syn_strerror(err));
        else
            (void)putchar('\n');
    }
    target_close(&target);
    return finish_output(status);
}

static syn_obj find_text(const syn_doc *doc, const char *container)
{
    syn_str wanted = syn_s(container), name = {0};
    for (uint32_t i = 0;; i++) {
        syn_obj at = syn_root_at(doc, i, &name);
        if (at == SYN_NO_OBJ) return at;
        if (syn_obj_kind(doc, at) == SYN_TEXT && name.len == wanted.len &&
            (name.len == 0 || memcmp(name.data, wanted.data, name.len) == 0))
            return at;
    }
}

static int run_text(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 2, 3)) return EXIT_USAGE;
    const char *container = argc == 3 ? argv[2] : "";
    struct target target;
    int status = target_open(&target, argv[0], argv[1], TARGET_READ, timeout);
    if (status == EXIT_DONE) {
        char *text = NULL;
        size_t bytes = 0;
        syn_obj obj = find_text(target.doc, container);
        if (obj == SYN_NO_OBJ)
            status = failed("%s has no text named \"%s\"; syncline get %s %s shows what it has",
                            argv[1], container, argv[0], argv[1]);
        else if (copy_text(target.doc, obj, &text, &bytes) != SYN_OK)
            status = failed("%s", syn_strerror(SYN_ENOMEM));
        else
            (void)fwrite(text, 1, bytes, stdout);
        free(text);
    }
    target_close(&target);
    return finish_output(status);
}

/* ---- docs ------------------------------------------------------------------------------------ */

/* Control characters in a name would break the lines: they are shown as \u00XX. */
static void print_doc(const char *name, size_t len, uint64_t events, uint64_t bytes)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f)
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)printf("\t%" PRIu64 "\t%" PRIu64 "\n", events, bytes);
}

static syn_err visit_stored(void *user, syn_str name, const struct store_doc *row)
{
    (void)user;
    print_doc(name.data, name.len, row->events, row->bytes);
    return SYN_OK;
}

static int list_file(const char *path)
{
    syn_store *store = NULL;
    int status = open_file(&store, path, false);
    if (status != EXIT_DONE) return status;
    syn_err err = store_list(store, visit_stored, NULL);
    if (err != SYN_OK) status = failed("%s: %s", path, store_error(store));
    store_close(store);
    return status;
}

static int list_server(const char *url, uint32_t timeout_ms)
{
    json_t *list = NULL;
    size_t index;
    json_t *item;
    int status = server_documents(url, timeout_ms, &list);
    if (status != EXIT_DONE) return status;
    json_array_foreach(list, index, item)
    {
        const json_t *name = json_object_get(item, "name");
        print_doc(json_string_value(name), json_string_length(name),
                  (uint64_t)json_integer_value(json_object_get(item, "events")),
                  (uint64_t)json_integer_value(json_object_get(item, "bytes")));
    }
    json_decref(list);
    return EXIT_DONE;
}

static int run_docs(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 1)) return EXIT_USAGE;
    uint32_t ms = read_timeout(timeout);
    if (ms == 0) return EXIT_USAGE;
    return finish_output(is_url(argv[0]) ? list_server(argv[0], ms) : list_file(argv[0]));
}

/* ---- log ------------------------------------------------------------------------------------- */

static const char *op_name(uint32_t kind)
{
    static const char *const names[] = {"insert",      "delete", "delete_back", "mark",
                                        "set",         "unset",  "list_insert", "list_set",
                                        "list_move",   "add",    "tree_create", "tree_move",
                                        "tree_delete", "nothing"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

/* A reader of a change set's operations, which are cut where its runs end. */
struct op_reader {
    const syn_changes *set;
    uint32_t op, done; /* events of the op run that were taken */
    uint32_t key, value;
    syn_str text; /* what is left of it */
};

static json_t *container_name(const syn_changes *set, uint32_t index)
{
    const struct change_container *c = &set->containers[index];
    switch (c->form) {
    case CONTAINER_ROOT:
        return json_stringn(c->name.data, c->name.len);
    case CONTAINER_BY_EVENT:
        return json_sprintf("%016" PRIx64 ":%" PRIu32, set->peers[c->peer], c->seq);
    case CONTAINER_MERGEABLE:
        break;
    }
    json_t *parent = container_name(set, c->parent);
    json_t *name = json_sprintf("%s/%.*s", json_string_value(parent), (int)c->key.len, c->key.data);
    json_decref(parent);
    return name;
}

static json_t *value_json(const struct change_value *value)
{
    switch (value->kind) {
    case SYN_VALUE_STRING:
        return json_stringn(value->blob.data, value->blob.len);
    case SYN_VALUE_FALSE:
        return json_false();
    case SYN_VALUE_TRUE:
        return json_true();
    case SYN_VALUE_INT:
        return json_integer(value->i);
    case SYN_VALUE_REAL: {
        json_t *real = json_real(value->real);
        return real != NULL ? real : json_null(); /* NaN and infinities are none in JSON */
    }
    case SYN_VALUE_BYTES:
        return json_sprintf("%zu bytes", value->blob.len);
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE: {
        static const char *const kinds[] = {"text", "map", "list", "counter", "tree"};
        const char *kind = value->i >= 0 && value->i < 5 ? kinds[value->i] : "container";
        return json_sprintf("%s %s", value->kind == SYN_VALUE_CHILD ? "new" : "shared", kind);
    }
    default:
        return json_null();
    }
}

/* The UTF-8 bytes of the first `count` scalar values of text. */
static size_t scalar_bytes(syn_str text, uint32_t count)
{
    size_t at = 0;
    for (; count > 0 && at < text.len; count--) {
        at++;
        while (at < text.len && ((unsigned char)text.data[at] & 0xC0) == 0x80) at++;
    }
    return at;
}

static bool takes_key(uint32_t kind)
{
    return kind == OP_MAP_SET || kind == OP_MAP_DELETE;
}

static bool takes_value(uint32_t kind)
{
    return kind == OP_MAP_SET || kind == OP_LIST_INSERT || kind == OP_LIST_SET ||
           kind == OP_COUNTER_ADD;
}

/* At most `max` events of the next op run, as one object. */
static json_t *next_op(struct op_reader *r, uint32_t max, uint32_t *taken)
{
    const struct change_op *op = &r->set->ops[r->op];
    uint32_t left = op->len - r->done;
    uint32_t n = left < max ? left : max;
    uint32_t shift =
        op->kind == OP_TEXT_INSERT || op->kind == OP_LIST_INSERT || op->kind == OP_LIST_SET
            ? r->done
            : 0;
    json_t *out = json_pack("{s:s, s:o}", "op", op_name(op->kind), "in",
                            container_name(r->set, op->container));
    if (op->kind <= OP_DELETE_BACK || op->kind == OP_LIST_INSERT || op->kind == OP_LIST_SET) {
        uint32_t pos = op->kind == OP_DELETE_BACK ? op->pos - r->done : op->pos + shift;
        (void)json_object_set_new(out, "pos", json_integer(pos));
    }
    if (op->kind == OP_TEXT_INSERT) {
        size_t bytes = scalar_bytes(r->text, n);
        (void)json_object_set_new(out, "text", json_stringn(r->text.data, bytes));
        r->text = (syn_str){r->text.data + bytes, r->text.len - bytes};
    } else {
        (void)json_object_set_new(out, "count", json_integer(n));
    }
    json_t *keys = json_array(), *values = json_array();
    for (uint32_t i = 0; i < n; i++) {
        if (takes_key(op->kind)) {
            syn_str key = r->set->keys[r->key++];
            (void)json_array_append_new(keys, json_stringn(key.data, key.len));
        }
        if (takes_value(op->kind))
            (void)json_array_append_new(values, value_json(&r->set->values[r->value++]));
    }
    if (json_array_size(keys) > 0) (void)json_object_set(out, "keys", keys);
    if (json_array_size(values) > 0) (void)json_object_set(out, "values", values);
    json_decref(keys);
    json_decref(values);
    r->done += n;
    if (r->done == op->len) {
        r->op++;
        r->done = 0;
    }
    *taken = n;
    return out;
}

static void print_run(struct op_reader *r, const struct change_run *run,
                      const struct change_dep *deps)
{
    const syn_changes *set = r->set;
    json_t *parents = json_array(), *ops = json_array();
    for (uint32_t d = 0; d < run->dep_count; d++)
        (void)json_array_append_new(parents, json_sprintf("%016" PRIx64 ":%" PRIu32,
                                                          set->peers[deps[d].peer], deps[d].seq));
    if (!run->explicit_parents && run->seq > 0)
        (void)json_array_append_new(
            parents, json_sprintf("%016" PRIx64 ":%" PRIu32, set->peers[run->peer], run->seq - 1));
    for (uint32_t left = run->len; left > 0;) {
        uint32_t taken = 0;
        (void)json_array_append_new(ops, next_op(r, left, &taken));
        left -= taken;
    }
    json_t *line =
        json_pack("{s:o, s:i, s:o, s:o}", "id",
                  json_sprintf("%016" PRIx64 ":%" PRIu32, set->peers[run->peer], run->seq),
                  "events", (int)run->len, "parents", parents, "ops", ops);
    (void)json_dumpf(line, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    (void)putchar('\n');
    json_decref(line);
}

static syn_err print_log(syn_doc *doc)
{
    syn_err err = SYN_OK;
    uint32_t at = syn_doc_log_start(doc), end = syn_doc_log_end(doc);
    while (err == SYN_OK && at < end) {
        syn_changes set;
        uint32_t cut = at;
        err = syn_doc_export(doc, (syn_span){at, end}, 1u << 20, 1u << 20, &set, &cut);
        if (err != SYN_OK) break;
        struct op_reader reader = {.set = &set, .text = set.text};
        const struct change_dep *deps = set.deps;
        for (uint32_t i = 0; i < set.run_count; i++) {
            print_run(&reader, &set.runs[i], deps);
            deps += set.runs[i].dep_count;
        }
        at = cut;
    }
    return err;
}

static int run_log(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    bool dot = false, dump = false;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL},
                                        {"dot", NULL, &dot},
                                        {"dump", NULL, &dump},
                                        {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 2, 2)) return EXIT_USAGE;
    struct target target;
    int status = target_open(&target, argv[0], argv[1], TARGET_HISTORY, timeout);
    if (status == EXIT_DONE) {
        if (!syn_doc_has_history(target.doc))
            (void)fprintf(stderr,
                          "syncline: this copy begins at a snapshot of %" PRIu64
                          " events; the history below is in the server's file\n",
                          syn_doc_events(target.doc) -
                              (syn_doc_log_end(target.doc) - syn_doc_log_start(target.doc)));
        syn_err err = dot    ? syn_doc_dot(target.doc, write_file, stdout)
                      : dump ? syn_doc_dump(target.doc, write_file, stdout)
                             : print_log(target.doc);
        if (err != SYN_OK) status = failed("%s: %s", argv[1], syn_strerror(err));
    }
    target_close(&target);
    return finish_output(status);
}

/* ---- The commands ---------------------------------------------------------------------------- */

#define TIMEOUT_HELP "  --timeout SECONDS  how long to wait for the server (10)\n"

const struct command commands_get = {
    .name = "get",
    .run = run_get,
    .synopsis = "get TARGET DOC [PATH]",
    .summary = "print a document, or a part of it, as JSON",
    .help = "Prints the state as JSON: texts as strings, counters as numbers.  PATH is a JSON\n"
            "Pointer into it.\n\n" TIMEOUT_HELP "\nExamples:\n"
            "  syncline get ws://127.0.0.1:7700 notes\n"
            "  syncline get ws://127.0.0.1:7700 notes /title\n"
            "  syncline get notes.db notes /tasks/0/done\n",
};

const struct command commands_text = {
    .name = "text",
    .run = run_text,
    .synopsis = "text TARGET DOC [CONTAINER]",
    .summary = "print a root text as it is",
    .help = "Prints one root text, raw, without a newline at its end.  Without CONTAINER: the one\n"
            "named \"\".\n\n" TIMEOUT_HELP "\nExamples:\n"
            "  syncline text ws://127.0.0.1:7700 notes body\n"
            "  syncline text traces.db friendsforever > final.txt\n",
};

const struct command commands_docs = {
    .name = "docs",
    .run = run_docs,
    .synopsis = "docs TARGET",
    .summary = "list documents: name, events, bytes",
    .help =
        "One line per document: name, events, bytes on disk, with tabs between.\n\n" TIMEOUT_HELP
        "\nExamples:\n"
        "  syncline docs ws://127.0.0.1:7700\n"
        "  syncline docs notes.db | sort -t$'\\t' -k3 -n\n",
};

const struct command commands_log = {
    .name = "log",
    .run = run_log,
    .synopsis = "log TARGET DOC [--dot | --dump]",
    .summary = "print a document's history",
    .help =
        "One JSON object per run of events, in the order they came here: who (peer:seq), after\n"
        "which events, and what they did.\n\n"
        "  --dot              the event graph for Graphviz\n"
        "  --dump             the document's inside, for people who look for a fault\n" TIMEOUT_HELP
        "\nExamples:\n"
        "  syncline log notes.db notes | tail -3\n"
        "  syncline log notes.db notes --dot | dot -Tsvg > notes.svg\n",
};
