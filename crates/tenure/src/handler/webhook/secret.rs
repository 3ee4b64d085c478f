//! The secrets of a webhook, and the signatures made with them.
//!
//! Secrets have the format of Standard Webhooks: `whsec_` and base64. An error message never contains a part of a
//! secret. Asymmetric keys (`whsk_`) are not supported.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const KEY_BYTES_MIN: usize = 24;
const KEY_BYTES_MAX: usize = 64;
/// Rotating a secret needs two of them. Each one adds a signature to every request.
const KEYS_MAX: usize = 8;
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Padding is optional, as in the specification's own libraries.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where the keys come from.
#[derive(Clone)]
pub(crate) enum SecretSource {
    Given(SigningKeys),
    /// To be read for each request.
    File(Arc<Path>),
}

impl SecretSource {
    pub(crate) async fn keys(&self) -> Result<SigningKeys, String> {
        match self {
            SecretSource::Given(keys) => Ok(keys.clone()),
            SecretSource::File(path) => {
                let path = Arc::clone(path);
                let read = tokio::task::spawn_blocking(move || SigningKeys::in_file(&path)).await;
                read.map_err(|error| format!("can't read the file with the webhook secret: {error}"))?
            }
        }
    }

    /// A warning if too many users can read the file.
    pub(crate) fn warning(&self) -> Option<String> {
        let SecretSource::File(path) = self else { return None };
        let mode = fs::metadata(path).ok()?.mode();
        (mode & 0o004 != 0).then(|| {
            format!(
                "all users of this machine can read {} (its mode is {:o}) and could sign requests; \
                 run `chmod o-r {}`",
                path.display(),
                mode & 0o777,
                path.display()
            )
        })
    }
}

/// The signing keys, at least one.
#[derive(Clone)]
pub(crate) struct SigningKeys(Vec<Hmac<Sha256>>);

impl SigningKeys {
    pub(crate) fn in_text(text: &str) -> Result<SigningKeys, String> {
        let secrets: Vec<&str> = text.split_whitespace().collect();
        let count = secrets.len();
        if count == 0 {
            return Err("the webhook secret is missing".into());
        }
        if count > KEYS_MAX {
            return Err(format!("there are {count} webhook secrets; the limit is {KEYS_MAX}"));
        }
        let numbered = |(at, secret): (usize, &str)| {
            key(secret).map_err(|error| match count {
                1 => format!("the webhook secret {error}"),
                _ => format!("webhook secret {} of {count} {error}", at + 1),
            })
        };
        secrets.into_iter().enumerate().map(numbered).collect::<Result<_, _>>().map(SigningKeys)
    }

    pub(crate) fn in_file(path: &Path) -> Result<SigningKeys, String> {
        let text = text(path).map_err(|error| format!("{}: {error}", path.display()))?;
        SigningKeys::in_text(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A signature with each key, as they stand in `webhook-signature`.
    ///
    /// Between id and time and body stand full stops, and the specification warns of ids that have some: what is signed
    /// could be read as an earlier id, another time, and a longer body. The ids of undos may have them, in the names of
    /// their tasks. They end with `/seq/epoch`, so that the longer body would begin within a name or a number, with a slash
    /// or another full stop before the body's own brace, and be no JSON.
    pub(crate) fn signatures(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signed = self.0.iter().map(|key| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
        });
        signed.collect::<Vec<_>>().join(" ")
    }
}

fn key(secret: &str) -> Result<Hmac<Sha256>, String> {
    let encoded = secret.strip_prefix(PREFIX).ok_or_else(|| format!("must begin with `{PREFIX}`"))?;
    // The decoder's error contains a character of the secret.
    let key = BASE64.decode(encoded).map_err(|_| format!("must be base64 after `{PREFIX}`"))?;
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(format!("has {} bytes; it must have {KEY_BYTES_MIN} to {KEY_BYTES_MAX}", key.len()));
    }
    Hmac::new_from_slice(&key).map_err(|error| error.to_string())
}

fn text(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    // Opening a pipe would wait for its writer, and a pipe can be read only once.
    if !metadata.is_file() {
        return Err("the webhook secret must be in a regular file".into());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "the file is longer than {FILE_BYTES_MAX} bytes; it must contain only webhook secrets"
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::handler::webhook::tests::{LONG_SECRET, SHORT_SECRET};

    fn signed(secrets: &str, body: &str) -> String {
        SigningKeys::in_text(secrets).expect("secrets").signatures(
            "shop/build-42/1/3",
            1_793_000_000,
            body.as_bytes(),
        )
    }

    /// By PyPI's `standardwebhooks` 1.1.0: `Webhook(secret).sign("shop/build-42/1/3", datetime.fromtimestamp(1793000000,
    /// tz=timezone.utc), body)`.
    #[test]
    fn what_is_signed_is_what_the_specification_s_own_library_signs() {
        const BODY: &str = r#"{"type":"undo.requested"}"#;
        const BY_SHORT: &str = "v1,0xg7kmhsKjpBjaCHDaKfGH+l1ntzxGt6gQo+W1C9cOI=";
        const BY_LONG: &str = "v1,NO3TGN4nT3LQZRP6RU0zs/dDLaea9O4V4iuv/+Ary3E=";
        assert_eq!(signed(SHORT_SECRET, BODY), BY_SHORT);
        assert_eq!(signed(LONG_SECRET, BODY), BY_LONG);
        assert_eq!(signed(LONG_SECRET.trim_end_matches('='), BODY), BY_LONG, "padded or not");
        let both = format!("\r\n{SHORT_SECRET}\r\n\t{LONG_SECRET} \n");
        assert_eq!(signed(&both, BODY), format!("{BY_SHORT} {BY_LONG}"));
    }

    #[test]
    fn a_full_stop_in_an_id_makes_no_other_request_of_a_signed_one() {
        let signed = r#"shop/x.1793000000.1/1/3.1793000001.{"type":"undo.requested"}"#;
        let bodies = signed.match_indices('.').map(|(at, _)| &signed[at + 1..]);
        let read = bodies.filter(|body| serde_json::from_str::<serde_json::Value>(body).is_ok());
        assert_eq!(read.collect::<Vec<_>>(), [r#"{"type":"undo.requested"}"#]);
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_it() {
        let of_bytes = |bytes: usize| format!("{PREFIX}{}", BASE64.encode(vec![7; bytes]));
        assert!(SigningKeys::in_text(&of_bytes(24)).is_ok() && SigningKeys::in_text(&of_bytes(64)).is_ok());
        let said = |text: &str| SigningKeys::in_text(text).err().unwrap_or_default();
        assert_eq!(said(" \n"), "the webhook secret is missing");
        assert_eq!(said("AAECAwQFBgcICQoL"), "the webhook secret must begin with `whsec_`");
        assert_eq!(said("whsec_AAEC-_BgcI"), "the webhook secret must be base64 after `whsec_`");
        assert_eq!(said(&of_bytes(23)), "the webhook secret has 23 bytes; it must have 24 to 64");
        assert_eq!(
            said(&format!("{SHORT_SECRET} {}", of_bytes(65))),
            "webhook secret 2 of 2 has 65 bytes; it must have 24 to 64"
        );
        assert!(said(&format!("{SHORT_SECRET} ").repeat(9)).contains("the limit is 8"));
    }

    #[test]
    fn a_file_with_a_secret_is_plain_and_short_and_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let said = |path: &Path| SigningKeys::in_file(path).err().unwrap_or_default();
        assert!(said(&path).contains("secret: No such file"), "{}", said(&path));
        assert!(said(folder.path()).contains("must be in a regular file"));
        for (content, expected) in [
            ("".to_owned(), "the webhook secret is missing"),
            ("hunter2".to_owned(), "must begin with `whsec_`"),
            ("x".repeat(20_000), "longer than 16384 bytes"),
        ] {
            fs::write(&path, content).expect("a file");
            assert!(said(&path).contains(expected) && !said(&path).contains("hunter2"), "{}", said(&path));
        }
        fs::write(&path, [0xff, 0xfe]).expect("a file");
        assert!(said(&path).contains("valid UTF-8"), "{}", said(&path));
    }

    #[test]
    fn a_file_that_everybody_may_read_is_warned_of() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let warning = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).expect("its permissions");
            SecretSource::File(file.path().into()).warning()
        };
        assert_eq!((warning(0o600), warning(0o640)), (None, None));
        assert!(warning(0o644).is_some_and(|said| said.contains("(its mode is 644)")));
    }
}
