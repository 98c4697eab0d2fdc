/* path.c -- walking a JSON Pointer through maps and lists, making what is missing. */
#include "path.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static syn_err refuse(char *why, syn_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static syn_err refuse(char *why, syn_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, PATH_WHY_BYTES, format, args);
    va_end(args);
    return err;
}

bool path_parse(struct path *path, const char *text, char *why)
{
    *path = (struct path){0};
    if (text[0] != '/') {
        (void)refuse(why, SYN_EMISUSE, "a path begins with / (like /title or /items/0)");
        return false;
    }
    size_t len = strlen(text);
    path->buffer = malloc(len);
    path->steps = calloc(len, sizeof *path->steps);
    if (path->buffer == NULL || path->steps == NULL) {
        path_free(path);
        (void)refuse(why, SYN_ENOMEM, "%s", syn_strerror(SYN_ENOMEM));
        return false;
    }
    char *to = path->buffer;
    for (const char *at = text; *at != '\0';) {
        syn_str *step = &path->steps[path->count++];
        step->data = to;
        for (at++; *at != '\0' && *at != '/'; at++) {
            if (*at == '~' && at[1] != '0' && at[1] != '1') {
                path_free(path);
                (void)refuse(why, SYN_EMISUSE, "in a path ~ is written ~0 and / is written ~1");
                return false;
            }
            *to++ = *at != '~' ? *at : (char)(*++at == '0' ? '~' : '/');
        }
        step->len = (size_t)(to - step->data);
    }
    return true;
}

void path_free(struct path *path)
{
    free(path->buffer);
    free(path->steps);
    *path = (struct path){0};
}

static bool same(syn_str a, syn_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The root map "" shows through its entries, not under its name; of several kinds under one name
 * the lowest shows. */
syn_obj path_root(const syn_doc *doc, syn_str name)
{
    syn_obj best = SYN_NO_OBJ;
    syn_str at_name = {0};
    for (uint32_t i = 0;; i++) {
        syn_obj at = syn_root_at(doc, i, &at_name);
        if (at == SYN_NO_OBJ) return best;
        if (!same(at_name, name) || (name.len == 0 && syn_obj_kind(doc, at) == SYN_MAP)) continue;
        if (best == SYN_NO_OBJ || syn_obj_kind(doc, at) < syn_obj_kind(doc, best)) best = at;
    }
}

static bool is_container(const syn_value *value)
{
    return value->kind == SYN_VALUE_CHILD || value->kind == SYN_VALUE_MERGEABLE;
}

/* An index below or at the list's length; `-` is the length. */
static syn_err list_index(const syn_doc *doc, syn_obj list, syn_str step, size_t *out, char *why)
{
    size_t len = syn_list_len(doc, list);
    *out = len;
    if (step.len == 1 && step.data[0] == '-') return SYN_OK;
    size_t n = 0;
    bool number = step.len > 0 && step.len < 10 && (step.len == 1 || step.data[0] != '0');
    for (size_t i = 0; number && i < step.len; i++) {
        number = step.data[i] >= '0' && step.data[i] <= '9';
        n = n * 10 + (size_t)(step.data[i] - '0');
    }
    if (!number)
        return refuse(why, SYN_EKIND, "%.*s is no index of a list (a number from 0, or -)",
                      (int)step.len, step.data);
    if (n > len) return refuse(why, SYN_ERANGE, "the list has %zu items", len);
    *out = n;
    return SYN_OK;
}

/* The value at a place; SYN_ENOTFOUND: nothing there. */
static syn_err place_get(const syn_doc *doc, const struct place *at, syn_value *out)
{
    if (at->kind == PLACE_KEY) return syn_map_get(doc, at->obj, at->key, out);
    if (at->index >= syn_list_len(doc, at->obj)) return SYN_ENOTFOUND;
    return syn_list_get(doc, at->obj, at->index, out);
}

static const char *kind_name(syn_kind kind)
{
    static const char *const names[] = {"text", "map", "list", "counter", "tree"};
    return (unsigned)kind < 5 ? names[kind] : "container of a later version";
}

/* From a container to the place that `step` names in it. */
static syn_err step_into(const syn_doc *doc, syn_obj obj, syn_str step, struct place *at, char *why)
{
    syn_kind kind = syn_obj_kind(doc, obj);
    *at = (struct place){.kind = kind == SYN_MAP ? PLACE_KEY : PLACE_ITEM, .obj = obj, .key = step};
    if (kind == SYN_MAP) return SYN_OK;
    if (kind == SYN_LIST) return list_index(doc, obj, step, &at->index, why);
    return refuse(why, SYN_EKIND, "%.*s would be inside a %s", (int)step.len, step.data,
                  kind_name(kind));
}

/* The container at a place on the way; a missing one becomes a map. */
static syn_err pass_through(syn_doc *doc, const struct place *at, bool force, syn_obj *obj,
                            char *why)
{
    syn_value value;
    syn_err err = place_get(doc, at, &value);
    if (err == SYN_OK && is_container(&value)) {
        *obj = value.as.obj;
        return SYN_OK;
    }
    if (err != SYN_OK && err != SYN_ENOTFOUND) return err;
    if (err == SYN_OK && !force)
        return refuse(why, SYN_EKIND,
                      "a plain value stands on the way, where a map is needed (set --force "
                      "replaces it)");
    if (at->kind == PLACE_KEY) return syn_map_child(doc, at->obj, at->key, SYN_MAP, obj);
    syn_value map = {.kind = SYN_VALUE_CHILD, .child = SYN_MAP};
    return err == SYN_OK ? syn_list_set(doc, at->obj, at->index, map, obj)
                         : syn_list_insert(doc, at->obj, at->index, map, obj);
}

syn_err path_enter(syn_doc *doc, const struct path *path, bool force, struct place *out, char *why)
{
    uint32_t step = 1;
    syn_obj obj = path_root(doc, path->steps[0]);
    syn_err err = SYN_OK;
    if (obj == SYN_NO_OBJ) {
        step = 0;
        err = syn_root(doc, syn_s(""), SYN_MAP, &obj);
    }
    *out = (struct place){.kind = PLACE_ROOT, .obj = obj};
    for (; err == SYN_OK && step < path->count; step++) {
        err = step_into(doc, obj, path->steps[step], out, why);
        if (err == SYN_OK && step + 1 < path->count) err = pass_through(doc, out, force, &obj, why);
    }
    return err;
}

syn_err place_child(syn_doc *doc, const struct place *at, syn_kind kind, bool make, syn_obj *out,
                    char *why)
{
    syn_value value;
    syn_err err = place_get(doc, at, &value);
    if (err == SYN_OK && is_container(&value)) {
        *out = value.as.obj;
        return SYN_OK;
    }
    if (err == SYN_OK)
        return refuse(why, SYN_EKIND, "a plain value stands there, no %s", kind_name(kind));
    if (err != SYN_ENOTFOUND) return err;
    if (!make) return refuse(why, SYN_ENOTFOUND, "there is nothing at that path");
    if (at->kind == PLACE_KEY) return syn_map_child(doc, at->obj, at->key, kind, out);
    syn_value child = {.kind = SYN_VALUE_CHILD, .child = kind};
    return syn_list_insert(doc, at->obj, at->index, child, out);
}
