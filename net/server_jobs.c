/* server_jobs.c -- what other threads ask for: a list under a mutex, and ev_async wakes the loop,
 * where each is done. */
#include "server_impl.h"

#include "copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum job_kind { JOB_EDIT, JOB_DELETE, JOB_ACCEPT, JOB_REFUSE, JOB_RELOAD };

struct job {
    struct job *next;
    enum job_kind kind;
    uint64_t conn;
    uint32_t expires_ms;
    bool create, http;
    syn_err (*fn)(void *user, syn_doc *doc);
    void (*done)(void *user, syn_err err);
    void *user;
    size_t len;
    char text[]; /* document, user, or reason */
};

static syn_err post(syn_server *server, const struct job *what, syn_str text)
{
    struct job *job = malloc(sizeof *job + text.len);
    if (job == NULL) return SYN_ENOMEM;
    *job = *what;
    job->next = NULL;
    job->len = text.len;
    copy_str(job->text, text);
    pthread_mutex_lock(&server->lock);
    *server->last_job = job;
    server->last_job = &job->next;
    pthread_mutex_unlock(&server->lock);
    ev_async_send(server->loop, &server->wake);
    return SYN_OK;
}

static void reloaded(void *user, syn_err err, const char *why)
{
    syn_server *server = user;
    char detail[256] = "certificate and keys were read again";
    if (err) snprintf(detail, sizeof detail, "%s", why);
    pthread_rwlock_wrlock(&server->keys);
    bool good = !err && sign_in_reload(server->sign_in, detail) == SYN_OK;
    pthread_rwlock_unlock(&server->keys);
    server_log(server, good ? "reload" : "reload failed, the old one stays", detail);
}

static void accepted(syn_server *server, const struct job *job, syn_str name, uint64_t now)
{
    const struct hub_identity who = {.name = name};
    uint32_t rights = 0;
    if (!job->http) {
        hub_signed_in(server->hub, job->conn, &who, job->expires_ms, now);
        return;
    }
    if (server->config.authorise != NULL)
        rights = server->config.authorise(server->config.user, name, syn_s(""));
    http_signed_in(server->api, job->conn, &who, rights & (SYN_MAY_LIST | SYN_MAY_ADMIN),
                   job->expires_ms);
}

static void run_job(syn_server *server, struct job *job)
{
    syn_str text = {job->text, job->len};
    uint64_t now = server_now_ms();
    switch (job->kind) {
    case JOB_EDIT:
        hub_edit(server->hub, text, job->create, job->fn, job->done, job->user, now);
        break;
    case JOB_DELETE:
        hub_delete(server->hub, text, job->done, job->user, now);
        break;
    case JOB_ACCEPT:
        accepted(server, job, text, now);
        break;
    case JOB_REFUSE:
        if (job->http)
            http_refused(server->api, job->conn, text);
        else
            hub_refused(server->hub, job->conn, text, now);
        break;
    case JOB_RELOAD:
        loops_reload(server->loops, reloaded, server);
        break;
    }
    free(job);
}

void server_run_jobs(syn_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct job *jobs = server->jobs;
    server->jobs = NULL;
    server->last_job = &server->jobs;
    bool stopping = server->stopping;
    uint32_t stop_ms = server->stop_ms;
    pthread_mutex_unlock(&server->lock);
    for (struct job *next; jobs != NULL; jobs = next) {
        next = jobs->next;
        run_job(server, jobs);
    }
    if (stopping && !server->draining) {
        server->draining = true;
        server->drain_until = server_now_ms() + stop_ms;
        loops_stop_listening(server->loops);
    }
}

void server_drop_jobs(syn_server *server)
{
    for (struct job *next; server->jobs != NULL; server->jobs = next) {
        next = server->jobs->next;
        if (server->jobs->done != NULL) server->jobs->done(server->jobs->user, SYN_ECLOSED);
        free(server->jobs);
    }
}

/* ---- Calls from any thread ------------------------------------------------------------------- */

void syn_server_reload(syn_server *server)
{
    struct job job = {.kind = JOB_RELOAD};
    (void)post(server, &job, syn_s("")); /* without memory: the old certificate stays */
}

void syn_auth_accept(syn_auth_request *request, syn_str user, uint32_t expires_ms)
{
    struct job job = {
        .kind = JOB_ACCEPT, .conn = request->conn, .http = request->http, .expires_ms = expires_ms};
    if (post(request->server, &job, user)) return; /* keeps the request; the handshake times out */
    free(request);
}

void syn_auth_refuse(syn_auth_request *request, syn_str reason)
{
    struct job job = {.kind = JOB_REFUSE, .conn = request->conn, .http = request->http};
    if (post(request->server, &job, reason)) return;
    free(request);
}

syn_err syn_server_edit(syn_server *server, syn_str document, bool create,
                        syn_err (*fn)(void *user, syn_doc *doc),
                        void (*done)(void *user, syn_err err), void *user)
{
    struct job job = {.kind = JOB_EDIT, .create = create, .fn = fn, .done = done, .user = user};
    if (fn == NULL || document.len == 0 || document.len > LIMIT_NAME_BYTES) return SYN_EMISUSE;
    return post(server, &job, document);
}

syn_err syn_server_delete(syn_server *server, syn_str document,
                          void (*done)(void *user, syn_err err), void *user)
{
    struct job job = {.kind = JOB_DELETE, .done = done, .user = user};
    if (document.len == 0 || document.len > LIMIT_NAME_BYTES) return SYN_EMISUSE;
    return post(server, &job, document);
}
