//! The cloud-init seed: what makes a machine out of a root disk, and its host key.

use crate::ssh::new_host_key;
use crate::{Access, ProviderError};
use hadris_iso::write::options::{BaseIsoLevel, CreationFeatures, IsoFormatOptions};
use hadris_iso::write::{File, InputFiles, IsoImageWriter};
use serde_json::json;
use ssh_key::getrandom::SysRng;
use ssh_key::rand_core::{Rng, UnwrapErr};
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

/// An SSH host key.
pub struct HostKey {
    /// OpenSSH's private form. Goes into the seed and nowhere else.
    pub private: String,
    /// OpenSSH's one-line form, without a comment.
    pub public: String,
    /// cloud-init's name of its type: `ed25519`, `rsa`, `ecdsa`.
    kind: &'static str,
}

/// A host key: the given one, or a new one.
pub fn host_key(given: Option<&Path>) -> Result<HostKey, ProviderError> {
    let failed = |cause: String| ProviderError {
        doing: match given {
            Some(path) => format!("read host key `{}`", path.display()),
            None => "make a host key".to_owned(),
        },
        cause,
        hint: None,
    };
    let mut key = match given {
        Some(path) => {
            let pem = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
            PrivateKey::from_openssh(&pem).map_err(|e| failed(e.to_string()))?
        }
        None => {
            let (private, _) = new_host_key().map_err(|e| failed(e.to_string()))?;
            PrivateKey::from_openssh(private).map_err(|e| failed(e.to_string()))?
        }
    };
    if key.is_encrypted() {
        return Err(failed("it has a passphrase, which sshd can't ask for".to_owned()));
    }
    let kind = match key.algorithm() {
        Algorithm::Ed25519 => "ed25519",
        Algorithm::Rsa { .. } => "rsa",
        Algorithm::Ecdsa { .. } => "ecdsa",
        other => return Err(failed(format!("cloud-init takes no host key of type `{other}`"))),
    };
    key.set_comment("");
    let private = key.to_openssh(LineEnding::LF).map_err(|e| failed(e.to_string()))?;
    let public = key.public_key().to_openssh().map_err(|e| failed(e.to_string()))?;
    Ok(HostKey { private: private.to_string(), public: public.trim().to_owned(), kind })
}

/// A random uuid.
pub fn uuid() -> String {
    let mut bytes = [0u8; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    // Version 4, variant 1 (RFC 9562, section 5.4).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What a seed depends on.
pub struct Seed<'a> {
    /// The domain's uuid: a machine made anew is a new instance to cloud-init.
    pub instance: &'a str,
    /// The host's name.
    pub host: &'a str,
    /// The lab's DNS domain.
    pub domain: &'a str,
    /// The MAC of its interface.
    pub mac: &'a str,
    /// Who may log in.
    pub access: &'a Access,
    /// Its host key.
    pub key: &'a HostKey,
}

/// The seed's files. cloud-init reads YAML, and JSON is YAML.
pub fn files(seed: &Seed<'_>) -> [(&'static str, String); 3] {
    let fqdn = format!("{}.{}", seed.host, seed.domain);
    let access = seed.access;
    let user = if access.user == "root" {
        json!({ "name": "root", "ssh_authorized_keys": access.authorized })
    } else {
        json!({
            "name": access.user, "shell": "/bin/bash", "lock_passwd": true,
            "sudo": "ALL=(ALL) NOPASSWD:ALL", "ssh_authorized_keys": access.authorized,
        })
    };
    let keys = json!({
        format!("{}_private", seed.key.kind): seed.key.private,
        format!("{}_public", seed.key.kind): seed.key.public,
    });
    let config = json!({
        "hostname": seed.host,
        "fqdn": fqdn,
        "prefer_fqdn_over_hostname": false,
        "manage_etc_hosts": "localhost",
        "users": [user],
        "disable_root": access.user != "root",
        "ssh_pwauth": false,
        // Keys that came with the image are those of every other clone.
        "ssh_deletekeys": true,
        "ssh_keys": keys,
        "ssh": { "emit_keys_to_console": false },
        "growpart": { "mode": "auto", "devices": ["/"], "ignore_growroot_disabled": false },
        "resize_rootfs": true,
        "package_update": false,
        "package_upgrade": false,
        "bootcmd": [["cloud-init-per", "instance", "bp-identity", "sh", "-c", IDENTITY]],
    });
    let meta = json!({ "instance-id": seed.instance, "local-hostname": seed.host });
    // A client id that is the MAC: a machine made anew gets its old address back, and clones that
    // share a machine id do not share an address.
    let interface = json!({
        "match": { "macaddress": seed.mac }, "dhcp4": true, "dhcp-identifier": "mac",
    });
    let network = json!({ "version": 2, "ethernets": { "lab": interface } });
    [
        ("meta-data", format!("{meta}\n")),
        ("user-data", format!("#cloud-config\n{config:#}\n")),
        ("network-config", format!("{network}\n")),
    ]
}

/// Takes away what makes clones of one image the same machine to others: Docker's and
/// GlusterFS's identities (made anew by their daemons), and a machine id that is older than this
/// boot (a younger one is this machine's own).
const IDENTITY: &str = "rm -f /etc/docker/key.json /var/lib/docker/engine-id /var/lib/glusterd/glusterd.info; \
    born=$(sed -n 's/^btime //p' /proc/stat); \
    if [ -s /etc/machine-id ] && [ \"$(stat -c %Y /etc/machine-id)\" -lt \"$born\" ]; then \
    rm -f /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; \
    systemctl try-restart systemd-journald; fi";

/// The seed as an ISO image that cloud-init finds by its label.
pub fn image(files: &[(&str, String)]) -> Result<Vec<u8>, ProviderError> {
    let failed = |cause: String| ProviderError {
        doing: "make the seed image".to_owned(),
        cause,
        hint: None,
    };
    let content: usize = files.iter().map(|(_, text)| text.len().next_multiple_of(2048)).sum();
    let input = InputFiles {
        path_separator: hadris_iso::read::PathSeparator::ForwardSlash,
        files: files
            .iter()
            .map(|(name, text)| File::File {
                name: Arc::new((*name).to_owned()),
                contents: text.clone().into_bytes(),
            })
            .collect(),
    };
    let options = IsoFormatOptions {
        volume_name: "CIDATA".to_owned(),
        system_id: None,
        volume_set_id: None,
        publisher_id: None,
        preparer_id: None,
        application_id: None,
        sector_size: 2048,
        features: CreationFeatures {
            filenames: BaseIsoLevel::Level1 { supports_lowercase: false, supports_rrip: true },
            ..CreationFeatures::extensions()
        },
        path_separator: hadris_iso::read::PathSeparator::ForwardSlash,
        strict_charset: false,
    };
    // Headers and directories take some 60 sectors.
    let room = vec![0; content + 128 * 2048];
    let written = IsoImageWriter::create(Cursor::new(room), input, options);
    Ok(written.map_err(|e| failed(e.to_string()))?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed_files(user: &str) -> String {
        let access = Access {
            authorized: vec!["ssh-ed25519 AAAA o'p \"<&>\"".to_owned()],
            user: user.to_owned(),
        };
        let key = HostKey {
            private: "PRIVATE\nKEY\n".to_owned(),
            public: "ssh-ed25519 BBBB".to_owned(),
            kind: "ed25519",
        };
        let seed = Seed {
            instance: "1a2b3c4d-0000-4000-8000-000000000000",
            host: "node1",
            domain: "lab.test",
            mac: "52:54:00:01:02:03",
            access: &access,
            key: &key,
        };
        files(&seed).map(|(name, text)| format!("== {name}\n{text}")).concat()
    }

    #[test]
    fn a_seed_for_root() {
        insta::assert_snapshot!(seed_files("root"));
    }

    #[test]
    fn a_seed_for_a_user_with_sudo() {
        insta::assert_snapshot!(seed_files("ops"));
    }

    #[test]
    fn the_image_is_what_cloud_init_looks_for() {
        let big = "x".repeat(100_000);
        let image = image(&[("meta-data", "{}\n".to_owned()), ("user-data", big.clone())]);
        let image = image.expect("it is made");
        // The primary volume descriptor and its label: ECMA-119, 8.4.
        assert_eq!(&image[0x8001..0x8006], b"CD001");
        assert_eq!(&image[0x8028..0x8028 + 6], b"CIDATA");
        let text = String::from_utf8_lossy(&image);
        assert!(text.contains("meta-data") && text.contains("user-data") && text.contains(&big));
    }

    #[test]
    fn host_keys_are_new_or_the_given_one() {
        let (one, two) = (host_key(None).expect("a key"), host_key(None).expect("a key"));
        assert_ne!(one.public, two.public);
        assert_eq!(one.public.split(' ').count(), 2, "no comment: {}", one.public);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, &one.private).expect("it is written");
        let given = host_key(Some(&path)).expect("it is read");
        assert_eq!((given.public, given.private), (one.public, one.private));
        std::fs::write(&path, "no key").expect("it is written");
        let error = host_key(Some(&path)).err().expect("it is refused").to_string();
        assert!(error.contains("key") && !error.contains("no key"), "{error}");
    }

    #[test]
    fn uuids_are_random_and_well_formed() {
        let (one, two) = (uuid(), uuid());
        assert_ne!(one, two);
        let groups: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert!(one[14..].starts_with('4') && "89ab".contains(&one[19..20]), "{one}");
    }
}
