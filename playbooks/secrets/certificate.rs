//! Certificates of the lab's authority: who has one, for which names, until when.
//!
//! A certificate is made anew when it is for other names, of another authority, or has less than a
//! third of its life left. That changes the definitions of the services that use it, and they
//! restart one after another.

use super::{authority, current, make, read};
use crate::compose::digest;
use crate::cx::Cx;
use crate::docker::SwarmView;
use crate::step::{Check, Failure, Trouble};
use providers::{Cmd, Stdin, quote};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::time::Duration;

/// How long a certificate lives, in seconds: a year.
pub(super) const LIFE: i64 = 365 * 86_400;

/// How long the authority lives, in seconds: ten years.
const AUTHORITY_LIFE: i64 = 10 * LIFE;

/// Clocks differ: what was made now was valid an hour ago.
const EARLY: i64 = 3600;

/// The label that says until when it is valid, in seconds since 1970.
pub(super) const NOT_AFTER: &str = "bp.not_after";

/// The label that says for which names it is: their digest.
const NAMES: &str = "bp.names";

/// Whether the newest certificate of this name is current.
pub(super) fn check(view: &SwarmView, lab: &str, name: &str, names: &[String]) -> Check {
    let Some(has) = current(view, lab, name) else {
        return Check::Not("it is not there".to_owned());
    };
    let left = has.label(NOT_AFTER).parse::<i64>().unwrap_or(0) - view.now;
    let authority = authority::certificate(view, lab).map(|pem| authority::mark(&pem));
    if authority.as_deref() != Some(has.label(authority::MARK)) {
        return Check::Not("it is of another authority".to_owned());
    }
    if has.label(NAMES) != of(names) {
        return Check::Not("it is for other names".to_owned());
    }
    Check::when(left > LIFE / 3, format!("it ends in {} days", left.max(0) / 86_400))
}

fn of(names: &[String]) -> String {
    digest(&names.iter().map(String::as_bytes).collect::<Vec<_>>())
}

/// Makes a key and a certificate, and the command that keeps both in the swarm.
///
/// # Errors
/// When the authority's key can't be had.
pub(super) async fn made(
    cx: &Cx,
    view: &SwarmView,
    name: &str,
    names: &[String],
) -> Result<Cmd, Trouble> {
    let lab = &cx.lab().name;
    let certificate = authority::certificate(view, lab);
    let certificate = certificate.ok_or_else(|| Failure::new("the lab has no authority yet"))?;
    let key = read(cx, authority::KEY).await?;
    let key = String::from_utf8_lossy(&key).into_owned();
    let pem = issued(lab, &key, name, names, view.now).map_err(failed)?;
    cx.events().hide(&pem);
    let (mark, until) = (authority::mark(&certificate), (view.now + LIFE).to_string());
    let names = of(names);
    let labels = [
        (super::SECRET_LABEL, name),
        (authority::MARK, mark.as_str()),
        (NAMES, names.as_str()),
        (NOT_AFTER, until.as_str()),
    ];
    let real = format!("{}_{}", make::begin(lab, name), digest(&[pem.as_bytes()]));
    let script = make::create("secret", lab, &labels, &quote(&real));
    Ok(Cmd::new(script).stdin(Stdin::Bytes(pem.clone().into_bytes())).secret(pem))
}

/// A failure of the library that makes certificates.
pub(super) fn failed(error: rcgen::Error) -> Failure {
    Failure::new(format!("make a certificate: {error}"))
}

/// A new authority: its certificate and its key.
pub(crate) fn authority(lab: &str, now: i64) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = of_authority(lab);
    live(&mut params, now, AUTHORITY_LIFE);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// What is the same whenever the authority signs.
fn of_authority(lab: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(&format!("bp {lab}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A new key and its certificate, in one text; the key stands first.
pub(crate) fn issued(
    lab: &str,
    authority: &str,
    name: &str,
    names: &[String],
    now: i64,
) -> Result<String, rcgen::Error> {
    let issuer = Issuer::new(of_authority(lab), KeyPair::from_pem(authority)?);
    let key = KeyPair::generate()?;
    // What of the names is an address becomes one in the certificate.
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = called(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    live(&mut params, now, LIFE);
    Ok(key.serialize_pem() + &params.signed_by(&key, &issuer)?.pem())
}

fn called(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

fn live(params: &mut CertificateParams, now: i64, life: i64) {
    let at = |second: i64| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(second.try_into().unwrap_or_default())
    };
    (params.not_before, params.not_after) = (at(now - EARLY), at(now + life));
}
