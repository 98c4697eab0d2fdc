/* raw_ws.h -- a WebSocket client of a few calls, that can also do everything wrong. */
#ifndef TEST_NET_RAW_WS_H
#define TEST_NET_RAW_WS_H

#include "proto.h"

int raw_connect(uint16_t port);
/* Sends a request and returns what came back until the headers' end (or the connection's). */
char *raw_request(int fd, const char *text);
/* The usual upgrade; the connection, or -1 if it was refused. */
int raw_websocket(uint16_t port);

enum { RAW_TEXT = 1, RAW_BINARY = 2, RAW_CLOSE = 8 };
/* One WebSocket frame, masked; fin false: to be continued with opcode 0. */
void raw_send(int fd, int opcode, bool fin, const void *bytes, size_t len);
/* The next message: its opcode (-1: connection closed); *out is to be freed. */
int raw_receive(int fd, char **out, size_t *len);

/* Frames of the protocol. */
void raw_give(int fd, const struct frame *frame);
void raw_hello(int fd, const char *token);
void raw_open(int fd, uint32_t channel, const char *document, uint64_t peer);
void raw_insert(int fd, uint32_t channel, uint64_t peer, uint32_t seq, uint32_t pos,
                const char *text);
/* The next frame that is no Ping; kind 0: connection closed (*status: why).  Borrowed from `arena`
 * and *bytes, which is to be freed. */
void raw_next(int fd, proto_arena *arena, struct frame *out, char **bytes, unsigned *status);
/* Reads up to a frame of that kind; false: the connection was closed first. */
bool raw_until(int fd, enum frame_kind kind);

#endif
