-- The history of forever200. It has each request that was seen, and the bytes of each payload once. It also has the
-- collection, which is one specimen of each kind. The specimen of a kind with a label is kept for good. Times are
-- microseconds since 1970, UTC. docs/history.md says how to open the file, and what to ask it.

PRAGMA application_id = 1177694256;  -- "F200"
PRAGMA user_version = 3;             -- version of this schema

-- The bytes that clients sent.
CREATE TABLE payload (
    id         INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,  -- the first 16 bytes of the SHA-256 of bytes and tls
    shape      TEXT,                     -- name of the kind of its requests without a label; NULL if all have labels
    host       TEXT,                     -- name or address of the host that it asks for
    user_agent TEXT,
    ja4        TEXT,
    bytes      BLOB    NOT NULL,         -- as received
    tls        TEXT                      -- the TLS connection that it came through, in JSON; NULL without TLS
) STRICT;

-- What the version that saw a request found out about it.
CREATE TABLE found (
    id         INTEGER PRIMARY KEY,
    protocol   TEXT NOT NULL,
    labels     TEXT NOT NULL,  -- ids of labels, the most specific first, with a space before and after each
    categories TEXT NOT NULL,  -- names of the categories of all labels, also with a space before and after each
    UNIQUE (protocol, labels)
) STRICT;

-- Clients that sent requests.
CREATE TABLE source (
    id       INTEGER PRIMARY KEY,
    address  TEXT    NOT NULL UNIQUE,  -- IPv4 or IPv6; 0.0.0.0 if it is not known
    country  TEXT,                     -- ISO 3166-1 alpha-2, as it was looked up last
    asn      INTEGER,                  -- number of the network's autonomous system, as it was looked up last
    as_name  TEXT,
    requests INTEGER NOT NULL,         -- how many it sent since it was first seen
    first    INTEGER NOT NULL,         -- times of its first and its last request
    last     INTEGER NOT NULL
) STRICT;

-- How requests came and ended.
CREATE TABLE way (
    id        INTEGER PRIMARY KEY,
    dest      TEXT    NOT NULL,  -- address that the client connected to
    dest_port INTEGER NOT NULL,
    via       TEXT    NOT NULL,  -- how the addresses were learned: proxy_v2, proxy_v1, peer, http, tls
    ended     TEXT    NOT NULL,  -- complete, quiet, eof, limit, deadline
    responder TEXT    NOT NULL,  -- id of the responder that answered
    UNIQUE (dest, dest_port, via, ended, responder)
) STRICT;

-- One row for each request.
CREATE TABLE request (
    seq         INTEGER PRIMARY KEY,  -- number of the request
    time        INTEGER NOT NULL,     -- when its first byte came
    payload     INTEGER NOT NULL REFERENCES payload(id),
    found       INTEGER NOT NULL REFERENCES found(id),
    source      INTEGER NOT NULL REFERENCES source(id),
    source_port INTEGER NOT NULL,
    way         INTEGER NOT NULL REFERENCES way(id),
    bytes       INTEGER NOT NULL,     -- length as received; more than the payload's when truncated
    extra       INTEGER NOT NULL,     -- how many of these bytes came after the end of the request
    truncated   INTEGER NOT NULL,     -- 0 or 1
    continues   INTEGER               -- number of the request after whose answer this one came, on the same connection
) STRICT;

CREATE INDEX request_payload ON request (payload);
CREATE INDEX request_found   ON request (found);
CREATE INDEX request_source  ON request (source);
CREATE INDEX payload_shape   ON payload (shape) WHERE shape IS NOT NULL;

-- The times of each 256 numbers. They lead from a time to its requests, without an index that has each request.
CREATE TABLE block (
    id    INTEGER PRIMARY KEY,  -- seq / 256
    first INTEGER NOT NULL,     -- no request with one of these numbers has an earlier time
    last  INTEGER NOT NULL      -- no request with one of these numbers has a later time
) STRICT;

-- The collection. The kind of a request is its first label or, without labels, its protocol and shape. The row of a kind
-- stays when its last request is deleted.
CREATE TABLE kind (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,  -- id of the label, or protocol and a hash of the shape
    title    TEXT    NOT NULL,
    category TEXT,                     -- category of the label; NULL without a label
    requests INTEGER NOT NULL,         -- how many came since it was first seen, or since the time of `forget --before`
    sources  INTEGER NOT NULL,         -- how many sources sent it in the same time
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    -- The specimen, with the columns of a request. In `source` is its address, and `kept` is added.
    seq         INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    payload     INTEGER NOT NULL REFERENCES payload(id),
    kept        INTEGER NOT NULL,      -- length of the payload
    source      TEXT    NOT NULL,      -- IPv4 or IPv6
    source_port INTEGER NOT NULL,
    way         INTEGER NOT NULL REFERENCES way(id),
    bytes       INTEGER NOT NULL,
    extra       INTEGER NOT NULL,
    truncated   INTEGER NOT NULL,
    continues   INTEGER
) STRICT;

CREATE INDEX kind_payload    ON kind (payload);
CREATE INDEX kind_seq        ON kind (seq);
CREATE INDEX kind_unlabelled ON kind (requests > 1, last) WHERE category IS NULL;

-- Which source sent which kind. A row is deleted with its source or with its kind.
CREATE TABLE kind_source (
    kind     INTEGER NOT NULL REFERENCES kind(id),
    source   INTEGER NOT NULL REFERENCES source(id),
    requests INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    PRIMARY KEY (kind, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX kind_source_source ON kind_source (source);

-- How many requests of a kind came on a day (days since 1970, UTC).
CREATE TABLE kind_day (
    kind     INTEGER NOT NULL REFERENCES kind(id),
    day      INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (kind, day)
) STRICT, WITHOUT ROWID;

-- Countries from which a kind came.
CREATE TABLE kind_country (
    kind    INTEGER NOT NULL REFERENCES kind(id),
    country TEXT    NOT NULL,
    PRIMARY KEY (kind, country)
) STRICT, WITHOUT ROWID;

-- Requests that were answered and counted, but are not here. They left the ring before they could be read, or they could
-- not be written.
CREATE TABLE gap (
    first_seq INTEGER PRIMARY KEY,
    last_seq  INTEGER NOT NULL,
    requests  INTEGER NOT NULL,  -- how many of these numbers are missing
    since     INTEGER NOT NULL,  -- time of the last look at the ring before
    until     INTEGER NOT NULL   -- time of the first look at the ring after
) STRICT;

-- Numbers by name:
--   since      time of the first start
--   first      time of the first request
--   silent     how many connections never sent a byte
--   silent:22  how many connections to port 22 never sent a byte
--   newest     number of the newest request when `forget` last deleted requests, so that no number is used twice
--   lines      number of the newest request that has a line of FOREVER200_CAPTURES
CREATE TABLE number (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- A row is deleted with the last row that references it.
CREATE TRIGGER request_gone AFTER DELETE ON request BEGIN
    DELETE FROM payload WHERE id = OLD.payload
        AND NOT EXISTS (SELECT 1 FROM request WHERE payload = OLD.payload)
        AND NOT EXISTS (SELECT 1 FROM kind WHERE payload = OLD.payload);
    DELETE FROM source WHERE id = OLD.source
        AND NOT EXISTS (SELECT 1 FROM request WHERE source = OLD.source);
END;
CREATE TRIGGER source_gone AFTER DELETE ON source BEGIN
    DELETE FROM kind_source WHERE source = OLD.id;
END;
CREATE TRIGGER specimen_gone AFTER UPDATE OF payload ON kind BEGIN
    DELETE FROM payload WHERE id = OLD.payload
        AND NOT EXISTS (SELECT 1 FROM request WHERE payload = OLD.payload)
        AND NOT EXISTS (SELECT 1 FROM kind WHERE payload = OLD.payload);
END;
CREATE TRIGGER kind_gone AFTER DELETE ON kind BEGIN
    DELETE FROM kind_source WHERE kind = OLD.id;
    DELETE FROM kind_day WHERE kind = OLD.id;
    DELETE FROM kind_country WHERE kind = OLD.id;
    DELETE FROM payload WHERE id = OLD.payload
        AND NOT EXISTS (SELECT 1 FROM request WHERE payload = OLD.payload)
        AND NOT EXISTS (SELECT 1 FROM kind WHERE payload = OLD.payload);
END;

-- Later: the viewer also runs the rest of this file whenever it opens a history, because older histories were begun
-- without it. (The viewer looks for the first word of this comment.)

CREATE INDEX IF NOT EXISTS request_way ON request (way);  -- leads from a port to its requests
CREATE INDEX IF NOT EXISTS kind_way    ON kind (way);

-- With all ports open there are many ways, so a way is deleted with the last row that references it.
CREATE TRIGGER IF NOT EXISTS way_of_request_gone AFTER DELETE ON request BEGIN
    DELETE FROM way WHERE id = OLD.way
        AND NOT EXISTS (SELECT 1 FROM request WHERE way = OLD.way)
        AND NOT EXISTS (SELECT 1 FROM kind WHERE way = OLD.way);
END;
CREATE TRIGGER IF NOT EXISTS way_of_specimen_gone AFTER UPDATE OF way ON kind WHEN OLD.way != NEW.way BEGIN
    DELETE FROM way WHERE id = OLD.way
        AND NOT EXISTS (SELECT 1 FROM request WHERE way = OLD.way)
        AND NOT EXISTS (SELECT 1 FROM kind WHERE way = OLD.way);
END;
CREATE TRIGGER IF NOT EXISTS way_of_kind_gone AFTER DELETE ON kind BEGIN
    DELETE FROM way WHERE id = OLD.way
        AND NOT EXISTS (SELECT 1 FROM request WHERE way = OLD.way)
        AND NOT EXISTS (SELECT 1 FROM kind WHERE way = OLD.way);
END;

-- Clients choose which labels come together, so `found` may have far more rows than there are labels.
CREATE TRIGGER IF NOT EXISTS found_of_request_gone AFTER DELETE ON request BEGIN
    DELETE FROM found WHERE id = OLD.found
        AND NOT EXISTS (SELECT 1 FROM request WHERE found = OLD.found);
END;

-- Machines that sent their requests here through the stream of a fleet (docs/fleet.md).
CREATE TABLE IF NOT EXISTS sensor (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    version  TEXT    NOT NULL,  -- version of forever200 that it runs
    requests INTEGER NOT NULL,  -- how many of its requests came since it was first heard of
    missing  INTEGER NOT NULL,  -- how many requests it answered but could not send
    heard    INTEGER NOT NULL,  -- when its last request was written here, or when it last reported that it runs
    first    INTEGER NOT NULL,  -- times of its first and its last request
    last     INTEGER NOT NULL,
    newest   INTEGER NOT NULL   -- largest number in the stream, of its messages that were written here
) STRICT;

-- Which number a request had at its sensor. So a request is written once, however often it is delivered.
CREATE TABLE IF NOT EXISTS sent (
    request INTEGER PRIMARY KEY,  -- its seq here
    sensor  INTEGER NOT NULL REFERENCES sensor(id),
    era     INTEGER NOT NULL,  -- when the sensor's history began
    number  INTEGER NOT NULL,  -- number of the request in that history
    stream  INTEGER NOT NULL,  -- number of its message in the stream
    UNIQUE (sensor, era, number)
) STRICT;

-- Leads from a sensor to its requests, in the order of seq.
CREATE INDEX IF NOT EXISTS sent_sensor ON sent (sensor);

-- For searches: which three bytes in a row the payloads of a block of 256 contain, in lower case. A block without a row
-- may contain anything.
CREATE TABLE IF NOT EXISTS trigrams (
    id   INTEGER PRIMARY KEY,  -- payload.id / 256
    bits BLOB NOT NULL         -- a Bloom filter (crates/viewer/src/history/trigrams.rs); empty if it would be of no use
) STRICT;
-- SQLite uses an id again when the largest was deleted: a filter must not stay that does not know the new payload.
CREATE TRIGGER IF NOT EXISTS trigrams_of_payload_gone AFTER DELETE ON payload BEGIN
    DELETE FROM trigrams WHERE id = OLD.id / 256;
END;

-- The newest requests of each sensor when `forget` last ran, whether they were deleted or not, and requests that could
-- not be written. The columns are as in `sent`. The stream still has these requests, and a hub that begins to read it
-- there must not write them again.
CREATE TABLE IF NOT EXISTS forgotten (
    sensor  TEXT    NOT NULL,  -- its name
    era     INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    stream  INTEGER NOT NULL,
    request INTEGER NOT NULL,  -- the seq that it had here
    PRIMARY KEY (sensor, era, number)
) STRICT, WITHOUT ROWID;

-- Which sensors saw a kind, and which sensors saw a source.
CREATE TABLE IF NOT EXISTS kind_sensor (
    kind   INTEGER NOT NULL REFERENCES kind(id),
    sensor INTEGER NOT NULL REFERENCES sensor(id),
    PRIMARY KEY (kind, sensor)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source_sensor (
    source INTEGER NOT NULL REFERENCES source(id),
    sensor INTEGER NOT NULL REFERENCES sensor(id),
    PRIMARY KEY (source, sensor)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS sent_request_gone AFTER DELETE ON request BEGIN
    DELETE FROM sent WHERE request = OLD.seq;
END;
CREATE TRIGGER IF NOT EXISTS seen_kind_gone AFTER DELETE ON kind BEGIN
    DELETE FROM kind_sensor WHERE kind = OLD.id;
END;
CREATE TRIGGER IF NOT EXISTS seen_source_gone AFTER DELETE ON source BEGIN
    DELETE FROM source_sensor WHERE source = OLD.id;
END;
