/* server_impl.h -- what the files of the embedder's API share. */
#ifndef SYN_SERVER_IMPL_H
#define SYN_SERVER_IMPL_H

#include "store.h"
#include "syncline_server.h"

/* NULL: in memory, which is for the server's own thread. */
syn_store *server_file(const syn_server *server);

#endif
