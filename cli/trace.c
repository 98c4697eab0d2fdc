/* trace.c -- reading traces: one pass over one buffer, every string left where it lies. */
#include "trace.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_FILE ((size_t)1 << 31) /* inflated; the greatest known trace has 20 MB */

struct reader {
    char *at, *end; /* the current line, NUL-terminated; fields are cut off from the front */
    char *next;
    uint32_t line;
    char *why;
};

static syn_err bad(struct reader *r, const char *what)
{
    (void)snprintf(r->why, 256, "line %u: %s", r->line, what);
    return SYN_EMALFORMED;
}

/* Makes room for one more entry; doubles. */
static bool grow(void **at, uint32_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0) return true;
    size_t cap = count == 0 ? 1 : (size_t)count * 2;
    void *more = realloc(*at, cap * size);
    if (more == NULL) return false;
    *at = more;
    return true;
}
#define PUSH(list, count)                                                                          \
    (grow((void **)(void *)&(list), (count), sizeof *(list)) ? &(list)[(count)++] : NULL)

static syn_err slurp(const char *path, char **out, size_t *len, char why[256])
{
    gzFile file = gzopen(path, "rb");
    if (file == NULL) {
        (void)snprintf(why, 256, "cannot open it: %s", strerror(errno));
        return SYN_EIO;
    }
    size_t cap = (size_t)1 << 20, used = 0;
    char *data = malloc(cap + 1);
    syn_err err = data == NULL ? SYN_ENOMEM : SYN_OK;
    while (err == SYN_OK) {
        int got = gzread(file, data + used, (unsigned)(cap - used));
        if (got < 0) err = SYN_EIO;
        if (got <= 0) break;
        used += (size_t)got;
        if (used < cap) continue;
        char *more = cap >= MAX_FILE ? NULL : realloc(data, cap * 2 + 1);
        if (more == NULL) {
            err = SYN_ENOMEM;
        } else {
            data = more;
            cap *= 2;
        }
    }
    (void)gzclose(file);
    if (err != SYN_OK) {
        (void)snprintf(why, 256, "cannot read it: %s", syn_strerror(err));
        free(data);
        return err;
    }
    data[used] = '\0';
    *out = data;
    *len = used;
    return SYN_OK;
}

/* The next line that says something; false at the end. */
static bool next_line(struct reader *r)
{
    while (*r->next != '\0') {
        r->at = r->next;
        char *end = strchr(r->at, '\n');
        r->end = end != NULL ? end : r->at + strlen(r->at);
        r->next = end != NULL ? end + 1 : r->end;
        *r->end = '\0';
        r->line++;
        if (*r->at != '\0' && *r->at != '#') return true;
    }
    return false;
}

static char *field(struct reader *r)
{
    char *start = r->at;
    char *space = strchr(start, ' ');
    if (space != NULL) *space = '\0';
    r->at = space != NULL ? space + 1 : r->end;
    return start;
}

static bool number(char **at, uint64_t max, uint64_t *out)
{
    if (**at < '0' || **at > '9') return false;
    uint64_t n = 0;
    while (**at >= '0' && **at <= '9') {
        n = n * 10 + (uint64_t)(*(*at)++ - '0');
        if (n > max) return false;
    }
    *out = n;
    return true;
}

static bool number_field(struct reader *r, uint64_t max, uint64_t *out)
{
    char *text = field(r);
    return number(&text, max, out) && *text == '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Unescapes in place. */
static bool unescape(char *text, syn_str *out)
{
    char *to = text;
    const char *from = text;
    while (*from != '\0') {
        if (*from != '%') {
            *to++ = *from++;
            continue;
        }
        int high = hex_digit(from[1]);
        int low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0) return false;
        *to++ = (char)(unsigned char)(high * 16 + low);
        from += 3;
    }
    *out = (syn_str){text, (size_t)(to - text)};
    return true;
}

static uint32_t scalars(syn_str text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return n;
}

static syn_err read_parents(struct reader *r, struct trace_record *rec, struct trace_txn *txn)
{
    char *text = field(r);
    uint32_t self = rec->txn_count - 1;
    txn->parent = rec->parent_count;
    bool previous = strcmp(text, ".") == 0;
    if (strcmp(text, "-") == 0 || (previous && self == 0)) return SYN_OK;
    do {
        uint64_t parent = self - 1;
        if (!previous && (!number(&text, UINT32_MAX, &parent) || parent >= self))
            return bad(r, "a parent must be the number of an earlier txn");
        uint32_t *slot = PUSH(rec->parents, rec->parent_count);
        if (slot == NULL) return SYN_ENOMEM;
        *slot = (uint32_t)parent;
        if (txn->parent_count > 0 && slot[-1] >= *slot) return bad(r, "parents must ascend");
        txn->parent_count++;
    } while (!previous && *text++ == ',');
    return previous || text[-1] == '\0' ? SYN_OK : bad(r, "parents are numbers with commas");
}

static syn_err read_patch(struct reader *r, struct trace_record *rec, struct trace_txn *txn)
{
    char *text = field(r);
    uint64_t pos = 0, removed = 0;
    struct trace_patch *patch = PUSH(rec->patches, rec->patch_count);
    if (patch == NULL) return SYN_ENOMEM;
    if (!number(&text, SEQ_MAX, &pos) || *text++ != ',' || !number(&text, SEQ_MAX, &removed) ||
        *text++ != ',' || !unescape(text, &patch->text))
        return bad(r, "a patch is pos,del,text");
    patch->pos = (uint32_t)pos;
    patch->removed = (uint32_t)removed;
    patch->inserted = scalars(patch->text);
    txn->patch_count++;
    uint64_t len = (uint64_t)txn->len + patch->removed + patch->inserted;
    if (len > SEQ_MAX) return bad(r, "a txn this long cannot be");
    txn->len = (uint32_t)len;
    return SYN_OK;
}

/* Txns without events have no id to stand on: their children get their parents instead, without
 * those that another parent has among its ancestors. */
static syn_err skip_empty_parents(struct trace_record *rec)
{
    uint32_t self = rec->txn_count - 1;
    struct trace_txn *txn = &rec->txns[self];
    bool any = false;
    for (uint32_t p = 0; p < txn->parent_count; p++)
        any = any || rec->txns[rec->parents[txn->parent + p]].len == 0;
    if (!any) return SYN_OK;
    bool *keep = calloc(rec->txn_count, sizeof *keep);
    bool *below = calloc(rec->txn_count, sizeof *below);
    syn_err err = keep != NULL && below != NULL ? SYN_OK : SYN_ENOMEM;
    for (uint32_t p = 0; err == SYN_OK && p < txn->parent_count; p++) {
        uint32_t at = rec->parents[txn->parent + p];
        const struct trace_txn *up = &rec->txns[at];
        keep[at] = up->len > 0;
        for (uint32_t q = 0; up->len == 0 && q < up->parent_count; q++)
            keep[rec->parents[up->parent + q]] = true;
    }
    for (uint32_t t = self; err == SYN_OK && t-- > 0;)
        for (uint32_t p = 0; (keep[t] || below[t]) && p < rec->txns[t].parent_count; p++)
            below[rec->parents[rec->txns[t].parent + p]] = true;
    rec->parent_count = txn->parent;
    txn->parent_count = 0;
    for (uint32_t t = 0; err == SYN_OK && t < self; t++) {
        if (!keep[t] || below[t]) continue;
        uint32_t *slot = PUSH(rec->parents, rec->parent_count);
        if (slot == NULL) err = SYN_ENOMEM;
        if (slot != NULL) *slot = t;
        txn->parent_count++;
    }
    free(below);
    free(keep);
    return err;
}

static syn_err read_txn(struct reader *r, struct trace_record *rec, uint32_t *agent_next)
{
    uint64_t agent = 0;
    if (!number_field(r, UINT32_MAX, &agent) || agent >= rec->agents)
        return bad(r, "agent out of range");
    struct trace_txn *txn = PUSH(rec->txns, rec->txn_count);
    if (txn == NULL) return SYN_ENOMEM;
    *txn = (struct trace_txn){.agent = (uint32_t)agent, .patch = rec->patch_count};
    syn_err err = read_parents(r, rec, txn);
    if (err == SYN_OK) err = skip_empty_parents(rec);
    while (err == SYN_OK && r->at < r->end) err = read_patch(r, rec, txn);
    if (err != SYN_OK) return err;
    txn->seq = agent_next[agent];
    if (txn->len > SEQ_MAX - txn->seq) return bad(r, "too many events of one agent");
    agent_next[agent] += txn->len;
    rec->events += txn->len;
    return SYN_OK;
}

/* V, W, F, E: what is expected where. */
static syn_err read_check(struct reader *r, struct trace_record *rec, char kind)
{
    struct trace_check check = {.literal = kind == 'W' || kind == 'E'};
    uint64_t txn = 0;
    if ((kind == 'V' || kind == 'W') &&
        (!number_field(r, UINT32_MAX, &txn) || txn >= rec->txn_count))
        return bad(r, "a checkpoint at no txn");
    check.txn = (uint32_t)txn;
    if (check.literal) {
        if (!unescape(r->at, &check.text)) return bad(r, "a wrong escape");
        check.bytes = check.text.len;
        check.chars = scalars(check.text);
    } else {
        if (!number_field(r, UINT32_MAX, &check.chars) ||
            !number_field(r, UINT32_MAX, &check.bytes) || r->end - r->at != 64)
            return bad(r, "expected characters, bytes and a sha256");
        check.text = (syn_str){r->at, 64};
    }
    if (kind == 'F') {
        rec->final = check;
    } else if (kind == 'E') {
        rec->literal = check.text;
        rec->has_literal = true;
    } else {
        if (rec->check_count > 0 && rec->checks[rec->check_count - 1].txn > check.txn)
            return bad(r, "checkpoints must ascend");
        struct trace_check *slot = PUSH(rec->checks, rec->check_count);
        if (slot == NULL) return SYN_ENOMEM;
        *slot = check;
    }
    return SYN_OK;
}

static syn_err read_head(struct reader *r, struct trace_record *rec, uint64_t *txns)
{
    uint64_t agents = 0;
    rec->name = field(r);
    char *kind = field(r);
    rec->linear = *kind == 'S';
    if (*rec->name == '\0' || strlen(rec->name) > 255 || (*kind != 'S' && *kind != 'C') ||
        !number_field(r, 1u << 20, &agents) || !number_field(r, UINT32_MAX, txns))
        return bad(r, "a record begins R name S|C agents txns");
    for (const char *c = rec->name; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
            return bad(r, "a record's name is printable, without quotes and backslashes");
    rec->agents = (uint32_t)agents;
    return SYN_OK;
}

static syn_err read_record(struct reader *r, struct trace_record *rec)
{
    uint64_t txns = 0;
    syn_err err = read_head(r, rec, &txns);
    if (err != SYN_OK) return err;
    uint32_t *agent_next = calloc((size_t)rec->agents + 1, sizeof *agent_next);
    if (agent_next == NULL) return SYN_ENOMEM;
    bool ended = false, final = false;
    while (err == SYN_OK && !ended) {
        if (!next_line(r)) {
            err = bad(r, "the file ends inside a record");
            break;
        }
        char *kind = field(r);
        ended = *kind == '.';
        if (*kind == 'T') {
            err = read_txn(r, rec, agent_next);
        } else if (*kind == 'V' || *kind == 'W' || *kind == 'F' || *kind == 'E') {
            final = final || *kind == 'F';
            err = read_check(r, rec, *kind);
        } else if (!ended) {
            err = bad(r, "a line must begin with T, V, W, F, E or .");
        }
    }
    free(agent_next);
    if (err == SYN_OK && rec->txn_count != txns)
        err = bad(r, "not as many txns as the record says");
    if (err == SYN_OK && !final) err = bad(r, "the record has no F line");
    return err;
}

syn_err trace_read(const char *path, struct trace *out, char why[256])
{
    size_t len = 0;
    *out = (struct trace){0};
    why[0] = '\0';
    syn_err err = slurp(path, &out->buffer, &len, why);
    if (err != SYN_OK) return err;
    struct reader r = {.next = out->buffer, .why = why};
    if (strncmp(out->buffer, "#CTRACE 1", 9) != 0 || strlen(out->buffer) != len)
        err = bad(&r, "not a trace file (its first line is #CTRACE 1)");
    while (err == SYN_OK && next_line(&r)) {
        if (*field(&r) != 'R') {
            err = bad(&r, "expected a record: R ...");
            break;
        }
        struct trace_record *rec = PUSH(out->records, out->count);
        if (rec == NULL) {
            err = SYN_ENOMEM;
            break;
        }
        memset(rec, 0, sizeof *rec);
        err = read_record(&r, rec);
    }
    if (err == SYN_OK && out->count == 0) err = bad(&r, "no record in it");
    if (err == SYN_ENOMEM) (void)snprintf(why, 256, "%s", syn_strerror(err));
    if (err != SYN_OK) trace_free(out);
    return err;
}

void trace_free(struct trace *trace)
{
    for (uint32_t i = 0; i < trace->count; i++) {
        free(trace->records[i].txns);
        free(trace->records[i].parents);
        free(trace->records[i].patches);
        free(trace->records[i].checks);
    }
    free(trace->records);
    free(trace->buffer);
    *trace = (struct trace){0};
}

/* ---- Change sets from txns ------------------------------------------------------------------- */

static const struct change_container root_text = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

syn_err trace_set_new(struct trace_set *set, const struct trace_record *record)
{
    *set = (struct trace_set){0};
    set->peers = calloc((size_t)record->agents + 1, sizeof *set->peers);
    set->peer_index = calloc((size_t)record->agents + 1, sizeof *set->peer_index);
    return set->peers != NULL && set->peer_index != NULL ? SYN_OK : SYN_ENOMEM;
}

void trace_set_free(struct trace_set *set)
{
    free(set->peers);
    free(set->peer_index);
    free(set->runs);
    free(set->deps);
    free(set->ops);
    free(set->text);
    *set = (struct trace_set){0};
}

static bool room(void **at, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return true;
    size_t more = need + need / 2 + 64;
    void *grown = realloc(*at, more * size);
    if (grown == NULL) return false;
    *at = grown;
    *cap = more;
    return true;
}

/* Room for everything the txns can need, so that filling cannot fail. */
static bool set_room(struct trace_set *s, const struct trace_record *rec, const uint32_t *txns,
                     uint32_t count)
{
    size_t deps = 0, ops = 0, text = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct trace_txn *txn = &rec->txns[txns[i]];
        deps += txn->parent_count;
        ops += (size_t)txn->patch_count * 2;
        for (uint32_t p = 0; p < txn->patch_count; p++)
            text += rec->patches[txn->patch + p].text.len;
    }
    return room((void **)(void *)&s->runs, &s->run_cap, count, sizeof *s->runs) &&
           room((void **)(void *)&s->deps, &s->dep_cap, deps, sizeof *s->deps) &&
           room((void **)(void *)&s->ops, &s->op_cap, ops, sizeof *s->ops) &&
           room((void **)(void *)&s->text, &s->text_cap, text, 1);
}

static uint32_t peer_of(struct trace_set *s, uint32_t agent)
{
    if (s->peer_index[agent] == 0) {
        s->peers[s->set.peer_count++] = (uint64_t)agent + 1;
        s->peer_index[agent] = s->set.peer_count;
    }
    return s->peer_index[agent] - 1;
}

/* A parent's last event among the run's `have` parents so far, which stand by (peer, seq). */
static void add_dep(struct trace_set *s, uint32_t have, const struct trace_txn *parent)
{
    struct change_dep dep = {.peer = peer_of(s, parent->agent),
                             .seq = parent->seq + parent->len - 1};
    struct change_dep *at = &s->deps[s->set.dep_count++];
    for (; have > 0 && s->peers[at[-1].peer] > s->peers[dep.peer]; have--, at--) *at = at[-1];
    *at = dep;
}

/* One run per txn, its parents the last events of the parent txns. */
static void add_run(struct trace_set *s, const struct trace_record *rec,
                    const struct trace_txn *txn)
{
    struct change_run *run = &s->runs[s->set.run_count++];
    *run = (struct change_run){
        .peer = peer_of(s, txn->agent), .seq = txn->seq, .len = txn->len, .explicit_parents = true};
    for (uint32_t p = 0; p < txn->parent_count; p++) {
        const struct trace_txn *parent = &rec->txns[rec->parents[txn->parent + p]];
        assert(parent->len > 0); /* skip_empty_parents */
        add_dep(s, run->dep_count, parent);
        run->dep_count++;
        if (parent->agent == txn->agent && txn->parent_count == 1 &&
            parent->seq + parent->len == txn->seq)
            run->explicit_parents = false;
    }
    if (txn->parent_count == 0 && txn->seq == 0) run->explicit_parents = false;
    if (!run->explicit_parents) {
        s->set.dep_count -= run->dep_count;
        run->dep_count = 0;
    }
}

static void add_ops(struct trace_set *s, const struct trace_record *rec,
                    const struct trace_txn *txn)
{
    for (uint32_t p = 0; p < txn->patch_count; p++) {
        const struct trace_patch *patch = &rec->patches[txn->patch + p];
        if (patch->removed > 0)
            s->ops[s->set.op_count++] =
                (struct change_op){.kind = OP_DELETE, .len = patch->removed, .pos = patch->pos};
        if (patch->inserted == 0) continue;
        s->ops[s->set.op_count++] =
            (struct change_op){.kind = OP_TEXT_INSERT, .len = patch->inserted, .pos = patch->pos};
        memcpy(s->text + s->set.text.len, patch->text.data, patch->text.len);
        s->set.text.len += patch->text.len;
    }
}

syn_err trace_set_fill(struct trace_set *s, const struct trace_record *rec, const uint32_t *txns,
                       uint32_t count)
{
    if (!set_room(s, rec, txns, count)) return SYN_ENOMEM;
    for (uint32_t i = 0; i < s->set.peer_count; i++) s->peer_index[s->peers[i] - 1] = 0;
    s->set = (syn_changes){.peers = s->peers,
                           .containers = &root_text,
                           .container_count = 1,
                           .runs = s->runs,
                           .deps = s->deps,
                           .ops = s->ops,
                           .text = {s->text, 0}};
    for (uint32_t i = 0; i < count; i++) {
        const struct trace_txn *txn = &rec->txns[txns[i]];
        if (txn->len == 0) continue;
        add_run(s, rec, txn);
        add_ops(s, rec, txn);
    }
    return SYN_OK;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

void trace_sha256(const char *text, size_t bytes, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    hex[0] = '\0';
    if (EVP_Digest(text, bytes, digest, &len, EVP_sha256(), NULL) != 1) return;
    for (unsigned i = 0; i < 32; i++) (void)snprintf(hex + (size_t)i * 2, 3, "%02x", digest[i]);
}

bool trace_matches(const struct trace_check *check, uint64_t chars, const char *text, size_t bytes)
{
    if (check->bytes != bytes || check->chars != chars) return false;
    if (check->literal) return bytes == 0 || memcmp(check->text.data, text, bytes) == 0;
    char hex[65];
    trace_sha256(text, bytes, hex);
    return memcmp(check->text.data, hex, 64) == 0;
}
