//! One request: its page, its JSON and its files.
//!
//! In: a number. Out: the request of that number, from the ring or from the history.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::export::{FileFormat, html, json};
use crate::page::assets::STYLE;
use crate::page::filter::FilterQuery;
use crate::web::answer::{
    LIST_BYTES, PathOf, QueryOf, REPEATED, Shared, attachment, filter, host, whole,
};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::list::export_of;
use crate::web::lookup;
use crate::web::prepared::Prepared;

/// The page of one request takes at most `DETAIL_TIMES` bytes for each byte of the request; for a
/// long request, at most `DETAIL_BYTES` and 16 for each. Every byte is there three times in
/// hexadecimal, and up to five times as text.
const DETAIL_BYTES: usize = 3 * 1024 * 1024;
const DETAIL_TIMES: usize = 48;

pub(crate) async fn request(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
    query: QueryOf<FilterQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Path(seq), Query(query)) = (path?, query?);
    let seq = number(&seq)?;
    let filter = filter(&query, &visitor)?;
    let view = viewer.reader.view().await?;
    let entry = lookup::find(&viewer, &visitor, &view, seq).await?;
    let most_bytes =
        most_bytes_of_request(entry.record.raw.len()) + REPEATED * query.encoded().len();
    whole(&visitor, most_bytes, move || {
        let neighbours = lookup::neighbours(&viewer, &view, &entry, &filter);
        let page = viewer
            .pages
            .request(&entry, &neighbours, &query, host(&headers))?;
        Ok(Prepared::html(page))
    })
    .await
}

/// Returns how many bytes the page of a request with `raw_bytes` bytes takes at most.
pub(crate) fn most_bytes_of_request(raw_bytes: usize) -> usize {
    (DETAIL_TIMES * raw_bytes).min(DETAIL_BYTES + 16 * raw_bytes) + LIST_BYTES
}

/// Returns one request as a file: `raw`, `har`, `pcap` or `html`.
pub(crate) async fn download(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Path((seq, format)) = path?;
    let seq = number(&seq)?;
    let view = viewer.reader.view().await?;
    let entry = lookup::find(&viewer, &visitor, &view, seq).await?;
    // The name of a sensor has only plain characters.
    let sensor = entry.sensor.as_ref();
    let sensor = sensor.map(|it| format!("{}-", it.name)).unwrap_or_default();
    let name = format!("forever200-{sensor}{seq}");
    match format.as_str() {
        "raw" => {
            let raw = visitor.hold(entry.record.raw.clone()).await?;
            Ok(attachment(
                &format!("{name}.bin"),
                "application/octet-stream",
                raw,
            ))
        }
        "html" => {
            let (pages, host) = (Arc::clone(&viewer.pages), host(&headers).to_owned());
            let most_bytes = most_bytes_of_request(entry.record.raw.len()) + STYLE.len();
            let make = move || html::request(&pages, &entry, &host);
            let (page, taken) = visitor.make(most_bytes, make).await?;
            let page = taken.hold(page?);
            let content_type = FileFormat::Html.content_type();
            Ok(attachment(&format!("{name}.html"), content_type, page))
        }
        "har" if entry.http.is_none() => Err(Failure::NotHttp(seq)),
        "har" => export_of(viewer, visitor, &view, vec![entry], FileFormat::Har, &name).await,
        "pcap" => export_of(viewer, visitor, &view, vec![entry], FileFormat::Pcap, &name).await,
        _ => Err(Failure::NotFound),
    }
}

pub(crate) async fn api_request(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
) -> Result<Response, Failure> {
    let Path(seq) = path?;
    let seq = number(&seq)?;
    let view = viewer.reader.view().await?;
    let entry = lookup::find(&viewer, &visitor, &view, seq).await?;
    let most_bytes = json::most_bytes(&entry, true);
    whole(&visitor, most_bytes, move || {
        Ok(Prepared::json(json::request(&entry, true)))
    })
    .await
}

fn number(seq: &str) -> Result<u64, Failure> {
    seq.parse()
        .ok()
        .filter(|&seq| seq > 0)
        .ok_or(Failure::NotFound)
}
