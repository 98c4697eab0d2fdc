/* gate.c -- gate.h: a hash table of addresses under one lock, held for some comparisons.
 *
 * An address stays after its last connection until its bucket is full again; it is then taken out
 * by whoever looks into its slot next. */
#include "gate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 4096u

struct gate_seat {
    struct gate_seat *next;
    uint8_t key[9]; /* family, then the first 8 bytes */
    bool loopback;
    uint64_t connections;
    struct bucket handshakes, requests;
};

struct gate {
    pthread_mutex_t lock;
    struct limits limits;
    struct gate_seat *slots[SLOTS];
    struct gate_seat anywhere; /* of those that are not counted by address */
    struct gate_seat spare[2]; /* nobody else was let in: for memory, for too many connections */
    uint64_t connections;
    uint64_t refused[LIM_COUNT];
    bool shut;
    _Atomic uint64_t unfinished, most_unfinished;
};

gate *gate_new(const struct limits *limits)
{
    gate *g = calloc(1, sizeof *g);
    if (g == NULL) return NULL;
    pthread_mutex_init(&g->lock, NULL);
    gate_limit(g, limits);
    return g;
}

void gate_free(gate *g)
{
    if (g == NULL) return;
    for (uint32_t i = 0; i < SLOTS; i++) {
        for (struct gate_seat *next; g->slots[i] != NULL; g->slots[i] = next) {
            next = g->slots[i]->next;
            free(g->slots[i]);
        }
    }
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void gate_limit(gate *g, const struct limits *limits)
{
    uint64_t unfinished = limits->of[LIM_UNFINISHED_BYTES], memory = limits->of[LIM_MEMORY];
    if (memory != 0 && (unfinished == 0 || unfinished > memory / 8)) unfinished = memory / 8;
    pthread_mutex_lock(&g->lock);
    g->limits = *limits;
    pthread_mutex_unlock(&g->lock);
    atomic_store(&g->most_unfinished, unfinished);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static void key_of(const struct sockaddr *from, struct gate_seat *out)
{
    memset(out, 0, sizeof *out);
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        out->key[0] = 4;
        memcpy(out->key + 1, &in.sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
        out->key[0] = mapped ? 4 : 6;
        memcpy(out->key + 1, in6.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
        out->loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    if (out->key[0] == 4 && out->key[1] == 127) out->loopback = true;
}

static bool at_rest(const gate *g, struct gate_seat *seat, uint64_t now)
{
    struct bucket_rate rate = limits_rate(&g->limits, LIM_ADDRESS_HANDSHAKES);
    if (seat->connections != 0) return false;
    (void)bucket_look(&seat->handshakes, rate, now);
    if (seat->handshakes.spent != 0 && rate.per_second != 0) return false;
    rate = limits_rate(&g->limits, LIM_ADDRESS_REQUESTS);
    (void)bucket_look(&seat->requests, rate, now);
    return seat->requests.spent == 0 || rate.per_second == 0;
}

static struct gate_seat *find(gate *g, const struct gate_seat *like, uint64_t now)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof like->key; i++) hash = (hash ^ like->key[i]) * 0x100000001b3u;
    struct gate_seat **at = &g->slots[(hash ^ hash >> 29) % SLOTS], *found = NULL;
    for (struct gate_seat *seat; (seat = *at) != NULL;) {
        bool same = memcmp(seat->key, like->key, sizeof seat->key) == 0;
        if (same) found = seat;
        if (!same && at_rest(g, seat, now)) {
            *at = seat->next;
            free(seat);
        } else {
            at = &seat->next;
        }
    }
    if (found != NULL) return found;
    found = malloc(sizeof *found);
    if (found == NULL) return NULL;
    *found = *like;
    *at = found;
    return found;
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static bool counted(const gate *g, const struct gate_seat *like)
{
    return !like->loopback || g->limits.set[LIM_ADDRESS_CONNECTIONS] ||
           g->limits.set[LIM_ADDRESS_HANDSHAKES] || g->limits.set[LIM_ADDRESS_REQUESTS];
}

static enum limit fault_of_address(gate *g, struct gate_seat *seat, uint64_t now)
{
    const uint64_t *most = g->limits.of;
    if (seat == NULL) return LIM_MEMORY;
    if (seat == &g->anywhere) return LIM_NONE;
    if (most[LIM_ADDRESS_CONNECTIONS] != 0 && seat->connections >= most[LIM_ADDRESS_CONNECTIONS])
        return LIM_ADDRESS_CONNECTIONS;
    struct bucket_rate rate = limits_rate(&g->limits, LIM_ADDRESS_HANDSHAKES);
    bucket_take(&seat->handshakes, rate, 1, now);
    return bucket_look(&seat->handshakes, rate, now) == BUCKET_GOOD ? LIM_NONE
                                                                    : LIM_ADDRESS_HANDSHAKES;
}

/* LIM_NONE: let in. */
static enum limit fault_of(gate *g, struct gate_seat *seat, uint64_t now)
{
    enum limit fault = fault_of_address(g, seat, now);
    uint64_t most = g->limits.of[LIM_CONNECTIONS];
    if (fault != LIM_NONE) return fault;
    if (g->shut) return LIM_MEMORY;
    return most != 0 && g->connections >= most ? LIM_CONNECTIONS : LIM_NONE;
}

/* An operator needs the metrics most when nobody is let in. */
static struct gate_seat *spare_for(gate *g, enum limit fault)
{
    if (fault != LIM_MEMORY && fault != LIM_CONNECTIONS) return NULL;
    if (g->spare[0].connections + g->spare[1].connections >= GATE_SPARES) return NULL;
    return &g->spare[fault == LIM_CONNECTIONS];
}

gate_seat *gate_enter(gate *g, const struct sockaddr *from, uint64_t now_ms, enum limit *limit)
{
    struct gate_seat like;
    key_of(from, &like);
    pthread_mutex_lock(&g->lock);
    struct gate_seat *seat = counted(g, &like) ? find(g, &like, now_ms) : &g->anywhere;
    *limit = fault_of(g, seat, now_ms);
    if (*limit == LIM_NONE) {
        g->connections++;
    } else {
        seat = spare_for(g, *limit);
        if (seat == NULL) g->refused[*limit]++;
    }
    if (seat != NULL) seat->connections++;
    pthread_mutex_unlock(&g->lock);
    return seat;
}

void gate_leave(gate *g, gate_seat *seat)
{
    pthread_mutex_lock(&g->lock);
    seat->connections--;
    if (!gate_is_spare(g, seat)) g->connections--;
    pthread_mutex_unlock(&g->lock);
}

/* What is refused is not charged: who comes too fast is served at the rate. */
bool gate_ask(gate *g, gate_seat *seat, uint64_t now)
{
    pthread_mutex_lock(&g->lock);
    struct bucket_rate rate = limits_rate(&g->limits, LIM_ADDRESS_REQUESTS);
    bool counts = seat != &g->anywhere && !gate_is_spare(g, seat);
    bool good = !counts || bucket_look(&seat->requests, rate, now) == BUCKET_GOOD;
    if (!good) g->refused[LIM_ADDRESS_REQUESTS]++;
    if (good && counts) bucket_take(&seat->requests, rate, 1, now);
    pthread_mutex_unlock(&g->lock);
    return good;
}

bool gate_is_spare(const gate *g, const gate_seat *seat)
{
    return seat == &g->spare[0] || seat == &g->spare[1];
}

void gate_turn_away(gate *g, const gate_seat *seat)
{
    pthread_mutex_lock(&g->lock);
    g->refused[seat == &g->spare[1] ? LIM_CONNECTIONS : LIM_MEMORY]++;
    pthread_mutex_unlock(&g->lock);
}

void gate_shut(gate *g, bool shut)
{
    pthread_mutex_lock(&g->lock);
    g->shut = shut;
    pthread_mutex_unlock(&g->lock);
}

bool gate_take(gate *g, size_t bytes)
{
    uint64_t most = atomic_load(&g->most_unfinished);
    uint64_t before = atomic_fetch_add(&g->unfinished, bytes);
    if (most == 0 || before + bytes <= most) return true;
    atomic_fetch_sub(&g->unfinished, bytes);
    return false; /* the hub counts it: there is a connection to end */
}

void gate_give(gate *g, size_t bytes)
{
    atomic_fetch_sub(&g->unfinished, bytes);
}

void gate_read(gate *g, uint64_t refused[LIM_COUNT])
{
    pthread_mutex_lock(&g->lock);
    memcpy(refused, g->refused, sizeof g->refused);
    pthread_mutex_unlock(&g->lock);
}
