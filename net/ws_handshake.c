/* ws_handshake.c -- what RFC 6455 asks of a client, and libwebsockets 4.1.6 does not.
 *
 *     request --> confirm_upgrade --> the library picks the subprotocol --> filter_* --> 101
 *
 * It upgrades any method and HTTP version, any Sec-WebSocket-Version and key, without a subprotocol
 * and from any origin, and only hangs up on a subprotocol that it does not know.  All that is
 * answered here, before 101, by a status that says it will not get better: 400, or 403 to the pages
 * of others.  The path means nothing.  It also echoes closes of any code from 5000 on, of one byte,
 * and with any reason.  What it cannot tell, and so neither can we, is whether a frame was masked;
 * that is between clients and their proxies. */
#include "ws_handshake.h"

#include "utf8.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>

static bool header(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
    out[0] = '\0';
    return lws_hdr_copy(wsi, out, size, token) > 0;
}

static int refuse(struct lws *wsi, unsigned status, const char *why)
{
    lws_return_http_status(wsi, status, why);
    return -1;
}

int ws_refuse_busy(struct lws *wsi)
{
    static const unsigned char name[] = "retry-after:", seconds[] = "2";
    unsigned char buffer[LWS_PRE + 512], *at = buffer + LWS_PRE, *end = buffer + sizeof buffer - 1;
    bool good =
        lws_add_http_common_headers(wsi, 503, "text/plain", 0, &at, end) == 0 &&
        lws_add_http_header_by_name(wsi, name, seconds, (int)sizeof seconds - 1, &at, end) == 0;
    good = good && lws_finalize_write_http_header(wsi, buffer + LWS_PRE, &at, end) == 0;
    (void)good; /* it is closed in any case */
    return -1;
}

/* ---- What is off ----------------------------------------------------------------------------- */

/* No release is let through: 4.1.6 fails like this, and none that came later was tried so far. */
bool ws_can(bool deflate, bool http2, char *detail)
{
    if (deflate)
        snprintf(detail, 256,
                 "libwebsockets %.40s: with permessage-deflate a client can end this process "
                 "(warmcat/libwebsockets#2120); leave --deflate out: catching up is compressed "
                 "without it",
                 lws_get_library_version());
    else if (http2)
        snprintf(detail, 256,
                 "libwebsockets %.40s: over HTTP/2 large messages stall or end the connection; "
                 "leave --http2 out, or put a proxy in front that takes HTTP/2",
                 lws_get_library_version());
    return !deflate && !http2;
}

/* ---- Host and origin ------------------------------------------------------------------------- */

/* The name in "name:port", "[name]:port" or "scheme://name:port". */
static void host_name(const char *text, char *out, size_t size)
{
    const char *scheme = strstr(text, "://");
    const char *from = scheme != NULL ? scheme + 3 : text;
    size_t len = from[0] == '[' ? strcspn(from, "]") + 1 : strcspn(from, ":/");
    snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), from);
}

static bool is_local_name(const char *name)
{
    return strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
           (name[0] != '\0' && strspn(name, "0123456789.") == strlen(name));
}

/* The items of a list like "a, b,c" without the blanks around them. */
static bool in_list(const char *list, const char *wanted)
{
    size_t len = strlen(wanted);
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ","), used = item;
        while (used != 0 && (at[used - 1] == ' ' || at[used - 1] == '\t')) used--;
        if (used == len && memcmp(at, wanted, len) == 0) return true;
        at += item;
    }
    return false;
}

/* On loopback a foreign name that resolves to us is refused as well. */
bool ws_host_allowed(const struct ws_rules *rules, struct lws *wsi)
{
    char host[300], origin[300], host_only[300], origin_only[300];
    if (!header(wsi, WSI_TOKEN_HOST, host, sizeof host)) return false;
    host_name(host, host_only, sizeof host_only);
    if (rules->local_names && !is_local_name(host_only)) return false;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) <= 0) return true;
    if (!header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof origin)) return false; /* longer than any */
    if (rules->origins != NULL)
        return strpbrk(origin, ", \t") == NULL && in_list(rules->origins, origin);
    host_name(origin, origin_only, sizeof origin_only);
    return strcmp(host_only, origin_only) == 0 ||
           (rules->local_names && is_local_name(origin_only));
}

/* ---- Headers with blanks --------------------------------------------------------------------- */

/* Up to three of them behind the name; libwebsockets then takes it for one of its own. */
static bool with_blanks(struct lws *wsi, const char *name)
{
    char text[40];
    int len = snprintf(text, sizeof text, " %s:", name);
    if (lws_hdr_custom_length(wsi, text, len) >= 0) return true;
    text[0] = '\t';
    if (lws_hdr_custom_length(wsi, text, len) >= 0) return true;
    for (unsigned count = 1; count <= 3; count++)
        for (unsigned bits = 0; bits < 1u << count; bits++) {
            len = snprintf(text, sizeof text, "%s", name);
            for (unsigned i = 0; i < count; i++) text[len++] = (bits >> i & 1) != 0 ? '\t' : ' ';
            text[len++] = ':';
            if (lws_hdr_custom_length(wsi, text, len) >= 0) return true;
        }
    return false;
}

bool ws_framing_plain(struct lws *wsi)
{
    return !with_blanks(wsi, "transfer-encoding") && !with_blanks(wsi, "content-length");
}

/* ---- The request ----------------------------------------------------------------------------- */

/* 16 bytes in base64: 22 characters, of the last of which 4 bits are left over, and two "=". */
static bool is_key(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strspn(text, digits) == 22 && strchr("AQgw", text[21]) != NULL &&
           strcmp(text + 22, "==") == 0;
}

/* NULL: it may become a WebSocket.  Headers given twice come joined, and so are none of these. */
static const char *fault_of(struct lws *wsi)
{
    char text[128];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0) return "use GET";
    if (lws_hdr_copy_fragment(wsi, text, sizeof text, WSI_TOKEN_GET_URI, 0) > 0 && text[0] != '/')
        return "ask for a path";
    if (!header(wsi, WSI_TOKEN_HTTP, text, sizeof text) || strcmp(text, "HTTP/1.1") != 0)
        return "use HTTP/1.1";
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0) return "Host is missing";
    if (!header(wsi, WSI_TOKEN_VERSION, text, sizeof text) || strcmp(text, "13") != 0)
        return "WebSocket version 13 is needed";
    if (!header(wsi, WSI_TOKEN_KEY, text, sizeof text) || !is_key(text))
        return "Sec-WebSocket-Key is not 16 bytes in base64";
    return NULL;
}

/* HTTP/2 without TLS, by an upgrade that no option of the library turns off, and whatever else is
 * not for us. */
int ws_confirm_upgrade(const struct ws_rules *rules, struct lws *wsi)
{
    char text[128];
    if (!header(wsi, WSI_TOKEN_UPGRADE, text, sizeof text) || strstr(text, "h2c") != NULL)
        return refuse(wsi, 505, "use HTTP/1.1");
    const char *fault = fault_of(wsi);
    if (fault != NULL) return refuse(wsi, HTTP_STATUS_BAD_REQUEST, fault);
    if (!ws_host_allowed(rules, wsi))
        return refuse(wsi, HTTP_STATUS_FORBIDDEN, "this origin is not allowed");
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) <= 0) return 0; /* to filter_plain */
    if (!header(wsi, WSI_TOKEN_PROTOCOL, text, sizeof text) || !in_list(text, WS_PROTOCOL))
        return refuse(wsi, HTTP_STATUS_BAD_REQUEST, "ask for the subprotocol " WS_PROTOCOL);
    return 0;
}

/* Again, for what the library may bring here without having asked. */
int ws_filter_upgrade(const struct ws_rules *rules, struct lws *wsi)
{
    const char *fault = fault_of(wsi);
    if (fault != NULL) return refuse(wsi, HTTP_STATUS_BAD_REQUEST, fault);
    if (!ws_host_allowed(rules, wsi))
        return refuse(wsi, HTTP_STATUS_FORBIDDEN, "this origin is not allowed");
    return 0;
}

/* Nothing but /echo speaks without our subprotocol. */
int ws_filter_plain(const struct ws_rules *rules, struct lws *wsi)
{
    char path[16];
    bool echo = rules->echo && header(wsi, WSI_TOKEN_GET_URI, path, sizeof path) &&
                strcmp(path, "/echo") == 0;
    if (!echo) return refuse(wsi, HTTP_STATUS_BAD_REQUEST, "ask for the subprotocol " WS_PROTOCOL);
    return ws_filter_upgrade(rules, wsi);
}

/* ---- Closes ---------------------------------------------------------------------------------- */

static bool may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
           (code >= 3000 && code <= 4999);
}

int ws_check_close(struct lws *wsi, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    size_t scalars;
    if (len == 0) return 0;
    if (len == 1 || !may_be_sent((unsigned)at[0] << 8 | at[1]))
        lws_close_reason(wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, NULL, 0);
    else if (!utf8_check((const char *)bytes + 2, len - 2, &scalars))
        lws_close_reason(wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, NULL, 0);
    else
        return 0;
    return -1;
}
