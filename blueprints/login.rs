//! How to log in: the blueprint's `ssh` and a host's own, field by field.

use crate::context::{Context, is_address, is_fingerprint, is_user};
use crate::field::{Field, Spanned};
use crate::file;
use crate::lab::{Jump, Secret, Ssh, Sudo};
use indexmap::IndexMap;
use std::path::PathBuf;

/// The blueprint's `secrets`.
pub(crate) fn secrets(
    blueprint: &file::Blueprint,
    context: &mut Context<'_>,
) -> IndexMap<String, Secret> {
    let mut secrets = IndexMap::new();
    for (name, secret) in blueprint.secrets.entries() {
        check_secret(secret, context);
        secrets.insert(name.value.clone(), source(&secret.value, context));
    }
    secrets
}

/// Checks one `ssh` section by itself.
pub(crate) fn check(section: &Field<file::Ssh>, context: &mut Context<'_>) {
    let Some(ssh) = section.get() else { return };
    context.shape(&ssh.user, is_user, "a login name");
    context.shape(
        &ssh.fingerprint,
        is_fingerprint,
        "a fingerprint such as `SHA256:` and 43 characters",
    );
    context.existing(&ssh.key);
    context.existing(&ssh.host_key);
    check_port(&ssh.port, context);
    if let Some(file::Sudo::Password(sudo)) = ssh.sudo.get() {
        match &sudo.password {
            Field::Given(secret) => check_secret(secret, context),
            Field::Absent => {
                let at = ssh.sudo.given().map(|s| s.at).unwrap_or_default();
                context.missing(at, "password", "`sudo`", "password: { env: SUDO_PASSWORD }");
            }
            Field::Wrong => {}
        }
    }
    check_jump(&ssh.jump, context);
}

fn check_port(port: &Field<u16>, context: &mut Context<'_>) {
    if let Some(port) = port.given()
        && port.value == 0
    {
        context.error(port.at, "expected a port from 1 to 65535, found `0`");
    }
}

pub(crate) fn check_secret(secret: &Spanned<file::Secret>, context: &mut Context<'_>) {
    match &secret.value {
        file::Secret::Env(name) => {
            if !context.outside.env_is_set(name) {
                let name = crate::wording::short(name);
                context.error(secret.at, format!("the environment variable `{name}` is not set"));
            }
        }
        file::Secret::File(path) => {
            let path = context.path(path);
            if !context.outside.is_file(&path) {
                context.error(secret.at, format!("no such file: `{}`", path.display()));
            }
        }
        file::Secret::Command(command) => {
            if command.trim().is_empty() {
                context.error(secret.at, "the command is empty");
            }
        }
    }
}

fn check_jump(jump: &Field<file::Jump>, context: &mut Context<'_>) {
    const ADDRESS: &str = "an address or a name";
    match jump.given() {
        Some(Spanned { value: file::Jump::Address(address), at }) if !is_address(address) => {
            let found = crate::wording::short(address);
            let help = "user and port go into a map: `{ address: bastion, user: ops }`";
            context.error_help(*at, format!("expected {ADDRESS}, found `{found}`"), help);
        }
        Some(Spanned { value: file::Jump::Address(_), .. }) | None => {}
        Some(Spanned { value: file::Jump::Host(host), at }) => {
            if host.address.is_absent() {
                context.missing(*at, "address", "`jump`", "address: bastion.example.net");
            }
            context.shape(&host.address, is_address, ADDRESS);
            context.shape(&host.user, is_user, "a login name");
            context.shape(
                &host.fingerprint,
                is_fingerprint,
                "a fingerprint such as `SHA256:` and 43 characters",
            );
            context.existing(&host.key);
            check_port(&host.port, context);
        }
    }
}

/// How to log in to a host: its own fields, then the blueprint's, then the defaults.
pub(crate) fn merge(
    host: &Field<file::Ssh>,
    lab: &Field<file::Ssh>,
    made: bool,
    context: &Context<'_>,
) -> Ssh {
    let empty = file::Ssh::default();
    let (host, lab) = (host.get().unwrap_or(&empty), lab.get().unwrap_or(&empty));
    let path = |field: &Field<String>| field.get().map(|p| context.path(p));
    let user = host.user.or(&lab.user).get().cloned().unwrap_or_else(|| "root".to_owned());
    let sudo = match host.sudo.or(&lab.sudo).get() {
        Some(file::Sudo::Passwordless(true)) => Sudo::Passwordless,
        Some(file::Sudo::Passwordless(false)) => Sudo::No,
        Some(file::Sudo::Password(sudo)) => {
            sudo.password.get().map_or(Sudo::No, |secret| Sudo::Password(source(secret, context)))
        }
        // The user that bp makes on its own machines may use sudo.
        None if made && user != "root" => Sudo::Passwordless,
        None => Sudo::No,
    };
    Ssh {
        user,
        port: host.port.or(&lab.port).get().copied().unwrap_or(22),
        key: path(host.key.or(&lab.key)),
        sudo,
        jump: host.jump.or(&lab.jump).get().map(|j| Box::new(resolve_jump(j, &path))),
        fingerprint: host.fingerprint.get().cloned(),
        host_key: path(&host.host_key),
    }
}

fn resolve_jump(jump: &file::Jump, path: &dyn Fn(&Field<String>) -> Option<PathBuf>) -> Jump {
    let (address, host) = match jump {
        file::Jump::Address(address) => (address.clone(), &file::JumpHost::default()),
        file::Jump::Host(host) => (host.address.get().cloned().unwrap_or_default(), host.as_ref()),
    };
    Jump {
        address,
        user: host.user.get().cloned().unwrap_or_else(|| "root".to_owned()),
        port: host.port.get().copied().unwrap_or(22),
        key: path(&host.key),
        fingerprint: host.fingerprint.get().cloned(),
    }
}

pub(crate) fn source(secret: &file::Secret, context: &Context<'_>) -> Secret {
    match secret {
        file::Secret::Env(name) => Secret::Env(name.clone()),
        file::Secret::File(path) => Secret::File(context.path(path)),
        file::Secret::Command(command) => Secret::Command(command.clone()),
    }
}
