-- schema.sql -- the tables of a Syncline file; user_version 2.
--
-- Every row carries `sum`: XXH64 over its key and its content, so that a flipped bit shows and so does a
-- row that sits in another row's place.  STRICT: a column of the wrong type is refused on writing, found by
-- the integrity check on reading.

CREATE TABLE store (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    id    BLOB NOT NULL,
    probe INTEGER NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

CREATE TABLE doc (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            BLOB NOT NULL UNIQUE,
    lineage         BLOB,
    events          INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    snapshot_at     INTEGER NOT NULL,
    snapshot_events INTEGER NOT NULL,
    snapshot_parts  INTEGER NOT NULL,
    damaged         INTEGER NOT NULL,
    sum             INTEGER NOT NULL
) STRICT;

-- Append-only and keyed by the commit: new rows fill the rightmost page, so that a commit of many documents
-- writes few pages.  AUTOINCREMENT: a number is never given out twice, although folding deletes rows.
CREATE TABLE tail (
    commit_seq INTEGER PRIMARY KEY AUTOINCREMENT,
    doc        INTEGER NOT NULL,
    lo         INTEGER NOT NULL,
    hi         INTEGER NOT NULL,
    sum        INTEGER NOT NULL,
    bytes      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX tail_doc ON tail (doc, lo);

-- commit_seq: the highest of the rows that were folded into it.  effects: what was found out about the chunk
-- when it was folded, so that nobody needs to find it out again; NULL: nothing was.  Version 1 had no such column.
CREATE TABLE chunk (
    doc        INTEGER NOT NULL,
    lo         INTEGER NOT NULL,
    hi         INTEGER NOT NULL,
    commit_seq INTEGER NOT NULL,
    packed     INTEGER NOT NULL,
    sum        INTEGER NOT NULL,
    bytes      BLOB NOT NULL,
    effects    BLOB
) STRICT;
CREATE UNIQUE INDEX chunk_doc ON chunk (doc, lo);
CREATE INDEX chunk_seq ON chunk (commit_seq);

CREATE TABLE snapshot (
    doc    INTEGER NOT NULL,
    part   INTEGER NOT NULL,
    packed INTEGER NOT NULL,
    sum    INTEGER NOT NULL,
    bytes  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX snapshot_doc ON snapshot (doc, part);

CREATE TABLE peer (
    doc   INTEGER NOT NULL,
    peer  INTEGER NOT NULL,
    next  INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    user  BLOB NOT NULL,
    sum   INTEGER NOT NULL,
    PRIMARY KEY (doc, peer)
) STRICT, WITHOUT ROWID;

CREATE TABLE note (
    doc   INTEGER NOT NULL,
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX note_key ON note (doc, key);

CREATE TABLE tombstone (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    BLOB NOT NULL,
    lineage BLOB NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tombstone_name ON tombstone (name, lineage);
