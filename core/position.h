/* position.h -- asking what became of elements: what cursors (position.c) and undo (undo.c) share.
 */
#ifndef SYN_CORE_POSITION_H
#define SYN_CORE_POSITION_H

#include "doc.h"
#include "syncline_editor.h"

/* The text or list, or NULL. */
struct container *sequence_of(const syn_doc *doc, syn_obj obj);
/* work: filled in here, for the asking to spend. */
struct merge_source source_of(const syn_doc *doc, const struct container *c, struct work *work);
/* Is the event one of a critical stretch that reaches up to now?  Then everything since acted as it
 * says, one after the other. */
bool is_in_line(const syn_doc *doc, lv_t lv);
/* The LV of an event that the caller named.  SYN_EMISSING, SYN_EHISTORY. */
syn_err find_event(syn_doc *doc, syn_id id, lv_t *lv);

#endif
