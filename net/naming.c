/* naming.c -- FEATURE_NAMES on the server: what clients named, and what the room names for all.
 *
 * A client's names are its channel's own.  The room's are one for all its channels: a body that
 * speaks of them is encoded once, and whoever reads it has been told the tables up to there. */
#include "hub_impl.h"

#include <stdlib.h>

static const struct change_container root_text = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

void naming_free(struct proto_names **names)
{
    if (*names == NULL) return;
    proto_names_free(*names);
    free(*names);
    *names = NULL;
}

static syn_err naming_new(struct proto_names **out, uint64_t peer)
{
    struct proto_names *names = malloc(sizeof *names);
    if (names == NULL) return SYN_ENOMEM;
    syn_err err = proto_names_begin(names, peer);
    if (err)
        free(names);
    else
        *out = names;
    return err;
}

/* ---- From the client ------------------------------------------------------------------------- */

struct proto_tables channel_tables(const struct channel *ch)
{
    if (ch->names != NULL) return proto_names_tables(ch->names);
    return (struct proto_tables){&ch->peer, ch->peer != 0, &root_text, 1};
}

void naming_receive(struct channel *ch, const struct msg_names *names)
{
    struct proto_fault fault = {.code = CODE_BUSY, .text = "out of memory"};
    if (!(ch->conn->features & FEATURE_NAMES)) {
        conn_error(ch->conn, CODE_MALFORMED, true, 0, "Names were not agreed");
        return;
    }
    if (ch->peer == 0) { /* index 0 is its, and could not be given later */
        channel_closed(ch, CODE_MALFORMED, true, 0, "Names before the channel has a peer");
        return;
    }
    syn_err err = ch->names != NULL ? SYN_OK : naming_new(&ch->names, ch->peer);
    if (!err) err = proto_names_add(ch->names, names, &fault);
    if (!err) return;
    bool permanent = err != SYN_ENOMEM;
    channel_closed(ch, fault.code, permanent, permanent ? 0 : RETRY_MS, fault.text);
}

/* ---- To the readers -------------------------------------------------------------------------- */

bool reads_names(const struct channel *ch)
{
    return (ch->conn->features & FEATURE_NAMES) && !ch->authors;
}

syn_err naming_encode(struct room *room, const syn_changes *set, syn_buf *body)
{
    syn_err err = room->names != NULL ? SYN_OK : naming_new(&room->names, 0);
    if (err) return err;
    if (!proto_names_learn(room->names, set)) return SYN_ELIMIT;
    struct proto_tables tables = proto_names_tables(room->names);
    return proto_encode_changes_body(body, set, &tables);
}

void naming_tell(struct channel *ch)
{
    const struct proto_names *names = ch->room->names;
    struct frame frame = {.channel = ch->number, .kind = FRAME_NAMES};
    uint32_t containers = ch->told_containers != 0 ? ch->told_containers : 1; /* the root text */
    if (ch->told_peers == names->peer_count && containers == names->container_count) return;
    frame.as.names = proto_names_since(names, ch->told_peers, containers);
    ch->told_peers = names->peer_count;
    ch->told_containers = names->container_count;
    conn_frame(ch->conn, &frame);
}
