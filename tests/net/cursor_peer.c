/* cursor_peer.c -- a C client that has a selection and says what others have selected; for tests
 * that have a browser at the other end.
 *
 *     cursor_peer URL DOCUMENT FROM TO
 *
 * Selects [FROM, TO) of the root text, in scalars, and writes a line "FROM TO text" whenever what
 * the first other session has selected is another one.  Ends with its standard input. */
#include "syncline_client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct peer {
    syn_client *client;
    syn_client_doc *cd;
    uint32_t session; /* of the other one */
    size_t anchor, head;
};

static void on_presence(void *user, syn_client_doc *cd, uint32_t session, syn_str who,
                        syn_str state, bool gone)
{
    struct peer *peer = user;
    (void)cd;
    (void)who;
    (void)state;
    peer->session = gone ? 0 : session;
}

static void look(struct peer *peer)
{
    char selected[256];
    syn_selection at;
    syn_doc *doc = syn_client_doc_state(peer->cd);
    if (syn_client_selections(peer->cd, peer->session, &at, 1) != 1) return;
    if (at.anchor == peer->anchor && at.head == peer->head) return;
    peer->anchor = at.anchor;
    peer->head = at.head;
    size_t from = at.anchor < at.head ? at.anchor : at.head, end = at.anchor + at.head - from;
    size_t len = syn_text_read(doc, at.obj, from, end, selected, sizeof selected);
    if (len > sizeof selected) len = sizeof selected;
    printf("%zu %zu %.*s\n", at.anchor, at.head, (int)len, selected);
    fflush(stdout);
}

static syn_err start(struct peer *peer, char **argv)
{
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    syn_selection own = {.anchor = strtoul(argv[3], NULL, 10), .head = strtoul(argv[4], NULL, 10)};
    config.url = argv[1];
    config.user = peer;
    config.presence = on_presence;
    syn_err err = syn_client_new(&peer->client, &config, NULL);
    if (!err) err = syn_client_open(peer->client, syn_s(argv[2]), &peer->cd);
    if (!err) err = syn_client_wait_live(peer->cd, 60000);
    if (err) return err;
    syn_client_lock(peer->client);
    err = syn_root(syn_client_doc_state(peer->cd), syn_s(""), SYN_TEXT, &own.obj);
    if (!err) err = syn_client_select(peer->cd, &own, 1);
    syn_client_unlock(peer->client);
    return err;
}

int main(int argc, char **argv)
{
    struct peer peer = {.anchor = SIZE_MAX};
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (argc != 5) return 2;
    syn_err err = start(&peer, argv);
    if (err) fprintf(stderr, "cursor_peer: %s\n", syn_strerror(err));
    while (!err && poll(&input, 1, 20) == 0) {
        syn_client_lock(peer.client);
        look(&peer);
        syn_client_unlock(peer.client);
    }
    syn_client_free(peer.client);
    return err ? 1 : 0;
}
