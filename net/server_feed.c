/* server_feed.c -- the change feed for the embedder's threads, and where each reader stands.
 *
 * A cursor is a note of the file itself: "feed NAME" -> commit, deletion, as two numbers of eight
 * bytes, little-endian.  In the file, so that a backup has documents and cursors of one moment. */
#include "server_impl.h"

#include "copy.h"

#include <string.h>

#define CURSOR_BYTES 16u
#define READER_BYTES 200u

struct reader {
    syn_err (*visit)(void *, const syn_feed_entry *);
    void *user;
};

static syn_err tell(void *user, const struct store_news *news)
{
    const struct reader *reader = user;
    const syn_feed_entry entry = {.at = {news->at.commit, news->at.deletion},
                                  .document = news->name,
                                  .deleted = news->doc == 0,
                                  .from = news->from,
                                  .end = news->end};
    return reader->visit(reader->user, &entry);
}

syn_err syn_server_feed(syn_server *server, syn_feed_cursor after,
                        syn_err (*visit)(void *user, const syn_feed_entry *entry), void *user)
{
    syn_store *store = server_file(server);
    const struct store_cursor from = {after.commit, after.deletion};
    struct reader reader = {visit, user};
    if (store == NULL || visit == NULL) return SYN_EMISUSE;
    return store_feed(store, from, tell, &reader);
}

syn_err syn_server_feed_end(syn_server *server, syn_feed_cursor *out)
{
    struct store_cursor end;
    syn_store *store = server_file(server);
    if (store == NULL) return SYN_EMISUSE;
    syn_err err = store_feed_end(store, &end);
    if (!err) *out = (syn_feed_cursor){end.commit, end.deletion};
    return err;
}

/* ---- Cursors --------------------------------------------------------------------------------- */

static bool put_key(syn_str name, char key[READER_BYTES + 5], syn_str *out)
{
    if (name.len == 0 || name.len > READER_BYTES) return false;
    memcpy(key, "feed ", 5);
    copy_str(key + 5, name);
    *out = (syn_str){key, name.len + 5};
    return true;
}

static void put_number(uint8_t *out, int64_t value)
{
    for (unsigned i = 0; i < 8; i++) out[i] = (uint8_t)((uint64_t)value >> (8 * i));
}

static int64_t get_number(const uint8_t *in)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) value |= (uint64_t)in[i] << (8 * i);
    return (int64_t)value;
}

syn_err syn_server_keep_cursor(syn_server *server, syn_str name, syn_feed_cursor at)
{
    char text[READER_BYTES + 5];
    uint8_t value[CURSOR_BYTES];
    syn_str key;
    store_turn *turn;
    syn_store *store = server_file(server);
    if (store == NULL || !put_key(name, text, &key)) return SYN_EMISUSE;
    put_number(value, at.commit);
    put_number(value + 8, at.deletion);
    syn_err err = store_turn_new(store, &turn);
    if (err) return err;
    err = store_turn_note(turn, 0, key, (syn_str){(const char *)value, sizeof value});
    if (!err) return store_commit(turn);
    store_turn_drop(turn);
    return err;
}

syn_err syn_server_kept_cursor(syn_server *server, syn_str name, syn_feed_cursor *out)
{
    char text[READER_BYTES + 5];
    uint8_t value[CURSOR_BYTES];
    size_t len = 0;
    syn_str key;
    syn_store *store = server_file(server);
    if (store == NULL || !put_key(name, text, &key)) return SYN_EMISUSE;
    syn_err err = store_read_note(store, 0, key, value, sizeof value, &len);
    if (err) return err;
    if (len != sizeof value) return SYN_EDAMAGED;
    *out = (syn_feed_cursor){get_number(value), get_number(value + 8)};
    return SYN_OK;
}
