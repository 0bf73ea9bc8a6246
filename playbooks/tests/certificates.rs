//! Certificates of the lab's authority, as OpenSSL sees them.

use crate::secrets::certificate::{authority, issued};
use std::path::Path;
use std::process::Command;

/// A moment before 2050 and one after: certificates write the two in different ways.
const MOMENTS: [i64; 2] = [1_900_000_000, 4_000_000_000];

const YEAR: i64 = 365 * 86_400;

fn openssl(dir: &Path, args: &[&str]) -> (bool, String) {
    let ended = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(said).expect("text"))
}

/// An authority and a certificate of it in a folder: `ca.crt`, `tls.pem`.
fn made(now: i64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let (certificate, key) = authority("lab", now).expect("made");
    let names = ["etcd-node1", "localhost", "127.0.0.1", "*.lab.test"].map(str::to_owned);
    let pem = issued("lab", &key, "tls_etcd", &names, now).expect("made");
    std::fs::write(dir.path().join("ca.crt"), certificate).expect("written");
    std::fs::write(dir.path().join("tls.pem"), pem).expect("written");
    dir
}

#[test]
fn they_verify_for_servers_and_clients_by_their_names_and_in_their_time() {
    for now in MOMENTS {
        let dir = made(now);
        let verify = |at: i64, more: &[&str]| {
            let at = at.to_string();
            let args = ["verify", "-x509_strict", "-CAfile", "ca.crt", "-attime", &at];
            openssl(dir.path(), &[&args, more, &["tls.pem"]].concat())
        };
        for purpose in ["sslserver", "sslclient"] {
            let (is, said) = verify(now, &["-purpose", purpose]);
            assert!(is, "{said}");
        }
        for (kind, name, is) in [
            ("-verify_hostname", "etcd-node1", true),
            ("-verify_hostname", "gitlab.lab.test", true),
            ("-verify_ip", "127.0.0.1", true),
            ("-verify_hostname", "etcd-node2", false),
            ("-verify_ip", "127.0.0.2", false),
        ] {
            let (verified, said) = verify(now, &[kind, name]);
            assert_eq!(verified, is, "{name}: {said}");
        }
        for (at, is) in [(-3000, true), (-4000, false), (YEAR - 60, true), (YEAR + 60, false)] {
            assert_eq!(verify(now + at, &[]).0, is, "{at} seconds from now");
        }
    }
}

#[test]
fn another_authority_does_not_vouch_for_them() {
    let now = MOMENTS[0];
    let dir = made(now);
    let (other, _) = authority("lab", now).expect("made");
    std::fs::write(dir.path().join("ca.crt"), other).expect("written");
    let at = now.to_string();
    let args = ["verify", "-CAfile", "ca.crt", "-attime", &at, "tls.pem"];
    let (is, said) = openssl(dir.path(), &args);
    assert!(!is, "an authority of the same name: {said}");
}

#[test]
fn the_key_beside_a_certificate_is_its_own_and_on_p256() {
    let dir = made(MOMENTS[0]);
    let (_, of_key) = openssl(dir.path(), &["pkey", "-in", "tls.pem", "-pubout"]);
    let (_, of_cert) = openssl(dir.path(), &["x509", "-in", "tls.pem", "-pubkey", "-noout"]);
    assert!(of_key.starts_with("-----BEGIN PUBLIC KEY-----"), "{of_key}");
    assert_eq!(of_key, of_cert);
    let (_, text) = openssl(dir.path(), &["x509", "-in", "tls.pem", "-noout", "-text"]);
    let shown: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| {
            ["Issuer:", "Subject:", "ASN1 OID", "CA:", "DNS:", "Digital", "TLS Web"]
                .iter()
                .any(|w| l.starts_with(w))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n").replace(" = ", "="), @"
    Issuer: CN=bp lab
    Subject: CN=tls_etcd
    ASN1 OID: prime256v1
    DNS:etcd-node1, DNS:localhost, IP Address:127.0.0.1, DNS:*.lab.test
    Digital Signature
    TLS Web Server Authentication, TLS Web Client Authentication
    CA:FALSE
    ");
}

#[test]
fn an_authority_signs_nothing_but_ends_of_chains() {
    let dir = made(MOMENTS[0]);
    let (_, text) = openssl(dir.path(), &["x509", "-in", "ca.crt", "-noout", "-text"]);
    assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
    assert!(text.contains("Certificate Sign, CRL Sign"), "{text}");
}
