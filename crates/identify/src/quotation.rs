//! Requests that quote: what others wrote, stored or browse is in them, and is no attack on whoever
//! gets it.
//!
//! In: a request. Out: which of its bytes are a quotation. A webhook brings a commit's text, a log
//! shipper the attacks that another server has seen, a forge's address the name of a file. Each
//! kind is known by headers, addresses and fields that its real senders have, for a webhook by one
//! header alone. Nothing here proves who sent it: a sender of attacks can copy that. So a quotation
//! is never all of a request: headers are none, nor is a target that carries the exploit of a CVE,
//! which no name of a file does by chance. And what is quoted is not dropped, but told apart.

mod names;

use std::ops::Range;

use memchr::memmem;

use crate::attack::Attack;
use crate::sample::Sample;
use names::{COLLECTORS, FORGES, MESSAGES, MODELS, PROMPTS, RECEIVERS, TALKS, WEBHOOKS};

/// Bytes of a form in which the head of its first file is.
const MAX_FORM_HEAD_BYTES: usize = 1024;

/// Where in the raw bytes of a request there is a quotation; empty where there is none.
#[derive(Debug, Default)]
pub(crate) struct Quotation {
    target: Range<usize>,
    body: Range<usize>,
}

impl Quotation {
    /// Finds what a request quotes.
    pub(crate) fn of(sample: &Sample<'_>) -> Option<Self> {
        let http = sample.http?;
        let range = |part: &[u8]| {
            let start = sample.offset(part);
            start..start + part.len()
        };
        let (target, body) = (range(http.target), range(http.behind_head));
        if is_signed_storage(sample) {
            return Some(Self { target, body });
        }
        if is_forge(sample) || is_query_of_a_dashboard(sample) {
            return Some(Self { target, body: 0..0 });
        }
        let is_quoted = !body.is_empty() && is_quoted_body(sample, http.method);
        is_quoted.then_some(Self { target: 0..0, body })
    }

    /// Returns what of the target and of the body is quoted.
    pub(crate) fn ranges(self) -> [Range<usize>; 2] {
        [self.target, self.body]
    }

    /// Tells whether all of these ranges, of which there is one at least, are quoted; `is_exploit`
    /// where they are the exploit of a CVE for certain.
    pub(crate) fn holds(&self, evidence: &[Range<usize>], is_exploit: bool) -> bool {
        let is_in = |range: &Range<usize>, part: &Range<usize>| {
            part.start <= range.start && range.end <= part.end
        };
        let is_quoted =
            |range| is_in(range, &self.body) || !is_exploit && is_in(range, &self.target);
        !evidence.is_empty() && evidence.iter().all(is_quoted)
    }
}

fn is_quoted_body(sample: &Sample<'_>, method: &[u8]) -> bool {
    let is_post = [&b"POST"[..], b"PUT", b"PATCH"].contains(&method);
    let is_quoting = || {
        is_webhook(sample)
            || is_federation(sample)
            || is_shipped(sample)
            || is_message(sample)
            || is_stored_text(sample)
            || is_database_page(sample)
            || is_prompt(sample)
            || is_state(sample)
    };
    is_post && is_quoting()
}

fn has(sample: &Sample<'_>, name: &str) -> bool {
    sample.header(name).next().is_some()
}

fn header_begins(sample: &Sample<'_>, name: &str, starts: &[&str]) -> bool {
    let mut values = sample.header(name).filter_map(|views| views.first());
    values.any(|text| {
        starts
            .iter()
            .any(|start| text.bytes.starts_with(start.as_bytes()))
    })
}

fn path<'s>(sample: &'s Sample<'_>) -> &'s [u8] {
    sample.path().first().map_or(b"", |text| &text.bytes)
}

fn climbs(sample: &Sample<'_>) -> bool {
    let mut views = sample.target().iter();
    views.any(|text| memmem::find(&text.bytes, b"..").is_some())
}

/// Amazon's S3 and what speaks like it: AWS Signature Version 4, in a header or in a link.
fn is_signed_storage(sample: &Sample<'_>) -> bool {
    let is_signed = header_begins(sample, "authorization", &["aws4-hmac-sha256 credential="])
        && (has(sample, "x-amz-date") || has(sample, "date"));
    let parts = ["x-amz-algorithm=", "x-amz-credential=", "x-amz-signature="];
    let is_link = || {
        let target = sample.target().first();
        target.is_some_and(|target| {
            let is_there = |part: &str| memmem::find(&target.bytes, part.as_bytes()).is_some();
            parts.iter().all(|part| is_there(part))
        })
    };
    is_signed || is_link()
}

/// A person looks at a file in GitLab, Gitea or GitHub: a browser that has been there before.
fn is_forge(sample: &Sample<'_>) -> bool {
    let is_there =
        |part: &&str| memmem::find(path(sample), part.as_bytes()).is_some_and(|at| at > 0);
    let is_known = has(sample, "referer") || has(sample, "cookie") || has(sample, "authorization");
    FORGES.iter().any(is_there) && is_known && !climbs(sample)
}

/// A dashboard asks a database in the database's own language.
fn is_query_of_a_dashboard(sample: &Sample<'_>) -> bool {
    let ends = [
        "/query",
        "/api/v1/query",
        "/api/v1/query_range",
        "/api/v1/series",
    ];
    let is_query = ends
        .iter()
        .any(|end| path(sample).ends_with(end.as_bytes()));
    is_query
        && header_begins(
            sample,
            "user-agent",
            &["grafana/", "chronograf/", "telegraf/"],
        )
}

fn is_webhook(sample: &Sample<'_>) -> bool {
    let agents = [
        "github-hookshot/",
        "gitlab/",
        "stripe/1.0",
        "slackbot 1.0",
        "bitbucket-webhooks/",
        "atlassian webhook",
        "sentry/",
        "paypal ipn",
    ];
    WEBHOOKS.iter().any(|name| has(sample, name)) || header_begins(sample, "user-agent", &agents)
}

/// Mastodon and others: W3C ActivityPub 7, with HTTP Signatures; Matrix: Server-Server API,
/// "Request Authentication".
fn is_federation(sample: &Sample<'_>) -> bool {
    let kinds = ["application/activity+json", "application/ld+json"];
    let is_signed = has(sample, "signature") || has(sample, "signature-input");
    header_begins(sample, "content-type", &kinds) && is_signed
        || header_begins(sample, "authorization", &["x-matrix origin="])
}

/// Logs, traces and errors that a collector's client hands in; the body says so as well, or the
/// client.
fn is_shipped(sample: &Sample<'_>) -> bool {
    let path = path(sample);
    let kinds = [
        "application/x-ndjson",
        "application/json",
        "application/x-protobuf",
        "application/x-sentry-envelope",
        "text/plain",
    ];
    let is_collector = COLLECTORS.iter().any(|end| path.ends_with(end.as_bytes()));
    is_collector && has(sample, "user-agent") && header_begins(sample, "content-type", &kinds)
}

/// A message for somebody, by a client that has a key: the field with the text, and one that says
/// to whom.
fn is_message(sample: &Sample<'_>) -> bool {
    let is_known = header_begins(sample, "authorization", &["basic ", "bearer ", "app "]);
    let has_field = |names: &[&str]| names.iter().any(|name| has_field(sample, name));
    let is_talk = || {
        TALKS
            .iter()
            .any(|part| memmem::find(path(sample), part.as_bytes()).is_some())
    };
    is_known && has_field(&MESSAGES) && (is_talk() || has_field(&RECEIVERS))
}

/// A text for a language model, which names the model.
fn is_prompt(sample: &Sample<'_>) -> bool {
    let is_model = MODELS
        .iter()
        .any(|end| path(sample).ends_with(end.as_bytes()));
    is_model && has_field(sample, "model") && PROMPTS.iter().any(|name| has_field(sample, name))
}

/// What containers are to run, from a client with a key of the cluster, or what Terraform keeps of
/// that: the commands are its owner's.
fn is_state(sample: &Sample<'_>) -> bool {
    let is_cluster = header_begins(sample, "user-agent", &["kubectl/", "helm/", "terraform/"])
        && [&b"/api/v1/"[..], b"/apis/"]
            .iter()
            .any(|start| path(sample).starts_with(start));
    has(sample, "authorization") && (is_cluster || has_field(sample, "terraform_version"))
}

fn has_field(sample: &Sample<'_>, name: &str) -> bool {
    let in_json = || {
        let body = sample.body().first()?;
        let quoted = format!("\"{name}\"");
        memmem::find(&body.bytes[..body.bytes.len().min(8192)], quoted.as_bytes())
    };
    sample.parameter(name).next().is_some() || in_json().is_some()
}

/// A text that a visitor who has logged in uploads: it says that it is one, and is no program by
/// its name.
fn is_stored_text(sample: &Sample<'_>) -> bool {
    let Some(body) = sample.body().first() else {
        return false;
    };
    let kinds = [
        &b"content-type: text/markdown"[..],
        b"content-type: text/csv",
        b"content-type: text/x-diff",
    ];
    let is_known = has(sample, "cookie") || has(sample, "authorization");
    let is_program = || {
        sample
            .attacks()
            .iter()
            .any(|found| found.attack == Attack::Upload)
    };
    let near = &body.bytes[..body.bytes.len().min(MAX_FORM_HEAD_BYTES)];
    is_known && kinds.iter().any(|kind| memmem::find(near, kind).is_some()) && !is_program()
}

/// An owner at phpMyAdmin or Adminer: with its cookies, from its own pages.
fn is_database_page(sample: &Sample<'_>) -> bool {
    let mut cookies = sample.header("cookie").filter_map(|views| views.first());
    let is_own = cookies.any(|text| {
        let names = [
            &b"pma_lang"[..],
            b"pmauser-",
            b"pmaauth-",
            b"phpmyadmin=",
            b"adminer_sid",
        ];
        names
            .iter()
            .any(|name| memmem::find(&text.bytes, name).is_some())
    });
    is_own && has(sample, "referer")
}

#[cfg(test)]
mod tests;
