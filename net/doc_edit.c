/* doc_edit.c -- JSON values into containers, and the edits by path. */
#include "doc_edit.h"

#include "syncline_bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON text ------------------------------------------------------------------------------- */

/* Whether a number of JSON is an integer that 64 bits do not hold. */
static bool is_wide_integer(const char *number, size_t len)
{
    char copy[24];
    for (size_t i = 0; i < len; i++)
        if (strchr(".eE", number[i]) != NULL) return false;
    if (len >= sizeof copy) return true;
    memcpy(copy, number, len);
    copy[len] = '\0';
    errno = 0;
    (void)strtoll(copy, NULL, 10);
    return errno == ERANGE;
}

static size_t string_length(syn_str text)
{
    size_t at = 1;
    while (at < text.len && text.data[at] != '"') at += text.data[at] == '\\' ? 2 : 1;
    return at < text.len ? at + 1 : text.len;
}

static size_t number_length(syn_str text)
{
    size_t at = 0;
    while (at < text.len && text.data[at] != '\0' && strchr("+-.0123456789eE", text.data[at])) at++;
    return at;
}

/* Writes wide integers as the reals that they are. */
static syn_err with_reals(syn_str text, syn_buf *out)
{
    syn_err err = SYN_OK;
    while (text.len > 0 && !err) {
        size_t number = number_length(text);
        size_t len = *text.data == '"' ? string_length(text) : number > 0 ? number : 1;
        err = syn_buf_append(out, text.data, len);
        if (!err && number > 0 && is_wide_integer(text.data, number))
            err = syn_buf_append(out, ".0", 2);
        text.data += len;
        text.len -= len;
    }
    return err;
}

/* JSON_DECODE_INT_AS_REAL would make reals of all the other integers, too. */
json_t *doc_edit_json(syn_str text, size_t flags, json_error_t *error)
{
    syn_buf wide = {0};
    json_t *json = json_loadb(text.data, text.len, flags, error);
    if (json == NULL && json_error_code(error) == json_error_numeric_overflow &&
        with_reals(text, &wide) == SYN_OK)
        json = json_loadb((const char *)wide.data, wide.len, flags, error);
    syn_buf_free(&wide);
    return json;
}

/* ---- Values ---------------------------------------------------------------------------------- */

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

/* ---- The edits ------------------------------------------------------------------------------- */

static syn_err say(struct doc_edit *edit, syn_err err, const char *what)
{
    if (edit->why[0] == '\0') (void)snprintf(edit->why, PATH_WHY_BYTES, "%s", what);
    return err;
}

syn_err doc_edit_set(struct doc_edit *edit)
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
static syn_err find_container(struct doc_edit *edit, bool make, syn_obj *obj)
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

syn_err doc_edit_insert(struct doc_edit *edit)
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

syn_err doc_edit_delete(struct doc_edit *edit)
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

syn_err doc_edit_unset(struct doc_edit *edit)
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

syn_err doc_edit_incr(struct doc_edit *edit)
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
