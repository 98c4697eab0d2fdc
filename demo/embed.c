/* embed.c -- a server inside a program of yours: it serves, decides who may do what, and edits.
 * cc embed.c $(pkg-config --cflags --libs syncline) && ./a.out embed.db */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <syncline.h>
#include <syncline_server.h>

/* Everyone reads; only documents under "public/" are written. */
static uint32_t authorise(void *user, syn_str who, syn_str document)
{
    (void)user;
    (void)who;
    int open = document.len > 7 && memcmp(document.data, "public/", 7) == 0;
    return SYN_MAY_READ | SYN_MAY_LIST | (open ? SYN_MAY_WRITE | SYN_MAY_CREATE : 0);
}

/* On the server's thread, when the events are on the disk. */
static void changed(void *user, syn_str document, const syn_doc *doc)
{
    (void)user;
    printf("%.*s has %llu events\n", (int)document.len, document.data,
           (unsigned long long)syn_doc_events(doc));
}

static syn_err welcome(void *user, syn_doc *doc)
{
    syn_obj text;
    (void)user;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    if (err != SYN_OK || syn_text_len(doc, text) > 0) return err;
    return syn_text_insert(doc, text, 0, syn_s("Hello from the host program"));
}

static void welcomed(void *user, syn_err err)
{
    int *ends = user;
    char outcome = (char)err;
    if (write(ends[1], &outcome, 1) != 1) perror("write");
}

int main(int argc, char **argv)
{
    char detail[256] = "", outcome = 1;
    int ends[2];
    syn_server *server;
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = "127.0.0.1:0";
    config.data = argc > 1 ? argv[1] : NULL; /* NULL: in memory */
    config.authorise = authorise;
    config.changed = changed;
    if (pipe(ends) != 0) return 1;
    if (syn_server_start(&server, &config, detail) != SYN_OK) {
        fprintf(stderr, "cannot serve: %s\n", detail);
        return 1;
    }
    printf("serving ws://127.0.0.1:%u\n", syn_server_port(server));
    syn_err err = syn_server_edit(server, syn_s("public/welcome"), true, welcome, welcomed, ends);
    if (err == SYN_OK && read(ends[0], &outcome, 1) == 1)
        printf("the first edit is %s\n", outcome == SYN_OK ? "on the disk" : "refused");
    if (argc > 2) pause(); /* a host program does its own work here */
    syn_server_stop(server, 1000);
    return outcome;
}
