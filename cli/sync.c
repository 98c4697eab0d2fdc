/* sync.c -- `sync`: a local file and a server brought level, both ways. */
#include "http.h"
#include "target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct names {
    char **at;
    uint32_t count;
};

static bool add_name(struct names *names, syn_str name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strlen(names->at[i]) == name.len && memcmp(names->at[i], name.data, name.len) == 0)
            return true;
    char **more = realloc(names->at, ((size_t)names->count + 1) * sizeof *more);
    if (more == NULL) return false;
    names->at = more;
    names->at[names->count] = strndup(name.data, name.len);
    if (names->at[names->count] == NULL) return false;
    names->count++;
    return true;
}

static void free_names(struct names *names)
{
    for (uint32_t i = 0; i < names->count; i++) free(names->at[i]);
    free(names->at);
}

static syn_err visit_name(void *user, syn_str name, const struct store_doc *row)
{
    (void)row;
    return add_name(user, name) ? SYN_OK : SYN_ENOMEM;
}

/* Every document that either side has. */
static int collect(struct names *names, const char *file, const char *url, uint32_t timeout_ms)
{
    syn_store *store = NULL;
    json_t *list = NULL;
    size_t index;
    json_t *item;
    int status = open_file(&store, file, true);
    if (status != EXIT_DONE) return status;
    syn_err err = store_list(store, visit_name, names);
    store_close(store);
    if (err != SYN_OK) return failed("%s: %s", file, syn_strerror(err));
    status = server_documents(url, timeout_ms, &list);
    if (status != EXIT_DONE) return status;
    json_array_foreach(list, index, item)
    {
        const json_t *name = json_object_get(item, "name");
        if (!add_name(names, (syn_str){json_string_value(name), json_string_length(name)}))
            err = SYN_ENOMEM;
    }
    json_decref(list);
    return err == SYN_OK ? EXIT_DONE : failed("%s", syn_strerror(err));
}

static int sync_one(syn_client *client, const char *url, const char *name, uint32_t timeout_ms)
{
    syn_client_doc *open = NULL;
    syn_str document = syn_s(name);
    syn_err err = syn_client_open(client, document, &open);
    if (err == SYN_OK) err = syn_client_wait(open, timeout_ms);
    if (err != SYN_OK)
        return wait_failed(url, document, err, open != NULL ? syn_client_doc_reason(open) : "");
    syn_client_lock(client);
    (void)printf("%s: %" PRIu64 " events, level with the server\n", name,
                 syn_doc_events(syn_client_doc_state(open)));
    syn_client_unlock(client);
    (void)syn_client_close_doc(client, open);
    return EXIT_DONE;
}

static int run_sync(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 2, 3)) return EXIT_USAGE;
    if (is_url(argv[0]) || !is_url(argv[1]))
        return wrong_use(self, "the file comes first, then the server's ws:// URL");
    uint32_t ms = read_timeout(timeout);
    if (ms == 0) return EXIT_USAGE;
    struct names names = {0};
    syn_client *client = NULL;
    int status = EXIT_DONE;
    if (argc == 2)
        status = collect(&names, argv[0], argv[1], ms);
    else if (!add_name(&names, syn_s(argv[2])))
        status = failed("%s", syn_strerror(SYN_ENOMEM));
    if (status == EXIT_DONE) status = open_client(&client, argv[1], argv[0], NULL, NULL);
    for (uint32_t i = 0; client != NULL && i < names.count; i++) {
        progress("documents", i + 1, names.count);
        if (sync_one(client, argv[1], names.at[i], ms) != EXIT_DONE) status = EXIT_FAILED;
    }
    progress_end();
    syn_client_free(client);
    free_names(&names);
    return finish_output(status);
}

const struct command commands_sync = {
    .name = "sync",
    .run = run_sync,
    .synopsis = "sync FILE URL [DOC]",
    .summary = "bring a local file and a server level",
    .help = "Sends what the file has and the server lacks, fetches what the file lacks, and ends\n"
            "when both have everything on disk.  Without DOC: every document of either.  The file\n"
            "is made if it is missing; it belongs to one server and user.\n\n"
            "  --timeout SECONDS  how long to wait per document (10)\n\n"
            "Examples:\n"
            "  syncline sync notes.db ws://127.0.0.1:7700\n"
            "  syncline insert notes.db notes body 0 'on the train '    # offline\n"
            "  syncline sync notes.db ws://127.0.0.1:7700 notes         # back home\n",
};
