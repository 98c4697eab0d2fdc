/* jwt.c -- checking tokens: signature first, then claims. */
#include "jwt_impl.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KEYS = 256, MOST_GRANTS = 256 };

struct jwt_keys {
    size_t count;
    struct jwt_key key[];
};

struct grant {
    syn_str pattern; /* in claims->payload */
    uint32_t rights;
};

struct jwt_claims {
    json_t *payload;
    syn_str user;
    int64_t expires;
    uint32_t server;
    size_t count;
    struct grant grant[];
};

/* ---- Keys ------------------------------------------------------------------------------------ */

static bool kid_taken(const jwt_keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->key[i].kid, kid) == 0) return true;
    return false;
}

static syn_err read_all(jwt_keys *keys, const json_t *list, char *detail)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        syn_err err = jwk_read(&keys->key[keys->count], json_array_get(list, i), detail);
        if (err) return err;
        if (kid_taken(keys, keys->key[keys->count].kid)) {
            snprintf(detail, 256, "two keys are called %.100s", keys->key[keys->count].kid);
            jwk_clear(&keys->key[keys->count]);
            return SYN_EMISUSE;
        }
        keys->count++;
    }
    return SYN_OK;
}

syn_err jwt_keys_new(jwt_keys **out, syn_str json, char *detail)
{
    json_error_t error;
    json_t *set = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &error);
    json_t *list = json_object_get(set, "keys");
    if (list == NULL && json_is_object(set)) { /* one key by itself */
        list = json_array();
        json_array_append(list, set);
        json_decref(set);
        set = json_pack("{s:o}", "keys", list);
    }
    size_t count = json_array_size(list);
    if (count == 0 || count > MOST_KEYS) {
        if (set == NULL)
            snprintf(detail, 256, "not JSON: line %d: %.150s", error.line, error.text);
        else
            snprintf(detail, 256, "a JWK Set of 1 to %d keys is wanted: {\"keys\": [...]}",
                     MOST_KEYS);
        json_decref(set);
        return SYN_EMISUSE;
    }
    jwt_keys *keys = calloc(1, sizeof *keys + count * sizeof keys->key[0]);
    syn_err err = keys != NULL ? read_all(keys, list, detail) : SYN_ENOMEM;
    json_decref(set);
    if (err)
        jwt_keys_free(keys);
    else
        *out = keys;
    return err;
}

void jwt_keys_free(jwt_keys *keys)
{
    if (keys == NULL) return;
    for (size_t i = 0; i < keys->count; i++) jwk_clear(&keys->key[i]);
    free(keys);
}

/* ---- The signature --------------------------------------------------------------------------- */

static syn_err deny(char *detail, const char *why)
{
    snprintf(detail, 256, "%s", why);
    return SYN_EDENIED;
}

/* header.payload.signature */
struct parts {
    const char *header, *payload, *signature;
    size_t header_len, payload_len, signature_len;
};

static bool split(syn_str token, struct parts *parts)
{
    const char *end = token.data + token.len;
    const char *first = memchr(token.data, '.', token.len);
    if (first == NULL) return false;
    const char *second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) return false;
    *parts = (struct parts){token.data,
                            first + 1,
                            second + 1,
                            (size_t)(first - token.data),
                            (size_t)(second - first - 1),
                            (size_t)(end - second - 1)};
    return true;
}

/* NULL: no base64url of a JSON object. */
static json_t *object_of(const char *text, size_t len)
{
    unsigned char bytes[JWT_TOKEN_BYTES];
    size_t count;
    if (!base64_decode(text, len, bytes, sizeof bytes, &count)) return NULL;
    json_t *value = json_loadb((const char *)bytes, count, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(value)) return value;
    json_decref(value);
    return NULL;
}

/* The key that the header names; a set of one needs no name. */
static const struct jwt_key *key_for(const jwt_keys *keys, const json_t *header)
{
    const json_t *kid = json_object_get(header, "kid");
    if (kid == NULL) return keys->count == 1 ? &keys->key[0] : NULL;
    for (size_t i = 0; i < keys->count; i++)
        if (json_is_string(kid) && strcmp(keys->key[i].kid, json_string_value(kid)) == 0)
            return &keys->key[i];
    return NULL;
}

/* A JWS carries r and s as 32 bytes each, OpenSSL wants them in DER. */
static size_t ecdsa_der(const unsigned char raw[2 * ES256_HALF], unsigned char *out)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_HALF, NULL),
           *s = BN_bin2bn(raw + ES256_HALF, ES256_HALF, NULL);
    int len = 0;
    if (signature != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(signature, r, s) == 1) {
        len = i2d_ECDSA_SIG(signature, &out);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(signature);
    return len > 0 ? (size_t)len : 0;
}

static bool signature_holds(const struct jwt_key *key, const struct parts *parts)
{
    unsigned char given[SIGNATURE_MOST], der[SIGNATURE_MOST], own[HS256_BYTES];
    size_t len;
    size_t signed_len = parts->header_len + 1 + parts->payload_len;
    if (!base64_decode(parts->signature, parts->signature_len, given, sizeof given, &len))
        return false;
    if (key->alg == ALG_HS256)
        return len == sizeof own && hmac_sha256(key, parts->header, signed_len, own) &&
               CRYPTO_memcmp(own, given, sizeof own) == 0;
    const unsigned char *signature = given;
    if (key->alg == ALG_ES256) {
        if (len != 2 * ES256_HALF) return false;
        len = ecdsa_der(given, der);
        signature = der;
    }
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool holds = digest != NULL &&
                 EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key->key) == 1 &&
                 EVP_DigestVerify(digest, signature, len, (const unsigned char *)parts->header,
                                  signed_len) == 1;
    EVP_MD_CTX_free(digest);
    return holds;
}

static syn_err check_signature(const jwt_keys *keys, const struct parts *parts, char *detail)
{
    json_t *header = object_of(parts->header, parts->header_len);
    syn_err err = SYN_OK;
    if (header == NULL) return deny(detail, "the token's header is not JSON");
    const struct jwt_key *key = key_for(keys, header);
    const char *alg = json_string_value(json_object_get(header, "alg"));
    if (json_object_get(header, "crit") != NULL)
        err = deny(detail, "the token demands an extension that is not known here");
    else if (key == NULL)
        err = deny(detail, "the token names no key that is known here");
    else if (alg_named(alg) != key->alg)
        err = deny(detail, "the token's algorithm is not its key's");
    else if (!signature_holds(key, parts))
        err = deny(detail, "the token's signature does not hold");
    json_decref(header);
    return err;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static const struct word {
    const char *name;
    uint32_t right;
} document_words[] = {{"read", JWT_READ},
                      {"write", JWT_WRITE},
                      {"create", JWT_CREATE},
                      {"relay", JWT_RELAY},
                      {NULL, 0}},
  server_words[] = {{"list", JWT_LIST}, {"admin", JWT_ADMIN}, {NULL, 0}};

static uint32_t rights_of(const struct word *words, const char *text)
{
    uint32_t rights = 0;
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, " ");
        for (const struct word *word = words; word->name != NULL; word++)
            if (strlen(word->name) == len && memcmp(word->name, at, len) == 0)
                rights |= word->right;
        at += len + (at[len] == ' ');
    }
    return rights;
}

static bool audience_matches(const json_t *claim, const char *audience)
{
    if (json_is_string(claim)) return strcmp(json_string_value(claim), audience) == 0;
    for (size_t i = 0; i < json_array_size(claim); i++) {
        const char *one = json_string_value(json_array_get(claim, i));
        if (one != NULL && strcmp(one, audience) == 0) return true;
    }
    return false;
}

static syn_err check_claims(const json_t *payload, const struct jwt_demand *demand, char *detail)
{
    const json_t *exp = json_object_get(payload, "exp"), *nbf = json_object_get(payload, "nbf");
    const char *iss = json_string_value(json_object_get(payload, "iss"));
    const json_t *sub = json_object_get(payload, "sub");
    size_t user = json_string_length(sub);
    if (!json_is_number(exp)) return deny(detail, "the token has no end (exp)");
    if (json_number_value(exp) <= (double)(demand->now - JWT_LEEWAY_S))
        return deny(detail, "the token has expired");
    if (nbf != NULL &&
        (!json_is_number(nbf) || json_number_value(nbf) > (double)(demand->now + JWT_LEEWAY_S)))
        return deny(detail, "the token is not valid yet (nbf)");
    if (user == 0 || user > JWT_USER_BYTES || strlen(json_string_value(sub)) != user)
        return deny(detail, "the token names no user (sub)");
    if (demand->issuer != NULL && (iss == NULL || strcmp(iss, demand->issuer) != 0))
        return deny(detail, "the token is of another issuer (iss)");
    if (demand->audience != NULL &&
        !audience_matches(json_object_get(payload, "aud"), demand->audience))
        return deny(detail, "the token is for somebody else (aud)");
    return SYN_OK;
}

/* Takes the payload over. */
static syn_err take_claims(json_t *payload, jwt_claims **out, char *detail)
{
    const char *pattern;
    json_t *may, *own = json_object_get(payload, "syncline");
    json_t *documents = json_object_get(own, "documents");
    size_t count = json_object_size(documents);
    double end = json_number_value(json_object_get(payload, "exp"));
    if (count > MOST_GRANTS) {
        json_decref(payload);
        return deny(detail, "the token has too many patterns");
    }
    jwt_claims *claims = calloc(1, sizeof *claims + count * sizeof claims->grant[0]);
    if (claims == NULL) {
        json_decref(payload);
        return SYN_ENOMEM;
    }
    claims->payload = payload;
    const json_t *sub = json_object_get(payload, "sub");
    claims->user = (syn_str){json_string_value(sub), json_string_length(sub)};
    claims->expires = end < 1e15 ? (int64_t)end : INT64_C(1000000000000000);
    claims->server = rights_of(server_words, json_string_value(json_object_get(own, "server")));
    json_object_foreach(documents, pattern, may)
    {
        claims->grant[claims->count++] =
            (struct grant){syn_s(pattern), rights_of(document_words, json_string_value(may))};
    }
    *out = claims;
    return SYN_OK;
}

syn_err jwt_check(const jwt_keys *keys, syn_str token, const struct jwt_demand *demand,
                  jwt_claims **out, char *detail)
{
    struct parts parts;
    if (token.len == 0) return deny(detail, "a token is needed");
    if (token.len > JWT_TOKEN_BYTES || !split(token, &parts))
        return deny(detail, "this is not a token");
    syn_err err = check_signature(keys, &parts, detail);
    if (err) return err;
    json_t *payload = object_of(parts.payload, parts.payload_len);
    if (payload == NULL) return deny(detail, "the token's claims are not JSON");
    err = check_claims(payload, demand, detail);
    if (!err) return take_claims(payload, out, detail);
    json_decref(payload);
    return err;
}

void jwt_claims_free(jwt_claims *claims)
{
    if (claims == NULL) return;
    json_decref(claims->payload);
    free(claims);
}

syn_str jwt_user(const jwt_claims *claims)
{
    return claims->user;
}

int64_t jwt_expires(const jwt_claims *claims)
{
    return claims->expires;
}

uint32_t jwt_server_rights(const jwt_claims *claims)
{
    return claims->server;
}

/* A star takes nothing at first; when the rest does not fit it takes one byte more.  Only the last
 * star need ever be stretched again, so no pattern costs more than pattern times text. */
bool jwt_pattern_matches(syn_str pattern, syn_str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, taken = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            taken = t;
        } else if (p < pattern.len && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') p++;
    return p == pattern.len;
}

uint32_t jwt_rights(const jwt_claims *claims, syn_str document)
{
    uint32_t rights = 0;
    for (size_t i = 0; i < claims->count; i++)
        if (jwt_pattern_matches(claims->grant[i].pattern, document))
            rights |= claims->grant[i].rights;
    return rights;
}
