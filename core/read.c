/* read.c -- reading the state. */
#include "doc.h"

#include "utf8.h"

syn_str syn_s(const char *text)
{
    return (syn_str){text, strlen(text)};
}

syn_value syn_null(void)
{
    return (syn_value){.kind = SYN_VALUE_NULL};
}
syn_value syn_bool(bool b)
{
    return (syn_value){.kind = b ? SYN_VALUE_TRUE : SYN_VALUE_FALSE};
}
syn_value syn_int(int64_t i)
{
    return (syn_value){.kind = SYN_VALUE_INT, .as.i = i};
}
syn_value syn_string(syn_str utf8)
{
    return (syn_value){.kind = SYN_VALUE_STRING, .as.str = utf8};
}
syn_value syn_bytes(syn_str bytes)
{
    return (syn_value){.kind = SYN_VALUE_BYTES, .as.str = bytes};
}

syn_value syn_real(double d)
{
    if (d != d) {
        const uint64_t nan = 0x7ff8000000000000u;
        memcpy(&d, &nan, sizeof d);
    }
    return (syn_value){.kind = SYN_VALUE_REAL, .as.real = d};
}

syn_str doc_blob(const syn_doc *doc, const struct op_arg *arg)
{
    return (syn_str){arg->as.blob.len == 0 ? "" : doc->log.text.at + arg->as.blob.off,
                     arg->as.blob.len};
}

syn_value doc_value(const syn_doc *doc, const struct op_arg *arg)
{
    return arg_value(arg, doc->log.text.at);
}

/* The container if it is of that kind, or NULL. */
static struct container *of_kind(const syn_doc *doc, syn_obj obj, syn_kind kind)
{
    if (obj >= doc->all.list.n) return NULL;
    struct container *c = container_at(&doc->all, obj);
    return c->id.kind == (uint32_t)kind ? c : NULL;
}

syn_kind syn_obj_kind(const syn_doc *doc, syn_obj obj)
{
    return (syn_kind)container_at(&doc->all, obj)->id.kind;
}

syn_obj syn_root_at(const syn_doc *doc, uint32_t index, syn_str *name)
{
    for (uint32_t i = 0; i < doc->all.list.n; i++) {
        const struct container *c = container_at(&doc->all, i);
        if (c->id.form != CONTAINER_ROOT || !c->touched || index-- > 0) continue;
        if (name != NULL) *name = names_get(&doc->names, c->id.a);
        return i;
    }
    return SYN_NO_OBJ;
}

/* ---- Text ------------------------------------------------------------------------------------ */

static const struct rope *rope_of(const syn_doc *doc, syn_obj text)
{
    const struct container *c = of_kind(doc, text, SYN_TEXT);
    return c == NULL ? NULL : c->as.text;
}

size_t syn_text_len(const syn_doc *doc, syn_obj text)
{
    const struct rope *rope = rope_of(doc, text);
    return rope == NULL ? 0 : rope_len(rope);
}

size_t syn_text_bytes(const syn_doc *doc, syn_obj text)
{
    const struct rope *rope = rope_of(doc, text);
    return rope == NULL ? 0 : rope_bytes(rope);
}

struct reading {
    char *buf;
    size_t cap, filled, needed;
    bool full;
};

static void read_piece(void *user, const char *utf8, size_t bytes)
{
    struct reading *reading = user;
    reading->needed += bytes;
    if (reading->full) return;
    size_t room = reading->cap - reading->filled;
    if (bytes > room) {
        reading->full = true;
        bytes = room;
        while (bytes > 0 && ((unsigned char)utf8[bytes] & 0xc0) == 0x80)
            bytes--; /* whole scalars */
    }
    if (bytes > 0) memcpy(reading->buf + reading->filled, utf8, bytes);
    reading->filled += bytes;
}

size_t syn_text_read(const syn_doc *doc, syn_obj text, size_t pos, size_t len, char *buf,
                     size_t cap)
{
    const struct rope *rope = rope_of(doc, text);
    struct reading reading = {.buf = buf, .cap = cap};
    if (rope == NULL || pos >= rope_len(rope)) return 0;
    if (len > rope_len(rope) - pos) len = rope_len(rope) - pos;
    rope_visit(rope, pos, len, read_piece, &reading);
    return reading.needed;
}

size_t syn_text_position(const syn_doc *doc, syn_obj text, syn_unit from, size_t pos, syn_unit to)
{
    const struct rope *rope = rope_of(doc, text);
    if (rope == NULL) return 0;
    if (from == SYN_UNIT_UTF16)
        pos = rope_from_utf16(rope, pos);
    else if (from == SYN_UNIT_BYTE)
        pos = rope_from_byte(rope, pos);
    else if (pos > rope_len(rope))
        pos = rope_len(rope);
    if (to == SYN_UNIT_UTF16) return rope_to_utf16(rope, pos);
    return to == SYN_UNIT_BYTE ? rope_to_byte(rope, pos) : pos;
}

/* ---- Map ------------------------------------------------------------------------------------- */

syn_err syn_map_get(const syn_doc *doc, syn_obj map, syn_str key, syn_value *out)
{
    const struct container *c = of_kind(doc, map, SYN_MAP);
    if (c == NULL) return SYN_EKIND;
    const struct map_write *winner = map_winner(&c->as.map, names_find(&doc->names, key));
    if (winner == NULL) return SYN_ENOTFOUND;
    *out = doc_value(doc, &winner->value);
    return SYN_OK;
}

size_t syn_map_len(const syn_doc *doc, syn_obj map)
{
    struct container *c = of_kind(doc, map, SYN_MAP);
    const uint32_t *order;
    return c == NULL ? 0 : map_shown(&c->as.map, &doc->names, &order);
}

bool syn_map_at(const syn_doc *doc, syn_obj map, size_t index, syn_str *key, syn_value *value)
{
    struct container *c = of_kind(doc, map, SYN_MAP);
    const uint32_t *order;
    if (c == NULL || index >= map_shown(&c->as.map, &doc->names, &order)) return false;
    struct map_register *reg = &c->as.map.registers.at[order[index]];
    if (key != NULL) *key = names_get(&doc->names, reg->key);
    if (value != NULL) *value = doc_value(doc, &register_slots(reg)->value);
    return true;
}

syn_err syn_map_conflict(const syn_doc *doc, syn_obj map, syn_str key, size_t index,
                         syn_value *value, syn_id *writer, bool *gone)
{
    const struct container *c = of_kind(doc, map, SYN_MAP);
    if (c == NULL) return SYN_EKIND;
    uint32_t name = names_find(&doc->names, key);
    struct map_register *reg = name == NAME_NONE ? NULL : map_find(&c->as.map, name);
    if (reg == NULL || index >= reg->count) return SYN_ENOTFOUND;
    const struct map_write *write = &map_writes(doc->graph, reg)[index];
    if (value != NULL) *value = write->gone ? syn_null() : doc_value(doc, &write->value);
    if (writer != NULL) *writer = (syn_id){graph_agent_peer(doc->graph, write->agent), write->seq};
    if (gone != NULL) *gone = write->gone;
    return SYN_OK;
}

/* ---- List, counter --------------------------------------------------------------------------- */

size_t syn_list_len(const syn_doc *doc, syn_obj list)
{
    const struct container *c = of_kind(doc, list, SYN_LIST);
    return c == NULL ? 0 : c->as.list.n;
}

syn_err syn_list_get(const syn_doc *doc, syn_obj list, size_t pos, syn_value *out)
{
    const struct container *c = of_kind(doc, list, SYN_LIST);
    if (c == NULL) return SYN_EKIND;
    if (pos >= c->as.list.n) return SYN_ERANGE;
    *out = doc_value(doc, &list_slot_at(&c->as.list, (uint32_t)pos)->value);
    return SYN_OK;
}

int64_t syn_counter_get(const syn_doc *doc, syn_obj counter)
{
    const struct container *c = of_kind(doc, counter, SYN_COUNTER);
    return c == NULL ? 0 : c->as.counter;
}
