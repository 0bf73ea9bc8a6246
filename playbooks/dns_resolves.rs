//! Whether a host's own resolver answers right, and how hosts come to ask the lab's server.

use crate::cx::Cx;
use crate::dns_records::zone;
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{DnsServer, Host, HostProvider, Lab};
use providers::{Cmd, File, Stdin, put};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A resolver may remember for as long that a name was not there.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The server of a network that bp made remembers no answer for longer than ten seconds.
const FORGOTTEN: Duration = Duration::from_secs(15);

/// Reads names with the addresses that they should have, a line each, and asks the resolver for all
/// of them at once. A name without addresses has to resolve to any.
///
/// `getent` leaves out what does not resolve; the answers for a name begin with the line that has
/// three words.
pub(crate) const ASK: &str = r#"w=$(cat)
[ -n "$w" ] || exit 0
n=$(printf '%s\n' "$w" | cut -d' ' -f1)
{ printf '%s\n\n' "$w"; getent ahostsv4 $n; } | awk '
NF == 0 { asked = 1; next }
!asked { n++; name[n] = $1; for (k = 2; k <= NF; k++) { want[n, $k] = 1; wants[n] = wants[n] " " $k }; next }
NF > 2 { i++ }
!((i, $1) in has) { has[i, $1] = 1; is[i] = is[i] " " $1 }
END {
  if (i != n) exit 3
  for (j = 1; j <= n; j++) {
    if (wants[j] == "") continue
    bad = 0; k = split(is[j], a, " "); while (k) { if (!((j, a[k]) in want)) bad = 1; k-- }
    k = split(wants[j], a, " "); while (k) { if (!((j, a[k]) in has)) bad = 1; k-- }
    if (bad) { print name[j] " resolves to" is[j] ", not" wants[j]; exit 1 }
  }
}' && exit 0
[ $? = 3 ] || exit 1
for i in $n; do getent ahostsv4 "$i" >/dev/null || { echo "$i does not resolve"; exit 1; }; done
echo 'names resolved differently a moment later'; exit 1"#;

/// The step that asks a host's own resolver. Machines on a network that bp made ask its server, which
/// forwards; others are told of the lab's server where systemd-resolved runs.
pub fn step(lab: &Lab, host: &Host) -> Step {
    let name = host.name.clone();
    let step = Step::host(
        &host.name,
        "resolves",
        "programs on the host ask its own resolver, whoever else answers right",
    )
    .within(REMEMBERED)
    .check(move |cx| {
        let host = name.clone();
        async move { check(&cx, &host).await }
    });
    // On the network whose server has the names nobody has to be told.
    let told = match lab.dns.server {
        DnsServer::Hosts => false,
        DnsServer::Libvirt => host.provider == HostProvider::Existing,
        DnsServer::PowerDns { .. } | DnsServer::Rfc2136 { .. } => true,
    };
    let name = host.name.clone();
    match told {
        true => step.apply(move |cx| {
            let host = name.clone();
            async move { tell(&cx, &host).await }
        }),
        false => step,
    }
}

async fn check(cx: &Cx, host: &str) -> Check {
    let names = match cx.names().await {
        Ok(names) => names,
        Err(why) => return Check::Unknown(why),
    };
    let lab = cx.lab();
    let own = lab.host(host).map(|h| lab.fqdn(h).to_lowercase()).unwrap_or_default();
    let mut asked = String::new();
    for (name, ips) in &names.addressed {
        let ips: Vec<String> =
            ips.iter().filter(|ip: &&IpAddr| ip.is_ipv4()).map(IpAddr::to_string).collect();
        match ips.is_empty() {
            true => {}
            // To itself a host may be any of its addresses, 127.0.1.1 as Debian has it included.
            false if *name == own => asked.push_str(&format!("{name}\n")),
            false => asked.push_str(&format!("{name} {}\n", ips.join(" "))),
        }
    }
    let cmd = Cmd::new(ASK).stdin(Stdin::Bytes(asked.into_bytes()));
    match cx.check(host, cmd).await {
        Check::Not(why) => match told(cx).await {
            Some((zone, server)) => {
                Check::Not(format!("{why} (its resolver has to ask {server} for `{zone}`)"))
            }
            None => Check::Not(why),
        },
        found => found,
    }
}

/// The zone that a resolver has to ask a server for, and the server.
async fn told(cx: &Cx) -> Option<(String, String)> {
    let zone = zone(cx.lab())?.to_owned();
    let server = cx.world().dns().await.ok()??.answers().await.ok()?;
    Some((zone, server.to_string()))
}

/// What the host resolves once the server of a network that bp made has forgotten, too.
async fn settled(cx: &Cx, host: &str) -> Check {
    let guest = cx.lab().host(host).is_some_and(|h| h.provider != HostProvider::Existing);
    let until = Instant::now() + if guest { FORGOTTEN } else { Duration::ZERO };
    loop {
        let found = check(&cx.fresh(), host).await;
        if found == Check::True || Instant::now() >= until {
            return found;
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
}

/// The file that tells systemd-resolved of the server.
pub fn dropin(lab: &str) -> String {
    format!("/etc/systemd/resolved.conf.d/bp-{lab}.conf")
}

/// Has the host's resolver forget what it remembers; where that is not enough, tells it of the
/// server.
async fn tell(cx: &Cx, host: &str) -> Result<(), Trouble> {
    cx.ok(host, Cmd::new("resolvectl flush-caches 2>/dev/null || :")).await?;
    let why = match settled(cx, host).await {
        Check::True => return Ok(()),
        other => other.reason().to_owned(),
    };
    let Some((zone, server)) = told(cx).await else { return Err(Failure::new(why).into()) };
    let runs = Cmd::new("systemctl is-active --quiet systemd-resolved");
    if !cx.run(host, &runs).await?.ok() {
        let hint = format!(
            "bp tells systemd-resolved alone, which does not run on {host}: make what it has \
             instead ask {server} for `{zone}`"
        );
        return Err(Failure::new(why).hint(hint).into());
    }
    let lab = &cx.lab().name;
    let text =
        format!("# Made by bp for the lab {lab}.\n[Resolve]\nDNS={server}\nDomains=~{zone}\n");
    let path = dropin(lab);
    cx.ok(host, Cmd::new("mkdir -p /etc/systemd/resolved.conf.d")).await?;
    let (content, owner) = (Stdin::Bytes(text.into_bytes()), "root:root".to_owned());
    cx.ok(host, put(&File { path, content, mode: 0o644, owner })).await?;
    restart(cx, host).await
}

/// Takes away what told the host's resolver of the server.
pub async fn forget(cx: &Cx, host: &str) -> Result<(), Trouble> {
    cx.ok(host, Cmd::new(format!("rm -f {}", dropin(&cx.lab().name)))).await?;
    restart(cx, host).await
}

async fn restart(cx: &Cx, host: &str) -> Result<(), Trouble> {
    let cmd = Cmd::new("systemctl try-restart systemd-resolved");
    cx.ok(host, cmd).await.map(drop)
}
