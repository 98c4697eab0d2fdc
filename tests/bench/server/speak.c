/* speak.c -- of each protocol what a reader needs, and a writer whose text is its own alone.
 *
 *     Syncline     Frame{channel 1, body}: Hello, Open; Changes out; Credit and Ack in
 *     y-protocols  0 0 state vector | 0 1 update | 0 2 update; Hocuspocus: the document's name
 *                  before each message, and 2 0 token first
 *
 * An edit of a Yjs client is one struct: client, clock, a string, and the character before it. */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW     (8u << 20)
#define YJS_CLIENT 1000u /* and the writer's number */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

void speak_path(const struct conn *c, char *path, size_t size)
{
    if (drive_speech == SPEAK_YWEBSOCKET)
        (void)snprintf(path, size, "/%s", c->doc);
    else if (drive_speech == SPEAK_YSWEET)
        (void)snprintf(path, size, "/d/%s/ws/%s", c->doc, c->doc);
    else
        (void)snprintf(path, size, "/");
}

const char *speak_headers(void)
{
    return drive_speech == SPEAK_SYNCLINE ? "Sec-WebSocket-Protocol: syncline.v1\r\n" : "";
}

static struct bytes scratch;

static void set_synced(struct conn *c)
{
    if (c->synced) return;
    c->synced = true;
    c->synced_at = now_ns();
    if (drive_handler->synced != NULL) drive_handler->synced(c);
}

/* ---- Edits in a message ---------------------------------------------------------------------- */

static bool read_marker(const uint8_t *at, uint32_t *writer, uint32_t *number)
{
    static uint8_t values[256]; /* 1 + value of a digit */
    uint32_t n = 0;
    if (values[(uint8_t)digits[0]] == 0)
        for (uint8_t i = 0; i < 64; i++) values[(uint8_t)digits[i]] = (uint8_t)(i + 1);
    for (int i = 0; i < 4; i++) {
        uint8_t value = values[at[2 + i]];
        if (value == 0) return false;
        n = n << 6 | (uint32_t)(value - 1);
    }
    *writer = (uint32_t)at[1] - 'a';
    *number = n;
    return *writer < 2;
}

static void find_edits(struct conn *c, const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len;
    for (const uint8_t *at = data; end - at >= (ptrdiff_t)MARKER;) {
        uint32_t writer, number;
        at = memchr(at, '~', (size_t)(end - at) - (MARKER - 1));
        if (at == NULL) return;
        if (!read_marker(at, &writer, &number) || number < c->next_seen[writer] ||
            number - c->next_seen[writer] > c->may_miss) {
            at++;
            continue;
        }
        c->next_seen[writer] = number + 1;
        if (drive_handler->edit != NULL) drive_handler->edit(c, writer, number);
        at += MARKER;
    }
}

static void came(struct conn *c, const uint8_t *data, size_t len)
{
    c->last_data = now_ns();
    c->bytes_in += len;
    find_edits(c, data, len);
}

static void put_marker(struct bytes *out, uint32_t writer, uint32_t number, uint32_t pad)
{
    uint8_t marker[MARKER] = {'~', (uint8_t)('a' + writer)};
    for (int i = 0; i < 4; i++) marker[2 + i] = (uint8_t)digits[number >> (18 - 6 * i) & 63];
    put(out, marker, MARKER);
    for (uint32_t i = 0; i < pad; i++) put_byte(out, '.');
}

/* ---- Syncline -------------------------------------------------------------------------------- */

static void put_field(struct bytes *out, uint32_t field, const struct bytes *body)
{
    put_number(out, field << 3 | 2);
    put_text(out, body->data, body->len);
}

static void put_fixed(struct bytes *out, uint64_t n)
{
    for (int i = 0; i < 8; i++) put_byte(out, (uint8_t)(n >> 8 * i));
}

static uint64_t fixed(const uint8_t *at)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | at[i];
    return n;
}

static void send_hello(struct conn *c)
{
    static const uint8_t hello[] = {0x82, 1, 6, 8, 1, 0x10, 1, 0x18, 1}; /* PACKED */
    static const uint8_t plain[] = {0x82, 1, 4, 8, 1, 0x10, 1};
    if (drive_packed) /* deflated, edits could not be found in the bytes */
        conn_send(c, hello, sizeof hello);
    else
        conn_send(c, plain, sizeof plain);
}

static void put_version(struct bytes *out, uint64_t peer, uint64_t seq)
{
    struct bytes version = {0};
    put_number(&version, 1 << 3 | 2);
    put_number(&version, 8);
    put_fixed(&version, peer);
    put_number(&version, 2 << 3 | 2);
    struct bytes number = {0};
    put_number(&number, seq);
    put_text(&version, number.data, number.len);
    put_field(out, 4, &version);
    free(number.data);
    free(version.data);
}

static void send_open(struct conn *c)
{
    struct bytes open = {0}, frame = {0};
    put_number(&open, 1 << 3 | 2);
    put_text(&open, c->doc, strlen(c->doc));
    if (c->after_peer != 0) put_version(&open, c->after_peer, c->after_seq);
    if (c->writes) {
        put_number(&open, 5 << 3 | 1);
        put_fixed(&open, c->peer);
    }
    put_number(&open, 7 << 3);
    put_number(&open, WINDOW);
    put_number(&open, 9 << 3); /* no presence */
    put_number(&open, 1);
    put_number(&frame, 1 << 3);
    put_number(&frame, 1);
    put_field(&frame, 10, &open);
    conn_send(c, frame.data, frame.len);
    free(open.data);
    free(frame.data);
}

static void take_version(struct conn *c, const uint8_t *at, const uint8_t *end)
{
    uint64_t tag, size;
    while (take_number(&at, end, &tag) && take_number(&at, end, &size) &&
           size <= (uint64_t)(end - at)) {
        const uint8_t *body = at;
        at += size;
        if (tag == (1 << 3 | 2) && size >= 8) {
            c->head_peer = fixed(body);
            c->head_seq = 0;
            c->has_version = true;
        } else if (tag == (2 << 3 | 2)) {
            (void)take_number(&body, at, &c->head_seq);
        }
    }
}

/* Numbers and pieces of a control message that matter here. */
static void take_fields(struct conn *c, uint32_t kind, const uint8_t *at, const uint8_t *end)
{
    uint64_t tag, n;
    bool first = c->credit == 0 && c->made == 0;
    while (take_number(&at, end, &tag)) {
        if ((tag & 7) == 1) {
            at += 8;
            continue;
        }
        if (!take_number(&at, end, &n)) return;
        if ((tag & 7) == 2) {
            if (n > (uint64_t)(end - at)) return;
            if (kind == 11 && tag >> 3 == 4) take_version(c, at, at + n);
            at += n;
        } else if (kind == 11 && tag >> 3 == 8 && first) {
            c->credit = (int64_t)n;
        } else if (kind == 6 && tag >> 3 == 1) {
            c->credit += (int64_t)n;
        } else if (kind == 3 && tag >> 3 == 1) {
            uint32_t each = MARKER + c->pad;
            c->acked = (uint32_t)(n / each);
            if (drive_handler->acked != NULL) drive_handler->acked(c);
        }
    }
}

static void give_back(struct conn *c, size_t len)
{
    struct bytes credit = {0}, frame = {0};
    c->to_return += len;
    if (c->to_return < 65536) return;
    put_number(&credit, 1 << 3);
    put_number(&credit, c->to_return);
    put_number(&frame, 1 << 3);
    put_number(&frame, 1);
    put_field(&frame, 6, &credit);
    conn_send(c, frame.data, frame.len);
    c->to_return = 0;
    free(credit.data);
    free(frame.data);
}

static void refused(struct conn *c, uint32_t kind, const uint8_t *at, size_t len)
{
    char why[200];
    const char *name = kind == 7 ? "Nack" : kind == 13 ? "Closed" : "Error";
    size_t n = (size_t)snprintf(why, sizeof why, "%s: ", name);
    for (size_t i = 0; i < len && n + 1 < sizeof why; i++)
        if (at[i] >= ' ' && at[i] < 127 && at[i] != '"' && at[i] != '\\') why[n++] = (char)at[i];
    why[n] = '\0';
    conn_close(c, why);
}

static void syncline_message(struct conn *c, const uint8_t *data, size_t len)
{
    const uint8_t *at = data, *end = data + len;
    uint64_t tag, size;
    while (take_number(&at, end, &tag) && take_number(&at, end, &size)) {
        if ((tag & 7) == 0) continue;
        uint32_t kind = (uint32_t)(tag >> 3);
        if (kind == 17) {
            send_open(c);
        } else if (kind == 20) {
            struct bytes pong = {0}, body = {0};
            put(&body, at, (size_t)(end - at));
            put_field(&pong, 21, &body);
            conn_send(c, pong.data, pong.len);
            free(pong.data);
            free(body.data);
        } else if (kind == 7 || kind == 13 || kind == 22) {
            refused(c, kind, at, (size_t)(end - at));
        } else if (kind == 2 || kind == 5 || kind == 9) {
            came(c, data, len);
            give_back(c, len);
            set_synced(c);
        } else {
            take_fields(c, kind, at, end);
            if (kind == 11 && !c->has_version) set_synced(c);
            if (kind == 11 && c->after_peer == c->head_peer && c->after_seq == c->head_seq)
                set_synced(c);
        }
        return;
    }
}

/* One run, one op run: run_seq, op_len, op_pos, text.  Its parent is the edit before. */
static bool syncline_edit(struct conn *c, uint32_t writer)
{
    struct bytes changes = {0}, frame = {0}, number = {0};
    uint32_t each = MARKER + c->pad;
    uint64_t seq = (uint64_t)c->made * each;
    if (c->credit <= 0) return false;
    put_number(&number, seq);
    if (seq > 0) put_field(&changes, 3, &number);
    number.len = 0;
    put_number(&number, each);
    put_field(&changes, 11, &number);
    number.len = 0;
    put_number(&number, seq * 2); /* zigzag */
    if (seq > 0) put_field(&changes, 12, &number);
    number.len = 0;
    put_marker(&number, writer, c->made, c->pad);
    put_field(&changes, 13, &number);
    put_number(&frame, 1 << 3);
    put_number(&frame, 1);
    put_field(&frame, 2, &changes);
    conn_send(c, frame.data, frame.len);
    c->credit -= (int64_t)frame.len;
    c->made++;
    free(changes.data);
    free(frame.data);
    free(number.data);
    return true;
}

/* ---- y-protocols ----------------------------------------------------------------------------- */

static void yjs_send(struct conn *c, uint8_t step, const void *body, size_t len)
{
    scratch.len = 0;
    if (drive_speech == SPEAK_HOCUSPOCUS) put_text(&scratch, c->doc, strlen(c->doc));
    put_byte(&scratch, 0);
    put_byte(&scratch, step);
    put_text(&scratch, body, len);
    conn_send(c, scratch.data, scratch.len);
}

static void yjs_begin(struct conn *c)
{
    struct bytes vector = {0};
    if (drive_speech == SPEAK_HOCUSPOCUS) {
        scratch.len = 0;
        put_text(&scratch, c->doc, strlen(c->doc));
        put(&scratch, "\2\0\0", 3); /* authentication, token, "" */
        conn_send(c, scratch.data, scratch.len);
    }
    put_number(&vector, c->after_peer != 0 ? 1 : 0);
    if (c->after_peer != 0) {
        put_number(&vector, c->after_peer);
        put_number(&vector, c->after_seq);
    }
    yjs_send(c, 0, vector.data, vector.len);
    free(vector.data);
}

static void yjs_message(struct conn *c, const uint8_t *data, size_t len)
{
    const uint8_t *at = data, *end = data + len;
    uint64_t n = 0;
    if (drive_speech == SPEAK_HOCUSPOCUS) {
        if (!take_number(&at, end, &n) || n > (uint64_t)(end - at)) return;
        at += n;
    }
    if (end - at < 2 || at[0] != 0) return;
    uint8_t step = at[1];
    at += 2;
    if (step == 0) { /* the server's state vector: of one author, as far as is asked here */
        if (take_number(&at, end, &n) && take_number(&at, end, &n) && n > 0 &&
            take_number(&at, end, &c->head_peer))
            (void)take_number(&at, end, &c->head_seq);
        yjs_send(c, 1, "\0", 2);
        return;
    }
    came(c, data, len);
    if (step == 1) set_synced(c);
}

static bool yjs_edit(struct conn *c, uint32_t writer)
{
    struct bytes update = {0}, text = {0};
    uint32_t each = MARKER + c->pad;
    uint64_t clock = (uint64_t)c->made * each, client = YJS_CLIENT + writer;
    put_number(&update, 1); /* one client, one struct */
    put_number(&update, 1);
    put_number(&update, client);
    put_number(&update, clock);
    if (clock == 0) {
        put(&update, "\4\1\1t", 4); /* a string in the root "t" */
    } else {
        put_byte(&update, 0x84); /* ... behind this character */
        put_number(&update, client);
        put_number(&update, clock - 1);
    }
    put_marker(&text, writer, c->made, c->pad);
    put_text(&update, text.data, text.len);
    put_number(&update, 0); /* nothing deleted */
    yjs_send(c, 2, update.data, update.len);
    c->made++;
    free(update.data);
    free(text.data);
    return true;
}

void speak_update(struct conn *c, const void *update, size_t len)
{
    yjs_send(c, 2, update, len);
}

/* ---- Either ---------------------------------------------------------------------------------- */

void speak_begin(struct conn *c)
{
    if (drive_speech == SPEAK_SYNCLINE)
        send_hello(c);
    else
        yjs_begin(c);
}

void speak_message(struct conn *c, const uint8_t *data, size_t len)
{
    if (drive_speech == SPEAK_SYNCLINE)
        syncline_message(c, data, len);
    else
        yjs_message(c, data, len);
}

bool speak_edit(struct conn *c, uint32_t writer)
{
    return drive_speech == SPEAK_SYNCLINE ? syncline_edit(c, writer) : yjs_edit(c, writer);
}
