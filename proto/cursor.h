/* cursor.h -- between core's cursors and the Cursor of a Presence. */
#ifndef SYN_PROTO_CURSOR_H
#define SYN_PROTO_CURSOR_H

#include "proto.h"
#include "syncline_editor.h"

/* The two ends of a selection that another session tells: anchor and head, equal for a caret.  A
 * caret keeps to the element before it (SYN_AFTER), the ends of a selection to the elements in it.
 * Errors: syn_obj_find's and syn_cursor_from's. */
syn_err cursor_from_presence(syn_doc *doc, const struct msg_presence *presence,
                             const struct msg_cursor *cursor, syn_cursor ends[2]);

/* Both ends at today's version, for one's own Presence.  `heads` and `at` have room for the
 * document's heads; the container's table is the caller's (syn_obj_chain).  Peers of `at` are
 * indexes into presence.peers from first_peer on, one for each head, in their order. */
syn_err cursor_to_presence(syn_doc *doc, syn_cursor ends[2], uint32_t first_peer,
                           const syn_id *heads, struct change_dep *at, uint32_t count,
                           struct msg_cursor *out);

#endif
