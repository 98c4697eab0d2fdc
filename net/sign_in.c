#include "sign_in.h"

#include "copy.h"
#include "syncline_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_BYTES (256u * 1024u)

struct sign_in {
    char *secret, *file, *issuer, *audience;
    jwt_keys *keys;
};

static syn_err read_file(const char *path, syn_buf *out, char *detail)
{
    char piece[4096];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        snprintf(detail, 256, "%.150s cannot be opened", path);
        return SYN_EMISUSE;
    }
    syn_err err = SYN_OK;
    for (size_t got; !err && (got = fread(piece, 1, sizeof piece, file)) > 0;)
        err = out->len + got <= KEYS_BYTES ? syn_buf_append(out, piece, got) : SYN_ELIMIT;
    (void)fclose(file);
    if (err) snprintf(detail, 256, "%.150s: too long for a set of keys", path);
    return err ? SYN_EMISUSE : SYN_OK;
}

static syn_err load_keys(const char *path, jwt_keys **out, char *detail)
{
    char why[256];
    syn_buf text = {0};
    syn_err err = read_file(path, &text, detail);
    if (!err) {
        err = jwt_keys_new(out, (syn_str){text.data, text.len}, why);
        if (err) snprintf(detail, 256, "%.80s: %.170s", path, why);
    }
    syn_buf_free(&text);
    return err;
}

static syn_err copy(char **out, const char *text)
{
    if (text == NULL) return SYN_OK;
    *out = strdup(text);
    return *out != NULL ? SYN_OK : SYN_ENOMEM;
}

syn_err sign_in_new(sign_in **out, const syn_server_config *config, char *detail)
{
    sign_in *s = calloc(1, sizeof *s);
    if (s == NULL) return SYN_ENOMEM;
    syn_err err = copy(&s->secret, config->secret);
    if (!err) err = copy(&s->file, config->keys);
    if (!err) err = copy(&s->issuer, config->issuer);
    if (!err) err = copy(&s->audience, config->audience);
    if (!err && s->file != NULL) err = load_keys(s->file, &s->keys, detail);
    if (err)
        sign_in_free(s);
    else
        *out = s;
    return err;
}

void sign_in_free(sign_in *s)
{
    if (s == NULL) return;
    jwt_keys_free(s->keys);
    free(s->secret);
    free(s->file);
    free(s->issuer);
    free(s->audience);
    free(s);
}

bool sign_in_needed(const sign_in *s)
{
    return s->secret != NULL || s->keys != NULL;
}

syn_err sign_in_reload(sign_in *s, char *detail)
{
    jwt_keys *keys;
    if (s->file == NULL) return SYN_OK;
    syn_err err = load_keys(s->file, &keys, detail);
    if (err) return err;
    jwt_keys_free(s->keys);
    s->keys = keys;
    return SYN_OK;
}

/* In time that does not tell how much of it was right. */
static bool is_secret(const char *secret, syn_str token)
{
    size_t len = strlen(secret);
    unsigned different = token.len != len;
    for (size_t i = 0; i < token.len; i++)
        different |= (unsigned char)token.data[i] ^ (unsigned char)secret[i < len ? i : 0];
    return different == 0;
}

/* Where everyone comes in nobody governs. */
static void anonymous(struct signed_in *out, bool by_secret)
{
    *out = (struct signed_in){.server = SYN_MAY_LIST | (by_secret ? SYN_MAY_ADMIN : 0)};
    snprintf(out->user, sizeof out->user, "anonymous");
}

static uint32_t until(int64_t expires, int64_t now)
{
    int64_t left = expires - now;
    if (left < 1) left = 1; /* inside the leeway: it ends at once rather than never */
    return left < UINT32_MAX / 1000 ? (uint32_t)left * 1000 : UINT32_MAX;
}

syn_err sign_in_check(const sign_in *s, syn_str token, struct signed_in *out, char *detail)
{
    if (!sign_in_needed(s) || (s->secret != NULL && is_secret(s->secret, token))) {
        anonymous(out, sign_in_needed(s));
        return SYN_OK;
    }
    if (s->keys == NULL) {
        snprintf(detail, 256, "wrong or missing token");
        return SYN_EDENIED;
    }
    struct jwt_demand demand = {s->issuer, s->audience, (int64_t)time(NULL)};
    jwt_claims *claims;
    syn_err err = jwt_check(s->keys, token, &demand, &claims, detail);
    if (err) return err;
    syn_str user = jwt_user(claims);
    *out =
        (struct signed_in){.claims = claims, .expires_ms = until(jwt_expires(claims), demand.now)};
    copy_str(out->user, user);
    if (jwt_server_rights(claims) & (JWT_LIST | JWT_ADMIN)) out->server |= SYN_MAY_LIST;
    if (jwt_server_rights(claims) & JWT_ADMIN) out->server |= SYN_MAY_ADMIN;
    return SYN_OK;
}
