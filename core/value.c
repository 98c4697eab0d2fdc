/* value.c -- one value on its three roads: in from a change or snapshot, kept in the log, out
 * again.
 *
 *     change_value   as it travels: spelled out, its bytes borrowed
 *     op_arg         as it rests: 16 bytes, its bytes in oplog.text, its child a container number
 *     syn_value      as the caller sees it (read.c) */
#include "doc.h"

#include "utf8.h"

static syn_err check_child(syn_doc *doc, const struct change_value *value, bool in_map)
{
    if (value->i < 0 || value->i > UINT32_MAX || (value->i > SYN_TREE && value->i < 16))
        return doc_refuse(doc, SYN_EMALFORMED, "no such kind of container");
    if (value->kind == SYN_VALUE_MERGEABLE && !in_map)
        return doc_refuse(doc, SYN_EMALFORMED, "a mergeable child outside a map");
    return SYN_OK;
}

syn_err value_check(syn_doc *doc, const struct change_value *value, bool in_map)
{
    size_t scalars;
    if (value->kind > SYN_VALUE_MERGEABLE && value->kind < 16)
        return doc_refuse(doc, SYN_EMALFORMED, "value kind %u is reserved", value->kind);
    if (value->kind == SYN_VALUE_CHILD || value->kind == SYN_VALUE_MERGEABLE)
        return check_child(doc, value, in_map);
    if (value->kind == SYN_VALUE_STRING && !utf8_valid(value->blob.data, value->blob.len, &scalars))
        return doc_refuse(doc, SYN_EUTF8, "a string is not valid UTF-8");
    if (value->blob.len > doc->max_value)
        return doc_refuse(doc, SYN_ELIMIT, "a value of %zu bytes; at most %u", value->blob.len,
                          doc->max_value);
    return SYN_OK;
}

void value_push_bytes(syn_doc *doc, syn_str bytes, uint32_t *off)
{
    *off = doc->log.text.n;
    if (bytes.len > 0) memcpy(doc->log.text.at + *off, bytes.data, bytes.len);
    doc->log.text.n += (uint32_t)bytes.len;
}

syn_err value_keep(syn_doc *doc, const struct change_value *value, syn_obj map, uint32_t agent,
                   uint32_t seq, struct op_arg *arg)
{
    arg->kind = value->kind;
    switch (value->kind) {
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        return SYN_OK;
    case SYN_VALUE_INT:
        arg->as.i = value->i;
        return SYN_OK;
    case SYN_VALUE_REAL:
        arg->as.real = syn_real(value->real).as.real;
        return SYN_OK;
    case SYN_VALUE_CHILD:
        arg->as.child.kind = (uint32_t)value->i;
        return doc_add_child(doc, agent, seq, arg->as.child.kind, &arg->as.child.obj);
    case SYN_VALUE_MERGEABLE:
        arg->as.child.kind = (uint32_t)value->i;
        return doc_add_mergeable(doc, map, arg->key, arg->as.child.kind, &arg->as.child.obj);
    default: {
        syn_err err = oplog_reserve(&doc->log, &doc->mem, 0, value->blob.len, 0);
        if (err != SYN_OK) return err;
        arg->as.blob.len = (uint32_t)value->blob.len;
        value_push_bytes(doc, value->blob, &arg->as.blob.off);
        return SYN_OK;
    }
    }
}

struct change_value value_give(const syn_doc *doc, const struct op_arg *arg)
{
    struct change_value value = {.kind = arg->kind};
    switch (arg->kind) {
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        break;
    case SYN_VALUE_INT:
        value.i = arg->as.i;
        break;
    case SYN_VALUE_REAL:
        value.real = arg->as.real;
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        value.i = arg->as.child.kind;
        break;
    default:
        value.blob = doc_blob(doc, arg);
        break;
    }
    return value;
}

bool value_is(const syn_doc *doc, const struct op_arg *arg, const struct change_value *value)
{
    if (arg->kind != value->kind) return false;
    switch (arg->kind) {
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        return true;
    case SYN_VALUE_INT:
        return arg->as.i == value->i;
    case SYN_VALUE_REAL: {
        double real = syn_real(value->real).as.real; /* bits, so that -0.0 is not 0.0 */
        return memcmp(&arg->as.real, &real, sizeof real) == 0;
    }
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        return arg->as.child.kind == (uint64_t)value->i;
    default:
        return str_equal(doc_blob(doc, arg), value->blob);
    }
}

syn_value arg_value(const struct op_arg *arg, const char *bytes)
{
    syn_value value = {.kind = arg->kind};
    switch (arg->kind) {
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        break;
    case SYN_VALUE_INT:
        value.as.i = arg->as.i;
        break;
    case SYN_VALUE_REAL:
        value.as.real = arg->as.real;
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        value.child = (syn_kind)arg->as.child.kind;
        value.as.obj = arg->as.child.obj;
        break;
    default:
        value.as.str =
            (syn_str){arg->as.blob.len == 0 ? "" : bytes + arg->as.blob.off, arg->as.blob.len};
        break;
    }
    return value;
}
