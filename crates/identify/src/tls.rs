//! The ClientHello of TLS.
