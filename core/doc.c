/* doc.c -- life of a document: making it, its peer, its versions. */
#include "doc.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *malloc_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size > 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

const syn_mem mem_malloc = {malloc_resize, NULL};

/* Of strings that lie one behind the other, which takes less room than a table of them. */
static const char *nth(const char *texts, unsigned n)
{
    while (n-- > 0) texts += strlen(texts) + 1;
    return texts;
}

enum { ERRORS = SYN_EDELETED + 1 }; /* the map is in the order of the codes, without gaps */

static unsigned nth_of(syn_err err)
{
    return (unsigned)err < ERRORS ? (unsigned)err : ERRORS;
}

const char *syn_strerror(syn_err err)
{
#define X(name, code, text) text "\0"
    return nth("no error\0" SYN_ERROR_MAP(X) "unknown error", nth_of(err));
#undef X
}

const char *syn_errname(syn_err err)
{
#define X(name, code, text) #name "\0"
    return nth("OK\0" SYN_ERROR_MAP(X) "UNKNOWN", nth_of(err));
#undef X
}

syn_err(doc_refuse)(syn_doc *doc, syn_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (desk_open(doc) == SYN_OK)
        vsnprintf(doc->desk->error, sizeof doc->desk->error, format, args);
    va_end(args);
    return err;
}

const char *syn_doc_error(const syn_doc *doc)
{
    return doc->desk != NULL ? doc->desk->error : "";
}
syn_fault syn_doc_fault(const syn_doc *doc)
{
    return doc->desk != NULL ? doc->desk->fault : (syn_fault){0};
}

syn_err syn_doc_new(syn_doc **out, const syn_doc_config *config)
{
    return doc_new(out, config, NULL);
}

syn_err doc_new(syn_doc **out, const syn_doc_config *config, const syn_mem *shared)
{
    const syn_doc_config defaults = SYN_DOC_CONFIG_INIT;
    if (config == NULL) config = &defaults;
    *out = NULL;
    if (config->size != sizeof *config) return SYN_EMISUSE;
    const syn_mem *mem = config->mem.resize == NULL ? &mem_malloc : &config->mem;
    syn_doc *doc = mem_zalloc(mem, sizeof *doc);
    if (doc == NULL) return SYN_ENOMEM;
    doc->mem = *mem;
    doc->shared = shared != NULL ? shared : &doc->mem;
    doc->graph = graph_new(doc->shared);
    if (doc->graph == NULL) {
        mem_free(mem, doc, sizeof *doc);
        return SYN_ENOMEM;
    }
    doc->names.seed = config->hash_seed;
    doc->peer = config->peer;
    doc->agent = AGENT_NONE;
    doc->keep_records = config->events;
    doc->work_limit = config->work_limit;
    doc->max_heads = config->max_heads > 0 ? config->max_heads : 4096;
    doc->max_events =
        config->max_events > 0 && config->max_events < LV_MAX ? config->max_events : LV_MAX;
    doc->max_pending = config->max_pending > 0 ? config->max_pending : 8u << 20;
    doc->max_value = config->max_value > 0 ? config->max_value : 1u << 20;
    *out = doc;
    return SYN_OK;
}

/* ---- At work and at rest --------------------------------------------------------------------- */

syn_err desk_open(syn_doc *doc)
{
    if (doc->desk == NULL) doc->desk = mem_zalloc(&doc->mem, sizeof *doc->desk);
    return doc->desk != NULL ? SYN_OK : SYN_ENOMEM;
}

static void transaction_free(struct transaction *txn, const syn_mem *mem)
{
    if (txn == NULL) return;
    array_free(mem, &txn->undo);
    array_free(mem, &txn->bytes);
    array_free(mem, &txn->writes);
    array_free(mem, &txn->slots);
    mem_free(mem, txn, sizeof *txn);
}

static void export_free(struct export_buffers *out, const syn_mem *mem)
{
    array_free(mem, &out->peers);
    array_free(mem, &out->containers);
    array_free(mem, &out->runs);
    array_free(mem, &out->deps);
    array_free(mem, &out->ops);
    array_free(mem, &out->keys);
    array_free(mem, &out->values);
    array_free(mem, &out->ext);
    array_free(mem, &out->text);
    array_free(mem, &out->agents.index);
    array_free(mem, &out->agents.used);
    array_free(mem, &out->objects.index);
    array_free(mem, &out->objects.used);
    array_free(mem, &out->parents);
    array_free(mem, &out->states);
    array_free(mem, &out->entries);
    if (SNAPSHOTS) array_free(mem, &out->order);
    array_free(mem, &out->spans);
}

static void desk_clear(syn_doc *doc)
{
    struct desk *desk = doc->desk;
    if (desk == NULL) return;
    const syn_mem *mem = &doc->mem;
    array_free(mem, &desk->plan);
    array_free(mem, &desk->parents);
    array_free(mem, &desk->previous);
    array_free(mem, &desk->order);
    if (SHORT_CUTS) array_free(mem, &desk->dense.runs);
    if (SHORT_CUTS) flat_free(&desk->flat, mem);
    array_free(mem, &desk->spare_a);
    array_free(mem, &desk->spare_b);
    array_free(mem, &desk->where);
    array_free(mem, &desk->walk);
    array_free(mem, &desk->resolved);
    array_free(mem, &desk->agents);
    export_free(&desk->out, mem);
    mem_free(mem, desk, sizeof *desk);
    doc->desk = NULL;
}

void doc_fit(syn_doc *doc)
{
    const syn_mem *mem = &doc->mem;
    desk_clear(doc);
    if (!GIVES_BACK) return;
    array_fit(mem, &doc->records);
    array_fit(mem, &doc->pending);
    graph_trim(doc->graph);
    oplog_trim(&doc->log, mem);
    names_trim(&doc->names, mem);
    containers_trim(&doc->all, mem);
}

void syn_doc_trim(syn_doc *doc)
{
    if (in_transaction(doc)) return;
    transaction_free(doc->txn, &doc->mem);
    doc->txn = NULL;
    for (syn_obj obj = 0; obj < doc->all.list.n; obj++)
        drop_merge(doc, container_at(&doc->all, obj));
    doc_fit(doc);
}

void doc_free_parts(syn_doc *doc)
{
    const syn_mem *mem = &doc->mem;
    pending_free(doc);
    graph_free(doc->graph);
    oplog_free(&doc->log, mem);
    names_free(&doc->names, mem);
    containers_free(&doc->all, mem);
    transaction_free(doc->txn, mem);
    desk_clear(doc);
    array_free(mem, &doc->records);
}

uint64_t syn_doc_set_work_limit(syn_doc *doc, uint64_t limit)
{
    uint64_t before = doc->work_limit;
    doc->work_limit = limit;
    return before;
}

uint64_t syn_doc_take_work(syn_doc *doc)
{
    uint64_t done = doc->desk != NULL ? doc->desk->work.done : 0;
    if (doc->desk != NULL) doc->desk->work.done = 0;
    return done;
}

void syn_doc_free(syn_doc *doc)
{
    if (doc == NULL) return;
    const syn_mem mem = doc->mem;
    doc_free_parts(doc);
    mem_free(&mem, doc, sizeof *doc);
}

syn_err syn_doc_set_peer(syn_doc *doc, uint64_t peer, bool resume)
{
    if (peer == 0 || in_transaction(doc))
        return doc_refuse(doc, SYN_EMISUSE,
                          "a peer is not 0, and not changed inside a transaction");
    uint32_t agent = graph_agent_find(doc->graph, peer);
    bool known = agent != AGENT_NONE && graph_agent_next(doc->graph, agent) > 0;
    if (known && !resume)
        return doc_refuse(doc, SYN_EFORKED, "peer %016llx has written here before: draw a new one",
                          (unsigned long long)peer);
    doc->peer = peer;
    doc->agent = agent;
    return SYN_OK;
}

uint64_t syn_doc_peer(const syn_doc *doc)
{
    return doc->peer;
}

/* ---- Ids and versions ------------------------------------------------------------------------ */

syn_id doc_id(const syn_doc *doc, lv_t lv)
{
    uint32_t agent, seq;
    graph_id(doc->graph, lv, &agent, &seq);
    return (syn_id){graph_agent_peer(doc->graph, agent), seq};
}

lv_t doc_find(const syn_doc *doc, syn_id id)
{
    uint32_t agent = graph_agent_find(doc->graph, id.peer);
    return agent == AGENT_NONE ? LV_NONE : graph_find(doc->graph, agent, id.seq);
}

static int id_compare(syn_id a, syn_id b)
{
    if (a.peer != b.peer) return a.peer < b.peer ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

void ids_sort(syn_id *ids, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2) /* Shell sort: short lists, no memory */
        for (size_t i = gap; i < count; i++)
            for (size_t j = i; j >= gap && id_compare(ids[j - gap], ids[j]) > 0; j -= gap) {
                syn_id swap = ids[j];
                ids[j] = ids[j - gap];
                ids[j - gap] = swap;
            }
}

size_t syn_doc_heads(const syn_doc *doc, syn_id *out, size_t cap)
{
    uint32_t count;
    const lv_t *heads = graph_frontier(doc->graph, &count);
    for (uint32_t i = 0; i < count && i < cap; i++) out[i] = doc_id(doc, heads[i]);
    ids_sort(out, count < cap ? count : cap);
    return count;
}

size_t syn_doc_vector(const syn_doc *doc, syn_id *out, size_t cap)
{
    size_t count = 0;
    for (uint32_t agent = 0; agent < graph_agent_count(doc->graph); agent++) {
        uint32_t next = graph_agent_next(doc->graph, agent);
        if (next == 0) continue;
        if (count < cap) out[count] = (syn_id){graph_agent_peer(doc->graph, agent), next};
        count++;
    }
    ids_sort(out, count < cap ? count : cap);
    return count;
}

uint64_t syn_doc_events(const syn_doc *doc)
{
    uint64_t len = graph_len(doc->graph);
    return has_base(doc) ? doc->base_events + len - 1 : len;
}

uint32_t syn_doc_lamport(const syn_doc *doc)
{
    uint32_t count, greatest = 0;
    const lv_t *heads = graph_frontier(doc->graph, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lamport = graph_lamport(doc->graph, heads[i]);
        if (lamport > greatest) greatest = lamport;
    }
    return greatest;
}

bool syn_doc_has(const syn_doc *doc, syn_id id)
{
    return doc_find(doc, id) != LV_NONE;
}

uint32_t syn_doc_next(const syn_doc *doc, uint64_t peer)
{
    uint32_t agent = graph_agent_find(doc->graph, peer);
    return agent == AGENT_NONE ? 0 : graph_agent_next(doc->graph, agent);
}

bool syn_doc_has_history(const syn_doc *doc)
{
    return !has_base(doc);
}

uint32_t syn_doc_log_end(const syn_doc *doc)
{
    return graph_len(doc->graph);
}
uint32_t syn_doc_log_start(const syn_doc *doc)
{
    return has_base(doc) ? 1 : 0;
}
syn_id syn_doc_event_id(const syn_doc *doc, uint32_t position)
{
    return doc_id(doc, position);
}
uint32_t syn_doc_position(const syn_doc *doc, syn_id id)
{
    return doc_find(doc, id);
}
uint32_t syn_doc_critical(const syn_doc *doc, uint32_t position)
{
    for (;;) {
        lv_t lv = graph_critical_at_or_before(doc->graph, position);
        if (lv == LV_NONE) return LV_NONE;
        uint32_t run = oplog_find(&doc->log, lv);
        const struct op_run *op = &doc->log.runs.at[run];
        if (op->kind != OP_FIRST_UNKNOWN || lv + 1 == oplog_run_end(&doc->log, run)) return lv;
        if (op->lv == 0) return LV_NONE;
        position = op->lv - 1; /* runs of unknown kind are never cut */
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

static syn_err check_name(syn_doc *doc, syn_str name, uint32_t most, const char *what)
{
    size_t scalars;
    if (name.len > most) return doc_refuse(doc, SYN_ELIMIT, "%s longer than %u bytes", what, most);
    if (!utf8_valid(name.data, name.len, &scalars))
        return doc_refuse(doc, SYN_EUTF8, "%s is not valid UTF-8", what);
    if (name.len > 0 && memchr(name.data, 0, name.len) != NULL)
        return doc_refuse(doc, SYN_EUTF8, "%s contains U+0000", what);
    return SYN_OK;
}

syn_err check_key(syn_doc *doc, syn_str key)
{
    return check_name(doc, key, KEY_MAX, "key");
}
syn_err check_root_name(syn_doc *doc, syn_str name)
{
    return check_name(doc, name, NAME_MAX_BYTES, "container name");
}

syn_err syn_root(syn_doc *doc, syn_str name, syn_kind kind, syn_obj *out)
{
    uint32_t number;
    syn_err err = check_root_name(doc, name);
    if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, name, &number);
    if (err != SYN_OK) return err;
    return containers_add(&doc->all, &doc->mem,
                          (struct container_id){CONTAINER_ROOT, kind, number, 0}, out);
}

syn_err doc_add_child(syn_doc *doc, uint32_t agent, uint32_t seq, uint32_t kind, syn_obj *obj)
{
    struct container_id id = {CONTAINER_BY_EVENT, kind, agent, seq};
    return containers_add(&doc->all, &doc->mem, id, obj);
}

bool doc_made_child(const syn_doc *doc, lv_t lv, uint32_t kind)
{
    struct op_piece piece = oplog_piece(&doc->log, oplog_find(&doc->log, lv), lv, lv + 1);
    if (piece.kind != OP_MAP_SET && piece.kind != OP_LIST_INSERT && piece.kind != OP_LIST_SET)
        return false;
    const struct op_arg *arg = &doc->log.args.at[piece.at];
    return arg->kind == SYN_VALUE_CHILD && arg->as.child.kind == kind;
}

bool doc_container_exists(const syn_doc *doc, syn_obj obj)
{
    const struct container *c = container_at(&doc->all, obj);
    while (c->id.form == CONTAINER_MERGEABLE) c = container_at(&doc->all, c->id.a);
    if (c->id.form == CONTAINER_ROOT || c->loaded) return true;
    lv_t lv = graph_find(doc->graph, c->id.a, c->id.b);
    bool in_log = lv != LV_NONE && lv < doc->log.end && (lv > 0 || !has_base(doc));
    return in_log && doc_made_child(doc, lv, c->id.kind);
}

syn_err doc_add_mergeable(syn_doc *doc, syn_obj map, uint32_t key, uint32_t kind, syn_obj *obj)
{
    struct container_id id = {CONTAINER_MERGEABLE, kind, map, key};
    return containers_add(&doc->all, &doc->mem, id, obj);
}
