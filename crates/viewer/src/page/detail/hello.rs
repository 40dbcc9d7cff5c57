//! A ClientHello in words.

use forever200_identify::tls::version_name;
use minijinja::Value;
use serde::Serialize;

use super::fields::Field;
use crate::page::visible;
use crate::reader::tls_parts::TlsParts;

/// A ClientHello in words.
#[derive(Debug, Serialize)]
pub(super) struct Hello {
    /// What both sides agreed on: version and cipher suite.
    agreed: Option<(String, String)>,
    versions: Vec<String>,
    server_name: Option<Field>,
    alpn: Vec<Value>,
    more_alpn: usize,
    ciphers: Vec<String>,
    cipher_count: usize,
    extensions: usize,
    ja4: Option<String>,
}

impl Hello {
    pub(super) fn new(tls: &TlsParts) -> Self {
        let versions = tls.versions.iter().map(|&it| version_name(it).into());
        let names = tls
            .alpn
            .iter()
            .map(|name| visible::as_sent(name.clone().into()));
        let ciphers = tls.ciphers.iter().map(|cipher| format!("{cipher:04x}"));
        let server_name = tls.server_name.clone();
        let agreed = tls.agreed.as_ref();
        Self {
            agreed: agreed.map(|it| (it.version.clone(), it.cipher.clone())),
            versions: versions.collect(),
            server_name: server_name.map(|name| Field::new(Vec::new(), name)),
            alpn: names.collect(),
            more_alpn: tls.more_alpn,
            ciphers: ciphers.collect(),
            cipher_count: tls.cipher_count,
            extensions: tls.extension_count,
            ja4: tls.ja4().map(str::to_owned),
        }
    }
}
