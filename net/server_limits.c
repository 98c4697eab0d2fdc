/* server_limits.c -- the tables of server_limits.h, and reading what somebody set. */
#include "server_limits.h"

#include <stdio.h>
#include <string.h>

static const struct limit_info table[LIM_COUNT] = {
#define X(id, name, value, unit, code, permanent, effect, reason)                                  \
    {name, unit, effect, reason, value, CODE_##code, permanent},
    LIMITS(X)
#undef X
};

static const struct limit_fixed fixed[] = {
    {"preauth_bytes", "bytes", "Error", "a message before sign-in", LIMIT_PREAUTH_BYTES, CODE_LIMIT,
     true},
    {"handshake", "ms", "Error", "from the connection to the end of sign-in", LIMIT_HANDSHAKE_MS,
     CODE_UNAUTHENTICATED, false},
    {"token_bytes", "bytes", "Error", "a token", LIMIT_TOKEN_BYTES, CODE_LIMIT, true},
    {"silence", "ms", "Error", "three heartbeats without an answer", 3 * LIMIT_HEARTBEAT_MS,
     CODE_TOO_SLOW, false},
    {"frame_bytes", "bytes", "Error", "one message", LIMIT_FRAME_BYTES, CODE_LIMIT, true},
    {"frame_events", "", "Closed", "events of one message", LIMIT_FRAME_EVENTS, CODE_LIMIT, true},
    {"frame_entries", "", "Closed", "parts of one message, counted before they are unpacked",
     LIMIT_FRAME_ENTRIES, CODE_LIMIT, true},
    {"raw_bytes", "bytes", "Closed", "what Packed inflates to", LIMIT_RAW_BYTES, CODE_LIMIT, true},
    {"window_bytes", "bytes", "Closed", "sent ahead without credit", LIMIT_WINDOW_BYTES, CODE_LIMIT,
     false},
    {"value_bytes", "bytes", "Closed", "one value", LIMIT_VALUE_BYTES, CODE_LIMIT, true},
    {"name_bytes", "bytes", "Error", "a document's name", LIMIT_NAME_BYTES, CODE_LIMIT, true},
    {"key_bytes", "bytes", "Closed", "a key of a map", LIMIT_KEY_BYTES, CODE_LIMIT, true},
    {"names_bytes", "bytes", "Closed", "peers and containers a channel named", LIMIT_NAMES_BYTES,
     CODE_LIMIT, true},
    {"document_heads", "", "Nack", "heads of a document", LIMIT_PARENTS, CODE_LIMIT, true},
    {"user_heads", "", "Nack", "heads that one user's peers stand on", LIMIT_USER_HEADS, CODE_LIMIT,
     true},
    {"work_of_a_change", "steps", "Nack", "merging one message, and 64 for each event", 100000000,
     CODE_LIMIT, true},
    {"pending_bytes", "bytes", "Nack", "none: changes wait at the client until their parents came",
     0, CODE_PARENTS, false},
    {"presence_bytes", "bytes", "Closed", "what one session shows", LIMIT_PRESENCE_BYTES,
     CODE_LIMIT, true},
    {"presence_ms", "ms", "later", "presence is told once in so long", LIMIT_PRESENCE_MS, CODE_OK,
     false},
    {"presence_ttl", "ms", "Closed", "a ghost stays so long", LIMIT_PRESENCE_TTL_MS, CODE_LIMIT,
     true},
};

void limits_default(struct limits *limits)
{
    memset(limits, 0, sizeof *limits);
    for (unsigned i = 0; i < LIM_COUNT; i++) limits->of[i] = table[i].value;
}

const struct limit_info *limits_info(enum limit limit)
{
    return &table[limit];
}

const struct limit_fixed *limits_fixed(size_t index)
{
    return index < sizeof fixed / sizeof fixed[0] ? &fixed[index] : NULL;
}

enum limit limits_find(syn_str name)
{
    for (unsigned i = 0; i < LIM_COUNT; i++)
        if (strlen(table[i].name) == name.len && memcmp(table[i].name, name.data, name.len) == 0)
            return (enum limit)i;
    return LIM_COUNT;
}

bool limits_may_be(enum limit limit, uint64_t value)
{
    switch (limit) {
    case LIM_CONNECTION_DOCUMENTS:
    case LIM_USER_NEW_PEERS:
        return value != 0 && value <= UINT32_MAX;
    case LIM_DOCUMENT_EVENTS:
        return value != 0 && value <= LIMIT_DOCUMENT_EVENTS;
    case LIM_DOCUMENT_BYTES:
        return value != 0 && value <= LIMIT_DOCUMENT_BYTES;
    case LIM_CONNECTION_QUEUE: /* holds what a newcomer is told at once */
        return value >= LIMIT_MEGABYTE / 2 + 4 * LIMIT_NAMES_BYTES && value < UINT32_MAX;
    case LIM_DOCUMENT_PRESENCE:
        return value <= LIMIT_MEGABYTE / 2;
    case LIM_MEMORY: /* less holds no server */
        return value == 0 || value >= 32 * (uint64_t)LIMIT_MEGABYTE;
    case LIM_BURST:
        return value != 0 && value <= 3600;
    default:
        return value <= (uint64_t)1 << 40;
    }
}

bool limits_size(const char *text, size_t len, uint64_t *out)
{
    static const char suffixes[] = "KMG";
    uint64_t value = 0;
    size_t at = 0;
    for (; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
        if (value > UINT64_MAX / 10 - 1) return false;
        value = value * 10 + (uint64_t)(text[at] - '0');
    }
    if (at == 0) return false;
    const char *suffix = at + 1 == len ? strchr(suffixes, text[at]) : NULL;
    unsigned shift = suffix != NULL ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if ((at != len && suffix == NULL) || value > UINT64_MAX >> shift) return false;
    *out = value << shift;
    return true;
}

static syn_err read_one(struct limits *limits, const char *text, size_t len, char *why)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
    enum limit limit = limits_find((syn_str){text, name_len});
    int shown = len < 80 ? (int)len : 80;
    uint64_t value = 0;
    if (limit == LIM_COUNT || equals == NULL)
        snprintf(why, 200, "limit %.*s: %s", shown, text,
                 equals == NULL ? "give NAME=VALUE" : "there is no limit of that name");
    else if (!limits_size(equals + 1, len - name_len - 1, &value))
        snprintf(why, 200, "limit %.*s: a number, or one with K, M or G", shown, text);
    else if (!limits_may_be(limit, value))
        snprintf(why, 200, "limit %.*s: it cannot be that", shown, text);
    else {
        limits->of[limit] = value;
        limits->set[limit] = true;
        return SYN_OK;
    }
    return SYN_EMISUSE;
}

syn_err limits_read(struct limits *limits, const char *list, char *why)
{
    struct limits next = *limits;
    for (const char *at = list; *at != '\0';) {
        size_t len = strcspn(at, ",");
        syn_err err = len != 0 ? read_one(&next, at, len, why) : SYN_OK;
        if (err) return err;
        at += len + (at[len] == ',');
    }
    *limits = next;
    return SYN_OK;
}

struct bucket_rate limits_rate(const struct limits *limits, enum limit limit)
{
    return (struct bucket_rate){limits->of[limit], limits->of[limit] * limits->of[LIM_BURST]};
}
