/* test_golden.c -- the bytes under tests/golden/v1 are what is still written, and what PROTOCOL.md
 * shows.
 *
 * `test_golden --write` writes the files anew; a difference in a file that was released is a break
 * of the protocol.  In PROTOCOL.md a block that starts with ```hex NAME is that file. */
#include "examples.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void path_of(char *out, size_t size, const char *tail)
{
    (void)snprintf(out, size, "%s/%s", SYN_SOURCE_DIR, tail);
}

static void read_file(const char *tail, syn_buf *out)
{
    char path[1024], block[4096];
    path_of(path, sizeof path, tail);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot read %s", path);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        ck_assert_int_eq(syn_buf_append(out, block, n), SYN_OK);
    (void)fclose(file);
}

static void read_example(const char *name, syn_buf *text, syn_buf *bytes)
{
    char tail[256];
    (void)snprintf(tail, sizeof tail, "tests/golden/v1/%s.hex", name);
    read_file(tail, text);
    ck_assert_msg(read_hex(bytes, text->data, text->len), "%s is not hex", tail);
}

static void ck_same(const char *name, const syn_buf *a, const syn_buf *b)
{
    ck_assert_msg(a->len == b->len && memcmp(a->data, b->data, a->len) == 0, "%s: the bytes differ",
                  name);
}

START_TEST(written_as_ever)
{
    for (size_t i = 0; i < example_count; i++) {
        syn_buf text = {0}, kept = {0}, now = {0};
        read_example(examples[i].name, &text, &kept);
        examples[i].encode(&now);
        ck_same(examples[i].name, &kept, &now);
        syn_buf_free(&text);
        syn_buf_free(&kept);
        syn_buf_free(&now);
    }
}
END_TEST

/* Encoded again: Changes against the channel's tables where they came so. */
static void encode_again(const struct frame *frame, syn_buf *out)
{
    if (frame->kind != FRAME_CHANGES) {
        ck_assert_int_eq(proto_encode(out, frame), SYN_OK);
        return;
    }
    struct proto_tables tables;
    (void)example_tables(NULL, 0, &tables);
    const syn_changes *set = &frame->as.changes;
    bool live = set->peers == tables.peers;
    ck_assert_int_eq(proto_encode_channel(out, frame->channel), SYN_OK);
    ck_assert_int_eq(proto_encode_changes_body(out, set, live ? &tables : NULL), SYN_OK);
}

START_TEST(read_as_ever)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (size_t i = 0; i < example_count; i++) {
        syn_buf text = {0}, kept = {0}, again = {0};
        struct frame frame;
        struct proto_fault fault;
        read_example(examples[i].name, &text, &kept);
        syn_err err =
            proto_decode(arena, kept.data, kept.len, NULL, example_tables, NULL, &frame, &fault);
        ck_assert_msg(err == SYN_OK, "%s: %s", examples[i].name, fault.text);
        encode_again(&frame, &again);
        ck_same(examples[i].name, &kept, &again);
        syn_buf_free(&text);
        syn_buf_free(&kept);
        syn_buf_free(&again);
    }
    proto_arena_free(arena);
}
END_TEST

/* Every example is shown, and as it is. */
START_TEST(shown_in_the_document)
{
    syn_buf document = {0};
    read_file("proto/PROTOCOL.md", &document);
    ck_assert_int_eq(syn_buf_append(&document, "", 1), SYN_OK);
    for (size_t i = 0; i < example_count; i++) {
        char fence[64];
        (void)snprintf(fence, sizeof fence, "```hex %s\n", examples[i].name);
        const char *at = strstr(document.data, fence);
        ck_assert_msg(at != NULL, "%s is not in PROTOCOL.md", examples[i].name);
        at += strlen(fence);
        const char *end = strstr(at, "```");
        ck_assert_ptr_nonnull(end);
        syn_buf text = {0}, kept = {0}, shown = {0};
        read_example(examples[i].name, &text, &kept);
        ck_assert(read_hex(&shown, at, (size_t)(end - at)));
        ck_same(examples[i].name, &kept, &shown);
        syn_buf_free(&text);
        syn_buf_free(&kept);
        syn_buf_free(&shown);
    }
    syn_buf_free(&document);
}
END_TEST

static int write_all(void)
{
    for (size_t i = 0; i < example_count; i++) {
        char path[1024], tail[256];
        syn_buf bytes = {0}, text = {0};
        examples[i].encode(&bytes);
        annotate_frame(&text, bytes.data, bytes.len);
        (void)snprintf(tail, sizeof tail, "tests/golden/v1/%s.hex", examples[i].name);
        path_of(path, sizeof path, tail);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(text.data, 1, text.len, file) != text.len) return EXIT_FAILURE;
        (void)fclose(file);
        syn_buf_free(&bytes);
        syn_buf_free(&text);
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--write") == 0) return write_all();
    Suite *s = suite_create("golden bytes");
    TCase *c = tcase_create("frames");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, written_as_ever);
    tcase_add_test(c, read_as_ever);
    tcase_add_test(c, shown_in_the_document);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
