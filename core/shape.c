/* shape.c -- the shape of a set: counts and indexes, checked before anything of it is used.
 *
 *     runs   [peer 0, 3 events] [peer 1, 4 events, 2 deps] ...    as many events here
 *     ops    [insert 5 ...] [delete 2] ...                        as there, and what they take is
 *     queues text, keys, values, ext                              just what the queues hold
 *
 * One pass over each table, so that the rest of apply.c may rely on all of it. */
#include "doc.h"

#include "utf8.h"

static syn_err check_op(syn_doc *doc, const syn_changes *set, uint32_t index)
{
    const struct change_op *op = &set->ops[index];
    if (op->kind <= OP_DELETE_BACK && op->len > 0 && op->len <= SEQ_MAX && op->pos <= SEQ_MAX &&
        op->container < set->container_count)
        return SYN_OK;
    doc->desk->fault.op_run = index + 1;
    if (op->kind >= OP_FIRST_UNKNOWN) {
        if (op->len == 0 || op->len > SEQ_MAX)
            return doc_refuse(doc, SYN_EMALFORMED, "an operation without events");
    } else if (op->kind == OP_MARK || op->kind == OP_LIST_MOVE ||
               (op->kind >= OP_TREE_CREATE && op->kind <= OP_TREE_DELETE)) {
        return doc_refuse(doc, SYN_EUNSUPPORTED, "operation kind %u is not applied by this version",
                          op->kind);
    } else if (op->kind > OP_NOTHING) {
        return doc_refuse(doc, SYN_EMALFORMED, "operation kind %u is reserved", op->kind);
    }
    if (op->len == 0 || op->len > SEQ_MAX || op->pos > SEQ_MAX)
        return doc_refuse(doc, SYN_EMALFORMED,
                          "operation %u has no events or an impossible position", index);
    if (op->kind != OP_NOTHING && op->container >= set->container_count)
        return doc_refuse(doc, SYN_EMALFORMED, "operation %u names no container", index);
    doc->desk->fault.op_run = 0;
    return SYN_OK;
}

struct totals {
    uint64_t events, text, keys, values, ext;
};

static syn_err check_ops(syn_doc *doc, const syn_changes *set, struct totals *sum)
{
    for (uint32_t i = 0; i < set->op_count; i++) {
        syn_err err = check_op(doc, set, i);
        if (err != SYN_OK) return err;
        const struct change_op *op = &set->ops[i];
        sum->events += op->len;
        if (op->kind == OP_TEXT_INSERT) sum->text += op->len;
        if (op_takes_key(op->kind)) sum->keys += op->len;
        if (op_takes_value(op->kind)) sum->values += op->len;
        if (op->kind >= OP_FIRST_UNKNOWN) sum->ext++;
    }
    return SYN_OK;
}

syn_err check_shape(syn_doc *doc, const syn_changes *set, bool *ascii)
{
    struct totals sum = {0};
    uint64_t run_events = 0, deps = 0;
    size_t scalars;
    syn_err err = check_ops(doc, set, &sum);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        if (run->len == 0 || run->len > SEQ_MAX || run->seq > SEQ_MAX - run->len ||
            run->peer >= set->peer_count)
            return doc_refuse(doc, SYN_EMALFORMED, "run %u has no events or no peer", i);
        run_events += run->len;
        deps += run->dep_count;
    }
    for (uint32_t i = 0; i < set->dep_count; i++)
        if (set->deps[i].peer >= set->peer_count)
            return doc_refuse(doc, SYN_EMALFORMED, "parent %u names no peer", i);
    for (uint32_t i = 0; i < set->peer_count; i++)
        if (set->peers[i] == 0) return doc_refuse(doc, SYN_EMALFORMED, "peer 0");
    if (run_events != sum.events || deps != set->dep_count)
        return doc_refuse(doc, SYN_EMALFORMED, "runs and operations do not cover the same events");
    if (!utf8_check(set->text.data, set->text.len, &scalars))
        return doc_refuse(doc, SYN_EUTF8, "the text is not valid UTF-8");
    *ascii = scalars == set->text.len;
    if (scalars != sum.text || sum.keys != set->key_count || sum.values != set->value_count ||
        sum.ext != set->ext_count || set->node_count != 0)
        return doc_refuse(doc, SYN_EMALFORMED, "operations take more or less than is there");
    return SYN_OK;
}
