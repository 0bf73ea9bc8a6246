//! The stack traefik: an instance on every manager; with ACME one, which alone can answer the
//! challenges that it asked for.

use crate::compose::Compose;
use crate::docker::{SwarmView, container};
use crate::secrets::{Secret, Source};
use crate::shipped::Shipped;
use crate::step::{Check, Step};
use blueprints::{Availability, Lab, Stack, StackKind, Tls, Traefik};
use providers::quote;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, traefik: &Traefik) -> Shipped {
    let acme = matches!(traefik.tls, Tls::Acme { .. });
    let folder = lab.shared().map_or("/srv/traefik".to_owned(), |s| format!("{s}/traefik"));
    let managers: Vec<String> = managers(lab);
    let pinned = managers.first().filter(|_| acme && lab.shared().is_none()).cloned();
    let path = |path: &PathBuf| path.display().to_string();
    let (files, acme_ca) = match &traefik.tls {
        Tls::Files { cert, .. } => (Some(path(cert)), None),
        Tls::Acme { ca, .. } => (None, ca.as_ref().map(path)),
        Tls::Internal => (None, None),
    };
    let mut secrets = vec![Secret::of(lab, "traefik_password", Source::Login("admin"))];
    match &traefik.tls {
        Tls::Internal => {
            secrets.push(Secret::of(lab, "tls_traefik", Source::Certificate(certified(lab))));
        }
        Tls::Files { key, .. } => {
            let source = Source::Given(blueprints::Secret::File(key.clone()));
            secrets.push(Secret::of(lab, "traefik_key", source));
        }
        Tls::Acme { .. } => {}
    }
    let holders = pinned.clone().map_or_else(|| managers.clone(), |host| vec![host]);
    Shipped {
        values: json!({
            "acme": acme.then_some(&folder),
            "acme_ca": acme_ca,
            "files": files,
            "internal": traefik.tls == Tls::Internal,
            "host": pinned,
            "hosts": hosts(lab),
        }),
        files: vec![("traefik.yml", fixed(traefik)), ("dynamic.yml", dynamic(lab, traefik))],
        secrets,
        playbook: acme.then(|| ("traefik.yml", holders, json!({ "folder": folder }))),
        health: health(&stack.name, traefik, &managers),
        ..Shipped::new("traefik.compose.yml", include_str!("traefik.compose.yml"))
    }
}

/// The managers that hold an instance.
fn managers(lab: &Lab) -> Vec<String> {
    let active = lab.managers().filter(|h| h.availability != Availability::Drain);
    active.map(|h| h.name.clone()).collect()
}

/// The names under which the lab's stacks are reached through Traefik.
fn hosts(lab: &Lab) -> BTreeSet<String> {
    let host = |stack: &Stack| match &stack.kind {
        StackKind::Traefik(traefik) => traefik.host.clone(),
        StackKind::Registry { host } | StackKind::Portainer { host } => Some(host.clone()),
        StackKind::Gitlab(gitlab) => Some(gitlab.host.clone()),
        _ => None,
    };
    lab.stacks.iter().filter_map(host).collect()
}

/// The names that its certificate is for: all of the lab's domain, so that a new stack needs no new
/// one and the user's own have a valid one, and those outside of it. No client takes a wildcard
/// right below a domain of one word, such as `*.test`.
fn certified(lab: &Lab) -> Vec<String> {
    let mut names = Vec::new();
    if lab.domain.contains('.') {
        names.extend([lab.domain.clone(), format!("*.{}", lab.domain)]);
    }
    let covered = |host: &str| {
        host.split_once('.').is_some_and(|(_, rest)| rest == lab.domain) && !names.is_empty()
    };
    let others: Vec<String> =
        hosts(lab).into_iter().filter(|h| !covered(h) && *h != lab.domain).collect();
    names.extend(others);
    names
}

fn fixed(traefik: &Traefik) -> String {
    let mut text = include_str!("traefik/traefik.yml").to_owned();
    if let Tls::Acme { email, server, ca } = &traefik.tls {
        text.push_str(
            &include_str!("traefik/acme.yml").replace("{{email}}", &json!(email).to_string()),
        );
        if let Some(server) = server {
            text.push_str(&format!("      caServer: {}\n", json!(server)));
        }
        if ca.is_some() {
            text.push_str("      caCertificates: [/etc/bp/acme_ca.pem]\n");
        }
    }
    text
}

fn dynamic(lab: &Lab, traefik: &Traefik) -> String {
    let dashboard = traefik.host.as_ref().map_or_else(String::new, |host| {
        format!(
            "    dashboard:\n      entryPoints: [websecure]\n      rule: Host(`{host}`)\n      \
             service: api@internal\n      middlewares: [login]\n      tls: {{}}\n"
        )
    });
    let pair = |cert: &str, key: &str| {
        format!("defaultCertificate: {{ certFile: {cert}, keyFile: {key} }}")
    };
    let certificate = match &traefik.tls {
        Tls::Internal => pair("/run/secrets/tls_traefik", "/run/secrets/tls_traefik"),
        Tls::Files { .. } => pair("/etc/bp/certificate.pem", "/run/secrets/traefik_key"),
        Tls::Acme { .. } => {
            let hosts: Vec<String> = hosts(lab).into_iter().collect();
            let domain =
                json!({ "main": hosts.first(), "sans": hosts.get(1..).unwrap_or_default() });
            format!("defaultGeneratedCert: {{ resolver: acme, domain: {domain} }}")
        }
    };
    include_str!("traefik/dynamic.yml")
        .replace("{{dashboard}}\n", &dashboard)
        .replace("{{certificate}}", &certificate)
}

fn health(stack: &str, traefik: &Traefik, managers: &[String]) -> Vec<Step> {
    match traefik.tls {
        // Its one instance may be on any of them.
        Tls::Acme { .. } => vec![answers(stack, traefik, managers)],
        _ => managers.iter().map(|manager| instance(stack, traefik, manager)).collect(),
    }
}

const WHY: &str = "every instance answers, knows the routers of bp's stacks, and shows a certificate that verifies";

fn instance(stack: &str, traefik: &Traefik, manager: &str) -> Step {
    let wanted = (stack.to_owned(), traefik.clone(), manager.to_owned());
    Step::host(manager, format!("{stack} instance"), WHY).check_shell_of(move |cx| {
        let (stack, traefik, manager) = wanted.clone();
        async move {
            let view = cx.swarm().await.map_err(Check::Unknown)?;
            if view.is_passed_over(&manager, &format!("{stack}_traefik")) {
                return Err(Check::True);
            }
            Ok(question(&stack, &traefik, &running(cx.lab(), &view)))
        }
    })
}

/// The one instance, on whichever manager it is.
fn answers(stack: &str, traefik: &Traefik, managers: &[String]) -> Step {
    let (stack_name, traefik, managers) = (stack.to_owned(), traefik.clone(), managers.to_vec());
    Step::lab(format!("{stack} instance"), WHY).check(move |cx| {
        let (stack, traefik, managers) = (stack_name.clone(), traefik.clone(), managers.clone());
        async move {
            let view = match cx.swarm().await {
                Ok(view) => view,
                Err(why) => return Check::Unknown(why),
            };
            let name = format!("{stack}_traefik");
            let Some(host) = view.host_of(&name) else {
                return Check::Unknown(format!("{name} does not run"));
            };
            if !managers.contains(&host) {
                return Check::Not(format!(
                    "{name} runs on {host}, which is no manager of the lab"
                ));
            }
            let ask = question(&stack, &traefik, &running(cx.lab(), &view));
            cx.check(&host, providers::Cmd::new(ask)).await
        }
    })
}

/// The gates of a stack that is reached through Traefik: every instance knows its routers. None where
/// it declares none, or stands before Traefik.
pub(crate) fn known(lab: &Lab, stack: &Stack, compose: &Compose) -> Vec<Step> {
    let is_traefik = |s: &&Stack| matches!(s.kind, StackKind::Traefik(_));
    let mut before = lab.stacks.iter().take_while(|s| s.name != stack.name);
    let (Some(traefik), routers) = (before.find(is_traefik), declared(compose)) else {
        return Vec::new();
    };
    if routers.is_empty() {
        return Vec::new();
    }
    let gate = |manager: String| {
        let wanted = (traefik.name.clone(), manager.clone(), routers.clone());
        let name = format!("{} routers", stack.name);
        Step::host(&manager, name, "Traefik leads to it").check_shell_of(move |cx| {
            let (traefik, manager, routers) = wanted.clone();
            async move {
                let view = cx.swarm().await.map_err(Check::Unknown)?;
                if !view.hosts_of(&format!("{traefik}_traefik")).contains(&manager) {
                    // What is to be on which manager is for Traefik's own gate.
                    return Err(Check::True);
                }
                Ok(asked(&traefik, "ca.crt", &routers))
            }
        })
    };
    managers(lab).into_iter().map(gate).collect()
}

/// The routers that the services of a stack declare, but for those that are to have no task.
fn declared(compose: &Compose) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&compose.text).unwrap_or_default();
    let services = compose.services.iter().filter(|s| s.replicas != Some(0));
    let labels =
        services.filter_map(|s| document["services"][&s.name]["deploy"]["labels"].as_object());
    let text = |(key, value): (&String, &Value)| {
        (key.clone(), value.as_str().unwrap_or_default().to_owned())
    };
    labels.flat_map(|all| routers(&all.iter().map(text).collect())).collect()
}

/// The routers of bp's own stacks whose tasks run. Those of others may be wrong, and are for their own
/// gates: a mistake there must not keep Traefik, and all that comes after it, from what mends it.
pub(crate) fn running(lab: &Lab, view: &SwarmView) -> BTreeSet<String> {
    let is_bps = |name: &str| {
        lab.stacks.iter().any(|s| s.name == name && !matches!(s.kind, StackKind::File(_)))
    };
    let services = view.services.iter().filter(|s| is_bps(s.stack()));
    let run = services.filter(|s| !view.hosts_of(&s.spec.name).is_empty());
    run.flat_map(|s| routers(&s.spec.labels)).collect()
}

/// The routers that a service's labels declare.
fn routers(labels: &BTreeMap<String, String>) -> BTreeSet<String> {
    if labels.get("traefik.enable").map(String::as_str) != Some("true") {
        return BTreeSet::new();
    }
    let rest = labels.keys().filter_map(|key| key.strip_prefix("traefik.http.routers."));
    rest.filter_map(|rest| rest.split_once('.')).map(|(name, _)| name.to_owned()).collect()
}

/// What an instance is asked inside its container: whom a client trusts, whether it is well, its
/// routers, and those that it refuses, each list in a line that begins with a bracket.
const INSIDE: &str = "a=http://127.0.0.1:8080; cat /etc/bp/{trusted}; echo; wget -q -O - $a/ping; echo; \
    wget -q -O - \"$a/api/http/routers?per_page=1000\"; echo; \
    wget -q -O - \"$a/api/http/routers?per_page=1000&status=disabled\"";

/// Asks the instance of the node itself about these routers; `trusted` is the file whose certificates
/// are in what it says.
fn asked(stack: &str, trusted: &str, routers: &BTreeSet<String>) -> String {
    let c = container(&format!("{stack}_traefik"));
    let mut ask = format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'no instance runs here'; exit 1; }}\n\
         said=$(docker exec \"$c\" sh -c {} 2>&1)\n\
         case $said in *'\n\
         OK\n\
         '*) ;; *) echo \"it does not answer: $(printf '%s\\n' \"$said\" | tail -n 1)\"; exit 1;; esac\n\
         all=$(printf '%s\\n' \"$said\" | grep '^\\[' | head -n 1); ill=$(printf '%s\\n' \"$said\" | grep '^\\[' | tail -n 1)\n",
        quote(&INSIDE.replace("{trusted}", trusted))
    );
    for router in routers {
        let name = quote(router);
        ask.push_str(&format!(
            "case $ill in *'\"name\":\"'{name}'@swarm\"'*) echo 'Traefik refuses the router '{name}; exit 1;; esac\n\
             case $all in *'\"name\":\"'{name}'@swarm\"'*) ;; *) echo 'Traefik does not know the router '{name}; exit 1;; esac\n"
        ));
    }
    ask
}

/// Asks the instance of the node itself, then goes the way that clients go. No answer of it is
/// without the dashboard's password.
pub(crate) fn question(stack: &str, traefik: &Traefik, routers: &BTreeSet<String>) -> String {
    // A given certificate may be of any authority: it has to be that one, for the name, in its time.
    let trusted =
        if matches!(traefik.tls, Tls::Files { .. }) { "certificate.pem" } else { "ca.crt" };
    let mut ask = asked(stack, trusted, routers);
    if let Some(host) = &traefik.host {
        // What an ACME server of the operator's own signs is trusted by their clients, not here: it has
        // to be another certificate than the one that Traefik makes while it has none.
        let (trust, own) = match &traefik.tls {
            Tls::Acme { server: Some(_), .. } => ("-kv", "*'CN=TRAEFIK DEFAULT CERT'*"),
            Tls::Acme { .. } => ("", "''"),
            Tls::Internal | Tls::Files { .. } => ("--cacert /dev/stdin", "''"),
        };
        ask.push_str(&format!(
            "code=$(printf '%s\\n' \"$said\" | sed -n '/^-----BEGIN/,/^-----END/p' | \
             curl -sS {trust} --max-time 10 -o /dev/null -w '\\n%{{http_code}}\\n' --resolve {host}:443:127.0.0.1 https://{host}/api/rawdata 2>&1) || \
             {{ echo \"{host}: $(printf '%s\\n' \"$code\" | grep '^curl:' | head -n 1)\"; exit 1; }}\n\
             case $code in {own}) echo 'no certificate has come from the ACME server: the logs of {stack}_traefik say why'; exit 1;; esac\n\
             code=$(printf '%s\\n' \"$code\" | grep -x '[0-9][0-9][0-9]' | tail -n 1)\n\
             [ \"$code\" = 401 ] || {{ echo \"the dashboard answers $code without its password, not 401\"; exit 1; }}\n"
        ));
    }
    ask
}
