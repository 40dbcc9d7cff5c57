//! Recognises requests that quote: they contain a text that somebody else wrote, a file that is
//! stored, or the name of a file that is browsed. An attack in it is not aimed at the server that
//! gets the request. Quoted-printable, an encoding, is something else.
//!
//! In: a request. Out: which of its bytes are a quotation. A webhook carries the text of a commit.
//! A log shipper carries the attacks on another server. The address of a page in a forge contains
//! the name of a file. Such requests are known by the headers, addresses and fields of their real
//! senders; a webhook is known by one header alone. Nothing here proves who sent the request,
//! because an attacker can copy all of that. So a quotation never covers a whole request: headers
//! are never quoted. A target with the exploit of a CVE is not quoted either, because no file has
//! such a name by chance. Labels of what is quoted are not dropped, but listed separately.

mod names;

use std::ops::Range;

use memchr::memmem;

use crate::attack::Attack;
use crate::sample::Sample;
use crate::slice::{contains, contains_one, ends_with_one, first, starts_with_one};
use crate::text::Text;
use names::{COLLECTORS, FORGES, MESSAGES, MODELS, PROMPTS, RECEIVERS, TALKS, WEBHOOKS};

/// How many bytes at the beginning of a form are searched for the head of its first file.
const MAX_FORM_HEAD_BYTES: usize = 1024;
/// How many bytes at the beginning of a JSON body are searched for a field.
const MAX_JSON_BYTES: usize = 8192;

/// The ranges of the raw bytes that a request quotes, in its target and in its body; empty where it
/// quotes nothing.
#[derive(Debug, Default)]
pub(crate) struct Quotation {
    target: Range<usize>,
    body: Range<usize>,
}

impl Quotation {
    /// Finds what a request quotes; `None` if it quotes nothing.
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

    /// Returns the quoted ranges of the target and of the body.
    pub(crate) fn ranges(self) -> [Range<usize>; 2] {
        [self.target, self.body]
    }

    /// Tells whether there is evidence and all of it is quoted. `is_certain_cve` says that the
    /// evidence is for the CVE of a certain label; then the target does not count as quoted.
    pub(crate) fn holds(&self, evidence: &[Range<usize>], is_certain_cve: bool) -> bool {
        for range in evidence {
            let is_in_target = !is_certain_cve && is_within(range, &self.target);
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

/// Returns the values of a header, as they were sent.
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
    let mut forms = sample.target().iter();
    forms.any(|text| contains(&text.bytes, b".."))
}

/// Tells whether the request is for Amazon's S3 or a similar service: it has AWS Signature Version
/// 4, in a header or in a link.
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

/// Tells whether a person looks at a file in GitLab, Gitea or GitHub, with a browser that has been
/// there before.
fn is_forge(sample: &Sample<'_>) -> bool {
    let is_known = has(sample, "referer") || has(sample, "cookie") || has(sample, "authorization");
    is_known && is_in_project(path(sample)) && !climbs(sample)
}

/// Tells whether the path has a folder of a forge behind the name of a project.
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

/// Tells whether a dashboard queries a database in the language of the database.
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

/// Tells whether the request comes from a federated server: Mastodon and others (W3C ActivityPub 7,
/// with HTTP Signatures), or Matrix (Server-Server API, "Request Authentication").
fn is_federation(sample: &Sample<'_>) -> bool {
    let kinds = ["application/activity+json", "application/ld+json"];
    let is_signed = has(sample, "signature") || has(sample, "signature-input");
    header_begins(sample, "content-type", &kinds) && is_signed
        || header_begins(sample, "authorization", &["x-matrix origin="])
}

/// Tells whether a client delivers logs, traces or errors to a collector; the path, the type of the
/// body and a user agent show it.
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

/// Tells whether a client with a key sends a message to somebody: there is a field with the text,
/// and the path or another field shows that it has a receiver.
fn is_message(sample: &Sample<'_>) -> bool {
    let is_known = header_begins(sample, "authorization", &["basic ", "bearer ", "app "]);
    is_known
        && has_one_field(sample, &MESSAGES)
        && (contains_one(path(sample), &TALKS) || has_one_field(sample, &RECEIVERS))
}

/// Tells whether the request is a text for a language model, and names the model.
fn is_prompt(sample: &Sample<'_>) -> bool {
    ends_with_one(path(sample), &MODELS)
        && has_field(sample, "model")
        && has_one_field(sample, &PROMPTS)
}

/// Tells whether a client with a key tells a cluster what its containers are to run, or stores the
/// state of Terraform: the commands are the owner's.
fn is_state(sample: &Sample<'_>) -> bool {
    let is_cluster = header_begins(sample, "user-agent", &["kubectl/", "helm/", "terraform/"])
        && starts_with_one(path(sample), &["/api/v1/", "/apis/"]);
    has(sample, "authorization") && (is_cluster || has_field(sample, "terraform_version"))
}

fn has_one_field(sample: &Sample<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| has_field(sample, name))
}

/// Tells whether the request has a field: a parameter, or a name in JSON.
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

/// Tells whether a visitor who has logged in uploads a text: the upload has the type of a text, and
/// no file has the name of a program.
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

/// Tells whether an owner uses phpMyAdmin or Adminer: the request has its cookies and comes from
/// another page.
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
