/* fuzz_decode.c -- libFuzzer: any bytes as a frame.  What is taken must be written and read again
 * with the same result; what is inside a Packed is inflated and read too. */
#include "proto.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t peers[] = {1, 2};
static const struct change_container containers[] = {
    {.kind = SYN_TEXT},
    {.kind = SYN_MAP, .name = {"m", 1}},
    {.kind = SYN_LIST, .form = CONTAINER_BY_EVENT, .peer = 1, .seq = 3},
    {.kind = SYN_TEXT, .form = CONTAINER_MERGEABLE, .parent = 1, .key = {"k", 1}},
};
static const struct proto_tables tables = {
    .peers = peers, .peer_count = 2, .containers = containers, .container_count = 4};

static bool channel_tables(void *user, uint32_t channel, struct proto_tables *out)
{
    (void)user;
    if (channel == 9) return false;
    *out = tables;
    return true;
}

static void must(bool holds)
{
    if (!holds) abort();
}

static void again(const struct frame *frame)
{
    syn_buf bytes = {0}, second = {0};
    proto_arena *arena;
    struct frame back;
    struct proto_fault fault;
    must(proto_arena_new(&arena, NULL) == SYN_OK);
    must(proto_encode(&bytes, frame) == SYN_OK);
    syn_err err = proto_decode(arena, bytes.data, bytes.len,
                               &(struct proto_limits){.frame_bytes = UINT32_MAX}, channel_tables,
                               NULL, &back, &fault);
    must(err == SYN_OK);
    must(proto_encode(&second, &back) == SYN_OK);
    must(bytes.len == second.len && memcmp(bytes.data, second.data, bytes.len) == 0);
    proto_arena_free(arena);
    syn_buf_free(&bytes);
    syn_buf_free(&second);
}

static void hash(const struct frame *frame)
{
    uint32_t next = 0;
    uint64_t chain = 0;
    if (frame->kind == FRAME_CHANGES)
        must(proto_chain(&frame->as.changes, frame->as.changes.peers[0], &next, &chain) == SYN_OK);
    if (frame->kind == FRAME_SNAPSHOT)
        must(proto_digest(&frame->as.snapshot.piece, &chain, NULL) == SYN_OK);
}

static void inside(proto_arena *arena, const struct msg_packed *packed)
{
    syn_str raw;
    struct proto_fault fault;
    if (proto_inflate(arena, packed, 1 << 20, &raw, &fault) != SYN_OK) return;
    syn_changes set;
    syn_snapshot snapshot;
    if (packed->inside == PACKED_CHANGES)
        (void)proto_decode_changes(arena, raw.data, raw.len, NULL, &tables, &set, &fault);
    else
        (void)proto_join_snapshot(arena, &raw, 1, &snapshot, NULL, &fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    proto_arena *arena;
    struct frame frame;
    struct proto_fault fault;
    must(proto_arena_new(&arena, NULL) == SYN_OK);
    syn_err err = proto_decode(arena, data, size, NULL, channel_tables, NULL, &frame, &fault);
    must(err == SYN_OK || fault.code != CODE_OK);
    if (err == SYN_OK && frame.kind != 0) {
        again(&frame);
        hash(&frame);
        if (frame.kind == FRAME_PACKED) inside(arena, &frame.as.packed);
    }
    proto_arena_free(arena);
    return 0;
}
