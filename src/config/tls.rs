//! `[http] tls_listen`, `certificate` and `key`: the same pages and tills over TLS, for a network that others share.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use toml::Spanned;

use super::HttpConfig;
use crate::profile::mistake::{Mistake, Source};

/// Where tills are heard over TLS, and what the box shows them.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Address and port.
    pub listen: SocketAddr,
    /// Where certificate and key are.
    pub files: TlsFiles,
    /// How the files were when they were read.
    pub seen: TlsSeen,
    /// The certificate with its key.
    pub server: Arc<ServerConfig>,
}

/// The files of a certificate, and of its key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// How two files looked: when each was written, how long it is, and which it is, for one that was put in its place. None
/// where it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSeen([Option<(SystemTime, u64, u64)>; 2]);

/// Why a certificate cannot be shown.
#[derive(Debug)]
pub struct TlsUnusable {
    is_key: bool,
    wrong: String,
    allowed: &'static str,
}

impl std::fmt::Display for TlsUnusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; allowed: {}", self.wrong, self.allowed)
    }
}

impl TlsFiles {
    /// How they look now; looked at before they are read, so that what changes meanwhile is read again.
    pub fn look(&self) -> TlsSeen {
        let look = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len(), file.ino()))
        };
        TlsSeen([look(&self.certificate), look(&self.key)])
    }

    /// Reads both.
    pub fn read(&self) -> Result<ServerConfig, TlsUnusable> {
        let unusable = |is_key: bool, wrong: String, allowed| {
            let file = if is_key { &self.key } else { &self.certificate };
            TlsUnusable { is_key, wrong: format!("{}: {wrong}", file.display()), allowed }
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let pem = "a certificate in PEM, the box's own first, then those that signed it";
        let chain = chain.map_err(|error| unusable(false, error.to_string(), pem))?;
        if chain.is_empty() {
            return Err(unusable(false, "no certificate is in it".to_owned(), pem));
        }
        let secret = PrivateKeyDer::from_pem_file(&self.key);
        let secret =
            secret.map_err(|error| unusable(true, error.to_string(), "the certificate's private key in PEM"))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let wrong = |error: rustls::Error| unusable(true, error.to_string(), "the private key of the certificate");
        let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
        let mut server = builder.with_no_client_auth().with_single_cert(chain, secret).map_err(wrong)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(server)
    }
}

/// The three settings belong together; files stand beside the settings unless their path is absolute.
pub(super) fn of(path: &Path, http: &HttpConfig, source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> Option<Tls> {
    let HttpConfig { tls_listen, certificate, key, .. } = http;
    let (listen, certificate, key) = match (tls_listen, certificate, key) {
        (None, None, None) => return None,
        (Some(listen), Some(certificate), Some(key)) => (listen, certificate, key),
        (listen, certificate, key) => {
            let spans = [listen.as_ref().map(Spanned::span), certificate.as_ref().map(Spanned::span)];
            let span = spans.into_iter().flatten().next().or(key.as_ref().map(Spanned::span)).unwrap_or_default();
            let allowed = "tls_listen, certificate and key together, or none of them";
            mistakes.push(source.mistake(span, "TLS needs an address, a certificate and its key", allowed));
            return None;
        }
    };
    let beside = |file: &Spanned<PathBuf>| path.parent().unwrap_or(Path::new("")).join(file.get_ref());
    let files = TlsFiles { certificate: beside(certificate), key: beside(key) };
    let seen = files.look();
    match files.read() {
        Ok(server) => Some(Tls { listen: *listen.get_ref(), files, seen, server: Arc::new(server) }),
        Err(TlsUnusable { is_key, wrong, allowed }) => {
            let span = if is_key { key.span() } else { certificate.span() };
            mistakes.push(source.mistake(span, wrong, allowed));
            None
        }
    }
}
