/* ticker.c -- writes prices and weather into a document, many times a second, for ever.
 *
 *     ticker ws://127.0.0.1:7700 [DOCUMENT] [PER_SECOND]
 *
 * Each value is a register of a map: prices in cents, temperatures in tenths of a degree.  What
 * counts is what they are now, so while the server does not answer nothing is piled up: a tick is
 * left out as long as older ones are not saved.  A reader that is slow gets many ticks as one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <syncline.h>
#include <syncline_client.h>
#include <time.h>

struct series {
    const char *map, *key;
    int value, least, most, step;
};

static struct series all[] = {
    {"prices", "Anchor", 12450, 2000, 40000, 55},  {"prices", "Beacon", 8310, 2000, 40000, 40},
    {"prices", "Compass", 23125, 2000, 40000, 95}, {"prices", "Drift", 5640, 2000, 40000, 30},
    {"weather", "Lisbon", 182, 60, 400, 2},        {"weather", "Oslo", -24, -250, 280, 2},
    {"weather", "Nairobi", 231, 90, 330, 2},
};
enum { SERIES = sizeof all / sizeof *all, MOST_UNSAVED = 1000 };

static volatile sig_atomic_t stopping;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

/* A step up, down, or none, inside the bounds. */
static void walk(struct series *s)
{
    s->value += (rand() % 3 - 1) * (rand() % (s->step + 1));
    if (s->value < s->least) s->value = s->least;
    if (s->value > s->most) s->value = s->most;
}

/* All values in one transaction: readers never see half of a tick. */
static syn_err write_tick(syn_doc *doc)
{
    syn_err err = syn_begin(doc);
    for (int i = 0; err == SYN_OK && i < SERIES; i++) {
        syn_obj map;
        walk(&all[i]);
        err = syn_root(doc, syn_s(all[i].map), SYN_MAP, &map);
        if (err == SYN_OK)
            err = syn_map_set(doc, map, syn_s(all[i].key), syn_int(all[i].value), NULL);
    }
    if (err == SYN_OK) return syn_commit(doc);
    (void)syn_rollback(doc);
    return err;
}

static syn_err tick(syn_client *client, syn_client_doc *open)
{
    syn_client_lock(client);
    syn_err err = syn_client_edit(open);
    if (err == SYN_OK && syn_client_unsaved(open).events < MOST_UNSAVED) {
        err = write_tick(syn_client_doc_state(open));
        if (err == SYN_OK) err = syn_client_edited(open);
    }
    syn_client_unlock(client);
    return err;
}

int main(int argc, char **argv)
{
    int per_second = argc > 3 ? atoi(argv[3]) : 10;
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    syn_client *client;
    syn_client_doc *open;
    char detail[256] = "";
    if (argc < 2 || per_second < 1 || per_second > 1000) {
        fprintf(stderr, "usage: ticker URL [DOCUMENT] [PER_SECOND 1..1000]\n");
        return 2;
    }
    config.url = argv[1];
    config.name = "ticker";
    syn_err err = syn_client_new(&client, &config, detail);
    if (err != SYN_OK) {
        fprintf(stderr, "ticker: %s\n", detail);
        return 1;
    }
    err = syn_client_open(client, syn_s(argc > 2 ? argv[2] : "ticker"), &open);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    const struct timespec pause = {.tv_sec = per_second == 1,
                                   .tv_nsec = per_second == 1 ? 0 : 1000000000 / per_second};
    while (err == SYN_OK && !stopping) {
        err = tick(client, open);
        (void)nanosleep(&pause, NULL);
    }
    if (err != SYN_OK) fprintf(stderr, "ticker: %s\n", syn_strerror(err));
    syn_client_free(client);
    return err == SYN_OK ? 0 : 1;
}
