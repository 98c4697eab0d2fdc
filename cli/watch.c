/* watch.c -- `watch`: what others change, as it happens, one JSON object per change. */
#include "target.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEPTH 64 /* of containers inside each other that a place is looked for in */

struct watch {
    const char *name;
    bool broken; /* stdout is gone */
};

/* ---- Where a container is, as a JSON Pointer ------------------------------------------------- */

struct trail {
    const syn_doc *doc;
    syn_obj wanted;
    json_t *steps; /* array of strings and numbers */
};

static bool search(struct trail *trail, syn_obj obj, unsigned depth);

static bool search_value(struct trail *trail, const syn_value *value, json_t *step, unsigned depth)
{
    bool child = value->kind == SYN_VALUE_CHILD || value->kind == SYN_VALUE_MERGEABLE;
    if (!child) {
        json_decref(step);
        return false;
    }
    (void)json_array_append_new(trail->steps, step);
    if (search(trail, value->as.obj, depth + 1)) return true;
    (void)json_array_remove(trail->steps, json_array_size(trail->steps) - 1);
    return false;
}

static bool search(struct trail *trail, syn_obj obj, unsigned depth)
{
    if (obj == trail->wanted) return true;
    if (depth > MAX_DEPTH || obj == SYN_NO_OBJ) return false;
    syn_kind kind = syn_obj_kind(trail->doc, obj);
    syn_value value;
    syn_str key;
    for (size_t i = 0; kind == SYN_MAP && syn_map_at(trail->doc, obj, i, &key, &value); i++)
        if (search_value(trail, &value, json_stringn(key.data, key.len), depth)) return true;
    for (size_t i = 0; kind == SYN_LIST && i < syn_list_len(trail->doc, obj); i++)
        if (syn_list_get(trail->doc, obj, i, &value) == SYN_OK &&
            search_value(trail, &value, json_integer((json_int_t)i), depth))
            return true;
    return false;
}

/* The steps from the root to the container, or null if nothing shows it any more. */
static json_t *place_of(const syn_doc *doc, syn_obj wanted)
{
    struct trail trail = {.doc = doc, .wanted = wanted, .steps = json_array()};
    syn_str name;
    for (uint32_t i = 0;; i++) {
        syn_obj root = syn_root_at(doc, i, &name);
        if (root == SYN_NO_OBJ) break;
        (void)json_array_clear(trail.steps);
        if (name.len > 0 || syn_obj_kind(doc, root) != SYN_MAP)
            (void)json_array_append_new(trail.steps, json_stringn(name.data, name.len));
        if (search(&trail, root, 0)) return trail.steps;
    }
    json_decref(trail.steps);
    return json_null();
}

/* ---- Events as JSON -------------------------------------------------------------------------- */

static syn_err to_buffer(void *user, const void *data, size_t len)
{
    return syn_buf_append(user, data, len);
}

static json_t *to_json(const syn_doc *doc, const syn_value *value)
{
    syn_buf text = {0};
    json_t *out = NULL;
    if (syn_value_json(doc, value, to_buffer, &text) == SYN_OK)
        out = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    syn_buf_free(&text);
    return out != NULL ? out : json_null();
}

static json_t *splice_json(const syn_doc *doc, size_t index, const syn_event *event)
{
    json_t *out = json_pack("{s:s, s:I, s:I}", "op", "splice", "pos", (json_int_t)event->pos,
                            "removed", (json_int_t)event->removed);
    if (syn_obj_kind(doc, event->obj) == SYN_TEXT) {
        (void)json_object_set_new(out, "text", json_stringn(event->text.data, event->text.len));
        return out;
    }
    json_t *items = json_array();
    syn_value value;
    for (size_t i = 0; i < event->inserted && syn_event_item(doc, index, i, &value); i++)
        (void)json_array_append_new(items, to_json(doc, &value));
    (void)json_object_set_new(out, "items", items);
    return out;
}

static json_t *event_json(const syn_doc *doc, size_t index, const syn_event *event)
{
    json_t *out = NULL;
    switch (event->kind) {
    case SYN_EVENT_SPLICE:
        out = splice_json(doc, index, event);
        break;
    case SYN_EVENT_SET:
        out = json_pack("{s:s, s:o}", "op", "set", "value", to_json(doc, &event->value));
        break;
    case SYN_EVENT_UNSET:
        out = json_pack("{s:s}", "op", "unset");
        break;
    case SYN_EVENT_ADD:
        out = json_pack("{s:s, s:I}", "op", "add", "delta", (json_int_t)event->delta);
        break;
    }
    bool keyed = event->kind == SYN_EVENT_SET || event->kind == SYN_EVENT_UNSET;
    if (keyed && syn_obj_kind(doc, event->obj) == SYN_MAP)
        (void)json_object_set_new(out, "key", json_stringn(event->key.data, event->key.len));
    else if (keyed)
        (void)json_object_set_new(out, "pos", json_integer((json_int_t)event->pos));
    (void)json_object_set_new(out, "in", place_of(doc, event->obj));
    return out;
}

/* On the client's thread, with its lock held. */
static void print_change(void *user, syn_client_doc *open)
{
    struct watch *watch = user;
    const syn_doc *doc = syn_client_doc_state(open);
    json_t *changes = json_array();
    syn_event event;
    for (size_t i = 0; syn_doc_event(doc, i, &event); i++)
        (void)json_array_append_new(changes, event_json(doc, i, &event));
    json_t *line = json_pack("{s:s, s:I, s:o}", "document", watch->name, "events",
                             (json_int_t)syn_doc_events(doc), "changes", changes);
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(line);
    if (fflush(stdout) != 0 && !watch->broken) {
        watch->broken = true; /* nobody reads any more: end as if interrupted */
        (void)kill(getpid(), SIGTERM);
    }
}

static int watch_until_interrupted(const char *url, const char *name, uint32_t timeout_ms)
{
    struct watch watch = {.name = name};
    syn_client *client = NULL;
    syn_client_doc *open = NULL;
    sigset_t ends;
    int signal_number = 0;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL); /* before the client's thread begins */
    int status = open_client(&client, url, NULL, print_change, &watch);
    if (status != EXIT_DONE) return status;
    syn_err err = syn_client_open(client, syn_s(name), &open);
    if (err == SYN_OK) err = syn_client_wait_live(open, timeout_ms);
    if (err == SYN_OK || err == SYN_ENOTFOUND) {
        (void)fprintf(stderr, "syncline: watching %s; Ctrl-C ends it\n", name);
        (void)sigwait(&ends, &signal_number);
    } else {
        status = wait_failed(url, syn_s(name), err, open ? syn_client_doc_reason(open) : "");
    }
    syn_client_free(client);
    return watch.broken ? EXIT_DONE : finish_output(status);
}

static int run_watch(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 2, 2)) return EXIT_USAGE;
    uint32_t ms = read_timeout(timeout);
    if (ms == 0) return EXIT_USAGE;
    if (!is_url(argv[0]))
        return failed("nobody can change %s while this command reads it; watch a server "
                      "(syncline serve --data %s)",
                      argv[0], argv[0]);
    return watch_until_interrupted(argv[0], argv[1], ms);
}

const struct command commands_watch = {
    .name = "watch",
    .run = run_watch,
    .synopsis = "watch TARGET DOC",
    .summary = "print changes as they happen, as JSON",
    .help = "One JSON object per change, until interrupted: the document, how many events it has,\n"
            "and the changes, each with the steps to its container (\"in\") and what to do there:\n"
            "splice (at pos, leave out `removed`, put in text or items), set, unset, add.\n"
            "The first object is what is there already, if anything is.  Reconnects by itself.\n\n"
            "  --timeout SECONDS  how long to wait for the server at first (10)\n\n"
            "Examples:\n"
            "  syncline watch ws://127.0.0.1:7700 notes\n"
            "  syncline watch ws://127.0.0.1:7700 notes | jq -c '.changes[]'\n",
};
