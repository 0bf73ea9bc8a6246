//! The lab's certificate authority: its key is the secret `ca_key`, its certificate the config `ca`.

use super::{CONFIG_LABEL, SECRET_LABEL, certificate, config, current, make};
use crate::compose::digest;
use crate::docker::{LAB_LABEL, SwarmView};
use crate::step::{Check, Failure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use providers::{Cmd, Stdin, quote};

/// What the authority's key is called.
pub(crate) const KEY: &str = "ca_key";

/// What the authority's certificate is called.
pub(crate) const CERTIFICATE: &str = "ca";

/// The label that says of which authority a key or a certificate is: the digest of its certificate.
pub(super) const MARK: &str = "bp.ca";

/// The authority's certificate in PEM.
pub(crate) fn certificate(view: &SwarmView, lab: &str) -> Option<String> {
    let data = &config(view, lab, CERTIFICATE)?.spec.data;
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

/// The mark of the authority that has this certificate.
pub(super) fn mark(certificate: &str) -> String {
    digest(&[certificate.as_bytes()])
}

/// Whether there is a key, and the certificate of just this key.
///
/// Half of an authority is what a run leaves that was cut off between the two. Nothing was signed by
/// it then, and both are made anew. Where something was signed by it, a new authority would split
/// the members of a quorum: those that have restarted trust only the new one, the others only the
/// old one. So that is a failure, and the operator's to decide.
pub(super) fn check(view: &SwarmView, lab: &str) -> Check {
    let key = current(view, lab, KEY).map(|s| s.label(MARK).to_owned());
    let certificate = certificate(view, lab).map(|pem| mark(&pem));
    let missing = match (&key, &certificate) {
        (None, None) => return Check::Not("it is not there".to_owned()),
        (Some(key), Some(certificate)) if key == certificate => return Check::True,
        (Some(_), Some(_)) => "the key and the certificate of the lab's authority are not of one",
        (Some(_), None) => "the certificate of the lab's authority, the config `ca`, is gone",
        (None, Some(_)) => "the key of the lab's authority, the secret `ca_key`, is gone",
    };
    let signed = view.secrets.iter().any(|s| {
        let mark = Some(s.label(MARK));
        s.label(LAB_LABEL) == lab
            && s.label(SECRET_LABEL) != KEY
            && (mark == key.as_deref() || mark == certificate.as_deref())
    });
    if !signed {
        return Check::Not("only half of it is there".to_owned());
    }
    Check::Failed(Failure::new(format!("{missing}, and it has signed certificates")).hint(
        "for a new authority, take down the stacks that have certificates (`docker stack rm`), \
         remove the secrets `tls_*`, `ca_key` and the config `ca`, and `bp up` makes all anew",
    ))
}

/// Makes an authority, and the command that keeps it in the swarm.
///
/// # Errors
/// When no key can be made.
pub(super) fn made(lab: &str, now: i64) -> Result<Cmd, Failure> {
    let (certificate, key) = certificate::authority(lab, now).map_err(certificate::failed)?;
    let mark = mark(&certificate);
    let name = |name: &str| quote(&format!("{}_{mark}", make::begin(lab, name)));
    let script = format!(
        "set -e\nprintf %s {} | {}\n{}",
        quote(&certificate),
        make::create("config", lab, &[(CONFIG_LABEL, CERTIFICATE)], &name(CERTIFICATE)),
        make::create("secret", lab, &[(SECRET_LABEL, KEY), (MARK, &mark)], &name(KEY))
    );
    Ok(Cmd::new(script).stdin(Stdin::Bytes(key.clone().into_bytes())).secret(key))
}
