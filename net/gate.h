/* gate.h -- before anybody is known: who may connect at all, counted by address.
 *
 * One for all loops of a server, so every call may come from any thread.  An address is an IPv4
 * address, or the /64 of an IPv6 one, for that is what one customer is given.  Loopback is this
 * machine, or the proxy before it: it is counted only if its limits were set by hand. */
#ifndef SYN_GATE_H
#define SYN_GATE_H

#include "server_limits.h"

struct sockaddr;
typedef struct gate gate;
typedef struct gate_seat gate_seat; /* of one connection */

gate *gate_new(const struct limits *limits); /* NULL: no memory */
void gate_free(gate *g);                     /* NULL is fine */
void gate_limit(gate *g, const struct limits *limits);
/* Seats beyond the connections there may be, or while memory runs short: to look at the server and
 * to administer it, and for nothing else. */
#define GATE_SPARES 64u

/* NULL: not now; *limit says why. */
gate_seat *gate_enter(gate *g, const struct sockaddr *from, uint64_t now_ms, enum limit *limit);
void gate_leave(gate *g, gate_seat *seat);
/* A request over HTTP.  false: too many of its address. */
bool gate_ask(gate *g, gate_seat *seat, uint64_t now_ms);
bool gate_is_spare(const gate *g, const gate_seat *seat); /* NULL is none */
/* Whoever has a spare seat wanted something else. */
void gate_turn_away(gate *g, const gate_seat *seat);
/* Nobody new, or as before: memory runs short. */
void gate_shut(gate *g, bool shut);
/* Bytes of unfinished messages, of all connections.  false: too many. */
bool gate_take(gate *g, size_t bytes);
void gate_give(gate *g, size_t bytes);
/* Refused so far, by limit. */
void gate_read(gate *g, uint64_t refused[LIM_COUNT]);

#endif
