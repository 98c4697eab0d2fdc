#include "ws_echo.h"

#include "utf8.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

static const char hello[] = "Hello, ";
enum { HELLO = sizeof hello - 1 };

static void refuse(struct ws_echo *echo, struct lws *wsi, enum lws_close_status status)
{
    echo->close_status = status;
    lws_callback_on_writable(wsi);
}

static void wait_for_message(struct lws *wsi)
{
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, ECHO_IDLE_S);
}

void ws_echo_begin(struct ws_echo *echo, struct lws *wsi)
{
    char query[8] = "";
    memset(echo, 0, sizeof *echo);
    (void)lws_hdr_copy(wsi, query, sizeof query, WSI_TOKEN_HTTP_URI_ARGS);
    echo->exact = strcmp(query, "exact") == 0;
    wait_for_message(wsi);
}

/* Grows as the message comes: a length alone costs nothing. */
static bool make_room(struct ws_echo *echo, size_t len)
{
    if (echo->answer != NULL && len <= echo->cap) return true;
    size_t cap = echo->cap != 0 ? echo->cap : ECHO_MOST;
    while (cap < len) cap *= 2;
    char *grown = realloc(echo->answer, LWS_PRE + HELLO + cap + 1);
    if (grown == NULL) return false;
    echo->answer = grown;
    echo->cap = cap;
    return true;
}

void ws_echo_receive(struct ws_echo *echo, struct lws *wsi, const void *bytes, size_t len)
{
    size_t scalars;
    if (echo->close_status != 0) return;
    echo->binary = lws_frame_is_binary(wsi) != 0;
    if (echo->binary && !echo->exact) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE);
        return;
    }
    if (echo->whole || len > (echo->exact ? ECHO_EXACT_MOST : ECHO_MOST) - echo->len) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE);
        return;
    }
    if (!make_room(echo, echo->len + len)) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
        return;
    }
    if (len != 0) memcpy(echo->answer + LWS_PRE + HELLO + echo->len, bytes, len);
    echo->len += len;
    if (lws_is_final_fragment(wsi) == 0 || lws_remaining_packet_payload(wsi) != 0) return;
    if (!echo->binary && !utf8_check(echo->answer + LWS_PRE + HELLO, echo->len, &scalars)) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD);
        return;
    }
    echo->whole = true;
    lws_rx_flow_control(wsi, 0);
    lws_callback_on_writable(wsi);
}

static bool answer(const struct ws_echo *echo, struct lws *wsi)
{
    unsigned char *at = (unsigned char *)echo->answer + LWS_PRE;
    if (echo->exact)
        return lws_write(wsi, at + HELLO, echo->len,
                         echo->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) >= 0;
    memcpy(at, hello, HELLO);
    at[HELLO + echo->len] = '!';
    return lws_write(wsi, at, HELLO + echo->len + 1, LWS_WRITE_TEXT) >= 0;
}

int ws_echo_writable(struct ws_echo *echo, struct lws *wsi)
{
    if (echo->close_status != 0) {
        lws_close_reason(wsi, (enum lws_close_status)echo->close_status, NULL, 0);
        return -1;
    }
    if (!echo->whole) return 0;
    if (!answer(echo, wsi)) return -1;
    echo->len = 0;
    echo->whole = false;
    lws_rx_flow_control(wsi, 1);
    wait_for_message(wsi);
    return 0;
}

void ws_echo_end(struct ws_echo *echo)
{
    free(echo->answer);
    echo->answer = NULL;
}
