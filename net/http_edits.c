/* http_edits.c -- a JSON array of edits, the same as the command line's:
 *
 *     {"set": PATH, "value": ANY, "force": BOOL}
 *     {"insert": TEXT, "at": N, "text": STRING}      TEXT: a root text's name, or a PATH
 *     {"delete": TEXT OR LIST, "at": N, "count": N}  {"delete": PATH}
 *     {"incr": PATH, "by": N}
 *
 * Everything is looked at before the document is: the size of values, their depth, and that no
 * member is there that nobody would read. */
#include "http_impl.h"

#include "doc_edit.h"

#include <stdio.h>
#include <string.h>

#define PATH_STEPS 256u /* a path makes what is missing, so it is bounded like nested JSON */

static bool refuse(char *why, size_t index, const char *what)
{
    snprintf(why, PATH_WHY_BYTES, "edit %zu: %s", index, what);
    return false;
}

/* Counts values, each of which may become an event; recursion is bounded by the depth. */
static bool within(json_t *json, uint32_t depth, uint32_t *left)
{
    size_t index;
    const char *key;
    json_t *item;
    if (depth > LIMIT_JSON_DEPTH || *left == 0) return false;
    --*left;
    if (json_is_array(json)) {
        json_array_foreach(json, index, item)
        {
            if (!within(item, depth + 1, left)) return false;
        }
    } else if (json_is_object(json)) {
        json_object_foreach(json, key, item)
        {
            if (!within(item, depth + 1, left)) return false;
        }
    }
    return true;
}

static bool only(json_t *edit, const char *a, const char *b, const char *c)
{
    const char *key;
    json_t *value;
    json_object_foreach(edit, key, value)
    {
        if (strcmp(key, a) != 0 && strcmp(key, b) != 0 && strcmp(key, c) != 0) return false;
    }
    return true;
}

static bool is_path(const json_t *json)
{
    const char *text = json_string_value(json);
    uint32_t steps = 0;
    if (text == NULL || text[0] != '/' || strlen(text) != json_string_length(json)) return false;
    for (const char *at = text; *at != '\0'; at++) steps += *at == '/';
    return steps <= PATH_STEPS;
}

static bool is_container(const json_t *json)
{
    const char *text = json_string_value(json);
    if (text == NULL || strlen(text) != json_string_length(json)) return false;
    return text[0] == '/' ? is_path(json) : strlen(text) <= LIMIT_NAME_BYTES;
}

static bool is_count(const json_t *json)
{
    return json_is_integer(json) && json_integer_value(json) >= 0 &&
           json_integer_value(json) <= INT32_MAX;
}

static const char *fault_of(json_t *edit)
{
    if (!json_is_object(edit)) return "not an object";
    json_t *set = json_object_get(edit, "set"), *insert = json_object_get(edit, "insert");
    json_t *from = json_object_get(edit, "delete"), *incr = json_object_get(edit, "incr");
    json_t *at = json_object_get(edit, "at"), *count = json_object_get(edit, "count");
    json_t *force = json_object_get(edit, "force");
    if ((set != NULL) + (insert != NULL) + (from != NULL) + (incr != NULL) != 1)
        return "needs one of set, insert, delete, incr";
    if (set != NULL &&
        (!is_path(set) || json_object_get(edit, "value") == NULL ||
         !only(edit, "set", "value", "force") || (force != NULL && !json_is_boolean(force))))
        return "set takes a path (like /title), a value, and maybe force";
    if (insert != NULL &&
        (!is_container(insert) || !is_count(at) || !json_is_string(json_object_get(edit, "text")) ||
         !only(edit, "insert", "at", "text")))
        return "insert takes a text's name or path, at, and text";
    bool whole = at == NULL && count == NULL && is_path(from);
    if (from != NULL && (!is_container(from) || !only(edit, "delete", "at", "count") ||
                         !(whole || (is_count(at) && is_count(count)))))
        return "delete takes a path alone, or a container, at, and count";
    if (incr != NULL && (!is_path(incr) || !json_is_integer(json_object_get(edit, "by")) ||
                         !only(edit, "incr", "by", "by")))
        return "incr takes a path and by, a whole number";
    return NULL;
}

bool http_edits_parse(syn_str body, json_t **out, char *why)
{
    json_error_t error;
    size_t index;
    json_t *edit;
    uint32_t left = LIMIT_FRAME_EVENTS;
    json_t *edits = doc_edit_json(body, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    *out = edits; /* the caller's, whatever comes of it */
    if (edits == NULL) {
        snprintf(why, PATH_WHY_BYTES, "no JSON: line %d: %.160s", error.line, error.text);
        return false;
    }
    if (!json_is_array(edits)) {
        snprintf(why, PATH_WHY_BYTES, "the body is an array of edits");
        return false;
    }
    json_array_foreach(edits, index, edit)
    {
        const char *fault = fault_of(edit);
        if (fault != NULL) return refuse(why, index, fault);
        if (!within(edit, 0, &left))
            return refuse(why, index, "too many values, or nested too deep");
    }
    return true;
}

/* ---- Applying -------------------------------------------------------------------------------- */

static syn_err apply(syn_doc *doc, json_t *json, char *why)
{
    static const char *const names[] = {"set", "insert", "delete", "incr"};
    static syn_err (*const functions[])(struct doc_edit *) = {doc_edit_set, doc_edit_insert,
                                                              doc_edit_delete, doc_edit_incr};
    struct doc_edit edit = {.doc = doc, .why = why};
    struct path path;
    size_t kind = 0;
    while (json_object_get(json, names[kind]) == NULL) kind++;
    const json_t *text = json_object_get(json, "text");
    edit.container = json_string_value(json_object_get(json, names[kind]));
    edit.json = json_object_get(json, "value");
    edit.force = json_is_true(json_object_get(json, "force"));
    edit.pos = (uint64_t)json_integer_value(json_object_get(json, "at"));
    edit.count = (uint64_t)json_integer_value(json_object_get(json, "count"));
    edit.delta = json_integer_value(json_object_get(json, "by"));
    if (text != NULL) edit.text = (syn_str){json_string_value(text), json_string_length(text)};
    if (edit.container[0] == '/') {
        if (!path_parse(&path, edit.container, why)) return SYN_EMISUSE;
        edit.path = &path;
    }
    bool unset = kind == 2 && json_object_get(json, "count") == NULL;
    syn_err err = unset ? doc_edit_unset(&edit) : functions[kind](&edit);
    if (edit.path != NULL) path_free(&path);
    return err;
}

syn_err http_edits_apply(syn_doc *doc, json_t *edits, uint64_t most_events, bool *full, char *why)
{
    size_t index;
    json_t *edit;
    syn_err err = syn_begin(doc);
    *full = false;
    if (err) return err;
    json_array_foreach(edits, index, edit)
    {
        char reason[PATH_WHY_BYTES] = "";
        if (err) break;
        err = apply(doc, edit, reason);
        *full = !err && syn_doc_events(doc) > most_events;
        if (*full) err = SYN_ELIMIT;
        if (err)
            snprintf(why, PATH_WHY_BYTES, "edit %zu: %.200s", index,
                     reason[0] != '\0' ? reason : syn_strerror(err));
    }
    if (!err) return syn_commit(doc);
    (void)syn_rollback(doc);
    return err;
}
