/* target.c -- opening a document wherever it is, and saving what a command did to it. */
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 10000

bool is_url(const char *spec)
{
    return strncmp(spec, "ws://", 5) == 0 || strncmp(spec, "wss://", 6) == 0;
}

uint32_t read_timeout(const char *text)
{
    uint64_t seconds = 0;
    if (text == NULL) return DEFAULT_TIMEOUT_MS;
    if (read_number(text, 86400, &seconds) && seconds > 0) return (uint32_t)seconds * 1000;
    (void)failed("--timeout is a number of seconds from 1 to 86400, not %s", text);
    return 0;
}

/* ---- A file ---------------------------------------------------------------------------------- */

int file_failed(const char *path, syn_err err, const char *detail)
{
    if (err == SYN_ENOTFOUND && strstr(path, "://") != NULL)
        return failed("no such file: %s (a server is ws://HOST:PORT or wss://HOST:PORT)", path);
    if (strstr(detail, path) != NULL) return failed("%s", detail);
    return failed("%s: %s", path, detail[0] != '\0' ? detail : syn_strerror(err));
}

int open_file(syn_store **out, const char *path, bool create)
{
    uint8_t id[STORE_ID_BYTES];
    char detail[DETAIL_BYTES] = "";
    if (create && !fill_random(id, sizeof id)) return failed("the system gives no random bytes");
    store_options options = {
        .path = path, .owner = "a syncline command", .create = create, .random_id = id};
    syn_err err = store_open(out, &options, detail);
    if (err == SYN_OK) return EXIT_DONE;
    return file_failed(path, err, detail);
}

static int open_in_file(struct target *t)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    char detail[DETAIL_BYTES] = "";
    int status = open_file(&t->store, t->spec, false);
    if (status != EXIT_DONE) return status;
    syn_err err = doc_store_load(t->store, t->name, &config, &t->doc, &t->row, detail);
    if (err == SYN_ENOTFOUND)
        return failed("%s has no document %s; see syncline docs %s", t->spec, t->name.data,
                      t->spec);
    if (err != SYN_OK)
        return failed("%s in %s: %s", t->name.data, t->spec,
                      detail[0] != '\0' ? detail : syn_strerror(err));
    uint32_t added = 0;
    if (t->use == TARGET_HISTORY && !syn_doc_has_history(t->doc))
        err = doc_store_backfill(t->store, &t->row, t->doc, &added);
    if (err != SYN_OK)
        return failed("%s in %s: its history cannot be read: %s; see syncline fsck %s",
                      t->name.data, t->spec, syn_strerror(err), t->spec);
    return EXIT_DONE;
}

/* ---- A server -------------------------------------------------------------------------------- */

int open_client(syn_client **out, const char *url, const char *file,
                void (*changed)(void *, syn_client_doc *), void *user)
{
    char detail[DETAIL_BYTES] = "";
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    config.url = url;
    config.file = file;
    config.token = getenv("SYNCLINE_TOKEN");
    config.ca = getenv("SYNCLINE_CA");
    config.name = "syncline " SYN_VERSION;
    config.changed = changed;
    config.user = user;
    syn_err err = syn_client_new(out, &config, detail);
    if (err == SYN_OK) return EXIT_DONE;
    return file_failed(file != NULL && (url == NULL || err != SYN_EMISUSE) ? file : url, err,
                       detail);
}

int wait_failed(const char *url, syn_str document, syn_err err, const char *reason)
{
    if (err == SYN_ENOTFOUND)
        return failed("%s has no document %.*s; see syncline docs %s", url, (int)document.len,
                      document.data, url);
    if (err == SYN_EBUSY)
        return failed("no answer from %s in time%s%s; %s (--timeout SECONDS waits longer)", url,
                      reason[0] != '\0' ? ": " : "", reason, what_to_ask(url));
    if (strncmp(reason, "UNAUTHENTICATED", 15) == 0)
        return failed("%s: %s; give its secret, or a token, in the variable SYNCLINE_TOKEN", url,
                      reason);
    return failed("%s, document %.*s: %s", url, (int)document.len, document.data,
                  reason[0] != '\0' ? reason : syn_strerror(err));
}

/* Reading needs the server's word; editing goes into what is here, and is merged. */
static int open_client_doc(struct target *t)
{
    bool remote = is_url(t->spec);
    int status =
        open_client(&t->client, remote ? t->spec : NULL, remote ? NULL : t->spec, NULL, NULL);
    if (status != EXIT_DONE) return status;
    syn_err err = syn_client_open(t->client, t->name, &t->open);
    if (err != SYN_OK) return failed("document %s: %s", t->name.data, syn_strerror(err));
    if (remote) err = syn_client_wait_live(t->open, t->timeout_ms);
    if (err != SYN_OK && !(err == SYN_ENOTFOUND && t->use == TARGET_EDIT))
        return wait_failed(t->spec, t->name, err, syn_client_doc_reason(t->open));
    syn_client_lock(t->client);
    t->doc = syn_client_doc_state(t->open);
    if (t->use != TARGET_EDIT) return EXIT_DONE;
    err = syn_client_edit(t->open);
    if (err == SYN_OK) return EXIT_DONE;
    return failed("%s: editing %s is refused: %s", t->spec, t->name.data, syn_strerror(err));
}

int target_open(struct target *t, const char *spec, const char *name, enum target_use use,
                const char *timeout)
{
    *t = (struct target){.spec = spec, .name = syn_s(name), .use = use};
    t->timeout_ms = read_timeout(timeout);
    if (t->timeout_ms == 0) return EXIT_USAGE;
    if (t->name.len == 0 || t->name.len > 255)
        return failed("a document's name has 1 to 255 bytes");
    return is_url(spec) || use == TARGET_EDIT ? open_client_doc(t) : open_in_file(t);
}

int target_save(struct target *t)
{
    syn_err err = syn_client_edited(t->open);
    syn_client_unlock(t->client);
    if (err == SYN_OK && is_url(t->spec)) err = syn_client_wait(t->open, t->timeout_ms);
    syn_client_lock(t->client);
    if (err == SYN_OK) return EXIT_DONE;
    return wait_failed(t->spec, t->name, err, syn_client_doc_reason(t->open));
}

void target_close(struct target *t)
{
    if (t->client != NULL) {
        if (t->doc != NULL) syn_client_unlock(t->client);
        syn_client_free(t->client);
    } else {
        syn_doc_free(t->doc);
        store_close(t->store);
    }
    *t = (struct target){0};
}
