/* ws_listen.h -- listening sockets, one or several on the same port. */
#ifndef SYN_WS_LISTEN_H
#define SYN_WS_LISTEN_H

#include "syncline.h"

/* Opens `count` sockets that share the address: whoever connects is given to one of them by the
 * kernel.  SYN_EBUSY: in use, also if by sockets that would share it.  SYN_EMISUSE: no such
 * address. detail: 256 bytes. */
syn_err ws_listen(const char *host, uint16_t port, int *fds, uint32_t count, uint16_t *bound,
                  char *detail);

/* Is every address of this host on the loopback interface? */
bool ws_is_loopback(const char *host);

#endif
