/* test_freed.c -- what was freed becomes the system's again, without a ceiling for the memory.
 *
 * The heap is filled as by a crowd that comes and goes: many small blocks, of which few stay, so
 * that nothing is free at its end, where the allocator would give back by itself.  Waits for the
 * memory to fall, however long that takes. */
#include "process.h"
#include "syncline_server.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCKS 8192u
#define BLOCK  4000u
#define STAY   64u /* one of so many stays */

static void *blocks[BLOCKS];

static void fill(void)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        ck_assert_ptr_nonnull(blocks[i]);
        memset(blocks[i], 1, BLOCK);
    }
}

static void leave(void)
{
    for (uint32_t i = 0; i < BLOCKS; i++)
        if (i % STAY != 0) free(blocks[i]);
}

static void stay_until(uint64_t resident)
{
    struct timespec wait = {.tv_nsec = 100000000};
    while (process_resident() > resident) nanosleep(&wait, NULL);
}

static syn_server *start(void)
{
    syn_server *server = NULL;
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    char detail[256];
    config.listen = "127.0.0.1:0";
    syn_err err = syn_server_start(&server, &config, detail);
    ck_assert_msg(err == SYN_OK, "%s: %s", syn_errname(err), detail);
    return server;
}

/* Twice, for the allocator counts what was given back as free still. */
START_TEST(what_a_crowd_left_is_given_back)
{
    syn_server *server = start();
    for (int i = 0; i < 2; i++) {
        fill();
        uint64_t full = process_resident();
        leave();
        stay_until(full - (uint64_t)BLOCKS * BLOCK / 2);
        for (uint32_t k = 0; k < BLOCKS; k += STAY) free(blocks[k]);
    }
    syn_server_stop(server, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("freed");
    TCase *tests = tcase_create("given back");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, what_a_crowd_left_is_given_back);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
