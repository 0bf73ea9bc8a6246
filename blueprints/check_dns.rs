//! Rules about who answers for the lab's names. Those about the names are in `check_records.rs`.

use crate::check::Plan;
use crate::context::{Context, DOMAIN, is_dns_name, is_domain, is_url, lies_in};
use crate::dns::{api_address, socket};
use crate::field::{Field, Spanned};
use crate::file_ground::{Dns, DnsServer};
use crate::units::Time;
use std::time::Duration;

/// The blueprint's `dns`.
fn dns<'p>(plan: &'p Plan<'_>) -> Option<&'p Dns> {
    plan.file.dns.get()
}

/// The server and where it stands.
fn server<'p>(plan: &'p Plan<'_>) -> Option<&'p Spanned<DnsServer>> {
    dns(plan).and_then(|dns| dns.server.given())
}

/// An address with a port where that is not 53.
const ANSWERS: &str = "an address such as `10.20.30.1` or `10.20.30.1:5353`";

fn is_socket(text: &str) -> bool {
    socket(text).is_some()
}

/// PowerDNS has an API, a key for it, and an address that can be asked.
pub(crate) fn powerdns(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(Spanned { value: DnsServer::PowerDns(pdns), at }) = server(plan) else { return };
    for (absent, name, example) in [
        (pdns.url.is_absent(), "url", "url: http://10.20.30.1:8081"),
        (pdns.api_key.is_absent(), "api_key", "api_key: { env: PDNS_API_KEY }"),
    ] {
        if absent {
            context.missing(*at, name, "`powerdns`", example);
        }
    }
    context.shape(&pdns.answers, is_socket, ANSWERS);
    let Some(url) = pdns.url.given() else { return };
    if !is_url(&url.value) || url.value.contains(['?', '#']) {
        context.shape_of(url, |_| false, "an http or https URL");
    } else if url.value.trim_end_matches('/').ends_with("/api/v1") {
        let help = "`/api/v1` is added by bp";
        context.error_help(url.at, "expected the URL that the API's paths are added to", help);
    } else if pdns.answers.is_absent() && api_address(pdns).is_none() {
        let help =
            "records are verified by asking it: `answers: 10.20.30.1`, with a port if not 53";
        context.error_help(url.at, "the URL has a name, so `powerdns` needs `answers`", help);
    }
}

/// A server of dynamic updates has an address, and a key that signs them.
pub(crate) fn rfc2136(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(Spanned { value: DnsServer::Rfc2136(update), at }) = server(plan) else { return };
    if update.server.is_absent() {
        context.missing(*at, "server", "`rfc2136`", "server: 10.20.30.1");
    }
    context.shape(&update.server, is_socket, ANSWERS);
    let example = "{ name: bp, secret: { env: TSIG_SECRET } }";
    let key = match &update.key {
        Field::Given(key) => key,
        Field::Wrong => return,
        Field::Absent => {
            return context.missing(*at, "key", "`rfc2136`", &format!("key: {example}"));
        }
    };
    for (absent, name, example) in [
        (key.value.name.is_absent(), "name", "name: bp"),
        (key.value.secret.is_absent(), "secret", "secret: { env: TSIG_SECRET }"),
    ] {
        if absent {
            context.missing(key.at, name, "`key`", example);
        }
    }
    // Servers name keys as they name hosts, and with underscores.
    let name = |text: &str| is_dns_name(&text.strip_suffix('.').unwrap_or(text).replace('_', "x"));
    context.shape(&key.value.name, name, "the name of a key, as the server's own file has it");
}

/// The DNS server of libvirt's network is one of a network that the blueprint has.
pub(crate) fn libvirt(plan: &Plan<'_>, context: &mut Context<'_>) {
    if let Some(Spanned { value: DnsServer::Libvirt(_), at }) = server(plan)
        && plan.lab.libvirt.is_none()
    {
        let help = "`server: { hosts: {} }` needs no server at all";
        context.error_help(*at, "no libvirt network answers: no hypervisor is declared", help);
    }
}

/// The zone is a domain, and that of the hosts lies in it.
pub(crate) fn zone(plan: &Plan<'_>, context: &mut Context<'_>) {
    let zone = match server(plan).map(|server| &server.value) {
        Some(DnsServer::PowerDns(pdns)) => &pdns.zone,
        Some(DnsServer::Rfc2136(update)) => &update.zone,
        _ => return,
    };
    context.shape(zone, is_domain, DOMAIN);
    let Some(zone) = zone.given() else { return };
    let domain = &plan.lab.domain;
    if is_domain(&zone.value) && is_domain(domain) && !lies_in(domain, &zone.value) {
        let message =
            format!("the hosts' domain `{domain}` does not lie in the zone `{}`", zone.value);
        let help = "every host has a record; the zone is the blueprint's `domain` or above it";
        context.error_help(zone.at, message, help);
    }
}

/// Answers are kept for a second to a week; where there is no server, nobody is told how long.
pub(crate) fn ttls(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(dns) = dns(plan) else { return };
    ttl(&dns.ttl, plan, context);
    for (_, record) in dns.records.entries() {
        ttl(&record.value.ttl, plan, context);
    }
}

fn ttl(ttl: &Field<Time>, plan: &Plan<'_>, context: &mut Context<'_>) {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let Some(ttl) = ttl.given() else { return };
    let time = ttl.value.0;
    if !(Duration::from_secs(1)..=WEEK).contains(&time) || time.subsec_nanos() > 0 {
        context.error(ttl.at, "expected whole seconds, from `1s` to a week (`168h`)");
    } else if plan.lab.dns.server.zone().is_none() {
        let message = "`ttl` says nothing here: neither `/etc/hosts` nor libvirt's server knows it";
        context.problems.push(crate::diagnostic::Problem::warning(ttl.at, message));
    }
}
