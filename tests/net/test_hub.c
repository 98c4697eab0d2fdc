/* test_hub.c -- sessions with the hub, compared with their transcripts.
 *
 * Each file of transcripts/ holds commands and, indented, what came out.  A changed answer shows as
 * a changed file: run with SYN_UPDATE=1 to write what comes out now, and look at the difference. */
#include "script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "join_by_log",
    "join_by_snapshot",
    "live",
    "slow_reader",
    "nack_in_flight",
    "reconnect_resend",
    "fork",
    "deleted_document",
    "two_documents",
    "bad_input",
    "need_vector",
    "presence",
    "durable_first",
    "rights",
    "credit",
    "heartbeat",
    "commit_failure",
    "fold",
    "restored_server",
    "idle",
};

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be read", path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    return text;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    ck_assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

static void show_difference(const char *want, const char *got)
{
    int line = 1;
    while (*want != '\0' && *want == *got) {
        line += *want == '\n';
        want++;
        got++;
    }
    fprintf(stderr, "line %d\n  want: %.*s\n  got:  %.*s\n", line, (int)strcspn(want, "\n"), want,
            (int)strcspn(got, "\n"), got);
}

START_TEST(transcript)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/net/transcripts/%s.txt", SYN_SOURCE_DIR, names[_i]);
    char *want = read_file(path);
    char *got = script_run(want);
    bool same = strcmp(want, got) == 0;
    if (!same && getenv("SYN_UPDATE") != NULL) {
        write_file(path, got);
        same = true;
    }
    if (!same) show_difference(want, got);
    ck_assert_msg(same, "%s differs", names[_i]);
    free(want);
    free(got);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub");
    TCase *tests = tcase_create("transcripts");
    tcase_add_loop_test(tests, transcript, 0, sizeof names / sizeof names[0]);
    tcase_set_timeout(tests, 0);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
