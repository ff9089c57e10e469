//! `[http] tls_listen`, `certificate` and `key`: the same pages and tills over TLS, for a network that others share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The certificate with its key.
    pub server: Arc<ServerConfig>,
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
    match server(path, certificate, key, source) {
        Ok(server) => Some(Tls { listen: *listen.get_ref(), server: Arc::new(server) }),
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    }
}

fn server(
    path: &Path,
    certificate: &Spanned<PathBuf>,
    key: &Spanned<PathBuf>,
    source: &Source<'_>,
) -> Result<ServerConfig, Mistake> {
    let beside = |file: &Spanned<PathBuf>| path.parent().unwrap_or(Path::new("")).join(file.get_ref());
    let unreadable = |file: &Spanned<PathBuf>, wrong: String, allowed: &str| {
        source.mistake(file.span(), format!("{}: {wrong}", beside(file).display()), allowed)
    };
    let chain = CertificateDer::pem_file_iter(beside(certificate)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let pem = "a certificate in PEM, the box's own first, then those that signed it";
    let chain = chain.map_err(|error| unreadable(certificate, error.to_string(), pem))?;
    if chain.is_empty() {
        return Err(unreadable(certificate, "no certificate is in it".to_owned(), pem));
    }
    let secret = PrivateKeyDer::from_pem_file(beside(key));
    let secret = secret.map_err(|error| unreadable(key, error.to_string(), "the certificate's private key in PEM"))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let belongs = "the private key of the certificate";
    let wrong = |error: rustls::Error| unreadable(key, error.to_string(), belongs);
    let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
    let mut server = builder.with_no_client_auth().with_single_cert(chain, secret).map_err(wrong)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}
