/* http_documents.c -- GET, POST, DELETE of one document.
 *
 * What is told is made while the hub lends the document, and sent when the hub says that everything
 * the document then held is on the disk. */
#include "http_impl.h"

#include "path.h"
#include "syncline_server.h"
#include "utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define ETAG_HEADS 4u
/* A document that takes no more memory is written on the loop: texts 0.5 ms, maps of many keys 5.
 */
#define HTTP_AT_ONCE (512u * 1024u)

/* ---- Versions -------------------------------------------------------------------------------- */

/* The heads themselves, or a hash where there are many. */
static void put_etag(const syn_doc *doc, bool text, char *out, size_t size)
{
    syn_id heads[LIMIT_PARENTS];
    uint64_t flat[2 * ETAG_HEADS];
    size_t count = syn_doc_heads(doc, heads, LIMIT_PARENTS);
    if (count > LIMIT_PARENTS) count = LIMIT_PARENTS;
    size_t at = (size_t)snprintf(out, size, "\"%" PRIu64, syn_doc_events(doc));
    XXH64_hash_t hash = 0;
    for (size_t i = 0; i < count; i++) {
        if (count <= ETAG_HEADS)
            at += (size_t)snprintf(out + at, size - at, "-%016" PRIx64 ":%" PRIu32, heads[i].peer,
                                   heads[i].seq);
        flat[0] = heads[i].peer;
        flat[1] = heads[i].seq;
        hash = XXH64(flat, 2 * sizeof flat[0], hash);
    }
    if (count > ETAG_HEADS) at += (size_t)snprintf(out + at, size - at, "-%016" PRIx64, hash);
    snprintf(out + at, size - at, "%s\"", text ? "-t" : "");
}

/* Is the tag, whole, in a list like `"1-a", W/"2-b"`, or is the list `*`? */
static bool in_tags(const char *list, const char *etag)
{
    size_t len = strlen(etag);
    if (strcmp(list, "*") == 0) return true;
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, ", ");
        if (strncmp(at, "W/", 2) == 0) at += 2;
        size_t item = strcspn(at, ", ");
        if (item == len && memcmp(at, etag, len) == 0) return true;
        at += item;
    }
    return false;
}

static bool matches(const char *list, const syn_doc *doc)
{
    char etag[240], text[240];
    put_etag(doc, false, etag, sizeof etag);
    put_etag(doc, true, text, sizeof text);
    return in_tags(list, etag) || in_tags(list, text);
}

/* ---- GET ------------------------------------------------------------------------------------- */

static syn_err put_bounded(void *user, const void *data, size_t len)
{
    syn_buf *buf = user;
    return len > HTTP_ANSWER_BYTES - buf->len ? SYN_ELIMIT : syn_buf_append(buf, data, len);
}

static syn_err write_text(const syn_doc *doc, const char *container, syn_buf *out)
{
    syn_str wanted = syn_s(container), name = {0};
    for (uint32_t i = 0;; i++) {
        syn_obj at = syn_root_at(doc, i, &name);
        if (at == SYN_NO_OBJ) return SYN_ENOTFOUND;
        if (syn_obj_kind(doc, at) != SYN_TEXT || name.len != wanted.len) continue;
        if (name.len != 0 && memcmp(name.data, wanted.data, name.len) != 0) continue;
        size_t bytes = syn_text_bytes(doc, at);
        if (bytes > HTTP_ANSWER_BYTES) return SYN_ELIMIT;
        out->data = malloc(bytes + 1);
        if (out->data == NULL) return SYN_ENOMEM;
        out->len = syn_text_read(doc, at, 0, SIZE_MAX, out->data, bytes);
        return SYN_OK;
    }
}

static syn_err write_json(const syn_doc *doc, const char *path, syn_buf *out)
{
    syn_value value;
    if (path == NULL || path[0] == '\0') return syn_doc_json(doc, SYN_NO_OBJ, put_bounded, out);
    syn_err err = syn_doc_resolve(doc, syn_s(path), &value);
    return err ? err : syn_value_json(doc, &value, put_bounded, out);
}

/* Would writing it take long?  A path to one value never does. */
static bool is_large(const syn_doc *doc, const char *path)
{
    syn_value value;
    if (syn_doc_footprint(doc) <= HTTP_AT_ONCE) return false;
    if (path == NULL || path[0] == '\0') return true;
    if (syn_doc_resolve(doc, syn_s(path), &value)) return false;
    bool container = value.kind == SYN_VALUE_CHILD || value.kind == SYN_VALUE_MERGEABLE;
    return container && value.child != SYN_COUNTER;
}

/* The text container that is wanted as it is; NULL: JSON is wanted. */
static const char *wanted_text(const struct http_call *call)
{
    const char *text = http_query(call->query, "text");
    bool accepts = strstr(call->accept, "text/plain") != NULL &&
                   strstr(call->accept, "json") == NULL && strstr(call->accept, "*/*") == NULL;
    return text == NULL && accepts && http_query(call->query, "path") == NULL ? "" : text;
}

/* What is no JSON Pointer (RFC 6901) in UTF-8 names nothing, ever. */
static bool is_pointer(const char *path)
{
    if (path[0] != '\0' && path[0] != '/') return false;
    for (const char *at = strchr(path, '~'); at != NULL; at = strchr(at + 1, '~'))
        if (at[1] != '0' && at[1] != '1') return false;
    return utf8_valid(path, strlen(path), NULL);
}

static syn_err read_document(void *user, syn_doc *doc)
{
    struct http_call *call = user;
    struct http_answer *out = &call->answer;
    const char *text = wanted_text(call), *path = http_query(call->query, "path");
    char etag[sizeof out->etag];
    syn_buf buf = {0};
    if (doc == NULL) return SYN_ENOTFOUND;
    if (path != NULL && !is_pointer(path)) {
        http_fail(out, 400, "malformed", "path is a JSON Pointer, like /title (~ is written ~0)");
        return SYN_OK;
    }
    if (text != NULL && !utf8_valid(text, strlen(text), NULL)) {
        http_fail(out, 400, "malformed", "text is a container's name, in UTF-8");
        return SYN_OK;
    }
    put_etag(doc, text != NULL, etag, sizeof etag);
    if (call->if_none_match[0] != '\0' && in_tags(call->if_none_match, etag)) {
        *out = (struct http_answer){.status = 304, .type = "application/json"};
        memcpy(out->etag, etag, sizeof etag);
        return SYN_OK;
    }
    if (!call->aside && is_large(doc, text != NULL ? NULL : path)) {
        call->aside = true; /* once more, off the loop */
        return SYN_EBUSY;
    }
    syn_err err = text != NULL ? write_text(doc, text, &buf) : write_json(doc, path, &buf);
    if (err) {
        syn_buf_free(&buf);
        return err;
    }
    *out = (struct http_answer){.status = 200, .body = buf.data, .len = buf.len};
    out->type = text != NULL ? "text/plain; charset=utf-8" : "application/json";
    memcpy(out->etag, etag, sizeof etag);
    return SYN_OK;
}

/* "12", or the version that an answer told: "12-HEAD...".  false: neither. */
static bool read_version(const char *text, uint32_t *events)
{
    size_t digits = strspn(text, "0123456789");
    *events = digits != 0 && digits < 11 ? (uint32_t)strtoull(text, NULL, 10) : 0;
    return digits != 0 && digits < 11 && strtoull(text, NULL, 10) <= UINT32_MAX &&
           (text[digits] == '\0' || text[digits] == '-');
}

/* Is the document that was found the one that the version names, not only as long?  It need not be
 * after a backup was restored. */
static syn_err read_old(void *user, syn_doc *doc)
{
    char etag[240];
    struct http_call *call = user;
    const char *wanted = http_query(call->query, "at");
    put_etag(doc, false, etag, sizeof etag);
    size_t len = strlen(etag) - 2;
    bool heads = strchr(wanted, '-') != NULL;
    if (heads && (strlen(wanted) != len || memcmp(wanted, etag + 1, len) != 0)) return SYN_ERANGE;
    return read_document(call, doc);
}

/* ---- POST ------------------------------------------------------------------------------------ */

static void answer_version(struct http_answer *out, const syn_doc *doc, int status)
{
    char etag[sizeof out->etag], text[320];
    put_etag(doc, false, etag, sizeof etag);
    int len = snprintf(text, sizeof text, "{\"version\":\"%.*s\",\"events\":%" PRIu64 "}\n",
                       (int)strlen(etag) - 2, etag + 1, syn_doc_events(doc));
    *out = (struct http_answer){.status = status, .type = "application/json"};
    out->body = strdup(text);
    out->len = out->body != NULL ? (size_t)len : 0;
    memcpy(out->etag, etag, sizeof etag);
}

static syn_err write_document(void *user, syn_doc *doc)
{
    struct http_call *call = user;
    char why[PATH_WHY_BYTES] = "";
    if (doc == NULL) return SYN_ENOTFOUND;
    bool fresh = syn_doc_heads(doc, NULL, 0) == 0;
    if (call->if_match[0] != '\0' && (fresh || !matches(call->if_match, doc))) {
        http_fail(&call->answer, 412, "changed", "the document is not at that version");
        return SYN_OK;
    }
    uint64_t most = hub_most_events(call->api->hub, call->name);
    bool full;
    syn_err err = http_edits_apply(doc, call->edits, most, &full, why);
    if (full) call->request.limit = LIM_DOCUMENT_EVENTS;
    if (!err)
        answer_version(&call->answer, doc, fresh && syn_doc_events(doc) > 0 ? 201 : 200);
    else if (why[0] != '\0')
        http_fail_with(&call->answer, err == SYN_ENOTFOUND ? SYN_EKIND : err, why);
    return err;
}

/* ---- All ------------------------------------------------------------------------------------- */

static void done(void *user, syn_err err)
{
    struct http_call *call = user;
    http_api *api = call->api;
    bool told = call->answer.status >= 400; /* the edit's own words */
    if (err == SYN_ELIMIT && call->request.limit != LIM_NONE) {
        http_call_limited(call);
        return;
    }
    if (!err && call->answer.len != 0)
        hub_answered(api->hub, &call->request, call->answer.len, api->port.now(api->port.user));
    if (err && !(told && err != SYN_EIO && err != SYN_EFULL)) {
        bool read = call->method == HTTP_GET;
        http_fail_with(&call->answer, err, read && err == SYN_ENOTFOUND ? "it is not there" : "");
    }
    http_call_end(call);
}

static void done_old(void *user, syn_err err)
{
    struct http_call *call = user;
    if (err == SYN_ERANGE)
        http_fail_with(&call->answer, SYN_ENOTFOUND, "it never was at that version");
    if (err == SYN_ERANGE)
        http_call_end(call);
    else
        done(call, err);
}

static void get(struct http_call *call, uint64_t now)
{
    uint32_t events;
    hub *h = call->api->hub;
    const char *version = http_query(call->query, "at");
    if (version == NULL)
        hub_read(h, call->name, read_document, done, call, now);
    else if ((call->aside = read_version(version, &events)))
        hub_read_version(h, call->name, events, read_old, done_old, call, now);
    else
        http_call_refuse(call, 400, "malformed", "at is a version: 12, or 12-HEADS");
}

static void deleted(void *user, syn_err err)
{
    struct http_call *call = user;
    if (err) http_fail_with(&call->answer, err, "");
    if (err)
        http_call_end(call);
    else
        http_call_json(call, json_pack("{s:b}", "deleted", 1));
}

static void post(struct http_call *call, uint32_t rights)
{
    char why[PATH_WHY_BYTES] = "";
    http_api *api = call->api;
    if (!(rights & RIGHT_WRITE)) {
        http_call_refuse(call, 403, "forbidden", "the right to write is needed");
    } else if (!http_is_json(call)) {
        http_call_refuse(call, 415, "type", "the body is application/json");
    } else if (!http_edits_parse(call->body, &call->edits, why)) {
        http_call_refuse(call, 400, "malformed", why);
    } else {
        bool create = (rights & RIGHT_CREATE) != 0;
        hub_edit_for(api->hub, call->name, create, write_document, done, call, &call->request,
                     api->port.now(api->port.user));
    }
}

void http_document(struct http_call *call)
{
    http_api *api = call->api;
    uint64_t now = api->port.now(api->port.user);
    uint32_t rights = http_rights(call, call->name);
    if (call->method == HTTP_POST) {
        post(call, rights);
    } else if (call->method == HTTP_DELETE) {
        if (call->server & SYN_MAY_ADMIN)
            hub_delete(api->hub, call->name, deleted, call, now);
        else
            http_call_refuse(call, 403, "forbidden", "the admin right is needed");
    } else if (rights & RIGHT_READ) {
        get(call, now);
    } else {
        http_call_refuse(call, 403, "forbidden", "the right to read is needed");
    }
}
