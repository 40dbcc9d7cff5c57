-- A long history in ClickHouse: every line of FOREVER200_CAPTURES, and views by kind and by source.
-- docs/clickhouse.md says how to fill and query it. Tested with ClickHouse 26.9.

CREATE DATABASE IF NOT EXISTS forever200;

-- One row for each request. A line that is inserted twice becomes one row later. Query with FINAL,
-- as the views do.
CREATE TABLE IF NOT EXISTS forever200.request (
    sensor      LowCardinality(String),           -- name of the forever200, such as a sensor; empty if there is only one
    seq         UInt64,                           -- number of the request
    timestamp   DateTime64(6, 'UTC'),             -- when its first byte came
    src_ip      String,                           -- as text, which functions for networks need
    src_prefix  UInt8,                            -- length of the network if addresses are masked, else 0
    src_port    UInt16,
    dest_ip     LowCardinality(String),
    dest_port   UInt16,
    via         LowCardinality(String),           -- proxy_v2, proxy_v1, peer, http, tls
    bytes       UInt64,                           -- length as received; more than that of raw when truncated
    extra       UInt64,                           -- bytes behind the whole request
    truncated   Bool,
    ended       LowCardinality(String),           -- complete, quiet, eof, limit, deadline
    continues   UInt64,                           -- the request that this one continues, or 0
    responder   LowCardinality(String),
    protocol    LowCardinality(String),
    kind        String,                           -- as in the collection; empty if nobody has described the request
    title       String,
    category    LowCardinality(String),           -- of the first label; empty without one
    labels      Array(LowCardinality(String)),    -- ids, the most specific first
    categories  Array(LowCardinality(String)),    -- of all labels
    cve         Array(LowCardinality(String)),
    method      LowCardinality(String),           -- empty if the request is not HTTP
    target      String,
    user_agent  String,
    asked_for   String,                           -- the name or the address that it asks for
    tls_version LowCardinality(String),
    tls_failed  LowCardinality(String),
    sni         String,
    ja4         String,
    indicators  Array(String),                    -- addresses that its payload would fetch or call, defanged
    actions     Array(String),
    country     LowCardinality(String),           -- ISO 3166-1 alpha-2
    asn         UInt32,                           -- number of the network, or 0
    as_name     LowCardinality(String),
    raw         String CODEC(ZSTD(3)),            -- the bytes; empty with FOREVER200_CAPTURES_RAW=off
    INDEX by_source src_ip TYPE bloom_filter GRANULARITY 4,
    INDEX by_kind   kind   TYPE bloom_filter GRANULARITY 4
) ENGINE = ReplacingMergeTree
PARTITION BY toYear(timestamp)
ORDER BY (sensor, timestamp, seq);

-- Requests that were answered and counted, but have no line.
CREATE TABLE IF NOT EXISTS forever200.gap (
    sensor    LowCardinality(String),
    first_seq UInt64,
    last_seq  UInt64,
    requests  UInt64,                   -- how many of these numbers are missing
    since     DateTime64(6, 'UTC'),
    until     DateTime64(6, 'UTC'),
    reason    LowCardinality(String)    -- left_the_ring, slow_reader, no_line
) ENGINE = ReplacingMergeTree
ORDER BY (sensor, first_seq, since);

-- Lines are inserted here, and the views below take them; this table stores nothing.
-- docs/captures.schema.json has their fields. Lines of /home/export.ndjson can be inserted too;
-- they have the same fields except event_type. Fields that are not named here are left out, and
-- fields that are missing or null are empty.
CREATE TABLE IF NOT EXISTS forever200.lines (
    event_type String,
    sensor     String,
    seq        UInt64,
    timestamp  String,
    src_ip     String,
    src_prefix UInt8,
    src_port   UInt16,
    dest_ip    String,
    dest_port  UInt16,
    via        String,
    bytes      UInt64,
    extra      UInt64,
    truncated  Bool,
    ended      String,
    continues  UInt64,
    responder  String,
    protocol   String,
    http       Tuple(method String, target String, headers Array(Tuple(String, String))),
    tls        Tuple(version String, failed String, sni Nullable(String), ja4 Nullable(String)),
    asked_for  Tuple(name String),
    summary    String,
    labels     Array(Tuple(id String, title String, category String, also Array(String), cve Array(String))),
    kind       String,
    indicators Array(Tuple(address String)),
    actions    Array(String),
    origin     Tuple(country Nullable(String), asn Nullable(UInt32), as_name Nullable(String)),
    raw_base64 String,
    reason     String,
    requests   UInt64,
    first_seq  UInt64,
    last_seq   UInt64,
    since      String,
    until      String
) ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS forever200.request_of_line TO forever200.request AS
SELECT
    line.sensor AS sensor, line.seq AS seq, parseDateTime64BestEffort(line.timestamp, 6, 'UTC') AS timestamp,
    line.src_ip AS src_ip, line.src_prefix AS src_prefix, line.src_port AS src_port, line.dest_ip AS dest_ip,
    line.dest_port AS dest_port, line.via AS via, line.bytes AS bytes, line.extra AS extra,
    line.truncated AS truncated, line.ended AS ended, line.continues AS continues, line.responder AS responder,
    line.protocol AS protocol,
    line.kind AS kind,
    if(empty(line.labels), substringUTF8(line.summary, 1, 100), line.labels[1].title) AS title,
    line.labels[1].category AS category,
    line.labels.id AS labels,
    arraySort(arrayDistinct(arrayConcat(line.labels.category, arrayFlatten(line.labels.also)))) AS categories,
    arrayDistinct(arrayFlatten(line.labels.cve)) AS cve,
    line.http.method AS method,
    line.http.target AS target,
    arrayFirst(header -> lower(header.1) = 'user-agent', line.http.headers).2 AS user_agent,
    line.asked_for.name AS asked_for,
    line.tls.version AS tls_version,
    line.tls.failed AS tls_failed,
    ifNull(line.tls.sni, '') AS sni,
    ifNull(line.tls.ja4, '') AS ja4,
    line.indicators.address AS indicators,
    line.actions AS actions,
    ifNull(line.origin.country, '') AS country,
    ifNull(line.origin.asn, 0) AS asn,
    ifNull(line.origin.as_name, '') AS as_name,
    base64Decode(line.raw_base64) AS raw
FROM forever200.lines AS line
WHERE line.event_type IN ('request', '');

CREATE MATERIALIZED VIEW IF NOT EXISTS forever200.gap_of_line TO forever200.gap AS
SELECT
    line.sensor AS sensor, line.first_seq AS first_seq, line.last_seq AS last_seq, line.requests AS requests,
    parseDateTime64BestEffort(line.since, 6, 'UTC') AS since,
    parseDateTime64BestEffort(line.until, 6, 'UTC') AS until,
    line.reason AS reason
FROM forever200.lines AS line
WHERE line.event_type = 'gap';

-- The same as /home/collection: a row for each kind. The specimen is the first request of the kind.
CREATE VIEW IF NOT EXISTS forever200.collection AS
SELECT
    r.kind AS kind,
    if(any(r.category) = '', argMin(r.title, r.timestamp), argMax(r.title, r.timestamp)) AS title,
    argMax(r.category, r.timestamp) AS category,
    count() AS requests,
    uniqExact(r.src_ip, r.src_prefix) AS sources,
    uniqExact(r.sensor) AS sensors,
    arraySort(arrayFilter(code -> code != '', groupUniqArray(r.country))) AS countries,
    min(r.timestamp) AS first,
    max(r.timestamp) AS last,
    argMin((r.sensor, r.seq), r.timestamp) AS specimen
FROM forever200.request AS r FINAL
WHERE r.kind != ''
GROUP BY kind;

-- The same as /home/sources: a row for each address, or for each network if addresses are masked.
CREATE VIEW IF NOT EXISTS forever200.sources AS
SELECT
    if(r.src_prefix = 0, r.src_ip, concat(r.src_ip, '/', toString(r.src_prefix))) AS address,
    argMin(r.country, r.timestamp) AS country,
    argMin(r.asn, r.timestamp) AS asn,
    argMin(r.as_name, r.timestamp) AS as_name,
    count() AS requests,
    uniqExactIf(r.kind, r.kind != '') AS kinds,
    uniqExact(r.sensor) AS sensors,
    min(r.timestamp) AS first,
    max(r.timestamp) AS last
FROM forever200.request AS r FINAL
GROUP BY address;

-- Which source sent which kind, as on the pages of sources and kinds.
CREATE VIEW IF NOT EXISTS forever200.kind_source AS
SELECT
    r.kind AS kind,
    if(r.src_prefix = 0, r.src_ip, concat(r.src_ip, '/', toString(r.src_prefix))) AS address,
    count() AS requests,
    uniqExact(r.sensor) AS sensors,
    min(r.timestamp) AS first,
    max(r.timestamp) AS last
FROM forever200.request AS r FINAL
WHERE r.kind != ''
GROUP BY kind, address;
