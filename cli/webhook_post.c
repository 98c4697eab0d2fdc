/* webhook_post.c -- a signed POST of libcurl.
 *
 * The answer's body is not read, redirects are not followed: an address that only forwards would
 * have the changes told to whomever it names. */
#include "webhook.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_MS 10000L
#define ANSWER_MS  30000L
#define SIGNATURE  64u /* "v1," and 32 bytes as base64 */

bool webhook_read_key(struct webhook_key *out, const char *text)
{
    static const char prefix[] = "whsec_";
    bool encoded = strncmp(text, prefix, sizeof prefix - 1) == 0;
    if (encoded) text += sizeof prefix - 1;
    size_t len = strlen(text);
    if (len > sizeof out->bytes || (encoded && len % 4 != 0)) return false;
    if (!encoded) {
        memcpy(out->bytes, text, len);
        out->len = len;
        return len >= 16;
    }
    int got = EVP_DecodeBlock(out->bytes, (const unsigned char *)text, (int)len);
    if (got < 0) return false;
    out->len = (size_t)got;
    for (size_t i = len; i > 0 && text[i - 1] == '='; i--) out->len--;
    return out->len >= 16;
}

static bool sign(const struct webhook_request *request, long long when, char out[SIGNATURE])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    size_t size = strlen(request->id) + strlen(request->body) + 40;
    char *text = malloc(size);
    if (text == NULL) return false;
    int len = snprintf(text, size, "%s.%lld.%s", request->id, when, request->body);
    bool made = HMAC(EVP_sha256(), request->key->bytes, (int)request->key->len,
                     (const unsigned char *)text, (size_t)len, hash, &hash_len) != NULL;
    free(text);
    memcpy(out, "v1,", 3);
    if (made) (void)EVP_EncodeBlock((unsigned char *)out + 3, hash, (int)hash_len);
    return made;
}

static struct curl_slist *add(struct curl_slist *list, const char *line, bool *good)
{
    struct curl_slist *longer = *good ? curl_slist_append(list, line) : NULL;
    *good = longer != NULL;
    return *good ? longer : list;
}

static struct curl_slist *headers(const struct webhook_request *request, bool *good)
{
    char line[400], signature[SIGNATURE];
    long long when = (long long)time(NULL);
    struct curl_slist *list = NULL;
    *good = true;
    list = add(list, "Content-Type: application/json", good);
    list = add(list, "Expect:", good); /* else bodies above 1 KiB wait for a 100 */
    (void)snprintf(line, sizeof line, "webhook-id: %s", request->id);
    list = add(list, line, good);
    (void)snprintf(line, sizeof line, "webhook-timestamp: %lld", when);
    list = add(list, line, good);
    if (request->key == NULL) return list;
    *good = *good && sign(request, when, signature);
    (void)snprintf(line, sizeof line, "webhook-signature: %s", *good ? signature : "");
    return add(list, line, good);
}

static size_t swallow(char *data, size_t size, size_t count, void *user)
{
    (void)data;
    (void)user;
    return size * count;
}

static int look(void *user, curl_off_t all, curl_off_t now, curl_off_t up_all, curl_off_t up)
{
    const struct webhook_request *request = user;
    (void)all;
    (void)now;
    (void)up_all;
    (void)up;
    return request->stop(request->user) ? 1 : 0;
}

static CURLcode perform(CURL *curl, const struct webhook_request *request, struct curl_slist *list)
{
    const char *ca = getenv("SYNCLINE_CA");
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "syncline");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, request);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (ca != NULL) curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    return curl_easy_perform(curl);
}

long webhook_post(const struct webhook_request *request, char *why)
{
    long status = 0;
    bool good = false;
    CURL *curl = curl_easy_init();
    struct curl_slist *list = curl != NULL ? headers(request, &good) : NULL;
    CURLcode result = good ? perform(curl, request, list) : CURLE_OUT_OF_MEMORY;
    if (result == CURLE_OK) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    (void)snprintf(why, 200, "%s", curl_easy_strerror(result));
    curl_slist_free_all(list);
    if (curl != NULL) curl_easy_cleanup(curl);
    return status;
}
