-- The history of forever200: each request that was seen, and the bytes of each payload once.
-- Times are microseconds since 1970, UTC. docs/history.md says how to open the file, and what to ask it.

PRAGMA application_id = 1177694256;  -- "F200"
PRAGMA user_version = 1;             -- version of this schema

-- What was sent.
CREATE TABLE payload (
    id       INTEGER PRIMARY KEY,
    hash     BLOB    NOT NULL UNIQUE,  -- the first 16 bytes of the SHA-256 of bytes
    bytes    BLOB    NOT NULL,         -- as received
    requests INTEGER NOT NULL          -- number of rows in request that have this payload
) STRICT;

-- What a request is an example of.
CREATE TABLE kind (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,  -- id of the first label, or "protocol:" and the protocol
    title    TEXT NOT NULL,
    category TEXT                   -- NULL without a label
) STRICT;

-- Who sent it.
CREATE TABLE source (
    id       INTEGER PRIMARY KEY,
    address  TEXT    NOT NULL UNIQUE,  -- IPv4 or IPv6; 0.0.0.0 where nobody knows it
    requests INTEGER NOT NULL          -- number of rows in request that have this source
) STRICT;

-- One row a request: the line of JSON of a record, in columns.
CREATE TABLE request (
    seq         INTEGER PRIMARY KEY,  -- number of the request
    time        INTEGER NOT NULL,     -- when its first byte came
    payload     INTEGER NOT NULL REFERENCES payload(id),
    kind        INTEGER NOT NULL REFERENCES kind(id),
    source      INTEGER NOT NULL REFERENCES source(id),
    source_port INTEGER NOT NULL,
    dest        TEXT    NOT NULL,
    dest_port   INTEGER NOT NULL,
    via         TEXT    NOT NULL,     -- proxy_v2, proxy_v1, peer, http
    bytes       INTEGER NOT NULL,     -- length as received; more than the payload's when truncated
    extra       INTEGER NOT NULL,     -- bytes behind the whole request
    truncated   INTEGER NOT NULL,     -- 0 or 1
    ended       TEXT    NOT NULL,     -- complete, quiet, eof, limit, deadline
    continues   INTEGER,              -- the request after whose answer this came
    responder   TEXT    NOT NULL
) STRICT;

CREATE INDEX request_time    ON request (time);
CREATE INDEX request_payload ON request (payload);
CREATE INDEX request_kind    ON request (kind, seq);
CREATE INDEX request_source  ON request (source, seq);

-- Requests that were answered and counted, but are not here: they left the ring before they could be read.
CREATE TABLE gap (
    first_seq INTEGER PRIMARY KEY,
    last_seq  INTEGER NOT NULL,
    requests  INTEGER NOT NULL,  -- how many of these numbers are missing
    since     INTEGER NOT NULL,  -- time of the last look before
    until     INTEGER NOT NULL   -- time of the first look after
) STRICT;

-- Numbers by name: since and first (times), silent (connections without a byte).
CREATE TABLE number (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- What nobody names any more goes with the last request that did.
CREATE TRIGGER request_gone AFTER DELETE ON request BEGIN
    UPDATE payload SET requests = requests - 1 WHERE id = OLD.payload;
    DELETE FROM payload WHERE id = OLD.payload AND requests <= 0;
    UPDATE source SET requests = requests - 1 WHERE id = OLD.source;
    DELETE FROM source WHERE id = OLD.source AND requests <= 0;
END;
