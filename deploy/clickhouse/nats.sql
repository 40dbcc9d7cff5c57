-- Reads the messages of sensors directly from NATS JetStream (docs/clickhouse.md, "From NATS"). Run
-- it after tables.sql.
--
-- No test runs it with a NATS server, because the ClickHouse of the tests lacks the NATS engine.
-- The tests read this file, and put real messages through everything except the first table. Change
-- address, user and password to yours.

-- A message is the value of a slot of the ring: a line of JSON, a newline, and the bytes as they
-- came.
CREATE TABLE IF NOT EXISTS forever200.messages (
    message String
) ENGINE = NATS
SETTINGS
    nats_url = 'hub.example:4222',
    nats_subjects = 'forever200.*',
    -- The stream and the consumer must already exist. Without them, messages that come while
    -- ClickHouse is away would be lost.
    nats_stream = 'forever200',
    nats_consumer_name = 'clickhouse',
    nats_secure = 1,
    nats_username = 'clickhouse',
    nats_password = 'CHOOSE-A-PASSWORD',
    nats_format = 'RawBLOB';

-- The sensor's name comes from the subject, which the server checks, and never from the record,
-- because a sensor may be in a stranger's hands. Messages that are not records are left out, and so
-- are records with a time before 2019 or in the future.
CREATE MATERIALIZED VIEW IF NOT EXISTS forever200.request_of_message TO forever200.request AS
WITH
    position(m.message, '\n') AS end,
    JSONExtract(substring(m.message, 1, end - 1), 'Tuple(
        seq UInt64, timestamp String, src_ip String, src_port UInt16, dest_ip String, dest_port UInt16, via String,
        bytes UInt64, extra UInt64, truncated Bool, ended String, continues UInt64, responder String)') AS record,
    parseDateTime64BestEffortOrZero(record.timestamp, 6, 'UTC') AS came
SELECT
    splitByChar('.', m._subject)[2] AS sensor,
    record.seq AS seq,
    came AS timestamp,
    record.src_ip AS src_ip,
    record.src_port AS src_port,
    record.dest_ip AS dest_ip,
    record.dest_port AS dest_port,
    record.via AS via,
    record.bytes AS bytes,
    record.extra AS extra,
    record.truncated AS truncated,
    record.ended AS ended,
    record.continues AS continues,
    record.responder AS responder,
    substring(m.message, end + 1) AS raw
FROM forever200.messages AS m
WHERE end > 0 AND record.seq > 0
    AND came BETWEEN toDateTime64('2019-01-01 00:00:00', 6, 'UTC') AND now64(6, 'UTC') + INTERVAL 10 SECOND
    AND (isIPv4String(record.src_ip) OR isIPv6String(record.src_ip))
    AND (isIPv4String(record.dest_ip) OR isIPv6String(record.dest_ip))
    AND record.via IN ('proxy_v2', 'proxy_v1', 'peer', 'http', 'tls')
    AND record.ended IN ('complete', 'quiet', 'eof', 'limit', 'deadline')
    AND match(record.responder, '^[0-9a-f]{8}$');
