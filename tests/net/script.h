/* script.h -- sessions with the hub as text: commands in, everything that was sent out.
 *
 * One command a line; what the connections received by it follows, indented.  Time and random
 * numbers are the script's, so a run is always the same text, and a transcript is compared whole.
 *
 *     connect A [user=ann]            a WebSocket; `disconnect A`
 *     A hello [features=1]            A open 1 notes peer=a1 heads=a1:4,b1:0 lineage=same ...
 *     A insert 1 a1:0 0 "text" [parents=b1:3]      A delete 1 a1:5 2 1
 *     A want 1 heads= upto=  vector=  A close 1     A credit 1 4096     A presence 1 "state"
 *     A digest 1 5                    A ping 7      A raw 0a0b
 *     A stops reading / A reads       wait 100      (milliseconds)
 *     gather / commit                 between them nothing is given to the store
 *     fill notes 1000 [times]         the server's own program types; `remove notes`
 *     stored notes                    what the store holds of it
 *     restart / restore               a new hub on the same store / on one that was a backup
 *     disk file / fails / full / well a file instead of memory; every write to it fails; no more
 *     rights ann 3                    what `authorise` answers */
#ifndef TEST_NET_SCRIPT_H
#define TEST_NET_SCRIPT_H

#include "hub.h"

/* The transcript of the commands in `text` (other lines are left out); to be freed. */
char *script_run(const char *text);

#endif
