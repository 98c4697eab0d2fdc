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
    memset(echo, 0, sizeof *echo);
    wait_for_message(wsi);
}

void ws_echo_receive(struct ws_echo *echo, struct lws *wsi, const void *bytes, size_t len)
{
    if (echo->close_status != 0) return;
    if (lws_frame_is_binary(wsi)) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE);
        return;
    }
    if (echo->whole || len > ECHO_MOST - echo->len) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE);
        return;
    }
    if (echo->answer == NULL) echo->answer = malloc(LWS_PRE + HELLO + ECHO_MOST + 1);
    if (echo->answer == NULL) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
        return;
    }
    if (len != 0) memcpy(echo->answer + LWS_PRE + HELLO + echo->len, bytes, len);
    echo->len += len;
    if (lws_is_final_fragment(wsi) == 0 || lws_remaining_packet_payload(wsi) != 0) return;
    size_t scalars;
    if (!utf8_check(echo->answer + LWS_PRE + HELLO, echo->len, &scalars)) {
        refuse(echo, wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD);
        return;
    }
    echo->whole = true;
    lws_rx_flow_control(wsi, 0);
    lws_callback_on_writable(wsi);
}

int ws_echo_writable(struct ws_echo *echo, struct lws *wsi)
{
    if (echo->close_status != 0) {
        lws_close_reason(wsi, (enum lws_close_status)echo->close_status, NULL, 0);
        return -1;
    }
    if (!echo->whole) return 0;
    unsigned char *at = (unsigned char *)echo->answer + LWS_PRE;
    size_t len = HELLO + echo->len;
    memcpy(at, hello, HELLO);
    at[len++] = '!';
    echo->len = 0;
    echo->whole = false;
    if (lws_write(wsi, at, len, LWS_WRITE_TEXT) < 0) return -1;
    lws_rx_flow_control(wsi, 1);
    wait_for_message(wsi);
    return 0;
}

void ws_echo_end(struct ws_echo *echo)
{
    free(echo->answer);
    echo->answer = NULL;
}
