/* test_mailbox.c -- mails between threads: each writer's in order, none lost, none twice, whatever
 * is in a box when it closes.
 *
 * Boxes as the loops have them: one writer each, and one reader of all, who sleeps until somebody
 * who posted was told to wake him.  Nothing waits for time: a wake-up or a mail that is lost is a
 * test that does not end. */
#include "mailbox.h"

#include "../core/random.h"

#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#define WRITERS 3u
#define MAILS   30000u /* of each writer */
#define BATCH   16u    /* mails of a post, at most */
#define LONGEST 300u
#define MOST    8192u
/* What a writer may add to a box with MOST in it, before he waits. */
#define OVER (BATCH * (sizeof(struct mail) + LONGEST + 8u))

struct scene;

struct writer {
    struct scene *scene;
    uint32_t number;
    uint64_t next; /* the reader's: what comes next */
    struct mailbox box;
    pthread_t thread;
};

struct scene {
    sem_t wakes;
    uint32_t seed;
    uint64_t woken; /* reader: sleeps that ended */
    struct writer writers[WRITERS];
};

static unsigned char pattern(uint32_t writer, uint64_t number)
{
    return (unsigned char)(writer * 37u + number * 11u + 5u);
}

static void put(struct bag *bag, uint32_t writer, uint64_t number, size_t len)
{
    struct mail head = {.kind = writer, .number = number};
    memset(mail_bytes(bag_put(bag, &head, len)), pattern(writer, number), len);
}

static void check_mail(struct mail *mail, uint32_t writer, uint64_t number)
{
    const char *bytes = mail_bytes(mail);
    must(mail->kind == writer);
    must(mail->number == number);
    for (uint32_t i = 0; i < mail->len; i++)
        must((unsigned char)bytes[i] == pattern(writer, number));
}

/* Takes what is in the box, no more than `most` bytes; returns the number that comes next. */
static uint64_t read_box(struct mailbox *box, struct bag *bag, uint32_t writer, uint64_t next,
                         size_t most)
{
    size_t at = 0;
    mailbox_take(box, bag);
    must(bag->len <= most);
    for (struct mail *mail; (mail = bag_next(bag, &at)) != NULL; next++)
        check_mail(mail, writer, next);
    bag_empty(bag);
    return next;
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void *write_all(void *user)
{
    struct writer *writer = user;
    struct scene *scene = writer->scene;
    struct random r = random_seeded(scene->seed * WRITERS + writer->number);
    struct bag bag = {NULL, 0, 0};
    for (uint64_t number = 0; number < MAILS;) {
        for (uint32_t batch = 1 + below(&r, BATCH); batch != 0 && number < MAILS; batch--)
            put(&bag, writer->number, number++, below(&r, LONGEST + 1));
        if (mailbox_post(&writer->box, &bag)) sem_post(&scene->wakes);
        must(bag.len == 0);
        mailbox_wait(&writer->box, MOST);
    }
    bag_free(&bag);
    return NULL;
}

static bool all_read(const struct scene *scene)
{
    for (uint32_t i = 0; i < WRITERS; i++)
        if (scene->writers[i].next != MAILS) return false;
    return true;
}

static void read_all(struct scene *scene)
{
    struct bag bag = {NULL, 0, 0};
    while (!all_read(scene)) {
        while (sem_wait(&scene->wakes) != 0) continue; /* a signal */
        scene->woken++;
        for (uint32_t i = 0; i < WRITERS; i++) {
            struct writer *writer = &scene->writers[i];
            writer->next = read_box(&writer->box, &bag, i, writer->next, MOST + OVER);
        }
    }
    bag_free(&bag);
}

static void run(uint32_t seed)
{
    struct scene scene = {.seed = seed};
    ck_assert_int_eq(sem_init(&scene.wakes, 0, 0), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        struct writer *writer = &scene.writers[i];
        writer->scene = &scene;
        writer->number = i;
        mailbox_init(&writer->box);
        ck_assert_int_eq(pthread_create(&writer->thread, NULL, write_all, writer), 0);
    }
    read_all(&scene);
    for (uint32_t i = 0; i < WRITERS; i++) {
        struct writer *writer = &scene.writers[i];
        ck_assert_int_eq(pthread_join(writer->thread, NULL), 0);
        mailbox_free(&writer->box);
    }
    ck_assert_uint_le(scene.woken, (uint64_t)WRITERS * MAILS);
    sem_destroy(&scene.wakes);
}

START_TEST(between_threads)
{
    uint32_t count = seeds(8);
    printf("mailbox: seeds 0 to %u\n", count);
    for (uint32_t seed = 0; seed <= count; seed++) run(seed);
}
END_TEST

/* ---- One thread ------------------------------------------------------------------------------ */

START_TEST(one_wake_for_a_batch)
{
    struct mailbox box;
    struct bag bag = {NULL, 0, 0}, got = {NULL, 0, 0};
    mailbox_init(&box);
    ck_assert(!mailbox_post(&box, &bag)); /* nothing to read */
    put(&bag, 1, 0, 7);
    ck_assert(mailbox_post(&box, &bag));
    for (uint64_t i = 1; i < 50; i++) {
        put(&bag, 1, i, i);
        ck_assert(!mailbox_post(&box, &bag));
    }
    ck_assert_uint_eq(read_box(&box, &got, 1, 0, SIZE_MAX), 50);
    ck_assert_uint_eq(read_box(&box, &got, 1, 50, SIZE_MAX), 50);
    put(&bag, 1, 50, 0);
    ck_assert(mailbox_post(&box, &bag));
    ck_assert_uint_eq(read_box(&box, &got, 1, 50, SIZE_MAX), 51);
    bag_free(&bag);
    bag_free(&got);
    mailbox_free(&box);
}
END_TEST

START_TEST(memory_of_a_flood_is_given_back)
{
    struct mailbox box;
    struct bag bag = {NULL, 0, 0}, got = {NULL, 0, 0};
    mailbox_init(&box);
    for (uint64_t i = 0; i < 100; i++) put(&bag, 2, i, 100000);
    ck_assert_uint_gt(bag.cap, 100 * 100000);
    ck_assert(mailbox_post(&box, &bag));
    ck_assert_uint_eq(read_box(&box, &got, 2, 0, SIZE_MAX), 100);
    ck_assert_uint_le(bag.cap + got.cap + box.bag.cap, 1u << 20);
    bag_free(&bag);
    bag_free(&got);
    mailbox_free(&box);
}
END_TEST

/* ---- The end --------------------------------------------------------------------------------- */

struct waiter {
    struct mailbox box;
    sem_t posted;
};

static void *post_and_wait(void *user)
{
    struct waiter *waiter = user;
    struct bag bag = {NULL, 0, 0};
    for (uint64_t i = 0; i < 100; i++) put(&bag, 3, i, 200);
    must(mailbox_post(&waiter->box, &bag));
    sem_post(&waiter->posted);
    mailbox_wait(&waiter->box, MOST); /* nobody reads */
    put(&bag, 3, 100, 1);             /* he may still post: it is handed out, too */
    must(!mailbox_post(&waiter->box, &bag));
    mailbox_wait(&waiter->box, 0);
    bag_free(&bag);
    return NULL;
}

/* Who waits is let go, and what is in the box stays there to be taken. */
START_TEST(closed_with_mails_in_it)
{
    struct waiter waiter;
    struct bag got = {NULL, 0, 0};
    pthread_t thread;
    mailbox_init(&waiter.box);
    ck_assert_int_eq(sem_init(&waiter.posted, 0, 0), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, post_and_wait, &waiter), 0);
    while (sem_wait(&waiter.posted) != 0) continue;
    mailbox_close(&waiter.box);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(read_box(&waiter.box, &got, 3, 0, SIZE_MAX), 101);
    bag_free(&got);
    mailbox_free(&waiter.box);
    sem_destroy(&waiter.posted);
}
END_TEST

/* Mails that nobody takes are freed with the box (the sanitizers look). */
START_TEST(freed_with_mails_in_it)
{
    struct mailbox box;
    struct bag bag = {NULL, 0, 0};
    mailbox_init(&box);
    put(&bag, 4, 0, 1000);
    ck_assert(mailbox_post(&box, &bag));
    mailbox_close(&box);
    bag_free(&bag);
    mailbox_free(&box);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tests = tcase_create("mailbox");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, between_threads);
    tcase_add_test(tests, one_wake_for_a_batch);
    tcase_add_test(tests, memory_of_a_flood_is_given_back);
    tcase_add_test(tests, closed_with_mails_in_it);
    tcase_add_test(tests, freed_with_mails_in_it);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
