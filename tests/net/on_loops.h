/* on_loops.h -- runs the cases of a suite with the sockets on the server's own loop, and again on
 * three of their own. */
#ifndef TEST_NET_ON_LOOPS_H
#define TEST_NET_ON_LOOPS_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>

static uint32_t loops_tried; /* for syn_server_config */

static void on_one_loop(void)
{
    loops_tried = 1;
}

static void on_three_loops(void)
{
    loops_tried = 3;
}

static void add_on_loops(Suite *suite, const char *name, double timeout, void (*add)(TCase *tests))
{
    static char text[100]; /* the case keeps it */
    snprintf(text, sizeof text, "%s on three loops", name);
    TCase *one = tcase_create(name), *three = tcase_create(text);
    tcase_add_checked_fixture(one, on_one_loop, NULL);
    tcase_add_checked_fixture(three, on_three_loops, NULL);
    for (int i = 0; i < 2; i++) {
        TCase *tests = i == 0 ? one : three;
        tcase_set_timeout(tests, timeout);
        add(tests);
        suite_add_tcase(suite, tests);
    }
}

#endif
