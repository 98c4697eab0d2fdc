/* show.c -- two people and one document, driven line by line from standard input.
 *
 *     demo/run  --"ann type 0 Hello"-->  show  [ann: client, ann.db]  --ws-->  syncline serve
 *               <--"ok Hello" ---------        [bob: client, bob.db]  --ws-->
 *
 * Each line gets one line of answer, "ok ..." or "failed ...".  Commands: WHO type POS TEXT,
 * WHO offline, WHO online, WHO saved (waits until the server has it all), WHO sees TEXT (waits
 * until it is there), WHO text, WHO version, WHO unsaved. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "syncline_client.h"

#define PATIENCE_MS 20000
#define MAX_TEXT    4096
#define MAX_HEADS   16

struct person {
    const char *name;
    syn_client *client;
    syn_client_doc *doc;
    syn_obj text;
};

static bool join(struct person *person, const char *url, const char *folder, const char *document)
{
    char file[512], detail[256] = "";
    (void)snprintf(file, sizeof file, "%s/%s.db", folder, person->name);
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    config.url = url;
    config.file = file;
    config.name = person->name;
    config.backoff_max_ms = 500; /* people who watch do not want to wait */
    syn_err err = syn_client_new(&person->client, &config, detail);
    if (err == SYN_OK) err = syn_client_open(person->client, syn_s(document), &person->doc);
    if (err == SYN_OK) {
        syn_client_lock(person->client);
        err = syn_root(syn_client_doc_state(person->doc), syn_s(""), SYN_TEXT, &person->text);
        syn_client_unlock(person->client);
    }
    if (err != SYN_OK) fprintf(stderr, "%s: %s %s\n", person->name, syn_strerror(err), detail);
    return err == SYN_OK;
}

static void read_text(struct person *person, char out[MAX_TEXT])
{
    syn_client_lock(person->client);
    size_t len = syn_text_read(syn_client_doc_state(person->doc), person->text, 0, MAX_TEXT, out,
                               MAX_TEXT - 1);
    syn_client_unlock(person->client);
    out[len < MAX_TEXT ? len : MAX_TEXT - 1] = '\0';
}

static syn_err type(struct person *person, size_t pos, const char *text)
{
    syn_client_lock(person->client);
    syn_doc *doc = syn_client_doc_state(person->doc);
    syn_err err = syn_client_edit(person->doc);
    size_t end = syn_text_len(doc, person->text);
    if (err == SYN_OK) err = syn_text_insert(doc, person->text, pos < end ? pos : end, syn_s(text));
    if (err == SYN_OK) err = syn_client_edited(person->doc);
    syn_client_unlock(person->client);
    return err;
}

static syn_err wait_to_see(struct person *person, const char *wanted)
{
    const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    char text[MAX_TEXT];
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        read_text(person, text);
        if (strstr(text, wanted) != NULL) return SYN_OK;
        (void)nanosleep(&moment, NULL);
    }
    return SYN_EBUSY;
}

static void print_version(struct person *person)
{
    syn_id heads[MAX_HEADS];
    syn_client_lock(person->client);
    size_t count = syn_doc_heads(syn_client_doc_state(person->doc), heads, MAX_HEADS);
    syn_client_unlock(person->client);
    printf("ok");
    for (size_t i = 0; i < count && i < MAX_HEADS; i++)
        printf(" %016" PRIx64 ":%" PRIu32, heads[i].peer, heads[i].seq);
    printf("\n");
}

/* False: no such command. */
static bool obey(struct person *person, const char *verb, char *rest)
{
    syn_err err = SYN_OK;
    char text[MAX_TEXT] = "";
    if (strcmp(verb, "type") == 0) {
        char *end;
        size_t pos = (size_t)strtoul(rest, &end, 10);
        err = type(person, pos, *end == ' ' ? end + 1 : end);
    } else if (strcmp(verb, "offline") == 0) {
        syn_client_offline(person->client);
    } else if (strcmp(verb, "online") == 0) {
        syn_client_online(person->client);
    } else if (strcmp(verb, "saved") == 0) {
        err = syn_client_wait(person->doc, PATIENCE_MS);
    } else if (strcmp(verb, "sees") == 0) {
        err = wait_to_see(person, rest);
    } else if (strcmp(verb, "version") == 0) {
        print_version(person);
        return true;
    } else if (strcmp(verb, "unsaved") == 0) {
        syn_client_lock(person->client);
        printf("ok %" PRIu32 "\n", syn_client_unsaved(person->doc).events);
        syn_client_unlock(person->client);
        return true;
    } else if (strcmp(verb, "text") != 0) {
        return false;
    }
    read_text(person, text);
    if (err == SYN_OK)
        printf("ok %s\n", text);
    else
        printf("failed %s: %s\n", person->name, syn_strerror(err));
    return true;
}

int main(int argc, char **argv)
{
    struct person people[] = {{.name = "ann"}, {.name = "bob"}};
    char line[MAX_TEXT];
    if (argc != 4) {
        fprintf(stderr, "usage: show URL FOLDER DOCUMENT < commands\n");
        return 2;
    }
    bool joined = true;
    for (size_t i = 0; i < 2; i++) joined = join(&people[i], argv[1], argv[2], argv[3]) && joined;
    while (joined && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *verb = strchr(line, ' ');
        if (verb != NULL) *verb++ = '\0';
        char *rest = verb != NULL ? strchr(verb, ' ') : NULL;
        if (rest != NULL) *rest++ = '\0';
        bool known = false;
        for (size_t i = 0; verb != NULL && i < 2; i++)
            if (strcmp(line, people[i].name) == 0)
                known = obey(&people[i], verb, rest != NULL ? rest : verb + strlen(verb));
        if (!known) printf("failed: no such command\n");
        (void)fflush(stdout);
    }
    for (size_t i = 0; i < 2; i++) syn_client_free(people[i].client);
    return joined ? 0 : 1;
}
