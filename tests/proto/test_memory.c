/* test_memory.c -- every allocation failing in turn, and bytes changed at random.
 *
 * Whatever happens, the answer is an error, nothing leaks (the hook counts), and no input makes the
 * decoder read outside (the sanitizers tell). */
#include "examples.h"
#include "samples.h"
#include "wire.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t rounds(uint64_t base)
{
    const char *multiplier = getenv("SYN_SEEDS");
    return multiplier != NULL && atoi(multiplier) > 0 ? base * (uint64_t)atoi(multiplier) : base;
}

/* ---- A hook that fails ----------------------------------------------------------------------- */

struct failing {
    uint64_t calls, fail_at; /* 0: never */
    size_t held;
};

static void *failing_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct failing *f = user;
    if (new_size == 0) {
        f->held -= old_size;
        free(ptr);
        return NULL;
    }
    if (++f->calls == f->fail_at) return NULL;
    void *moved = realloc(ptr, new_size);
    ck_assert_ptr_nonnull(moved);
    f->held += new_size - old_size;
    return moved;
}

static syn_mem hook(struct failing *f)
{
    return (syn_mem){.resize = failing_resize, .user = f};
}

/* ---- Decoding and encoding ------------------------------------------------------------------- */

/* A fresh arena, a frame in, the same bytes out; the error of the first step that failed. */
static syn_err there_and_back(struct failing *f, const syn_buf *bytes)
{
    syn_mem mem = hook(f);
    proto_arena *arena;
    struct frame frame;
    struct proto_fault fault;
    syn_err err = proto_arena_new(&arena, &mem);
    if (err != SYN_OK) return err;
    err = proto_decode(arena, bytes->data, bytes->len, NULL, example_tables, NULL, &frame, &fault);
    if (err == SYN_OK) {
        syn_buf out = {.mem = mem};
        err = proto_encode(&out, &frame);
        ck_assert(err == SYN_OK || out.len == 0);
        syn_buf_free(&out);
    }
    proto_arena_free(arena);
    return err;
}

static void fail_each(const syn_buf *bytes, const char *name)
{
    struct failing f = {0};
    ck_assert_int_eq(there_and_back(&f, bytes), SYN_OK);
    uint64_t calls = f.calls;
    for (uint64_t i = 1; i <= calls; i++) {
        f = (struct failing){.fail_at = i};
        ck_assert_msg(there_and_back(&f, bytes) == SYN_ENOMEM, "%s: allocation %llu", name,
                      (unsigned long long)i);
        ck_assert_msg(f.held == 0, "%s: allocation %llu leaks", name, (unsigned long long)i);
    }
}

START_TEST(frames_without_memory)
{
    for (int kind = FRAME_CHANGES; kind <= FRAME_ERROR; kind++) {
        struct samples s;
        struct frame frame;
        syn_buf bytes = {0};
        samples_begin(&s, 7, 80);
        sample_frame(&s, (enum frame_kind)kind, &frame);
        ck_assert_int_eq(proto_encode(&bytes, &frame), SYN_OK);
        fail_each(&bytes, proto_frame_name((enum frame_kind)kind));
        syn_buf_free(&bytes);
        samples_reset(&s);
    }
}
END_TEST

static syn_err pack_and_inflate(struct failing *f, syn_str text)
{
    syn_mem mem = hook(f);
    syn_buf body = {.mem = mem};
    proto_arena *arena;
    struct frame frame;
    struct proto_fault fault;
    syn_str raw;
    syn_err err = proto_encode_packed_body(&body, PACKED_CHANGES, text.data, text.len);
    if (err == SYN_OK) err = proto_arena_new(&arena, &mem);
    if (err == SYN_OK) {
        err = proto_decode(arena, body.data, body.len, NULL, NULL, NULL, &frame, &fault);
        if (err == SYN_OK) err = proto_inflate(arena, &frame.as.packed, 0, &raw, &fault);
        if (err == SYN_OK) ck_assert_mem_eq(raw.data, text.data, text.len);
        proto_arena_free(arena);
    }
    syn_buf_free(&body);
    return err;
}

START_TEST(packed_without_memory)
{
    static char text[200000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)("abcdefgh"[i * i % 8]);
    struct failing f = {0};
    syn_str all = {.data = text, .len = sizeof text};
    ck_assert_int_eq(pack_and_inflate(&f, all), SYN_OK);
    ck_assert_uint_eq(f.held, 0);
    uint64_t calls = f.calls;
    for (uint64_t i = 1; i <= calls; i++) {
        f = (struct failing){.fail_at = i};
        ck_assert_int_eq(pack_and_inflate(&f, all), SYN_ENOMEM);
        ck_assert_uint_eq(f.held, 0);
    }
}
END_TEST

static syn_buf kept[200];
static syn_str views[200];
static uint32_t kept_count;

static syn_err keep(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    (void)user;
    (void)parts;
    ck_assert_uint_lt(part, 200);
    kept_count = part + 1;
    ck_assert_int_eq(syn_buf_append(&kept[part], bytes.data, bytes.len), SYN_OK);
    views[part] = (syn_str){.data = kept[part].data, .len = kept[part].len};
    return SYN_OK;
}

START_TEST(join_without_memory)
{
    struct samples s;
    syn_snapshot snapshot, back;
    samples_begin(&s, 30, 60);
    sample_snapshot(&s, &snapshot);
    ck_assert_int_eq(proto_encode_snapshot(&snapshot, 1, 2, 2000, keep, NULL), SYN_OK);
    uint64_t calls = 1;
    for (uint64_t i = 0; i <= calls; i++) {
        struct failing f = {.fail_at = i};
        syn_mem mem = hook(&f);
        proto_arena *arena;
        struct proto_fault fault;
        syn_err err = proto_arena_new(&arena, &mem);
        if (err == SYN_OK) {
            err = proto_join_snapshot(arena, views, kept_count, &back, NULL, &fault);
            proto_arena_free(arena);
        }
        ck_assert_int_eq(err, i == 0 ? SYN_OK : SYN_ENOMEM);
        ck_assert_uint_eq(f.held, 0);
        if (i == 0) calls = f.calls;
    }
    for (uint32_t i = 0; i < kept_count; i++) syn_buf_free(&kept[i]);
    samples_reset(&s);
}
END_TEST

/* ---- Bytes changed at random ----------------------------------------------------------------- */

static void mutate(struct samples *s, syn_buf *bytes)
{
    uint32_t changes = 1 + samples_below(s, 4);
    for (uint32_t i = 0; i < changes && bytes->len > 0; i++) {
        size_t at = samples_below(s, (uint32_t)bytes->len);
        switch (samples_below(s, 4)) {
        case 0:
            bytes->data[at] = (char)samples_random(s);
            break;
        case 1:
            bytes->data[at] = (char)(bytes->data[at] ^ 1 << samples_below(s, 8));
            break;
        case 2:
            bytes->len = at;
            break;
        default:
            memmove(bytes->data + at, bytes->data + at + 1, bytes->len - at - 1);
            bytes->len--;
        }
    }
}

/* What is taken after all can be written, and what is written is taken: the decoder leaves nothing
 * unchecked that the encoder relies on. */
static void decode_mutated(proto_arena *arena, const syn_buf *bytes)
{
    struct frame frame, again;
    struct proto_fault fault;
    syn_err err =
        proto_decode(arena, bytes->data, bytes->len, NULL, example_tables, NULL, &frame, &fault);
    if (err != SYN_OK) {
        ck_assert_int_ne(fault.code, CODE_OK);
        ck_assert_int_gt(fault.text[0], 0);
        return;
    }
    if (frame.kind == 0) return;
    syn_buf out = {0};
    ck_assert_int_eq(proto_encode(&out, &frame), SYN_OK);
    err = proto_decode(arena, out.data, out.len, NULL, example_tables, NULL, &again, &fault);
    ck_assert_msg(err == SYN_OK, "%s: %s", proto_frame_name(frame.kind), fault.text);
    syn_buf second = {0};
    ck_assert_int_eq(proto_encode(&second, &again), SYN_OK);
    ck_assert_uint_eq(out.len, second.len);
    ck_assert_mem_eq(out.data, second.data, out.len);
    syn_buf_free(&second);
    syn_buf_free(&out);
}

START_TEST(mutated_frames)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (uint64_t seed = 1; seed <= rounds(4000); seed++) {
        struct samples s;
        struct frame frame;
        syn_buf bytes = {0};
        samples_begin(&s, seed, 4);
        uint32_t kind = seed % 3 == 0   ? FRAME_CHANGES
                        : seed % 3 == 1 ? FRAME_SNAPSHOT
                                        : FRAME_CHANGES + samples_below(&s, 21);
        sample_frame(&s, (enum frame_kind)kind, &frame);
        ck_assert_int_eq(proto_encode(&bytes, &frame), SYN_OK);
        mutate(&s, &bytes);
        /* in a block of exactly its size, so that a byte too far is seen */
        char *exact = malloc(bytes.len + 1);
        memcpy(exact, bytes.data, bytes.len);
        exact = realloc(exact, bytes.len > 0 ? bytes.len : 1);
        syn_buf view = {.data = exact, .len = bytes.len};
        decode_mutated(arena, &view);
        free(exact);
        syn_buf_free(&bytes);
        samples_reset(&s);
    }
    proto_arena_free(arena);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("memory");
    TCase *c = tcase_create("memory");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, frames_without_memory);
    tcase_add_test(c, packed_without_memory);
    tcase_add_test(c, join_without_memory);
    tcase_add_test(c, mutated_frames);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
