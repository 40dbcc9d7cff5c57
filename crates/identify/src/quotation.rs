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
use crate::slice::{contains, contains_one, ends_with_one, first, starts_with_one};
use crate::text::Text;
use names::{COLLECTORS, FORGES, MESSAGES, MODELS, PROMPTS, RECEIVERS, TALKS, WEBHOOKS};

/// Bytes of a form in which the head of its first file is.
const MAX_FORM_HEAD_BYTES: usize = 1024;
/// Bytes of a body in JSON in which a field is looked for.
const MAX_JSON_BYTES: usize = 8192;

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
        let target = sample.place(http.target);
        let body = sample.place(http.behind_head);
        if is_signed_storage(sample) {
            return Some(Self { target, body });
        }
        if is_forge(sample) || is_query_of_a_dashboard(sample) {
            return Some(Self { target, body: 0..0 });
        }
        if body.is_empty() || !is_quoted_body(sample, http.method) {
            return None;
        }
        Some(Self { target: 0..0, body })
    }

    /// Returns what of the target and of the body is quoted.
    pub(crate) fn ranges(self) -> [Range<usize>; 2] {
        [self.target, self.body]
    }

    /// Tells whether all of these ranges, of which there is one at least, are quoted; `is_exploit`
    /// where they are the exploit of a CVE for certain.
    pub(crate) fn holds(&self, evidence: &[Range<usize>], is_exploit: bool) -> bool {
        for range in evidence {
            let is_in_target = !is_exploit && is_within(range, &self.target);
            if !is_in_target && !is_within(range, &self.body) {
                return false;
            }
        }
        !evidence.is_empty()
    }
}

fn is_within(range: &Range<usize>, part: &Range<usize>) -> bool {
    part.start <= range.start && range.end <= part.end
}

fn is_quoted_body(sample: &Sample<'_>, method: &[u8]) -> bool {
    if !matches!(method, b"POST" | b"PUT" | b"PATCH") {
        return false;
    }
    is_webhook(sample)
        || is_federation(sample)
        || is_shipped(sample)
        || is_message(sample)
        || is_stored_text(sample)
        || is_database_page(sample)
        || is_prompt(sample)
        || is_state(sample)
}

fn has(sample: &Sample<'_>, name: &str) -> bool {
    sample.header(name).next().is_some()
}

/// The values of a header, as they were sent.
fn sent<'s>(sample: &'s Sample<'_>, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
    let values = sample.header(name).filter_map(<[Text]>::first);
    values.map(|text| &text.bytes[..])
}

fn header_begins(sample: &Sample<'_>, name: &str, starts: &[&str]) -> bool {
    sent(sample, name).any(|value| starts_with_one(value, starts))
}

fn path<'s>(sample: &'s Sample<'_>) -> &'s [u8] {
    match sample.path() {
        [sent, ..] => &sent.bytes,
        [] => b"",
    }
}

fn climbs(sample: &Sample<'_>) -> bool {
    let mut views = sample.target().iter();
    views.any(|text| contains(&text.bytes, b".."))
}

/// Amazon's S3 and what speaks like it: AWS Signature Version 4, in a header or in a link.
fn is_signed_storage(sample: &Sample<'_>) -> bool {
    let is_signed = header_begins(sample, "authorization", &["aws4-hmac-sha256 credential="])
        && (has(sample, "x-amz-date") || has(sample, "date"));
    is_signed || is_signed_link(sample)
}

fn is_signed_link(sample: &Sample<'_>) -> bool {
    let Some(target) = sample.target().first() else {
        return false;
    };
    contains(&target.bytes, b"x-amz-algorithm=")
        && contains(&target.bytes, b"x-amz-credential=")
        && contains(&target.bytes, b"x-amz-signature=")
}

/// A person looks at a file in GitLab, Gitea or GitHub: a browser that has been there before.
fn is_forge(sample: &Sample<'_>) -> bool {
    let is_known = has(sample, "referer") || has(sample, "cookie") || has(sample, "authorization");
    is_known && is_in_project(path(sample)) && !climbs(sample)
}

/// The path has a folder of a forge, behind the name of a project.
fn is_in_project(path: &[u8]) -> bool {
    for folder in FORGES {
        if let Some(at) = memmem::find(path, folder.as_bytes())
            && at > 0
        {
            return true;
        }
    }
    false
}

/// A dashboard asks a database in the database's own language.
fn is_query_of_a_dashboard(sample: &Sample<'_>) -> bool {
    let ends = [
        "/query",
        "/api/v1/query",
        "/api/v1/query_range",
        "/api/v1/series",
    ];
    let agents = ["grafana/", "chronograf/", "telegraf/"];
    ends_with_one(path(sample), &ends) && header_begins(sample, "user-agent", &agents)
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
    let kinds = [
        "application/x-ndjson",
        "application/json",
        "application/x-protobuf",
        "application/x-sentry-envelope",
        "text/plain",
    ];
    ends_with_one(path(sample), &COLLECTORS)
        && has(sample, "user-agent")
        && header_begins(sample, "content-type", &kinds)
}

/// A message for somebody, by a client that has a key: the field with the text, and one that says
/// to whom.
fn is_message(sample: &Sample<'_>) -> bool {
    let is_known = header_begins(sample, "authorization", &["basic ", "bearer ", "app "]);
    is_known
        && has_one_field(sample, &MESSAGES)
        && (contains_one(path(sample), &TALKS) || has_one_field(sample, &RECEIVERS))
}

/// A text for a language model, which names the model.
fn is_prompt(sample: &Sample<'_>) -> bool {
    ends_with_one(path(sample), &MODELS)
        && has_field(sample, "model")
        && has_one_field(sample, &PROMPTS)
}

/// What containers are to run, from a client with a key of the cluster, or what Terraform keeps of
/// that: the commands are its owner's.
fn is_state(sample: &Sample<'_>) -> bool {
    let is_cluster = header_begins(sample, "user-agent", &["kubectl/", "helm/", "terraform/"])
        && starts_with_one(path(sample), &["/api/v1/", "/apis/"]);
    has(sample, "authorization") && (is_cluster || has_field(sample, "terraform_version"))
}

fn has_one_field(sample: &Sample<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| has_field(sample, name))
}

/// The field is a parameter, or a name in JSON.
fn has_field(sample: &Sample<'_>, name: &str) -> bool {
    if sample.parameter(name).next().is_some() {
        return true;
    }
    let Some(body) = sample.body().first() else {
        return false;
    };
    let quoted = format!("\"{name}\"");
    contains(first(&body.bytes, MAX_JSON_BYTES), quoted.as_bytes())
}

/// A text that a visitor who has logged in uploads: it says that it is one, and is no program by
/// its name.
fn is_stored_text(sample: &Sample<'_>) -> bool {
    let Some(body) = sample.body().first() else {
        return false;
    };
    let kinds = [
        "content-type: text/markdown",
        "content-type: text/csv",
        "content-type: text/x-diff",
    ];
    let is_known = has(sample, "cookie") || has(sample, "authorization");
    let head = first(&body.bytes, MAX_FORM_HEAD_BYTES);
    is_known && contains_one(head, &kinds) && !has_program(sample)
}

fn has_program(sample: &Sample<'_>) -> bool {
    let mut attacks = sample.attacks().iter();
    attacks.any(|found| found.attack == Attack::Upload)
}

/// An owner at phpMyAdmin or Adminer: with its cookies, from its own pages.
fn is_database_page(sample: &Sample<'_>) -> bool {
    let names = [
        "pma_lang",
        "pmauser-",
        "pmaauth-",
        "phpmyadmin=",
        "adminer_sid",
    ];
    has(sample, "referer") && sent(sample, "cookie").any(|cookie| contains_one(cookie, &names))
}

#[cfg(test)]
mod tests;
