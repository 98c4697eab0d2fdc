/* json.c -- the state as JSON, and places in it (PROTOCOL.md, "The document as JSON").
 *
 * Containers nest as deep as people nest them, so the writer keeps its own stack instead of calling
 * itself.  One frame per open object or array: what it shows and how far it has come. */
#include "doc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct out {
    syn_write_fn write;
    void *user;
    syn_err err;
};

static void put(struct out *out, const char *bytes, size_t len)
{
    if (out->err == SYN_OK && len > 0) out->err = out->write(out->user, bytes, len);
}
static void put_s(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* The body of a JSON string, without its quotes. */
static void put_escaped(struct out *out, const char *text, size_t len)
{
    size_t plain = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        char escape[8];
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        put(out, text + plain, i - plain);
        if (byte == '"' || byte == '\\')
            snprintf(escape, sizeof escape, "\\%c", byte);
        else if (byte == '\n')
            snprintf(escape, sizeof escape, "\\n");
        else
            snprintf(escape, sizeof escape, "\\u%04x", byte);
        put_s(out, escape);
        plain = i + 1;
    }
    put(out, text + plain, len - plain);
}

static void put_string(struct out *out, syn_str text)
{
    put_s(out, "\"");
    put_escaped(out, text.data, text.len);
    put_s(out, "\"");
}

/* The shortest digits that read back the same; always with '.' or 'e', so that it stays a real. */
static void put_real(struct out *out, double real)
{
    char digits[40];
    if (!isfinite(real)) {
        put_s(out, "null");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, real);
        if (strtod(digits, NULL) == real) break;
    }
    for (char *at = digits; *at != 0; at++)
        if (*at == ',') *at = '.'; /* some locales */
    put_s(out, digits);
    if (strpbrk(digits, ".e") == NULL) put_s(out, ".0");
}

static void put_base64(struct out *out, syn_str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    put_s(out, "\"");
    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t group = 0;
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < have ? (unsigned char)bytes.data[i + k] : 0);
        char text[4];
        for (size_t k = 0; k < 4; k++)
            text[k] = k <= have ? digits[group >> (18 - 6 * k) & 63] : '=';
        put(out, text, 4);
    }
    put_s(out, "\"");
}

static void put_text_piece(void *user, const char *utf8, size_t bytes)
{
    put_escaped(user, utf8, bytes);
}

/* ---- The whole document as one object -------------------------------------------------------- */

static syn_obj root_map(const syn_doc *doc)
{
    uint32_t name = names_find(&doc->names, (syn_str){"", 0});
    if (name == NAME_NONE) return SYN_NO_OBJ;
    return containers_find(&doc->all, (struct container_id){CONTAINER_ROOT, SYN_MAP, name, 0});
}

/* The root container that shows under a name: of several kinds the lowest; SYN_NO_OBJ: none. The
 * root map "" shows its entries instead of itself. */
static syn_obj shown_root(const syn_doc *doc, uint32_t name)
{
    for (uint32_t kind = SYN_TEXT; kind <= SYN_COUNTER; kind++) {
        syn_obj obj =
            containers_find(&doc->all, (struct container_id){CONTAINER_ROOT, kind, name, 0});
        if (obj == SYN_NO_OBJ || !container_at(&doc->all, obj)->touched) continue;
        if (obj != root_map(doc)) return obj;
    }
    return SYN_NO_OBJ;
}

/* The entry of the document's object with the smallest key above `after` (NULL: the first of all).
 */
static bool next_member(const syn_doc *doc, const syn_str *after, syn_str *key, syn_value *value)
{
    bool found = false;
    syn_obj map = root_map(doc);
    size_t entries = map == SYN_NO_OBJ ? 0 : syn_map_len(doc, map), low = 0;
    for (size_t high = entries; after != NULL && low < high;) { /* first entry above `after` */
        size_t middle = low + (high - low) / 2;
        syn_str at;
        syn_map_at(doc, map, middle, &at, NULL);
        if (str_compare(at, *after) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (low < entries) found = syn_map_at(doc, map, low, key, value);
    for (uint32_t i = 0; i < doc->all.list.n; i++) {
        const struct container_id *id = &container_at(&doc->all, i)->id;
        if (id->form != CONTAINER_ROOT || shown_root(doc, id->a) != i) continue;
        syn_str name = names_get(&doc->names, id->a);
        if ((after != NULL && str_compare(name, *after) <= 0) ||
            (found && str_compare(name, *key) > 0))
            continue;
        *key = name; /* hides a map entry of the same name */
        *value = (syn_value){.kind = SYN_VALUE_CHILD, .child = (syn_kind)id->kind, .as.obj = i};
        found = true;
    }
    return found;
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct level {
    syn_obj obj; /* SYN_NO_OBJ: the document */
    size_t next;
    syn_str last; /* document: key written last */
};

struct writer_stack {
    const syn_doc *doc;
    struct out out;
    ARRAY(struct level) levels;
};

static void open_level(struct writer_stack *stack, syn_obj obj, bool array)
{
    syn_err err = array_reserve(&stack->doc->mem, &stack->levels, 1);
    if (err != SYN_OK) {
        stack->out.err = err;
        return;
    }
    put_s(&stack->out, array ? "[" : "{");
    *array_push(&stack->levels) = (struct level){.obj = obj};
}

static void put_container(struct writer_stack *stack, syn_obj obj)
{
    const struct container *c = container_at(&stack->doc->all, obj);
    char digits[24];
    switch (c->id.kind) {
    case SYN_TEXT:
        put_s(&stack->out, "\"");
        if (c->as.text != NULL)
            rope_visit(c->as.text, 0, rope_len(c->as.text), put_text_piece, &stack->out);
        put_s(&stack->out, "\"");
        break;
    case SYN_COUNTER:
        snprintf(digits, sizeof digits, "%lld", (long long)c->as.counter);
        put_s(&stack->out, digits);
        break;
    case SYN_MAP:
    case SYN_LIST:
        open_level(stack, obj, c->id.kind == SYN_LIST);
        break;
    default:
        put_s(&stack->out, "null");
        break;
    }
}

static void put_value(struct writer_stack *stack, const syn_value *value)
{
    char digits[24];
    switch (value->kind) {
    case SYN_VALUE_STRING:
        put_string(&stack->out, value->as.str);
        break;
    case SYN_VALUE_FALSE:
        put_s(&stack->out, "false");
        break;
    case SYN_VALUE_TRUE:
        put_s(&stack->out, "true");
        break;
    case SYN_VALUE_INT:
        snprintf(digits, sizeof digits, "%lld", (long long)value->as.i);
        put_s(&stack->out, digits);
        break;
    case SYN_VALUE_REAL:
        put_real(&stack->out, value->as.real);
        break;
    case SYN_VALUE_BYTES:
        put_base64(&stack->out, value->as.str);
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        put_container(stack, value->as.obj);
        break;
    default:
        put_s(&stack->out, "null");
        break;
    }
}

/* The next entry of the innermost level; false when it is complete. */
static bool next_entry(struct writer_stack *stack, syn_str *key, syn_value *value, bool *keyed)
{
    struct level *level = &stack->levels.at[stack->levels.n - 1];
    const syn_doc *doc = stack->doc;
    if (level->obj == SYN_NO_OBJ) {
        *keyed = true;
        bool found = next_member(doc, level->next == 0 ? NULL : &level->last, key, value);
        if (found) level->last = *key;
        return found;
    }
    *keyed = container_at(&doc->all, level->obj)->id.kind == SYN_MAP;
    if (*keyed) return syn_map_at(doc, level->obj, level->next, key, value);
    return syn_list_get(doc, level->obj, level->next, value) == SYN_OK;
}

static syn_err write_levels(struct writer_stack *stack)
{
    while (stack->levels.n > 0 && stack->out.err == SYN_OK) {
        struct level *level = &stack->levels.at[stack->levels.n - 1];
        syn_str key;
        syn_value value;
        bool keyed;
        if (!next_entry(stack, &key, &value, &keyed)) {
            put_s(&stack->out, keyed ? "}" : "]");
            stack->levels.n--;
            continue;
        }
        if (level->next++ > 0) put_s(&stack->out, ",");
        if (keyed) {
            put_string(&stack->out, key);
            put_s(&stack->out, ":");
        }
        put_value(stack, &value);
    }
    array_free(&stack->doc->mem, &stack->levels);
    return stack->out.err;
}

syn_err syn_doc_json(const syn_doc *doc, syn_obj obj, syn_write_fn write, void *user)
{
    struct writer_stack stack = {.doc = doc, .out = {write, user, SYN_OK}};
    if (obj == SYN_NO_OBJ)
        open_level(&stack, SYN_NO_OBJ, false);
    else if (obj < doc->all.list.n)
        put_container(&stack, obj);
    else
        return SYN_ENOTFOUND;
    return write_levels(&stack);
}

syn_err syn_value_json(const syn_doc *doc, const syn_value *value, syn_write_fn write, void *user)
{
    struct writer_stack stack = {.doc = doc, .out = {write, user, SYN_OK}};
    put_value(&stack, value);
    return write_levels(&stack);
}

/* ---- Places ---------------------------------------------------------------------------------- */

/* One step of a JSON Pointer, unescaped into buf; false when it is malformed or too long to be a
 * key. */
static bool next_step(syn_str *path, char *buf, size_t cap, syn_str *step)
{
    size_t len = 0;
    if (path->len == 0 || path->data[0] != '/') return false;
    size_t at = 1;
    for (; at < path->len && path->data[at] != '/'; at++) {
        char byte = path->data[at];
        if (byte == '~') {
            if (++at == path->len || (path->data[at] != '0' && path->data[at] != '1')) return false;
            byte = path->data[at] == '0' ? '~' : '/';
        }
        if (len == cap) return false;
        buf[len++] = byte;
    }
    path->data += at;
    path->len -= at;
    *step = (syn_str){buf, len};
    return true;
}

static bool list_index(syn_str step, size_t *index)
{
    *index = 0;
    if (step.len == 0 || step.len > 9 || (step.len > 1 && step.data[0] == '0')) return false;
    for (size_t i = 0; i < step.len; i++) {
        if (step.data[i] < '0' || step.data[i] > '9') return false;
        *index = *index * 10 + (size_t)(step.data[i] - '0');
    }
    return true;
}

static syn_err first_step(const syn_doc *doc, syn_str step, syn_value *out)
{
    uint32_t name = names_find(&doc->names, step);
    syn_obj root = name == NAME_NONE ? SYN_NO_OBJ : shown_root(doc, name);
    if (root != SYN_NO_OBJ) {
        *out =
            (syn_value){.kind = SYN_VALUE_CHILD, .child = syn_obj_kind(doc, root), .as.obj = root};
        return SYN_OK;
    }
    syn_obj map = root_map(doc);
    return map == SYN_NO_OBJ ? SYN_ENOTFOUND : syn_map_get(doc, map, step, out);
}

static syn_err further_step(const syn_doc *doc, syn_str step, syn_value *value)
{
    size_t index;
    if (value->kind != SYN_VALUE_CHILD && value->kind != SYN_VALUE_MERGEABLE) return SYN_ENOTFOUND;
    syn_obj obj = value->as.obj;
    if (syn_obj_kind(doc, obj) == SYN_MAP) return syn_map_get(doc, obj, step, value);
    if (syn_obj_kind(doc, obj) != SYN_LIST || !list_index(step, &index)) return SYN_ENOTFOUND;
    return syn_list_get(doc, obj, index, value) == SYN_OK ? SYN_OK : SYN_ENOTFOUND;
}

syn_err syn_doc_resolve(const syn_doc *doc, syn_str path, syn_value *out)
{
    char buf[KEY_MAX];
    syn_str step;
    bool first = true;
    if (path.len == 0) return SYN_ENOTFOUND; /* the document itself is no value */
    for (; path.len > 0; first = false) {
        if (!next_step(&path, buf, sizeof buf, &step)) return SYN_ENOTFOUND;
        syn_err err = first ? first_step(doc, step, out) : further_step(doc, step, out);
        if (err != SYN_OK) return err;
    }
    return SYN_OK;
}
