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

/* A table of syn_changes, as offsets: where its address and its count of entries are, how large an
 * entry is, and where it has its strings. */
struct table {
    uint16_t at, count, size, strings, string_at[2];
};

#define TABLE(member, count_member)                                                                \
    .at = offsetof(syn_changes, member), .count = offsetof(syn_changes, count_member),             \
    .size = sizeof *((syn_changes *)0)->member

static const struct table TABLES[] = {
    {TABLE(peers, peer_count)},
    {TABLE(containers, container_count), .strings = 2,
     .string_at = {offsetof(struct change_container, name),
                   offsetof(struct change_container, key)}},
    {TABLE(runs, run_count)},
    {TABLE(deps, dep_count)},
    {TABLE(ops, op_count)},
    {TABLE(keys, key_count), .strings = 1},
    {TABLE(values, value_count), .strings = 1, .string_at = {offsetof(struct change_value, blob)}},
    {TABLE(nodes, node_count)},
    {TABLE(ext, ext_count), .strings = 1},
    {TABLE(run_time, run_count)},
    {TABLE(author, peer_count), .strings = 1},
};
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

/* NULL: the set has none. */
static const char *entries_of(const syn_changes *set, const struct table *table, uint32_t *count)
{
    const char *entries;
    memcpy(&entries, (const char *)set + table->at, sizeof entries);
    memcpy(count, (const char *)set + table->count, sizeof *count);
    if (entries == NULL) *count = 0;
    return entries;
}

static size_t content_bytes(const syn_changes *set)
{
    size_t bytes = set->text.len;
    for (const struct table *t = TABLES; t < TABLES + TABLE_COUNT; t++) {
        uint32_t count;
        const char *entries = entries_of(set, t, &count);
        for (uint32_t k = 0; k < t->strings; k++)
            for (uint32_t i = 0; i < count; i++) {
                syn_str string;
                memcpy(&string, entries + (size_t)i * t->size + t->string_at[k], sizeof string);
                bytes += string.len;
            }
    }
    return bytes;
}

size_t changes_footprint(const syn_changes *set)
{
    size_t bytes = aligned(sizeof *set) + content_bytes(set);
    for (const struct table *t = TABLES; t < TABLES + TABLE_COUNT; t++) {
        uint32_t count;
        (void)entries_of(set, t, &count);
        bytes += aligned((size_t)count * t->size);
    }
    return bytes;
}

struct packer {
    char *tables, *content;
};

/* The string at `at`, which is moved. */
static void pack_string(struct packer *packer, char *at)
{
    syn_str string;
    memcpy(&string, at, sizeof string);
    if (string.len > 0) memcpy(packer->content, string.data, string.len);
    string.data = packer->content;
    packer->content += string.len;
    memcpy(at, &string, sizeof string);
}

static void pack_table(struct packer *packer, syn_changes *copy, const struct table *table)
{
    uint32_t count;
    const char *from = entries_of(copy, table, &count);
    char *to = packer->tables;
    size_t bytes = (size_t)count * table->size;
    if (from == NULL) return;
    if (bytes > 0) memcpy(to, from, bytes);
    memcpy((char *)copy + table->at, &to, sizeof to);
    packer->tables += aligned(bytes);
    for (uint32_t k = 0; k < table->strings; k++)
        for (uint32_t i = 0; i < count; i++)
            pack_string(packer, to + (size_t)i * table->size + table->string_at[k]);
}

syn_err syn_changes_copy(const syn_mem *mem, const syn_changes *set, syn_changes **out)
{
    size_t bytes = changes_footprint(set);
    *out = NULL;
    char *block = mem_alloc(mem == NULL ? &mem_malloc : mem, bytes);
    if (block == NULL) return SYN_ENOMEM;
    struct packer packer = {block + aligned(sizeof *set), block + bytes - content_bytes(set)};
    syn_changes *copy = (syn_changes *)(void *)block;
    *copy = *set;
    copy->effects = NULL; /* a copy waits for its parents, or goes to another document */
    copy->effect_count = 0;
    for (uint32_t i = 0; i < TABLE_COUNT; i++) pack_table(&packer, copy, &TABLES[i]);
    pack_string(&packer, (char *)&copy->text);
    *out = copy;
    return SYN_OK;
}

void syn_changes_free(const syn_mem *mem, syn_changes *set)
{
    if (set != NULL) mem_free(mem == NULL ? &mem_malloc : mem, set, changes_footprint(set));
}
