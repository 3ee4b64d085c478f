//! What the certificate of a server must prove, and which certificate authorities are trusted.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// What the server's certificate must prove.
#[derive(Debug)]
pub enum Proof {
    /// Nothing: any certificate is accepted.
    Nothing,
    /// A trusted authority has signed it.
    Chain(Anchors),
    /// And it names the requested server.
    ChainAndName(Anchors),
}

/// The trusted certificate authorities.
#[derive(Debug)]
pub struct Anchors {
    authorities: RootCertStore,
    /// The same, as stored in the file: a server may use one of them as its own certificate.
    listed: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Those of a file of certificates in PEM.
    pub fn in_file(path: &Path) -> Result<Anchors, String> {
        Anchors::new(certificates(path)?).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The given certificates.
    pub fn new(listed: Vec<CertificateDer<'static>>) -> Result<Anchors, rustls::Error> {
        let mut authorities = RootCertStore::empty();
        for certificate in &listed {
            authorities.add(certificate.clone())?;
        }
        Ok(Anchors { authorities, listed })
    }

    /// For a client that does not use TLS, but still needs a TLS configuration.
    pub fn nobody() -> Anchors {
        Anchors { authorities: RootCertStore::empty(), listed: Vec::new() }
    }

    /// Some certificates of a system may be unreadable, or too old for rustls. That is fine if others are
    /// usable. If none is usable, the error names `setting`, which can give a file of them.
    pub fn of_the_system(setting: &str) -> Result<Anchors, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(found.certs);
        if authorities.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!(
                "no CA certificates found on this system{why}; set `{setting}` to a file of them"
            ));
        }
        Ok(Anchors { authorities, listed: Vec::new() })
    }
}

/// The certificates of a file; there is at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{} contains no certificate; it must be PEM", path.display())),
        Err(error) => Err(format!("can't read certificates from {}: {error}", path.display())),
    }
}

/// The TLS configuration of a client that requires this proof.
pub fn client(proof: Proof) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let provider = ring::default_provider();
    let verifier = Verifier { proof, algorithms: provider.signature_verification_algorithms };
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// Verifies a server's certificate.
#[derive(Debug)]
struct Verifier {
    proof: Proof,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        anchors: &Anchors,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &anchors.authorities,
            intermediates,
            now,
            self.algorithms.all,
        );
        match chain {
            // `openssl req -x509`, which PostgreSQL's manual shows, makes a certificate that calls itself an
            // authority's. As a server's it is refused by webpki, after the look at its dates, which are the
            // one thing that is left to know of a certificate that is listed.
            Err(error) if is_authority_as_server(&error) && anchors.listed.contains(end_entity) => {}
            chain => chain?,
        }
        name.map_or(Ok(()), |name| verify_server_name(&certificate, name))
    }
}

/// webpki's error is available only as text. If the text changes, such certificates are refused.
fn is_authority_as_server(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(error))
        if error.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.proof {
            Proof::Nothing => {}
            Proof::Chain(anchors) => self.verify(end_entity, intermediates, None, anchors, now)?,
            Proof::ChainAndName(anchors) => {
                self.verify(end_entity, intermediates, Some(server_name), anchors, now)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    // Every mode verifies that the server has the key of its certificate. Otherwise channel binding, by which
    // a password also proves the server, would be worthless.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Advice for a failed handshake, if rustls's message has none. `setting` is the setting that lists certificate
/// authorities.
pub fn advice(error: &(dyn Error + 'static), setting: &str) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return advice_of_rustls(error, setting);
        }
        // An error of I/O does not give the one that it carries as its source, but that one's.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// As [`advice`], of rustls's own error.
pub fn advice_of_rustls(error: &rustls::Error, setting: &str) -> Option<String> {
    if let rustls::Error::InvalidMessage(_) = error {
        return Some("the server does not speak TLS".to_owned());
    }
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    if let CertificateError::Other(error) = error {
        return match error.to_string().as_str() {
            "UnsupportedCertVersion" => Some("the certificate is X.509 version 1; use version 3".to_owned()),
            "CaUsedAsEndEntity" => Some(format!(
                "the server's certificate is a CA certificate; list it in `{setting}`, or issue a server certificate"
            )),
            _ => None,
        };
    }
    if *error == CertificateError::UnknownIssuer {
        return Some(format!("no CA in `{setting}` has signed the server's certificate"));
    }
    let is_name =
        matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. });
    is_name.then(|| {
        "the host name must be one of the certificate's subjectAltNames; its common name is ignored"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An authority, and what it stands for: `db.example` and 127.0.0.1. All end in 2126.
    const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhjCCASugAwIBAgIUJeTcinWFAJNpkrAbOt6iX51cPywwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcm9vdDAgFw0yNjExMjExNTM5NDRaGA8yMTI2MTAyODE1Mzk0
NFowDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDdc
U6C6ixWbroAlm5yFax5COSkHmmrj+QS71vdh+Gf270NI7Kn2wmSB5dUMncyQGLkS
i9JFYX3XTrFuF0dWPPijYzBhMB0GA1UdDgQWBBT3UxZ10wgqQvHzTQarUI6KqSg2
YzAfBgNVHSMEGDAWgBT3UxZ10wgqQvHzTQarUI6KqSg2YzAPBgNVHRMBAf8EBTAD
AQH/MA4GA1UdDwEB/wQEAwICBDAKBggqhkjOPQQDAgNJADBGAiEA7LEfcmMysJlp
yrcLMbhTj3i5dJpbBaxiAfRGs7PZGKsCIQDvRQHpwUOp5X9vl1B6//RgT+lMRVTw
+mlWieKYWXv8XQ==
-----END CERTIFICATE-----
";

    const SERVER: &str = "\
-----BEGIN CERTIFICATE-----
MIIBkzCCATigAwIBAgIUEOHZMgzBwQRJHlB1284QRCl2gaUwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcm9vdDAgFw0yNjExMjExNTM5NDRaGA8yMTI2MTAyODE1Mzk0
NFowFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABEoFL4p9krsPqeShsMOHZoNXkMnBobMeSTk0wkmL+6ZkPuJi/8ESNyOvURq/
9nEgKwOkabrLzduXs0Kgq8qzXJujajBoMBsGA1UdEQQUMBKCCmRiLmV4YW1wbGWH
BH8AAAEwCQYDVR0TBAIwADAdBgNVHQ4EFgQUuBow6pEjX69+QByvrEuPoQ+lHV4w
HwYDVR0jBBgwFoAU91MWddMIKkLx800Gq1COiqkoNmMwCgYIKoZIzj0EAwIDSQAw
RgIhAIT1kiAlZT/m+tgSC6GG/nqbyYhhx2IfQ4xEFnX4MKH5AiEAxdE1blZ3hJwh
1wq8hxHZ2eRqUcV5pBfGPLg2bQWenik=
-----END CERTIFICATE-----
";

    /// Another authority of the same name.
    const NAMESAKE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUP9Sj95RQn3+5xSnWDFneaX2/QlAwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcm9vdDAgFw0yNjExMjExNTM5NDRaGA8yMTI2MTAyODE1Mzk0
NFowDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA6K
eU7wqKK4gm+gKPnqFwu0GTq5ADm/YrZ/Z3JmWQ5mMqXrHsUkHquViJ4tdKrQv9jn
szwl1Z0B7oeLbt9XT2OjUzBRMB0GA1UdDgQWBBRR3MVaAcj2o2z5ivsmbhDaFEf8
yjAfBgNVHSMEGDAWgBRR3MVaAcj2o2z5ivsmbhDaFEf8yjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQCSOt853hV1kJOeRTo1741qMIIyptwsR3Xu
C+ar0ve+UQIgMMXJIbZtw8dS/wsw6hinI/kl7fEtefbsXVSDCl8ObqM=
-----END CERTIFICATE-----
";

    /// What `openssl req -x509` makes: a certificate for `db.example` that calls itself an authority's.
    const OWN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBlzCCAT6gAwIBAgIUIhIWU0VZNM+I22PPjYkl2jgetpswCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKZGIuZXhhbXBsZTAgFw0yNjExMjExNTM5NDRaGA8yMTI2MTAy
ODE1Mzk0NFowFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABD8T23Io0Z+b4E/AFmxrol/MTYgy9sE83V09Gkf5y/GGQq68ehRv
kUOtNpp1JzdarrivAwoOMph1hyoLVdl2uGWjajBoMB0GA1UdDgQWBBTd43sVig8u
lHREwSCMD5foAt9QcDAfBgNVHSMEGDAWgBTd43sVig8ulHREwSCMD5foAt9QcDAP
BgNVHRMBAf8EBTADAQH/MBUGA1UdEQQOMAyCCmRiLmV4YW1wbGUwCgYIKoZIzj0E
AwIDRwAwRAIgHJR9mCrXCS0WUUbsmSLaLZWstzKB6c/L1VdKRqeNcWYCIHPk01Yi
liWgCYJPD7ZAtOM+usZLV3WEjLR4D1A413cW
-----END CERTIFICATE-----
";

    const SECONDS_OF_2030: u64 = 1_893_456_000;
    const SECONDS_OF_2130: u64 = 5_049_129_600;

    fn certificate(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
    }

    fn anchors(listed: &[&str]) -> Anchors {
        Anchors::new(listed.iter().map(|pem| certificate(pem)).collect()).expect("certificates")
    }

    /// What is said of the certificate, as by a server that was asked for under that name, in that year.
    fn judge(proof: Proof, shown: &str, name: &'static str, seconds: u64) -> Result<(), rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let verifier = Verifier { proof, algorithms };
        let name = ServerName::try_from(name).expect("a name");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.verify_server_cert(&certificate(shown), &[], &name, &[], now).map(|_| ())
    }

    fn objection(judged: Result<(), rustls::Error>) -> CertificateError {
        match judged {
            Err(rustls::Error::InvalidCertificate(error)) => error,
            other => panic!("an objection to the certificate was expected, and not {other:?}"),
        }
    }

    #[test]
    fn who_asks_for_no_proof_takes_any_certificate() {
        assert_eq!(judge(Proof::Nothing, SERVER, "other.example", SECONDS_OF_2130), Ok(()));
        assert_eq!(judge(Proof::Nothing, OWN, "other.example", SECONDS_OF_2030), Ok(()));
    }

    #[test]
    fn verify_full_wants_the_chain_and_the_name() {
        let full = || Proof::ChainAndName(anchors(&[AUTHORITY]));
        assert_eq!(judge(full(), SERVER, "db.example", SECONDS_OF_2030), Ok(()));
        assert_eq!(judge(full(), SERVER, "127.0.0.1", SECONDS_OF_2030), Ok(()));
        for name in ["other.example", "db.example.org", "127.0.0.2"] {
            let objection = objection(judge(full(), SERVER, name, SECONDS_OF_2030));
            assert!(matches!(objection, CertificateError::NotValidForNameContext { .. }), "{objection:?}");
        }
    }

    #[test]
    fn verify_ca_ignores_only_the_name() {
        let chain = |listed: &[&str]| Proof::Chain(anchors(listed));
        assert_eq!(judge(chain(&[AUTHORITY]), SERVER, "other.example", SECONDS_OF_2030), Ok(()));
        assert_eq!(judge(chain(&[NAMESAKE, AUTHORITY]), SERVER, "db.example", SECONDS_OF_2030), Ok(()));

        let expired = objection(judge(chain(&[AUTHORITY]), SERVER, "db.example", SECONDS_OF_2130));
        assert!(matches!(expired, CertificateError::ExpiredContext { .. }), "{expired:?}");
        let early = objection(judge(chain(&[AUTHORITY]), SERVER, "db.example", 0));
        assert!(matches!(early, CertificateError::NotValidYetContext { .. }), "{early:?}");
        let forged = objection(judge(chain(&[NAMESAKE]), SERVER, "db.example", SECONDS_OF_2030));
        assert_eq!(forged, CertificateError::BadSignature);
        let unknown = objection(judge(chain(&[OWN]), SERVER, "db.example", SECONDS_OF_2030));
        assert_eq!(unknown, CertificateError::UnknownIssuer);
    }

    #[test]
    fn a_certificate_that_vouches_for_itself_counts_where_it_is_listed() {
        let chain = |listed: &[&str]| Proof::Chain(anchors(listed));
        assert_eq!(judge(chain(&[AUTHORITY, OWN]), OWN, "other.example", SECONDS_OF_2030), Ok(()));
        let full = || Proof::ChainAndName(anchors(&[OWN]));
        assert_eq!(judge(full(), OWN, "db.example", SECONDS_OF_2030), Ok(()));

        let name = objection(judge(full(), OWN, "other.example", SECONDS_OF_2030));
        assert!(matches!(name, CertificateError::NotValidForNameContext { .. }), "{name:?}");
        let expired = objection(judge(full(), OWN, "db.example", SECONDS_OF_2130));
        assert!(matches!(expired, CertificateError::ExpiredContext { .. }), "{expired:?}");
        let unlisted =
            judge(chain(&[AUTHORITY]), OWN, "db.example", SECONDS_OF_2030).expect_err("not listed");
        assert!(is_authority_as_server(&unlisted), "{unlisted}");
    }

    #[test]
    fn what_rustls_objects_to_comes_with_a_way_out() {
        let full = || Proof::ChainAndName(anchors(&[AUTHORITY]));
        for (shown, name, way_out) in
            [(SERVER, "other.example", "subjectAltNames"), (OWN, "db.example", "list it in `sslrootcert`")]
        {
            let error = judge(full(), shown, name, SECONDS_OF_2030).expect_err("an objection");
            let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
            let advice = advice(&error, "sslrootcert").expect("an advice");
            assert!(advice.contains(way_out), "{advice}");
        }
        let wrapped = io::Error::other(Arc::new(io::Error::other("something else")));
        assert_eq!(advice(&wrapped, "sslrootcert"), None);
    }
}
