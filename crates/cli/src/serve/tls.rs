//! The server's TLS certificate and key, reloaded when their files change.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::CliError;

/// The files of the certificate chain and of its key. Empty without TLS.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    certificate: String,
    key: String,
}

impl Tls {
    pub(super) fn in_files(certificate: String, key: String) -> Tls {
        Tls { certificate, key }
    }

    pub(super) fn is_on(&self) -> bool {
        !self.certificate.is_empty() || !self.key.is_empty()
    }

    /// The TLS configuration; none without TLS.
    pub(super) fn config(&self) -> Result<Option<Arc<ServerConfig>>, CliError> {
        if !self.is_on() {
            return Ok(None);
        }
        if self.certificate.is_empty() || self.key.is_empty() {
            return Err(CliError::Usage("TLS needs both --tls-cert and --tls-key".into()));
        }
        let wrong = |words: String| CliError::Usage(format!("TLS: {words}"));
        let provider = Arc::new(ring::default_provider());
        let shown = Shown::read(self.clone(), Arc::clone(&provider)).map_err(wrong)?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| wrong(error.to_string()))?.with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    /// Reads the certificate and its key, and checks that they belong together.
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let Tls { certificate, key } = self;
        let chain =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| format!("{certificate}: {error}"))?;
        if chain.is_empty() {
            return Err(format!("{certificate}: contains no certificate"));
        }
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {}", no_key(&error)))?;
        CertifiedKey::from_der(chain, secret, provider).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return format!("{key} is not the key of the first certificate in {certificate}");
            }
            format!("{certificate} and {key}: {error}")
        })
    }

    fn versions(&self) -> [Option<Version>; 2] {
        [&self.certificate, &self.key].map(|file| {
            let about = metadata(file).ok()?;
            Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec()))
        })
    }
}

/// Why no key could be read, and what to do.
fn no_key(error: &pem::Error) -> String {
    if matches!(error, pem::Error::NoItemsFound) {
        let words = "contains no unencrypted key; `openssl pkey -in KEY -out PLAIN` decrypts one";
        return words.to_owned();
    }
    error.to_string()
}

/// What identifies a version of a file.
type Version = (u64, u64, i64, i64);

/// The certificate that clients get.
#[derive(Debug)]
struct Shown {
    files: Tls,
    provider: Arc<CryptoProvider>,
    newest: Mutex<Newest>,
}

#[derive(Debug)]
struct Newest {
    certified: Arc<CertifiedKey>,
    /// The versions of the files that were read last, whether they could be used or not.
    seen: [Option<Version>; 2],
}

impl Shown {
    fn read(files: Tls, provider: Arc<CryptoProvider>) -> Result<Shown, String> {
        let seen = files.versions();
        let certified = Arc::new(files.read(&provider)?);
        Ok(Shown { files, provider, newest: Mutex::new(Newest { certified, seen }) })
    }

    /// The certificate in the files now. While they can't be used, as between writing the one and the other, the previous
    /// one stays.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = self.files.versions();
        if newest.seen != versions {
            newest.seen = versions;
            match self.files.read(&self.provider) {
                Ok(certified) => {
                    newest.certified = Arc::new(certified);
                    tracing::info!(file = self.files.certificate, "reloaded the TLS certificate");
                }
                Err(error) => {
                    tracing::warn!(error, "the changed TLS certificate can't be used; the previous one stays")
                }
            }
        }
        Arc::clone(&newest.certified)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
