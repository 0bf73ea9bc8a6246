//! Whether a host's own resolver answers right, and how hosts come to ask the lab's server.

use crate::cx::Cx;
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{DnsServer, Host, HostProvider, Lab};
use providers::{Cmd, File, Stdin, put, quote};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A resolver may remember for as long that a name was not there.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The server of a network that bp made remembers no answer for longer than ten seconds.
const FORGOTTEN: Duration = Duration::from_secs(15);

/// Asks the resolver for all names of `$w` at once: a line each, with the addresses that it should
/// have; a name without addresses has to resolve to any. `$h` is said with what is wrong.
///
/// `getent` leaves out what does not resolve; the answers for a name begin with the line that has
/// three words. A dead resolver costs seconds a name, and other checks wait for this one.
pub(crate) const ASK: &str = r#"[ -n "$w" ] || exit 0
export h
n=$(printf '%s\n' "$w" | cut -d' ' -f1)
{ printf '%s\n\n' "$w"; timeout 20 getent ahostsv4 $n || [ $? != 124 ] || echo late; } | awk '
NF == 0 { asked = 1; next }
asked && $1 == "late" { late = 1; next }
!asked { n++; name[n] = $1; for (k = 2; k <= NF; k++) { want[n, $k] = 1; wants[n] = wants[n] " " $k }; next }
NF > 2 { i++ }
!((i, $1) in has) { has[i, $1] = 1; is[i] = is[i] " " $1 }
END {
  if (late) { print "its resolver takes more than 20 s" ENVIRON["h"]; exit 1 }
  if (i != n) exit 3
  for (j = 1; j <= n; j++) {
    if (wants[j] == "") continue
    bad = 0; k = split(is[j], a, " "); while (k) { if (!((j, a[k]) in want)) bad = 1; k-- }
    k = split(wants[j], a, " "); while (k) { if (!((j, a[k]) in has)) bad = 1; k-- }
    if (bad) { print name[j] " resolves to" is[j] ", not" wants[j] ENVIRON["h"]; exit 1 }
  }
}' && exit 0
[ $? = 3 ] || exit 1
for i in $n; do timeout 20 getent ahostsv4 "$i" >/dev/null || { echo "$i does not resolve$h"; exit 1; }; done
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
    .check_shell_of(move |cx| {
        let host = name.clone();
        async move { script(&cx, &host).await }
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

/// The check: what the host should resolve, and how it is asked.
async fn script(cx: &Cx, host: &str) -> Result<String, Check> {
    let names = cx.names().await.map_err(Check::Unknown)?;
    let lab = cx.lab();
    let own = lab.host(host).map(|h| lab.fqdn(h).to_lowercase()).unwrap_or_default();
    let line = |(name, ips): (&String, &BTreeSet<IpAddr>)| {
        let ips: Vec<String> =
            ips.iter().filter(|ip| ip.is_ipv4()).map(IpAddr::to_string).collect();
        match ips.is_empty() {
            true => None,
            // To itself a host may be any of its addresses, 127.0.1.1 as Debian has it included.
            false if *name == own => Some(name.clone()),
            false => Some(format!("{name} {}", ips.join(" "))),
        }
    };
    let lines: Vec<String> = names.addressed.iter().filter_map(line).collect();
    let told = names.server.as_ref();
    let told = told.map(|(zone, at)| format!(" (its resolver has to ask {at} for `{zone}`)"));
    let (lines, told) = (quote(&lines.join("\n")), quote(&told.unwrap_or_default()));
    Ok(format!("w={lines}\nh={told}\n{ASK}"))
}

/// What the host resolves once the server of a network that bp made has forgotten, too.
async fn settled(cx: &Cx, host: &str) -> Check {
    let guest = cx.lab().host(host).is_some_and(|h| h.provider != HostProvider::Existing);
    let until = Instant::now() + if guest { FORGOTTEN } else { Duration::ZERO };
    loop {
        let cx = cx.fresh();
        let found = match script(&cx, host).await {
            Ok(script) => cx.check(host, Cmd::new(script)).await,
            Err(answer) => answer,
        };
        if found == Check::True || Instant::now() >= until {
            return found;
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
}

/// Prints the servers that systemd-resolved asks whatever the link.
pub(crate) const GLOBAL: &str = "resolvectl dns | sed -n 's/^Global://p'";

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
    let names = cx.names().await.map_err(Failure::new)?;
    let Some((zone, server)) = &names.server else { return Err(Failure::new(why).into()) };
    if server.ip().is_loopback() {
        let hint = format!(
            "{server} is the server for this machine alone: where hosts are to ask it themselves, \
             it has to answer at an address that they reach"
        );
        return Err(Failure::new(why).hint(hint).into());
    }
    let runs = Cmd::new("systemctl is-active --quiet systemd-resolved");
    if !cx.run(host, &runs).await?.ok() {
        let hint = format!(
            "bp tells systemd-resolved alone, which does not run on {host}: make what it has \
             instead ask {server} for `{zone}`"
        );
        return Err(Failure::new(why).hint(hint).into());
    }
    let lab = &cx.lab().name;
    let to = match server.port() {
        53 => server.ip().to_string(),
        _ => server.to_string(),
    };
    // One server for all links is asked as well as any other: which one answers would be luck.
    let said = cx.run(host, &Cmd::new(GLOBAL)).await?.out();
    if let Some(other) = said.split_whitespace().find(|other| **other != to) {
        let hint = format!(
            "systemd-resolved on {host} asks {other} whatever the link: make that server ask {server} \
             for `{zone}`, or name it for its link alone"
        );
        return Err(Failure::new(why).hint(hint).into());
    }
    let text = format!("# Made by bp for the lab {lab}.\n[Resolve]\nDNS={to}\nDomains=~{zone}\n");
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
