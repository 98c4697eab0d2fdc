/* webhook.c -- one thread for each hook: wait, gather, send until it was taken, keep the cursor.
 *
 *     changed --> news counter --+--> hook: cursor --feed--> batch --POST--> yes --> cursor kept
 *                                +--> hook: ...
 *
 * A thread each, because a receiver that is slow or dead must not hold up the others, and what a
 * hook does is a straight line.  All of them wait on one condition variable with a counter; a batch
 * is read from the feed when it is due, so that nothing waits in memory. */
#include "webhook.h"

#include "cli.h"
#include "jwt.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOOKS           16u
#define NAME_BYTES      64u
#define BATCH_DOCUMENTS 500u
#define BATCH_ROWS      4096u /* looked at in one go: readers of the file take turns */
#define QUIET_MS        1000u
#define LATEST_MS       10000u
#define LONGEST_MS      3600000u
#define RETRY_MS        1000u
#define RETRY_MOST_MS   300000u

struct hook {
    webhooks *all;
    char name[NAME_BYTES + 1], *url, *pattern;
    struct webhook_key key;
    uint64_t quiet_ms, latest_ms;
    syn_feed_cursor cursor;
    pthread_t thread;
    bool started;
};

struct webhooks {
    syn_server *server;
    bool log_json;
    pthread_mutex_t lock; /* of the three below */
    pthread_cond_t woken;
    uint64_t news;
    bool stopping;
    uint32_t count;
    struct hook hook[HOOKS];
};

/* ---- Log ------------------------------------------------------------------------------------- */

/* Names and addresses are the operator's own; what a receiver answers is never printed. */
static void say(const struct hook *hook, const char *what, const char *why)
{
    if (!hook->all->log_json) {
        (void)fprintf(stderr, "syncline: webhook %s: %s%s%s\n", hook->name, what,
                      why[0] != '\0' ? ": " : "", why);
        return;
    }
    json_t *line = json_pack("{s:I, s:s, s:s, s:s, s:s}", "time", (json_int_t)time(NULL), "event",
                             "webhook", "hook", hook->name, "what", what, "detail", why);
    char *text = line != NULL ? json_dumps(line, JSON_COMPACT) : NULL;
    if (text != NULL) (void)fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(line);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static bool is_stopping(void *user)
{
    webhooks *all = ((struct hook *)user)->all;
    (void)pthread_mutex_lock(&all->lock);
    bool stopping = all->stopping;
    (void)pthread_mutex_unlock(&all->lock);
    return stopping;
}

/* Until the counter is not `seen`, or the time has come (until 0: never).  The counter then. */
static uint64_t wait_for_news(webhooks *all, uint64_t seen, uint64_t until)
{
    const struct timespec when = {.tv_sec = (time_t)(until / 1000),
                                  .tv_nsec = (long)(until % 1000) * 1000000};
    int rc = 0;
    (void)pthread_mutex_lock(&all->lock);
    while (!all->stopping && all->news == seen && rc == 0)
        rc = until == 0 ? pthread_cond_wait(&all->woken, &all->lock)
                        : pthread_cond_timedwait(&all->woken, &all->lock, &when);
    seen = all->news;
    (void)pthread_mutex_unlock(&all->lock);
    return seen;
}

static void sleep_until(webhooks *all, uint64_t until)
{
    uint64_t seen = wait_for_news(all, 0, now_ms());
    while (now_ms() < until) {
        uint64_t then = wait_for_news(all, seen, until);
        if (then == seen) break; /* stopping, or it is time */
        seen = then;
    }
}

/* Until it has been quiet, or the first of what came must not wait longer. */
static uint64_t settle(struct hook *hook, uint64_t seen)
{
    uint64_t latest = now_ms() + hook->latest_ms;
    while (!is_stopping(hook)) {
        uint64_t now = now_ms(), quiet = now + hook->quiet_ms;
        uint64_t until = quiet < latest ? quiet : latest;
        uint64_t then = now < until ? wait_for_news(hook->all, seen, until) : seen;
        if (then == seen) break;
        seen = then;
    }
    return seen;
}

/* Full jitter: receivers that come back are not met by everyone at once. */
static void pause_before_retry(struct hook *hook, unsigned tries)
{
    uint64_t most = tries < 9 ? (uint64_t)RETRY_MS << tries : RETRY_MOST_MS, random = 0;
    uint64_t until = now_ms();
    if (most > RETRY_MOST_MS) most = RETRY_MOST_MS;
    (void)fill_random(&random, sizeof random);
    until += tries == 0 ? RETRY_MS : RETRY_MS + random % most;
    sleep_until(hook->all, until);
}

/* ---- Batches --------------------------------------------------------------------------------- */

struct batch {
    const struct hook *hook;
    syn_feed_cursor to;
    json_t *documents; /* by name */
    uint32_t rows;
    bool full;
};

static json_t *entry_of(struct batch *batch, syn_str name)
{
    json_t *entry = json_object_getn(batch->documents, name.data, name.len);
    if (entry != NULL) return entry;
    entry = json_pack("{s:s%}", "document", name.data, name.len);
    if (json_object_setn_new(batch->documents, name.data, name.len, entry) != 0) return NULL;
    return entry;
}

static bool put(struct batch *batch, const syn_feed_entry *news)
{
    json_t *entry = entry_of(batch, news->document);
    if (entry == NULL) return false;
    if (news->deleted) return json_object_set_new(entry, "deleted", json_true()) == 0;
    json_int_t events = json_integer_value(json_object_get(entry, "events"));
    events += (json_int_t)(news->end - news->from);
    return json_object_set_new(entry, "events", json_integer(events)) == 0 &&
           json_object_set_new(entry, "commit_seq", json_integer(news->at.commit)) == 0;
}

static syn_err gather(void *user, const syn_feed_entry *news)
{
    struct batch *batch = user;
    batch->full =
        json_object_size(batch->documents) >= BATCH_DOCUMENTS || ++batch->rows > BATCH_ROWS;
    if (batch->full) return SYN_ELIMIT;
    if (jwt_pattern_matches(syn_s(batch->hook->pattern), news->document) && !put(batch, news))
        return SYN_ENOMEM;
    batch->to = news->at;
    return SYN_OK;
}

static syn_err read_batch(struct batch *batch)
{
    const struct hook *hook = batch->hook;
    batch->documents = json_object();
    if (batch->documents == NULL) return SYN_ENOMEM;
    syn_err err = syn_server_feed(hook->all->server, hook->cursor, gather, batch);
    return batch->full ? SYN_OK : err;
}

static json_t *values_of(json_t *object)
{
    const char *key;
    json_t *value, *list = json_array();
    json_object_foreach(object, key, value)
    {
        if (json_array_append(list, value) == 0) continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

/* The request's body; NULL: no memory. */
static char *body_of(const struct batch *batch)
{
    char when[40];
    time_t now = time(NULL);
    struct tm utc;
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_t *body = json_pack("{s:s, s:s, s:{s:o}}", "type", "documents.changed", "timestamp", when,
                             "data", "documents", values_of(batch->documents));
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* Until it was taken.  false: the hook ends. */
static bool deliver(struct hook *hook, const char *body, syn_feed_cursor to)
{
    char why[200], id[NAME_BYTES + 48];
    const struct webhook_request request = {.url = hook->url,
                                            .id = id,
                                            .body = body,
                                            .key = hook->key.len != 0 ? &hook->key : NULL,
                                            .stop = is_stopping,
                                            .user = hook};
    (void)snprintf(id, sizeof id, "%s-%" PRId64 ".%" PRId64, hook->name, to.commit, to.deletion);
    for (unsigned tries = 0; !is_stopping(hook); tries++) {
        long status = webhook_post(&request, why);
        if (status >= 200 && status < 300) {
            if (tries != 0) say(hook, "answers again", "");
            return true;
        }
        if (status == 410) {
            say(hook, "is gone (410), nothing more is sent until the server starts again", "");
            return false;
        }
        if (status != 0) (void)snprintf(why, sizeof why, "HTTP status %ld", status);
        if (tries == 0 && !is_stopping(hook)) say(hook, "not taken, will be sent again", why);
        pause_before_retry(hook, tries);
    }
    return false;
}

static bool keep(struct hook *hook)
{
    syn_err err = syn_server_keep_cursor(hook->all->server, syn_s(hook->name), hook->cursor);
    if (err) say(hook, "its place could not be stored", syn_strerror(err));
    return err == SYN_OK;
}

/* One batch.  more: there may be another at once.  false: the hook ends. */
static bool turn(struct hook *hook, bool *more)
{
    struct batch batch = {.hook = hook, .to = hook->cursor};
    syn_err err = read_batch(&batch);
    bool nothing = err == SYN_OK && json_object_size(batch.documents) == 0;
    char *body = err == SYN_OK && !nothing ? body_of(&batch) : NULL;
    json_decref(batch.documents);
    if (err == SYN_OK && !nothing && body == NULL) err = SYN_ENOMEM;
    *more = batch.full || err != SYN_OK;
    if (err) {
        say(hook, "cannot read what changed", syn_strerror(err));
        pause_before_retry(hook, 0);
        return true;
    }
    bool taken = nothing || deliver(hook, body, batch.to);
    free(body);
    if (!taken) return false;
    hook->cursor = batch.to;
    if (!nothing) (void)keep(hook); /* if it cannot, this is told once more after a restart */
    return true;
}

/* A new hook begins now, also if the server stops before the first change. */
static bool begin(struct hook *hook)
{
    syn_server *server = hook->all->server;
    syn_err err = syn_server_kept_cursor(server, syn_s(hook->name), &hook->cursor);
    if (err == SYN_OK) return true;
    if (err == SYN_ENOTFOUND) err = syn_server_feed_end(server, &hook->cursor);
    if (err == SYN_OK) return keep(hook);
    say(hook, "cannot begin", syn_strerror(err));
    return false;
}

static void *run(void *user)
{
    struct hook *hook = user;
    uint64_t seen = 0; /* 0 news: begin with what came while the server was not there */
    if (!begin(hook)) return NULL;
    for (bool more = true; !is_stopping(hook);) {
        if (!more) seen = settle(hook, wait_for_news(hook->all, seen, 0));
        if (is_stopping(hook) || !turn(hook, &more)) break;
    }
    return NULL;
}

/* ---- The file -------------------------------------------------------------------------------- */

static bool read_ms(const json_t *object, const char *name, uint64_t unless, uint64_t *out)
{
    const json_t *value = json_object_get(object, name);
    json_int_t ms = value == NULL ? (json_int_t)unless : json_integer_value(value);
    *out = (uint64_t)ms;
    return (value == NULL || json_is_integer(value)) && ms >= 0 && ms <= (json_int_t)LONGEST_MS;
}

static bool plain_name(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t len = strlen(name);
    return len >= 1 && len <= NAME_BYTES && strspn(name, plain) == len;
}

/* NULL: it is right.  Else what is wrong. */
static const char *read_hook(webhooks *all, json_t *object)
{
    const char *name = NULL, *url = NULL, *secret = NULL, *pattern = "*";
    json_t *unused;
    struct hook *hook = &all->hook[all->count];
    if (json_unpack(object, "{s:s, s:s, s?s, s?s, s?o, s?o !}", "name", &name, "url", &url,
                    "secret", &secret, "documents", &pattern, "quiet_ms", &unused, "latest_ms",
                    &unused) != 0)
        return "a hook has name, url, and maybe secret, documents, quiet_ms, latest_ms";
    if (!plain_name(name)) return "name is 1 to 64 of A-Z a-z 0-9 _";
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->hook[i].name, name) == 0) return "the name is taken";
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return "url begins with https:// or http://";
    if (secret != NULL && !webhook_read_key(&hook->key, secret))
        return "secret is \"whsec_\" and base64 of 16 to 190 bytes, or 16 to 256 characters";
    if (!read_ms(object, "quiet_ms", QUIET_MS, &hook->quiet_ms) ||
        !read_ms(object, "latest_ms", LATEST_MS, &hook->latest_ms))
        return "quiet_ms and latest_ms are milliseconds, an hour at most";
    hook->all = all;
    (void)snprintf(hook->name, sizeof hook->name, "%s", name);
    hook->url = strdup(url);
    hook->pattern = strdup(pattern);
    all->count++;
    return hook->url == NULL || hook->pattern == NULL ? "out of memory" : NULL;
}

static const char *read_hooks(webhooks *all, const json_t *file)
{
    const json_t *list = json_object_get(file, "hooks");
    size_t index;
    json_t *object;
    if (!json_is_array(list) || json_array_size(list) > HOOKS)
        return "it holds {\"hooks\": [...]}, 16 at most";
    json_array_foreach(list, index, object)
    {
        const char *wrong = read_hook(all, object);
        if (wrong != NULL) return wrong;
    }
    return NULL;
}

webhooks *webhooks_read(const char *path, bool log_json, char *detail)
{
    json_error_t where;
    pthread_condattr_t clock;
    webhooks *all = calloc(1, sizeof *all);
    if (all == NULL) return NULL;
    all->log_json = log_json;
    (void)pthread_mutex_init(&all->lock, NULL);
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&all->woken, &clock);
    (void)pthread_condattr_destroy(&clock);
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    const char *wrong = file != NULL ? read_hooks(all, file) : where.text;
    if (wrong != NULL && file != NULL)
        (void)snprintf(detail, 256, "%.100s: hook %u: %.100s", path, all->count + 1, wrong);
    else if (wrong != NULL)
        (void)snprintf(detail, 256, "%.100s, line %d: %.100s", path, where.line, wrong);
    json_decref(file);
    if (wrong == NULL) return all;
    webhooks_free(all);
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

syn_err webhooks_start(webhooks *hooks, syn_server *server)
{
    hooks->server = server;
    for (uint32_t i = 0; i < hooks->count; i++) {
        struct hook *hook = &hooks->hook[i];
        hook->started = pthread_create(&hook->thread, NULL, run, hook) == 0;
        if (!hook->started) return SYN_ENOMEM;
    }
    return SYN_OK;
}

void webhooks_wake(webhooks *hooks)
{
    (void)pthread_mutex_lock(&hooks->lock);
    hooks->news++;
    (void)pthread_cond_broadcast(&hooks->woken);
    (void)pthread_mutex_unlock(&hooks->lock);
}

void webhooks_end(webhooks *hooks)
{
    if (hooks == NULL) return;
    (void)pthread_mutex_lock(&hooks->lock);
    hooks->stopping = true;
    (void)pthread_cond_broadcast(&hooks->woken);
    (void)pthread_mutex_unlock(&hooks->lock);
    for (uint32_t i = 0; i < hooks->count; i++) {
        if (hooks->hook[i].started) (void)pthread_join(hooks->hook[i].thread, NULL);
        hooks->hook[i].started = false;
    }
}

void webhooks_free(webhooks *hooks)
{
    if (hooks == NULL) return;
    for (uint32_t i = 0; i < hooks->count; i++) {
        free(hooks->hook[i].url);
        free(hooks->hook[i].pattern);
    }
    (void)pthread_cond_destroy(&hooks->woken);
    (void)pthread_mutex_destroy(&hooks->lock);
    free(hooks);
}
