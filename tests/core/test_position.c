/* test_position.c -- cursors, held against a list of elements that never forgets one.
 *
 * Random histories of the converge test's world.  Again and again a cursor is made somewhere; the
 * oracle notes the element beside it.  After every step each cursor must say what the oracle says
 * about that element: the cursor as it was made, and a copy that has been asked all along. */
#include "cursor.h"
#include "position.h"
#include "syncline_bytes.h"
#include "world.h"

#include <check.h>
#include <stdio.h>

enum { HISTORIES = 3000, CURSORS = 24 };

struct watched {
    bool used;
    uint32_t replica, container;
    int element; /* -1: keeps to an end */
    syn_cursor made, asked;
};

struct watch {
    struct world w;
    struct watched cursor[CURSORS];
    uint64_t checks, gone, far;
};

static oracle_version version_of(const struct world *w, const syn_doc *doc)
{
    size_t count = syn_doc_heads(doc, NULL, 0);
    syn_id *heads = malloc((count + 1) * sizeof *heads);
    oracle_version v = oracle_version_new(w->o);
    syn_doc_heads(doc, heads, count);
    must(oracle_version_of(w->o, heads, count, v));
    free(heads);
    return v;
}

static uint32_t length_of(const syn_doc *doc, syn_obj obj)
{
    return sequence_of(doc, obj)->len;
}

/* ---- Making */

static bool random_sequence(struct watch *t, const syn_doc *doc, uint32_t *container, syn_obj *obj)
{
    for (uint32_t tries = 0; oracle_containers(t->w.o) > 0 && tries < 8; tries++) {
        *container = below(&t->w.r, oracle_containers(t->w.o));
        *obj = find_obj(doc, t->w.o, *container);
        if (*obj != SYN_NO_OBJ && sequence_of(doc, *obj) != NULL) return true;
    }
    return false;
}

/* The same cursor again, here and in another replica. */
static void through_bytes(struct watch *t, syn_doc *doc, uint32_t container,
                          const syn_cursor *cursor)
{
    syn_buf bytes = {0};
    syn_cursor again;
    syn_doc *other = t->w.replica[below(&t->w.r, t->w.replicas)].doc;
    must(syn_cursor_encode(doc, cursor, &bytes) == SYN_OK);
    must(syn_cursor_decode(doc, bytes.data, bytes.len, &again) == SYN_OK);
    must(again.obj == cursor->obj && again.side == cursor->side);
    must(again.at.peer == cursor->at.peer && again.at.seq == cursor->at.seq);
    must(again.index == cursor->index && again.seen.peer == 0);
    syn_err err = syn_cursor_decode(other, bytes.data, bytes.len, &again);
    must(err == SYN_OK ? again.obj == find_obj(other, t->w.o, container) : err == SYN_EMISSING);
    if (bytes.len > 6) {
        bytes.data[below(&t->w.r, (uint32_t)bytes.len)] ^= (char)(1 << below(&t->w.r, 8));
        (void)syn_cursor_decode(doc, bytes.data, bytes.len, &again); /* whatever it says */
    }
    syn_buf_free(&bytes);
}

/* A selection as presence tells it, back into cursors. */
static void through_presence(struct watch *t, syn_doc *doc, syn_obj obj)
{
    syn_id heads[64];
    struct change_dep at[64];
    struct change_container chain[64];
    struct msg_cursor told;
    uint64_t peers[65];
    uint32_t depth;
    syn_cursor ends[2], back[2];
    size_t count = syn_doc_heads(doc, heads, 64);
    uint32_t len = length_of(doc, obj), from = below(&t->w.r, len + 1),
             to = below(&t->w.r, len + 1);
    if (count > 64) return;
    must(syn_cursor_at(doc, obj, from, from < to ? SYN_BEFORE : SYN_AFTER, &ends[0]) == SYN_OK);
    must(syn_cursor_at(doc, obj, to, to < from ? SYN_BEFORE : SYN_AFTER, &ends[1]) == SYN_OK);
    must(syn_obj_chain(doc, obj, chain, 64, &depth, &peers[0]) == SYN_OK);
    for (uint32_t i = 0; i < count; i++) peers[i + 1] = heads[i].peer;
    must(cursor_to_presence(doc, ends, 1, heads, at, (uint32_t)count, &told) == SYN_OK);
    told.container = depth - 1;
    must(told.anchor == from && (int64_t)told.anchor + told.head == to);
    struct msg_presence presence = {.peers = peers,
                                    .peer_count = (uint32_t)count + 1,
                                    .containers = chain,
                                    .container_count = depth};
    must(cursor_from_presence(doc, &presence, &told, back) == SYN_OK);
    for (int i = 0; i < 2; i++)
        must(back[i].obj == obj && back[i].side == ends[i].side && back[i].index == ends[i].index &&
             back[i].at.peer == ends[i].at.peer && back[i].at.seq == ends[i].at.seq);
}

/* In this replica's document, at a position of another replica's version. */
static void make_from(struct watch *t, uint32_t here, uint32_t there)
{
    syn_doc *doc = t->w.replica[here].doc, *other = t->w.replica[there].doc;
    struct watched *cursor = &t->cursor[below(&t->w.r, CURSORS)];
    syn_id heads[MAX_REPLICAS * 8];
    syn_obj obj, obj_there;
    syn_cursor made;
    cursor->used = false;
    if (!random_sequence(t, other, &cursor->container, &obj_there)) return;
    size_t count = syn_doc_heads(other, heads, MAX_REPLICAS * 8);
    if (count > MAX_REPLICAS * 8) return;
    uint32_t len = length_of(other, obj_there), pos = below(&t->w.r, len + 1);
    syn_side side = one_in(&t->w.r, 2) ? SYN_AFTER : SYN_BEFORE;
    obj = find_obj(doc, t->w.o, cursor->container);
    if (obj == SYN_NO_OBJ) return;
    syn_err err = here == there ? syn_cursor_at(doc, obj, pos, side, &made)
                                : syn_cursor_from(doc, obj, heads, count, pos, side, &made);
    bool known = true;
    for (size_t i = 0; i < count; i++) known &= syn_doc_has(doc, heads[i]);
    if (!known) {
        must(err == (syn_doc_has_history(doc) ? SYN_EMISSING : SYN_EHISTORY));
        return;
    }
    if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(doc));
    oracle_version v = version_of(&t->w, other);
    bool at_end = pos == (side == SYN_AFTER ? 0 : len);
    cursor->element =
        at_end ? -1
               : oracle_element(t->w.o, v, cursor->container, side == SYN_AFTER ? pos - 1 : pos);
    must(at_end == (made.at.peer == 0) && (at_end || cursor->element >= 0));
    must(syn_cursor_from(doc, obj, heads, count, len + 1, side, &made) == SYN_ERANGE);
    free(v);
    if (doc_container_exists(doc, obj) || doc->all.list.at[obj].id.form == CONTAINER_ROOT) {
        through_bytes(t, doc, cursor->container, &made);
        through_presence(t, doc, obj);
    }
    cursor->made = cursor->asked = made;
    cursor->replica = here;
    cursor->used = true;
    t->far += here != there;
}

/* ---- Asking */

static void ask(struct watch *t, struct watched *cursor, syn_cursor *which, oracle_version v)
{
    syn_doc *doc = t->w.replica[cursor->replica].doc;
    size_t pos, expected;
    bool gone = false, alive;
    syn_err err = syn_cursor_pos(doc, which, &pos);
    if (err == SYN_EMISSING || err == SYN_EHISTORY) {
        must(!syn_doc_has(doc, which->at));
        cursor->used = false;
        return;
    }
    if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(doc));
    must(syn_cursor_alive(doc, which, &alive) == SYN_OK);
    if (cursor->element < 0) {
        expected = which->side == SYN_AFTER ? 0 : length_of(doc, which->obj);
    } else {
        expected = oracle_place(t->w.o, v, cursor->container, cursor->element, &gone);
        if (!gone && which->side == SYN_AFTER) expected++;
    }
    ck_assert_msg(pos == expected, "at %zu, not %zu (%s, side %u)", pos, expected,
                  gone ? "gone" : "alive", which->side);
    must(alive == !gone);
    t->checks++;
    t->gone += gone;
}

static void ask_all(struct watch *t, uint32_t replica)
{
    const syn_doc *doc = t->w.replica[replica].doc;
    oracle_version v = version_of(&t->w, doc);
    for (uint32_t i = 0; i < CURSORS; i++) {
        struct watched *cursor = &t->cursor[i];
        if (!cursor->used || cursor->replica != replica) continue;
        syn_obj obj = find_obj(doc, t->w.o, cursor->container);
        if (obj == SYN_NO_OBJ) { /* the replica was loaded anew, and does not know it */
            cursor->used = false;
            continue;
        }
        cursor->made.obj = cursor->asked.obj = obj;
        syn_cursor copy = cursor->made;
        ask(t, cursor, &copy, v);
        if (cursor->used && one_in(&t->w.r, 2)) ask(t, cursor, &cursor->asked, v);
    }
    free(v);
    syn_doc_check(doc);
}

/* ---- Histories */

static void step(struct watch *t)
{
    struct world *w = &t->w;
    uint32_t a = below(&w->r, w->replicas), b = below(&w->r, w->replicas);
    uint32_t what = below(&w->r, 100);
    if (what < 55)
        world_edit(w, &w->replica[a]);
    else if (what < 88)
        a != b ? world_meet(w, &w->replica[a], &w->replica[b]) : (void)0;
    else if (what < 92)
        world_load(w, &w->replica[a], &w->replica[b]);
    else if (what < 96)
        world_backfill(w, &w->replica[a]);
    else
        world_without(w, &w->replica[a]);
    world_look(w, &w->replica[a], false);
    for (uint32_t i = 0; i < w->replicas; i++) ask_all(t, i);
    for (uint32_t n = below(&w->r, 4); n > 0; n--) {
        uint32_t here = below(&w->r, w->replicas);
        make_from(t, here, one_in(&w->r, 2) ? here : below(&w->r, w->replicas));
    }
}

static void run_history(uint32_t seed, uint64_t *gone)
{
    struct watch t = {0};
    struct random shape = random_seeded(seed);
    bool large = seed % 100 == 99;
    world_init(&t.w, seed, 2 + below(&shape, 3), large ? 1024 : 448);
    for (uint32_t i = large ? 120 : 5 + below(&shape, 30); i > 0; i--) step(&t);
    for (uint32_t i = 0; i < t.w.replicas; i++) {
        world_complete(&t.w, &t.w.replica[i]);
        ask_all(&t, i);
    }
    *gone += t.gone;
    world_free(&t.w);
}

START_TEST(cursors_stay_beside_their_elements)
{
    const char *one = getenv("SYN_SEED");
    uint32_t first = one != NULL ? (uint32_t)strtoul(one, NULL, 10) : 0;
    uint32_t count = one != NULL ? 1 : seeds(HISTORIES);
    uint64_t gone = 0;
    for (uint32_t seed = first; seed < first + count; seed++) {
        if (one == NULL && seed % 500 == 0)
            printf("position: from seed %u\n", seed), fflush(stdout);
        run_history(seed, &gone);
    }
    ck_assert(one != NULL || gone > 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("position");
    TCase *tc = tcase_create("cursors");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, cursors_stay_beside_their_elements);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
