-- The history of forever200: each request that was seen, the bytes of each payload once, and the collection: one
-- specimen of each kind, for good where the kind has a label. Times are microseconds since 1970, UTC. docs/history.md
-- says how to open the file, and what to ask it.

PRAGMA application_id = 1177694256;  -- "F200"
PRAGMA user_version = 3;             -- version of this schema

-- What was sent.
CREATE TABLE payload (
    id         INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,  -- the first 16 bytes of the SHA-256 of bytes and tls
    shape      TEXT,                     -- name of its kind without a label; NULL if all its requests have labels
    host       TEXT,                     -- the name or address that it asks for
    user_agent TEXT,
    ja4        TEXT,
    bytes      BLOB    NOT NULL,         -- as received
    tls        TEXT                      -- the TLS that it came through, in JSON; NULL for what came in the clear
) STRICT;

-- What was found out about requests, by the version that saw them.
CREATE TABLE found (
    id         INTEGER PRIMARY KEY,
    protocol   TEXT NOT NULL,
    labels     TEXT NOT NULL,  -- ids, the most specific first, with a space before and after each
    categories TEXT NOT NULL,  -- of all labels, in the same way
    UNIQUE (protocol, labels)
) STRICT;

-- Who sent it.
CREATE TABLE source (
    id       INTEGER PRIMARY KEY,
    address  TEXT    NOT NULL UNIQUE,  -- IPv4 or IPv6; 0.0.0.0 where nobody knows it
    country  TEXT,                     -- ISO 3166-1 alpha-2, when it was first seen
    asn      INTEGER,                  -- number of the network's autonomous system, when it was first seen
    as_name  TEXT,
    requests INTEGER NOT NULL,         -- since it was first seen
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL
) STRICT;

-- How requests came and ended.
CREATE TABLE way (
    id        INTEGER PRIMARY KEY,
    dest      TEXT    NOT NULL,  -- address that the client connected to
    dest_port INTEGER NOT NULL,
    via       TEXT    NOT NULL,  -- how the addresses were learned: proxy_v2, proxy_v1, peer, http, tls
    ended     TEXT    NOT NULL,  -- complete, quiet, eof, limit, deadline
    responder TEXT    NOT NULL,  -- which one answered
    UNIQUE (dest, dest_port, via, ended, responder)
) STRICT;

-- One row a request.
CREATE TABLE request (
    seq         INTEGER PRIMARY KEY,  -- number of the request
    time        INTEGER NOT NULL,     -- when its first byte came
    payload     INTEGER NOT NULL REFERENCES payload(id),
    found       INTEGER NOT NULL REFERENCES found(id),
    source      INTEGER NOT NULL REFERENCES source(id),
    source_port INTEGER NOT NULL,
    way         INTEGER NOT NULL REFERENCES way(id),
    bytes       INTEGER NOT NULL,     -- length as received; more than the payload's when truncated
    extra       INTEGER NOT NULL,     -- bytes behind the whole request
    truncated   INTEGER NOT NULL,     -- 0 or 1
    continues   INTEGER               -- the request after whose answer this came
) STRICT;

CREATE INDEX request_payload ON request (payload);
CREATE INDEX request_found   ON request (found);
CREATE INDEX request_source  ON request (source);
CREATE INDEX payload_shape   ON payload (shape) WHERE shape IS NOT NULL;

-- When 256 numbers came: leads from times to requests, in place of an index with an entry for each.
CREATE TABLE block (
    id    INTEGER PRIMARY KEY,  -- seq / 256
    first INTEGER NOT NULL,     -- no request of these numbers has an earlier time,
    last  INTEGER NOT NULL      -- and none a later one
) STRICT;

-- The collection. A kind is the first label of a request; without labels its protocol and shape. Its row stays when the
-- last of its requests has gone.
CREATE TABLE kind (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,  -- id of the label, or protocol and a hash of the shape
    title    TEXT    NOT NULL,
    category TEXT,                     -- of the label; NULL without one
    requests INTEGER NOT NULL,         -- since it was first seen, or since the time of `forget --before`
    sources  INTEGER NOT NULL,         -- in the same time
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    -- The specimen: its columns are those of request, but for the address.
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

-- Who sent which kind. Goes with the source, or with the kind.
CREATE TABLE kind_source (
    kind     INTEGER NOT NULL REFERENCES kind(id),
    source   INTEGER NOT NULL REFERENCES source(id),
    requests INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    PRIMARY KEY (kind, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX kind_source_source ON kind_source (source);

-- Requests of a kind by day (days since 1970, UTC).
CREATE TABLE kind_day (
    kind     INTEGER NOT NULL REFERENCES kind(id),
    day      INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (kind, day)
) STRICT, WITHOUT ROWID;

-- Countries that a kind came from.
CREATE TABLE kind_country (
    kind    INTEGER NOT NULL REFERENCES kind(id),
    country TEXT    NOT NULL,
    PRIMARY KEY (kind, country)
) STRICT, WITHOUT ROWID;

-- Requests that were answered and counted, but are not here: they left the ring before they could be read, or could not
-- be written.
CREATE TABLE gap (
    first_seq INTEGER PRIMARY KEY,
    last_seq  INTEGER NOT NULL,
    requests  INTEGER NOT NULL,  -- how many of these numbers are missing
    since     INTEGER NOT NULL,  -- time of the last look before
    until     INTEGER NOT NULL   -- time of the first look after
) STRICT;

-- Numbers by name: since and first (times), silent (connections without a byte), silent:22 (those to port 22), newest
-- (number of the newest request when requests were deleted by `forget`: no number is used twice), lines (number of the
-- newest request that has a line of FOREVER200_CAPTURES).
CREATE TABLE number (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- A row that nothing references any more is deleted with the last row that did.
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

-- Later: what follows is run at each opening as well, for files that were begun without it. (The viewer looks for the
-- first word of this comment.)

CREATE INDEX IF NOT EXISTS request_way ON request (way);  -- leads from a port to its requests
CREATE INDEX IF NOT EXISTS kind_way    ON kind (way);

-- With all ports open there are many ways.
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

-- Clients choose which labels come together: there are far more such rows than labels.
CREATE TRIGGER IF NOT EXISTS found_of_request_gone AFTER DELETE ON request BEGIN
    DELETE FROM found WHERE id = OLD.found
        AND NOT EXISTS (SELECT 1 FROM request WHERE found = OLD.found);
END;

-- Machines whose requests came here by the stream of a fleet: docs/fleet.md.
CREATE TABLE IF NOT EXISTS sensor (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    version  TEXT    NOT NULL,  -- of forever200 there
    requests INTEGER NOT NULL,  -- that came, since it was first heard of
    missing  INTEGER NOT NULL,  -- that it answered and could not send
    heard    INTEGER NOT NULL,  -- when the last was written here, or it said that it runs
    first    INTEGER NOT NULL,  -- times of its first and its last request
    last     INTEGER NOT NULL,
    newest   INTEGER NOT NULL   -- largest number of its messages in the stream that was written here
) STRICT;

-- What a request was at its sensor. The same one is taken once, however often it is delivered.
CREATE TABLE IF NOT EXISTS sent (
    request INTEGER PRIMARY KEY,  -- its seq here
    sensor  INTEGER NOT NULL REFERENCES sensor(id),
    era     INTEGER NOT NULL,  -- when the sensor's history began
    number  INTEGER NOT NULL,  -- of the request in that
    stream  INTEGER NOT NULL,  -- number of its message in the stream
    UNIQUE (sensor, era, number)
) STRICT;

-- What one sensor sent, in the order of seq.
CREATE INDEX IF NOT EXISTS sent_sensor ON sent (sensor);

-- The same of the newest requests of each sensor when `forget` last ran, deleted or not: the stream still has them, and
-- a hub that begins to read it there must not take them again.
CREATE TABLE IF NOT EXISTS forgotten (
    sensor  TEXT    NOT NULL,  -- its name
    era     INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    stream  INTEGER NOT NULL,
    request INTEGER NOT NULL,  -- the seq that it had here
    PRIMARY KEY (sensor, era, number)
) STRICT, WITHOUT ROWID;

-- Which sensors saw a kind, and which a source.
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
