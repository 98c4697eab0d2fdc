/* cursor.h -- between core's cursors and the Cursor of a Presence. */
#ifndef SYN_PROTO_CURSOR_H
#define SYN_PROTO_CURSOR_H

#include "change.h"
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

/* Several selections in one container as one's own Presence tells them, and what it then points to.
 * Names are borrowed from the document. */
enum { CURSOR_HEADS = 16, CURSOR_DEPTH = 256 };
struct cursor_tables {
    struct msg_cursor cursors[LIMIT_CURSORS];
    struct change_dep at[CURSOR_HEADS];
    uint64_t peers[CURSOR_HEADS + 1];
    struct change_container containers[CURSOR_DEPTH];
};
/* Those whose elements are not here (any more) are left out; so are all while the document has more
 * than CURSOR_HEADS heads. */
void cursors_to_presence(syn_doc *doc, syn_cursor (*ends)[2], uint32_t count,
                         struct cursor_tables *tables, struct msg_presence *presence,
                         struct msg_presence_state *state);

#endif
