/* dump.c -- a document for people: the event graph, the log, the containers; and the graph for
 * Graphviz. */
#include "doc.h"

#include <stdarg.h>
#include <stdio.h>

struct dump {
    const syn_doc *doc;
    syn_write_fn write;
    void *user;
    syn_err err;
};

__attribute__((format(printf, 2, 3))) static void say(struct dump *dump, const char *format, ...)
{
    char line[512];
    va_list args;
    if (dump->err != SYN_OK) return;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    size_t bytes = len < 0 ? 0 : (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    dump->err = dump->write(dump->user, line, bytes);
}

static const char *const op_names[] = {"text_insert", "delete",      "delete_back", "mark",
                                       "map_set",     "map_delete",  "list_insert", "list_set",
                                       "list_move",   "counter_add", "tree_create", "tree_move",
                                       "tree_delete", "nothing"};
static const char *const kind_names[] = {"text", "map", "list", "counter", "tree"};

static const char *op_name(uint32_t kind)
{
    return kind <= OP_NOTHING ? op_names[kind] : "unknown";
}

/* Names come from outside: everything but plain ASCII is shown as '?', so that a terminal is safe.
 */
static void name_text(syn_str name, char *buf, size_t cap)
{
    size_t n = name.len < cap - 1 ? name.len : cap - 1;
    for (size_t i = 0; i < n; i++)
        buf[i] =
            name.data[i] >= 0x20 && name.data[i] < 0x7f && name.data[i] != '"' ? name.data[i] : '?';
    buf[n] = 0;
}

static void dump_container(struct dump *dump, syn_obj obj)
{
    const struct container *c = container_at(&dump->doc->all, obj);
    const char *kind = c->id.kind <= SYN_TREE ? kind_names[c->id.kind] : "unknown";
    char name[64];
    switch (c->id.form) {
    case CONTAINER_ROOT:
        name_text(names_get(&dump->doc->names, c->id.a), name, sizeof name);
        say(dump, "  #%u root \"%s\" %s", obj, name, kind);
        break;
    case CONTAINER_BY_EVENT:
        say(dump, "  #%u by %016llx:%u %s", obj,
            (unsigned long long)graph_agent_peer(dump->doc->graph, c->id.a), c->id.b, kind);
        break;
    case CONTAINER_MERGEABLE:
        name_text(names_get(&dump->doc->names, c->id.b), name, sizeof name);
        say(dump, "  #%u in #%u under \"%s\" %s", obj, c->id.a, name, kind);
        break;
    }
    if (kind_is_sequence(c->id.kind)) say(dump, ", %u long", c->len);
    if (c->id.kind == SYN_MAP) say(dump, ", %u keys ever", c->as.map.registers.n);
    say(dump, "%s\n", c->touched ? "" : ", never written");
}

static void dump_run(struct dump *dump, const struct graph_run *run)
{
    const struct oplog *log = &dump->doc->log;
    say(dump, "  [%u, %u) %016llx:%u lamport %u parents", run->lv, run->end,
        (unsigned long long)graph_agent_peer(dump->doc->graph, run->agent), run->seq, run->lamport);
    for (uint32_t i = 0; i < run->parent_count; i++) say(dump, " %u", run->parents[i]);
    say(dump, "%s\n", run->parent_count == 0 ? " none" : "");
    for (uint32_t i = oplog_find(log, run->lv); i < log->runs.n && log->runs.at[i].lv < run->end;
         i++) {
        const struct op_run *op = &log->runs.at[i];
        say(dump, "    %s x%u at %u", op_name(op->kind), oplog_run_end(log, i) - op->lv, op->pos);
        if (op->container != SYN_NO_OBJ) say(dump, " in #%u", op->container);
        say(dump, "\n");
    }
}

syn_err syn_doc_dump(const syn_doc *doc, syn_write_fn write, void *user)
{
    struct dump dump = {doc, write, user, SYN_OK};
    say(&dump, "%llu events, lamport %u, %s\n", (unsigned long long)syn_doc_events(doc),
        syn_doc_lamport(doc),
        doc->base_events > 0 ? "history below LV 0 is not here" : "whole history");
    say(&dump, "containers\n");
    for (uint32_t i = 0; i < doc->all.list.n; i++) dump_container(&dump, i);
    say(&dump, "events\n");
    for (uint32_t i = 0; i < graph_run_count(doc->graph); i++) {
        const struct graph_run run = graph_run_at(doc->graph, i);
        dump_run(&dump, &run);
    }
    return dump.err;
}

syn_err syn_doc_dot(const syn_doc *doc, syn_write_fn write, void *user)
{
    struct dump dump = {doc, write, user, SYN_OK};
    say(&dump, "digraph events {\n  rankdir=BT; node [shape=box, fontname=\"monospace\"];\n");
    for (uint32_t i = 0; i < graph_run_count(doc->graph); i++) {
        const struct graph_run run = graph_run_at(doc->graph, i);
        say(&dump, "  r%u [label=\"%08llx:%u..%u\\nlv %u..%u\"];\n", i,
            (unsigned long long)(graph_agent_peer(doc->graph, run.agent) >> 32), run.seq,
            run.seq + (run.end - run.lv) - 1, run.lv, run.end - 1);
        for (uint32_t k = 0; k < run.parent_count; k++) {
            uint32_t to = graph_run_of(doc->graph, run.parents[k]);
            say(&dump, "  r%u -> r%u [label=\"%u\"];\n", i, to,
                run.parents[k] - graph_run_at(doc->graph, to).lv);
        }
    }
    say(&dump, "}\n");
    return dump.err;
}
