//! The parts of a TLS hello that are kept, so that it is parsed once.
//!
//! In: a hello of any size. Out: as much of it as real clients send, and the fingerprint of the
//! whole.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::tls::{self, ClientHello, version_name};
use forever200_ring::Tls;

/// Most versions that are kept. TLS and SSL have six.
const MAX_VERSIONS: usize = 32;
/// Longest server name that is kept. A longer one is no valid name (RFC 1035, 2.3.4).
const MAX_SERVER_NAME_BYTES: usize = 255;
/// Most names of protocols that are kept, and most bytes of them together. Browsers send two names
/// with eleven bytes.
const MAX_ALPN: usize = 32;
const MAX_ALPN_BYTES: usize = 512;
/// Most cipher suites that are kept. About 350 have a registered number.
const MAX_CIPHERS: usize = 500;

/// The parts of a TLS hello that are needed again and again.
#[derive(Clone, Debug)]
pub struct TlsParts {
    /// The highest version offered.
    pub version: u16,
    /// All versions offered.
    pub versions: Vec<u16>,
    /// The name of the host that the client asks for, in the bytes sent.
    pub server_name: Option<Vec<u8>>,
    /// Names of the protocols to speak inside TLS, each in the bytes sent.
    pub alpn: Vec<Vec<u8>>,
    /// Number of further names of protocols, which are not kept.
    pub more_alpn: usize,
    /// Numbers of the cipher suites.
    pub ciphers: Vec<u16>,
    /// Number of cipher suites offered.
    pub cipher_count: usize,
    /// Number of extensions.
    pub extension_count: usize,
    /// What both sides agreed on; `None` where the hello was not answered.
    pub agreed: Option<Agreed>,
    /// The JA4 fingerprint of what was received.
    fingerprint: String,
    is_whole: bool,
}

/// What the two sides of TLS agreed on.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// The version, as `TLS 1.3`.
    pub version: String,
    /// The name of the cipher suite.
    pub cipher: String,
}

impl TlsParts {
    /// Returns the parts of a TLS connection that haproxy terminated before the request was
    /// recorded.
    #[must_use]
    pub fn ended(tls: &Tls) -> Self {
        let hello = tls.hello.as_ref();
        let hello = hello.and_then(|base64| BASE64_STANDARD.decode(base64).ok());
        let mut parts = match hello.and_then(|hello| tls::parse(&hello)) {
            Some(hello) => Self::new(hello),
            None => Self::without_hello(tls),
        };
        parts.agreed = Some(Agreed::new(tls));
        parts
    }

    /// Returns the parts that haproxy reported; for a hello that is missing or cannot be parsed.
    fn without_hello(tls: &Tls) -> Self {
        let alpn = tls.alpn.clone().map(String::into_bytes);
        let mut parts = Self::new(ClientHello {
            server_name: tls.sni.clone().map(String::into_bytes),
            alpn: alpn.into_iter().collect(),
            ..ClientHello::default()
        });
        parts.is_whole = tls.ja4.is_some();
        parts.fingerprint = tls.ja4.clone().unwrap_or_default();
        parts
    }

    /// Returns the parts of a hello that are kept.
    #[must_use]
    pub fn new(mut hello: ClientHello) -> Self {
        let (version, fingerprint) = (hello.version(), hello.ja4());
        let (cipher_count, alpn_count) = (hello.ciphers.len(), hello.alpn.len());
        if hello.versions.is_empty() {
            hello.versions.push(hello.legacy_version);
        }
        hello.versions.truncate(MAX_VERSIONS);
        hello.versions.shrink_to_fit();
        hello.ciphers.truncate(MAX_CIPHERS);
        hello.ciphers.shrink_to_fit();
        let alpn = kept_alpn(hello.alpn);
        if let Some(name) = &mut hello.server_name {
            name.truncate(MAX_SERVER_NAME_BYTES);
            name.shrink_to_fit();
        }
        Self {
            version,
            versions: hello.versions,
            server_name: hello.server_name,
            more_alpn: alpn_count - alpn.len(),
            alpn,
            ciphers: hello.ciphers,
            cipher_count,
            extension_count: hello.extensions.len(),
            agreed: None,
            fingerprint,
            is_whole: hello.whole,
        }
    }

    /// Returns the name of the version that was agreed on, or else of the highest version offered.
    #[must_use]
    pub fn version_name(&self) -> String {
        match &self.agreed {
            Some(agreed) => agreed.version.clone(),
            None => version_name(self.version).into_owned(),
        }
    }

    /// Returns the JA4 fingerprint; `None` where the hello is incomplete, so that its fingerprint
    /// says nothing.
    #[must_use]
    pub fn ja4(&self) -> Option<&str> {
        self.is_whole.then_some(&self.fingerprint)
    }

    /// Returns the fingerprint of what was received, even if the hello is incomplete.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns how many bytes the client's names take as text.
    pub(crate) fn text_bytes(&self) -> usize {
        let name = self.server_name.as_ref().map_or(0, Vec::len);
        // Three more bytes for each: its quotes and a comma.
        name + self.alpn.iter().map(|name| name.len() + 3).sum::<usize>()
    }
}

impl Agreed {
    fn new(tls: &Tls) -> Self {
        // OpenSSL calls TLS 1.0 `TLSv1`.
        let version = match tls.version.as_deref().unwrap_or_default() {
            "TLSv1" => "TLS 1.0".to_owned(),
            version => version.replacen("v", " ", 1),
        };
        let cipher = tls.cipher.clone().unwrap_or_default();
        Self { version, cipher }
    }
}

/// Returns the names of protocols that are kept: the first ones.
fn kept_alpn(names: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut kept = Vec::new();
    let mut left = MAX_ALPN_BYTES;
    for name in names.into_iter().take(MAX_ALPN) {
        let Some(rest) = left.checked_sub(name.len()) else {
            break;
        };
        left = rest;
        kept.push(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hello_of_any_size_some_is_kept() {
        let hello = ClientHello {
            legacy_version: 0x0303,
            versions: vec![0x0304; 1000],
            server_name: Some(vec![b'a'; 60_000]),
            alpn: vec![b"h".to_vec(); 20_000],
            ciphers: vec![0x1301; 20_000],
            extensions: vec![0; 10_000],
            ..ClientHello::default()
        };
        let long_names = ClientHello {
            alpn: vec![vec![b'h'; 255]; 5],
            ..hello.clone()
        };
        let (fingerprint, parts) = (hello.ja4(), TlsParts::new(hello));
        assert_eq!(parts.fingerprint(), fingerprint);
        assert_eq!(parts.ja4(), None);
        assert_eq!(
            (parts.version, parts.versions.len()),
            (0x0304, MAX_VERSIONS)
        );
        assert_eq!(parts.server_name.as_ref().map(Vec::len), Some(255));
        assert_eq!((parts.alpn.len(), parts.more_alpn), (32, 19_968));
        assert_eq!((parts.ciphers.len(), parts.cipher_count), (500, 20_000));
        assert_eq!(parts.extension_count, 10_000);
        let parts = TlsParts::new(long_names);
        assert_eq!((parts.alpn.len(), parts.more_alpn), (2, 3));
        assert!(parts.text_bytes() < 1024);
    }

    #[test]
    fn a_hello_without_the_extension_offers_its_own_version() {
        let hello = ClientHello {
            legacy_version: 0x0301,
            whole: true,
            ..ClientHello::default()
        };
        let fingerprint = hello.ja4();
        let parts = TlsParts::new(hello);
        assert_eq!(parts.versions, [0x0301]);
        assert_eq!(parts.version_name(), "TLS 1.0");
        assert_eq!(parts.ja4(), Some(&*fingerprint));
    }
}
