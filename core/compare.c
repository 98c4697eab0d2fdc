/* compare.c -- two documents that number their containers alike: equal, or what a reader must be
 * told. */
#include "doc.h"

/* ---- One container, flat --------------------------------------------------------------------- */

struct flat {
    char *bytes;
    size_t len;
};

static void add_flat(void *user, const char *utf8, size_t bytes)
{
    struct flat *flat = user;
    memcpy(flat->bytes + flat->len, utf8, bytes);
    flat->len += bytes;
}

static syn_err flatten(const syn_doc *doc, const struct container *c, struct flat *flat)
{
    size_t bytes = c->as.text == NULL ? 0 : rope_bytes(c->as.text);
    *flat = (struct flat){NULL, 0};
    if (bytes == 0) return SYN_OK;
    flat->bytes = mem_alloc(&doc->mem, bytes);
    if (flat->bytes == NULL) return SYN_ENOMEM;
    rope_visit(c->as.text, 0, rope_len(c->as.text), add_flat, flat);
    return SYN_OK;
}

static bool same_writer(const syn_doc *a, struct writer x, const syn_doc *b, struct writer y)
{
    return x.seq == y.seq && x.lamport == y.lamport &&
           graph_agent_peer(a->graph, x.agent) == graph_agent_peer(b->graph, y.agent);
}

static bool same_arg(const syn_doc *a, const struct op_arg *x, const syn_doc *b,
                     const struct op_arg *y)
{
    const struct change_value value = value_give(b, y);
    bool child = x->kind == SYN_VALUE_CHILD || x->kind == SYN_VALUE_MERGEABLE;
    return value_is(a, x, &value) && (!child || x->as.child.obj == y->as.child.obj);
}

static bool same_slot(const syn_doc *a, const struct list_slot *x, const syn_doc *b,
                      const struct list_slot *y)
{
    return same_writer(a, x->made, b, y->made) && same_writer(a, x->set, b, y->set) &&
           same_arg(a, &x->value, b, &y->value);
}

/* ---- Equal? ---------------------------------------------------------------------------------- */

static bool same_write(const syn_doc *a, const struct map_write *x, const syn_doc *b,
                       const struct map_write *y)
{
    struct writer by_x = {x->agent, x->seq, x->lamport}, by_y = {y->agent, y->seq, y->lamport};
    return x->gone == y->gone && same_writer(a, by_x, b, by_y) &&
           (x->gone || same_arg(a, &x->value, b, &y->value));
}

/* Writes of a key as a snapshot has them: a lone delete is as good as none. */
static uint32_t kept_writes(const syn_doc *doc, const struct map *map, uint32_t key,
                            const struct map_write **writes)
{
    struct map_register *reg = map_find(map, key);
    if (reg == NULL || reg->count == 0) return 0;
    *writes = map_writes(doc->graph, reg);
    return reg->count == 1 && (*writes)->gone ? 0 : reg->count;
}

static bool same_key(const syn_doc *a, const struct map *x, const syn_doc *b, const struct map *y,
                     uint32_t key)
{
    const struct map_write *p = NULL, *q = NULL;
    uint32_t count = kept_writes(a, x, key, &p);
    if (count != kept_writes(b, y, key, &q)) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!same_write(a, &p[i], b, &q[i])) return false;
    return true;
}

static bool same_map(const syn_doc *a, const struct map *x, const syn_doc *b, const struct map *y)
{
    for (uint32_t i = 0; i < x->registers.n; i++)
        if (!same_key(a, x, b, y, x->registers.at[i].key)) return false;
    for (uint32_t i = 0; i < y->registers.n; i++)
        if (!same_key(a, x, b, y, y->registers.at[i].key)) return false;
    return true;
}

static bool same_list(const syn_doc *a, const struct list *x, const syn_doc *b,
                      const struct list *y)
{
    if (x->n != y->n) return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (!same_slot(a, list_slot_at(x, i), b, list_slot_at(y, i))) return false;
    return true;
}

static syn_err same_text(const syn_doc *a, const struct container *x, const syn_doc *b,
                         const struct container *y, bool *equal)
{
    struct flat p, q = {NULL, 0};
    syn_err err = flatten(a, x, &p);
    if (err == SYN_OK) err = flatten(b, y, &q);
    if (err == SYN_OK)
        *equal = p.len == q.len && (p.len == 0 || memcmp(p.bytes, q.bytes, p.len) == 0);
    mem_free(&a->mem, p.bytes, x->as.text == NULL ? 0 : rope_bytes(x->as.text));
    mem_free(&b->mem, q.bytes, y->as.text == NULL ? 0 : rope_bytes(y->as.text));
    return err;
}

syn_err states_equal(const syn_doc *a, const syn_doc *b, bool *equal)
{
    syn_err err = SYN_OK;
    *equal = true;
    for (uint32_t i = 0; err == SYN_OK && *equal && i < b->all.list.n; i++) {
        const struct container *y = container_at(&b->all, i);
        if (i >= a->all.list.n) { /* met in b only: must be a mere name there */
            *equal = !y->touched;
            continue;
        }
        const struct container *x = container_at(&a->all, i);
        if (x->touched != y->touched)
            *equal = false;
        else if (x->id.kind == SYN_TEXT)
            err = same_text(a, x, b, y, equal);
        else if (x->id.kind == SYN_MAP)
            *equal = same_map(a, &x->as.map, b, &y->as.map);
        else if (x->id.kind == SYN_LIST)
            *equal = same_list(a, &x->as.list, b, &y->as.list);
        else if (x->id.kind == SYN_COUNTER)
            *equal = x->as.counter == y->as.counter;
    }
    return err;
}

/* ---- What to tell ---------------------------------------------------------------------------- */

static bool continues_scalar(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* By index: an empty text has no bytes to point into. */
static uint32_t scalars_in(const struct flat *text, size_t from, size_t len)
{
    uint32_t count = 0;
    for (size_t i = from; i < from + len; i++) count += !continues_scalar(text->bytes[i]);
    return count;
}

/* One splice from the first difference to the last. */
static syn_err tell_text(const struct flat *before, const struct flat *after, syn_doc *to,
                         syn_obj obj)
{
    size_t most = before->len < after->len ? before->len : after->len, head = 0, tail = 0;
    while (head < most && before->bytes[head] == after->bytes[head]) head++;
    if (head == before->len && head == after->len) return SYN_OK;
    while (head > 0 && ((head < before->len && continues_scalar(before->bytes[head])) ||
                        (head < after->len && continues_scalar(after->bytes[head]))))
        head--;
    while (tail < most - head &&
           before->bytes[before->len - 1 - tail] == after->bytes[after->len - 1 - tail])
        tail++;
    while (tail > 0 && continues_scalar(after->bytes[after->len - tail])) tail--;
    size_t bytes = after->len - head - tail;
    syn_err err = oplog_reserve(&to->log, &to->mem, 0, bytes, 0);
    if (err == SYN_OK) err = records_reserve(to, 1);
    if (err != SYN_OK) return err;
    uint32_t at = to->log.text.n;
    if (bytes > 0) memcpy(to->log.text.at + at, after->bytes + head, bytes);
    to->log.text.n += (uint32_t)bytes;
    records_push(to, (struct record){.kind = SYN_EVENT_SPLICE,
                                     .obj = obj,
                                     .pos = scalars_in(after, 0, head),
                                     .removed = scalars_in(before, head, before->len - head - tail),
                                     .inserted = scalars_in(after, head, bytes),
                                     .at = at,
                                     .bytes = (uint32_t)bytes});
    return SYN_OK;
}

static syn_err text_differences(const syn_doc *from, const struct container *x, syn_doc *to,
                                const struct container *y, syn_obj obj)
{
    struct flat before, after = {NULL, 0};
    syn_err err = flatten(from, x, &before);
    if (err == SYN_OK) err = flatten(to, y, &after);
    if (err == SYN_OK) err = tell_text(&before, &after, to, obj);
    mem_free(&from->mem, before.bytes, x->as.text == NULL ? 0 : rope_bytes(x->as.text));
    mem_free(&to->mem, after.bytes, y->as.text == NULL ? 0 : rope_bytes(y->as.text));
    return err;
}

static syn_err list_differences(const syn_doc *from, const struct list *x, syn_doc *to,
                                const struct list *y, syn_obj obj)
{
    uint32_t most = x->n < y->n ? x->n : y->n, head = 0, tail = 0;
    while (head < most && same_slot(from, list_slot_at(x, head), to, list_slot_at(y, head))) head++;
    while (tail < most - head &&
           same_slot(from, list_slot_at(x, x->n - 1 - tail), to, list_slot_at(y, y->n - 1 - tail)))
        tail++;
    uint32_t removed = x->n - head - tail, inserted = y->n - head - tail;
    if (removed == 0 && inserted == 0) return SYN_OK;
    syn_err err = oplog_reserve(&to->log, &to->mem, 0, 0, inserted);
    if (err == SYN_OK) err = records_reserve(to, 1);
    if (err != SYN_OK) return err;
    uint32_t at = to->log.args.n;
    for (uint32_t i = 0; i < inserted; i++)
        *array_push(&to->log.args) = list_slot_at(y, head + i)->value;
    records_list(to, obj, false, head, removed, inserted, at);
    return SYN_OK;
}

static syn_err key_difference(const syn_doc *from, const struct map *x, syn_doc *to,
                              const struct map *y, syn_obj obj, uint32_t key)
{
    const struct map_write *before = map_winner(x, key), *after = map_winner(y, key);
    if (before == NULL && after == NULL) return SYN_OK;
    if (before != NULL && after != NULL && same_arg(from, &before->value, to, &after->value))
        return SYN_OK;
    syn_err err = records_reserve(to, 1);
    if (err != SYN_OK) return err;
    struct record record = {.obj = obj, .key = key, .kind = SYN_EVENT_UNSET};
    if (after != NULL) {
        record.kind = SYN_EVENT_SET;
        record.value = after->value;
    }
    records_push(to, record);
    return SYN_OK;
}

static syn_err map_differences(const syn_doc *from, const struct map *x, syn_doc *to,
                               const struct map *y, syn_obj obj)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < x->registers.n; i++)
        err = key_difference(from, x, to, y, obj, x->registers.at[i].key);
    for (uint32_t i = 0; err == SYN_OK && i < y->registers.n; i++)
        if (map_find(x, y->registers.at[i].key) == NULL)
            err = key_difference(from, x, to, y, obj, y->registers.at[i].key);
    return err;
}

static syn_err counter_difference(int64_t before, int64_t after, syn_doc *to, syn_obj obj)
{
    if (before == after) return SYN_OK;
    syn_err err = records_reserve(to, 1);
    if (err != SYN_OK) return err;
    records_push(to, (struct record){.kind = SYN_EVENT_ADD,
                                     .obj = obj,
                                     .delta = (int64_t)((uint64_t)after - (uint64_t)before)});
    return SYN_OK;
}

syn_err record_differences(const syn_doc *from, syn_doc *to)
{
    const struct container nothing = {0};
    syn_err err = SYN_OK;
    if (!to->keep_records) return SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < to->all.list.n; i++) {
        const struct container *y = container_at(&to->all, i);
        const struct container *x = i < from->all.list.n ? container_at(&from->all, i) : &nothing;
        if (y->id.kind == SYN_TEXT)
            err = text_differences(from, x, to, y, i);
        else if (y->id.kind == SYN_LIST)
            err = list_differences(from, &x->as.list, to, &y->as.list, i);
        else if (y->id.kind == SYN_MAP)
            err = map_differences(from, &x->as.map, to, &y->as.map, i);
        else if (y->id.kind == SYN_COUNTER)
            err = counter_difference(x->as.counter, y->as.counter, to, i);
    }
    to->log.seal = to->log.end;
    return err;
}
