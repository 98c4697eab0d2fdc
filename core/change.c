/* change.c -- a change set as one block of memory.
 *
 *     [syn_changes][peers][containers][runs][deps][ops][keys][values][nodes][ext][run_time][author]
 * bytes ... */
#include "doc.h"

#define ALIGN 8u

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t strings_bytes(const syn_str *strings, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; strings != NULL && i < count; i++) bytes += strings[i].len;
    return bytes;
}

static size_t content_bytes(const syn_changes *set)
{
    size_t bytes = set->text.len + strings_bytes(set->keys, set->key_count) +
                   strings_bytes(set->ext, set->ext_count) +
                   strings_bytes(set->author, set->peer_count);
    for (uint32_t i = 0; i < set->value_count; i++) bytes += set->values[i].blob.len;
    for (uint32_t i = 0; i < set->container_count; i++)
        bytes += set->containers[i].name.len + set->containers[i].key.len;
    return bytes;
}

size_t changes_footprint(const syn_changes *set)
{
    return aligned(sizeof *set) + aligned(set->peer_count * sizeof *set->peers) +
           aligned(set->container_count * sizeof *set->containers) +
           aligned(set->run_count * sizeof *set->runs) +
           aligned(set->dep_count * sizeof *set->deps) + aligned(set->op_count * sizeof *set->ops) +
           aligned(set->key_count * sizeof *set->keys) +
           aligned(set->value_count * sizeof *set->values) +
           aligned(set->node_count * sizeof *set->nodes) +
           aligned(set->ext_count * sizeof *set->ext) +
           (set->run_time == NULL ? 0 : aligned(set->run_count * sizeof *set->run_time)) +
           (set->author == NULL ? 0 : aligned(set->peer_count * sizeof *set->author)) +
           content_bytes(set) + sizeof(size_t);
}

struct packer {
    char *tables, *content;
};

static void *pack_table(struct packer *packer, const void *from, size_t bytes)
{
    char *to = packer->tables;
    if (bytes > 0) memcpy(to, from, bytes);
    packer->tables += aligned(bytes);
    return to;
}

static syn_str pack_string(struct packer *packer, syn_str from)
{
    syn_str to = {packer->content, from.len};
    if (from.len > 0) memcpy(packer->content, from.data, from.len);
    packer->content += from.len;
    return to;
}

static syn_str *pack_strings(struct packer *packer, const syn_str *from, uint32_t count)
{
    if (from == NULL) return NULL;
    syn_str *to = pack_table(packer, from, count * sizeof *from);
    for (uint32_t i = 0; i < count; i++) to[i] = pack_string(packer, from[i]);
    return to;
}

static void pack_all(struct packer *packer, const syn_changes *set, syn_changes *copy)
{
    *copy = *set;
    copy->effects = NULL; /* a copy waits for its parents, or goes to another document */
    copy->effect_count = 0;
    copy->peers = pack_table(packer, set->peers, set->peer_count * sizeof *set->peers);
    struct change_container *containers =
        pack_table(packer, set->containers, set->container_count * sizeof *containers);
    for (uint32_t i = 0; i < set->container_count; i++) {
        containers[i].name = pack_string(packer, set->containers[i].name);
        containers[i].key = pack_string(packer, set->containers[i].key);
    }
    copy->containers = containers;
    copy->runs = pack_table(packer, set->runs, set->run_count * sizeof *set->runs);
    copy->deps = pack_table(packer, set->deps, set->dep_count * sizeof *set->deps);
    copy->ops = pack_table(packer, set->ops, set->op_count * sizeof *set->ops);
    copy->keys = set->key_count == 0 ? NULL : pack_strings(packer, set->keys, set->key_count);
    struct change_value *values =
        pack_table(packer, set->values, set->value_count * sizeof *values);
    for (uint32_t i = 0; i < set->value_count; i++)
        values[i].blob = pack_string(packer, set->values[i].blob);
    copy->values = values;
    copy->nodes = pack_table(packer, set->nodes, set->node_count * sizeof *set->nodes);
    copy->ext = set->ext_count == 0 ? NULL : pack_strings(packer, set->ext, set->ext_count);
    if (set->run_time != NULL)
        copy->run_time = pack_table(packer, set->run_time, set->run_count * sizeof *set->run_time);
    copy->author = pack_strings(packer, set->author, set->peer_count);
    copy->text = pack_string(packer, set->text);
}

syn_err syn_changes_copy(const syn_mem *mem, const syn_changes *set, syn_changes **out)
{
    size_t bytes = changes_footprint(set);
    *out = NULL;
    char *block = mem_alloc(mem == NULL ? &mem_malloc : mem, bytes);
    if (block == NULL) return SYN_ENOMEM;
    size_t content = content_bytes(set);
    struct packer packer = {block + aligned(sizeof *set), block + bytes - sizeof(size_t) - content};
    *out = (syn_changes *)(void *)block;
    pack_all(&packer, set, *out);
    return SYN_OK;
}

void syn_changes_free(const syn_mem *mem, syn_changes *set)
{
    if (set != NULL) mem_free(mem == NULL ? &mem_malloc : mem, set, changes_footprint(set));
}
