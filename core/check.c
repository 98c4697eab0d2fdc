/* check.c -- every invariant of a document, and its picture. */
#include "doc.h"

#include <stdio.h>
#include <stdlib.h>

static void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "syn_doc_check: %s\n", what);
    abort();
}

static void check_log(const syn_doc *doc)
{
    const struct oplog *log = &doc->log;
    require(log->end == graph_len(doc->graph), "the log covers exactly the graph's events");
    require(log->runs.n == 0 || log->runs.at[0].lv == 0, "the log begins at 0");
    for (uint32_t i = 0; i < log->runs.n; i++) {
        lv_t end = oplog_run_end(log, i);
        require(log->runs.at[i].lv < end, "no run is empty");
        require(graph_run_of(doc->graph, log->runs.at[i].lv) == graph_run_of(doc->graph, end - 1),
                "an op run lies inside one graph run");
        syn_obj obj = log->runs.at[i].container;
        require(obj == SYN_NO_OBJ || obj < doc->all.list.n, "an op run has a container");
        require(obj == SYN_NO_OBJ || container_at(&doc->all, obj)->touched,
                "its container is touched");
    }
}

static void check_map(const syn_doc *doc, const struct map *map)
{
    for (uint32_t i = 0; i < map->registers.n; i++) {
        struct map_register *reg = &map->registers.at[i];
        const struct map_write *writes = map_writes(doc->graph, reg);
        require(map_find(map, reg->key) == reg, "a register is found by its key");
        require(reg->pending == 0, "no write is reserved and missing");
        for (uint32_t k = 0; k < reg->count; k++) {
            lv_t lv = writes[k].lv;
            require(lv == LV_NONE || lv < graph_len(doc->graph), "a write's event is here");
            for (uint32_t j = 0; j < k && lv != LV_NONE; j++) {
                lv_t other = writes[j].lv;
                require(other == LV_NONE || (!graph_contains(doc->graph, &lv, 1, other) &&
                                             !graph_contains(doc->graph, &other, 1, lv)),
                        "writes kept for a key are concurrent");
            }
        }
    }
}

static void check_runs(const syn_doc *doc, const struct container *c, syn_obj obj)
{
    for (uint32_t i = 0; i < c->runs.n; i++) {
        require(c->runs.at[i] < doc->log.runs.n, "a container's run is in the log");
        require(doc->log.runs.at[c->runs.at[i]].container == obj, "a container's run is its own");
        require(i == 0 || c->runs.at[i - 1] < c->runs.at[i], "a container's runs ascend");
    }
}

static void check_merge(const struct sequence_merge *merge)
{
    tracker_check(merge->tracker);
    for (uint32_t i = 0; i < merge->stands.n; i++) {
        tracker_check(merge->stands.other[i].tracker);
        tracker_check_same(merge->tracker, merge->stands.other[i].tracker);
    }
}

static void check_container(const syn_doc *doc, syn_obj obj)
{
    const struct container *c = container_at(&doc->all, obj);
    require(containers_find(&doc->all, c->id) == obj, "a container is found by its identity");
    check_runs(doc, c, obj);
    if (c->id.kind == SYN_TEXT) {
        if (c->as.text != NULL) rope_check(c->as.text);
        require(c->len == (c->as.text == NULL ? 0 : rope_len(c->as.text)),
                "a text's length is known");
    } else if (c->id.kind == SYN_LIST) {
        require(c->len == c->as.list.n, "a list's length is known");
    } else if (c->id.kind == SYN_MAP) {
        check_map(doc, &c->as.map);
    }
    if (c->merge != NULL && c->merge->window != LV_NONE) check_merge(c->merge);
    require(c->need_edits == 0 && c->need_bytes == 0, "no reservation is left over");
}

void syn_doc_check(const syn_doc *doc)
{
    graph_check(doc->graph);
    check_log(doc);
    for (uint32_t i = 0; i < doc->all.list.n; i++) check_container(doc, i);
    require(doc->desk == NULL || doc->desk->plan.n == 0, "no plan is left over");
    require(doc->records_visible <= doc->records.n, "visible records are there");
    require(doc->pending_bytes <= doc->max_pending, "pending sets are bounded");
}

size_t syn_doc_footprint(const syn_doc *doc)
{
    size_t bytes = sizeof *doc + (size_t)doc->log.runs.cap * sizeof(struct op_run) +
                   doc->log.text.cap + (size_t)doc->log.args.cap * sizeof(struct op_arg) +
                   doc->names.bytes.cap + (size_t)doc->names.list.cap * sizeof(struct name) +
                   ((size_t)doc->names.slot_cap + doc->all.slot_cap) * sizeof(uint32_t) +
                   (size_t)doc->all.list.cap * sizeof(struct container) + doc->pending_bytes +
                   graph_footprint(doc->graph) + (size_t)doc->records.cap * sizeof(struct record);
    for (uint32_t i = 0; i < doc->all.list.n; i++)
        bytes += container_footprint(container_at(&doc->all, i));
    return bytes;
}
