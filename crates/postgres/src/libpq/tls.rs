//! TLS with rustls for libpq's `sslmode`: which methods are tried in which order, and what a server's certificate
//! must prove.
//!
//! rustls is stricter than libpq. A host name must be a subjectAltName; the common name is ignored. Certificates must
//! be X.509 version 3, and TLS must be 1.2 or later. A file that can't be used is an error in every mode that may
//! need it, while libpq may continue without TLS.

pub(crate) mod connector;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tenure_core::refusal::Refusal;
use tenure_tls::{Anchors, Proof, certificates};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;

use super::file::Source;
use super::parameters::Parameters;
use connector::{Connector, Handshake, Identity, ROOTS};

/// The TLS mode and the files. They are read for each connection, so that a renewed certificate needs no restart.
#[derive(Clone)]
pub(crate) struct Tls {
    mode: Mode,
    negotiation: SslNegotiation,
    roots: Roots,
    certificate: Source,
    key: Source,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// libpq's `sslrootcert`.
#[derive(Clone)]
enum Roots {
    File(Source),
    /// Those that the machine trusts for everything.
    System,
}

impl Tls {
    pub(crate) fn read(parameters: &Parameters, home: Option<&str>) -> Result<Tls, Refusal> {
        let roots = match parameters.get("sslrootcert") {
            Some("system") => Roots::System,
            Some(_) | None => Roots::File(parameters.file("sslrootcert", home, ".postgresql/root.crt")),
        };
        let mode = match (parameters.get("sslmode"), &roots) {
            (Some(word), _) => Mode::from_word(word).ok_or_else(|| {
                let words = "it must be disable, allow, prefer, require, verify-ca or verify-full";
                parameters.invalid("sslmode", words)
            })?,
            (None, Roots::System) => Mode::VerifyFull,
            (None, Roots::File(_)) => Mode::Prefer,
        };
        if matches!(roots, Roots::System) && mode != Mode::VerifyFull {
            // Anybody can get a certificate from such an authority. It proves only a name.
            let way_out = "with sslrootcert=system it must be verify-full";
            return Err(parameters.invalid("sslmode", way_out));
        }
        let negotiation = match parameters.get("sslnegotiation") {
            None | Some("postgres") => SslNegotiation::Postgres,
            Some("direct") if matches!(mode, Mode::Disable | Mode::Allow | Mode::Prefer) => {
                let way_out = "it is allowed only if sslmode is require, verify-ca or verify-full";
                return Err(parameters.invalid("sslnegotiation", way_out));
            }
            Some("direct") => SslNegotiation::Direct,
            Some(_) => return Err(parameters.invalid("sslnegotiation", "it must be postgres or direct")),
        };
        let certificate = parameters.file("sslcert", home, ".postgresql/postgresql.crt");
        let key = parameters.file("sslkey", home, ".postgresql/postgresql.key");
        Ok(Tls { mode, negotiation, roots, certificate, key })
    }

    pub(crate) fn negotiation(&self) -> SslNegotiation {
        self.negotiation
    }

    /// The methods to try at a network address, in order.
    pub(crate) fn attempts(&self) -> &'static [Attempt] {
        self.mode.attempts()
    }

    /// Reads the files.
    pub(crate) fn connector(&self) -> Result<Connector, String> {
        if self.mode == Mode::Disable {
            return Connector::without_files();
        }
        let proof = self.mode.proof(self.roots.read()?)?;
        Connector::new(proof, self.identity()?, self.negotiation)
    }

    /// Certificate and key of this side, if it has them.
    fn identity(&self) -> Result<Option<Identity>, String> {
        let Some(path) = self.certificate.found()? else { return Ok(None) };
        let chain = certificates(path)?;
        match self.key.found()? {
            Some(key) => Ok(Some(Identity { chain, key: private_key(key)? })),
            None => Err(format!("the key for the certificate {} is missing; set `sslkey`", path.display())),
        }
    }
}

impl Mode {
    fn from_word(word: &str) -> Option<Mode> {
        Some(match word {
            "disable" => Mode::Disable,
            "allow" => Mode::Allow,
            "prefer" => Mode::Prefer,
            "require" => Mode::Require,
            "verify-ca" => Mode::VerifyCa,
            "verify-full" => Mode::VerifyFull,
            _ => return None,
        })
    }

    fn attempts(self) -> &'static [Attempt] {
        match self {
            Mode::Disable => &[Attempt::Plain],
            Mode::Allow => &[Attempt::Plain, Attempt::Tls],
            Mode::Prefer => &[Attempt::TlsIfOffered, Attempt::Plain],
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => &[Attempt::Tls],
        }
    }

    /// A root file is used whenever it exists, as in libpq. Only the verifying modes need one.
    fn proof(self, anchors: Option<Anchors>) -> Result<Proof, String> {
        match (self, anchors) {
            (Mode::VerifyFull, Some(anchors)) => Ok(Proof::ChainAndName(anchors)),
            (Mode::Disable | Mode::Allow | Mode::Prefer | Mode::Require | Mode::VerifyCa, Some(anchors)) => {
                Ok(Proof::Chain(anchors))
            }
            (Mode::VerifyCa | Mode::VerifyFull, None) => {
                Err("there are no CA certificates to verify the server with; set `sslrootcert` to a file or to `system`, \
                     or put a file at ~/.postgresql/root.crt"
                    .into())
            }
            (Mode::Disable | Mode::Allow | Mode::Prefer | Mode::Require, None) => Ok(Proof::Nothing),
        }
    }
}

/// One way to try one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    Plain,
    /// Plain on the same connection if the server says that it has no TLS.
    TlsIfOffered,
    Tls,
}

impl Attempt {
    pub(crate) fn ssl_mode(self) -> SslMode {
        match self {
            Attempt::Plain => SslMode::Disable,
            Attempt::TlsIfOffered => SslMode::Prefer,
            Attempt::Tls => SslMode::Require,
        }
    }

    /// Whether the next attempt may succeed where this one failed.
    pub(crate) fn leaves_hope(self, handshake: Handshake, code: Option<&SqlState>) -> bool {
        // Access rights may depend on TLS. Whether the server runs, or the database exists, does not.
        let is_turned_away =
            code.is_some_and(|code| ["28", "08"].iter().any(|class| code.code().starts_with(class)));
        match (self, handshake) {
            (Attempt::Plain, _) => is_turned_away,
            // It went on without TLS, or was not even connected.
            (Attempt::TlsIfOffered, Handshake::NotBegun) => false,
            (Attempt::TlsIfOffered, Handshake::Begun) => true,
            (Attempt::TlsIfOffered, Handshake::Done) => is_turned_away,
            (Attempt::Tls, _) => false,
        }
    }
}

impl Roots {
    fn read(&self) -> Result<Option<Anchors>, String> {
        match self {
            Roots::System => Anchors::of_the_system(ROOTS).map(Some),
            Roots::File(source) => source.found()?.map(Anchors::in_file).transpose(),
        }
    }
}

/// A key that other users can read proves nothing. A file of root may be readable by a group, which is how a
/// machine's own key is shared.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let file = fs::metadata(path).map_err(|error| format!("can't read the key {shown}: {error}"))?;
    let too_much = if file.uid() == 0 { 0o037 } else { 0o077 };
    if !file.is_file() || file.mode() & too_much != 0 {
        return Err(format!(
            "the key {shown} must be a file that only its owner can access; run `chmod 600 {shown}`"
        ));
    }
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| format!("can't read the key {shown}: {error}; it must be PEM and not encrypted"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const MODES: [(&str, Mode); 6] = [
        ("disable", Mode::Disable),
        ("allow", Mode::Allow),
        ("prefer", Mode::Prefer),
        ("require", Mode::Require),
        ("verify-ca", Mode::VerifyCa),
        ("verify-full", Mode::VerifyFull),
    ];

    fn tls(query: &str) -> Result<Tls, Refusal> {
        let parameters = Parameters::collect(&format!("postgres://?{query}"), &[], &|_| None)?;
        Tls::read(&parameters, None)
    }

    fn refusal(query: &str) -> String {
        tls(query).err().expect(query).message.into()
    }

    /// Who trusts nobody; enough to tell that there is a root file.
    fn nobody() -> Anchors {
        Anchors::new(Vec::new()).expect("no certificates")
    }

    #[test]
    fn each_mode_of_libpq_is_known_and_prefer_is_the_usual_one() {
        for (word, mode) in MODES {
            assert_eq!(tls(&format!("sslmode={word}")).expect(word).mode, mode);
        }
        assert_eq!(tls("").expect("the usual").mode, Mode::Prefer);
        let told = refusal("sslmode=verify_full");
        assert!(
            told.starts_with("store: sslmode has the invalid value `verify_full`; it must be disable, allow"),
            "{told}"
        );
    }

    #[test]
    fn what_is_tried_follows_from_the_mode() {
        use Attempt::{Plain, Tls, TlsIfOffered};
        let attempts = MODES.map(|(_, mode)| mode.attempts());
        let expected: [&[Attempt]; 6] =
            [&[Plain], &[Plain, Tls], &[TlsIfOffered, Plain], &[Tls], &[Tls], &[Tls]];
        assert_eq!(attempts, expected);
    }

    #[test]
    fn the_second_way_is_tried_where_it_may_fare_better() {
        let hope =
            |attempt: Attempt, handshake, code: Option<&SqlState>| attempt.leaves_hope(handshake, code);
        let turned_away = [
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_PASSWORD,
            SqlState::PROTOCOL_VIOLATION,
        ];
        for code in &turned_away {
            assert!(hope(Attempt::Plain, Handshake::NotBegun, Some(code)));
            assert!(hope(Attempt::TlsIfOffered, Handshake::Done, Some(code)));
            // It went on without TLS: the second way would be the same again.
            assert!(!hope(Attempt::TlsIfOffered, Handshake::NotBegun, Some(code)));
            assert!(!hope(Attempt::Tls, Handshake::Done, Some(code)));
        }
        for code in
            &[SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS, SqlState::UNDEFINED_DATABASE]
        {
            assert!(!hope(Attempt::Plain, Handshake::NotBegun, Some(code)));
            assert!(!hope(Attempt::TlsIfOffered, Handshake::Done, Some(code)));
        }
        assert!(hope(Attempt::TlsIfOffered, Handshake::Begun, None));
        for attempt in [Attempt::Plain, Attempt::TlsIfOffered, Attempt::Tls] {
            assert!(!hope(attempt, Handshake::NotBegun, None), "nobody answered");
        }
    }

    #[test]
    fn a_root_file_is_used_in_each_mode_and_needed_in_two() {
        for (word, mode) in MODES {
            let (with, without) = (mode.proof(Some(nobody())), mode.proof(None));
            let is_full = matches!(with, Ok(Proof::ChainAndName(_)));
            assert_eq!(is_full, mode == Mode::VerifyFull, "{word}");
            assert!(is_full || matches!(with, Ok(Proof::Chain(_))), "{word}");
            match mode {
                Mode::VerifyCa | Mode::VerifyFull => {
                    let told = without.expect_err(word);
                    assert!(
                        told.contains("sslrootcert") && told.contains("~/.postgresql/root.crt"),
                        "{told}"
                    );
                }
                Mode::Disable | Mode::Allow | Mode::Prefer | Mode::Require => {
                    assert!(matches!(without, Ok(Proof::Nothing)), "{word}");
                }
            }
        }
    }

    #[test]
    fn the_system_s_authorities_prove_nothing_without_the_name() {
        assert_eq!(tls("sslrootcert=system").expect("good").mode, Mode::VerifyFull);
        for (word, mode) in MODES.iter().filter(|(_, mode)| *mode != Mode::VerifyFull) {
            let told = refusal(&format!("sslrootcert=system&sslmode={word}"));
            assert!(told.contains(&format!("`{word}`")) && told.contains("verify-full"), "{mode:?}: {told}");
        }
    }

    #[test]
    fn direct_negotiation_never_goes_with_a_mode_that_may_end_up_plain() {
        for (word, mode) in MODES {
            let read = tls(&format!("sslnegotiation=direct&sslmode={word}"));
            match mode {
                Mode::Disable | Mode::Allow | Mode::Prefer => {
                    let told = read.err().expect(word).message;
                    assert!(told.contains("require, verify-ca or verify-full"), "{told}");
                }
                Mode::Require | Mode::VerifyCa | Mode::VerifyFull => {
                    assert_eq!(read.expect(word).negotiation(), SslNegotiation::Direct);
                }
            }
        }
        assert_eq!(tls("").expect("the usual").negotiation(), SslNegotiation::Postgres);
        assert!(refusal("sslnegotiation=gss").contains("postgres or direct"));
    }

    #[test]
    fn a_file_that_can_t_be_used_is_told_with_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let told = |query: &str| tls(query).expect("a good query").connector().err().expect(query);
        fs::write(file("empty"), "").expect("a file");
        fs::write(file("torn"), "-----BEGIN CERTIFICATE-----\nMIIB").expect("a file");

        assert!(told(&format!("sslrootcert={}", file("missing"))).contains("missing: No such file"));
        assert!(told(&format!("sslrootcert={}", file("empty"))).contains("empty contains no certificate"));
        assert!(told(&format!("sslcert={}", file("torn"))).contains("torn"));
        let unread = tls(&format!("sslmode=disable&sslrootcert={}", file("missing"))).expect("a good query");
        assert!(unread.connector().is_ok(), "no file is needed without TLS");
    }

    #[test]
    fn a_key_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key");
        fs::write(&key, "no key").expect("a file");
        let told = |mode| {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("its permissions");
            private_key(&key).expect_err("no key")
        };
        for mode in [0o644, 0o660, 0o601] {
            assert!(told(mode).contains("chmod 600"), "{mode:o}");
        }
        assert!(told(0o600).contains("must be PEM"));
    }
}
