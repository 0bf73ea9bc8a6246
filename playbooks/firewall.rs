//! Phase firewall: the hosts' walls, with the doors that roles and stacks need.
//!
//! Hosts change side by side: a wall never ends connections that stand, and one that is wrong undoes
//! itself.

pub(crate) mod asked;
pub(crate) mod doors;
pub(crate) mod firewalld;
mod guard;
pub(crate) mod nftables;
mod published;
pub(crate) mod ufw;
pub(crate) mod walls;

use crate::compose::{self, Compose};
use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::engine;
use crate::limits;
use crate::runbook::APT;
use crate::step::{Check, Failure, Step, Trouble};
use crate::view::Table;
use asked::{Asked, Backend, FIREWALLD_RUNS, UFW_IS_ON};
use blueprints::{FirewallBackend, Host, HostProvider, Lab};
use doors::{Door, doors};
use futures::future::join_all;
use guard::{Change, guarded};
use std::time::Duration;
use walls::{Open, Walls};

/// Getting ready, a change with its confirmation or with the wait until it has undone itself.
const CHANGE: Duration = Duration::from_secs(900);

/// The steps of the phase. `stacks` are what is deployed later: their published ports are doors.
pub fn steps(lab: &Lab, stacks: &[Compose]) -> Vec<Step> {
    let Some(backend) = lab.firewall.as_ref().map(|f| f.backend) else { return Vec::new() };
    if backend == FirewallBackend::None {
        return lab.hosts.iter().map(|host| opened(&host.name)).collect();
    }
    let of_host =
        |host: &Host| [program(host, backend), closed(host, backend, doors(lab, stacks, host))];
    lab.hosts.iter().flat_map(of_host).collect()
}

/// What enforces the walls is installed.
fn program(host: &Host, backend: FirewallBackend) -> Step {
    let (program, package) = match backend {
        FirewallBackend::Firewalld => ("firewalld", "firewalld"),
        FirewallBackend::Ufw => ("ufw", "ufw"),
        FirewallBackend::Auto | FirewallBackend::Nftables | FirewallBackend::None => {
            ("nft", "nftables")
        }
    };
    let there = format!("command -v {program} >/dev/null");
    let check = match backend {
        FirewallBackend::Auto => format!("{there} || {UFW_IS_ON} || {{ {FIREWALLD_RUNS}; }}"),
        _ => there,
    };
    Step::host(&host.name, "program", "walls need a program that keeps them")
        .within(limits::PACKAGES)
        .check_shell(format!("{check} || {{ echo '{package} is not installed'; exit 1; }}"))
        .apply_shell(install(package))
}

/// Installs a package of Debian's, and removes none for it: what keeps walls in another way is the
/// operator's. firewalld would start at once, and close what nobody opened yet.
fn install(package: &str) -> String {
    let (packages, before, after) = match package {
        "firewalld" => (
            "firewalld dbus",
            "systemctl mask -q firewalld 2>/dev/null || :",
            "systemctl unmask -q firewalld 2>/dev/null; systemctl disable -q firewalld 2>/dev/null || :",
        ),
        package => (package, ":", ":"),
    };
    format!(
        "set -eu\n\
         {APT}\
         {before}\n\
         patiently $apt install --fix-broken --no-remove --no-install-recommends || echo \"$said\" >&2\n\
         patiently $apt install --no-remove --no-install-recommends {packages} || {{ echo \"$said\" >&2; exit 1; }}\n\
         {after}"
    )
}

/// The wall itself: closed, but for its doors.
fn closed(host: &Host, backend: FirewallBackend, doors: Vec<Door>) -> Step {
    let name = host.name.clone();
    let (checked, applied) = ((name.clone(), doors.clone()), (name, doors));
    let mut step = Step::host(
        &host.name,
        "doors",
        "what nobody needs is closed, what roles and stacks need is open",
    );
    // Where firewalld starts, engines start again.
    if backend == FirewallBackend::Firewalld {
        step = step.alone(engine::RESTART);
    }
    step.within(CHANGE)
        .check(move |cx| {
            let (host, doors) = checked.clone();
            async move { check(&cx, &host, backend, &doors).await }
        })
        .apply(move |cx| {
            let (host, doors) = applied.clone();
            async move {
                let walls = Walls::of(&cx, &doors).await.map_err(Failure::new)?;
                let asked = Asked::of(&cx, &host).await?;
                let by = asked.backend(backend)?;
                if let Some(failure) = in_the_way(by, &walls, &asked) {
                    return Err(failure.into());
                }
                let change = match by {
                    Backend::Nftables => nftables::change(&walls),
                    Backend::Ufw => ufw::change(&walls, &asked),
                    Backend::Firewalld => firewalld::change(&walls, &asked),
                };
                guarded(&cx, &host, &change).await?;
                if by == Backend::Firewalld {
                    engine::wait_for_node(&cx, &host).await?;
                }
                // What bp made before another firewall was chosen would close what that one opens.
                if by != Backend::Nftables && nftables::is_there(&asked) {
                    guarded(&cx, &host, &nftables::removal(&cx.lab().name)).await?;
                }
                Ok(())
            }
        })
}

/// Walls that bp made while the blueprint wanted some are gone.
fn opened(host: &str) -> Step {
    let (checked, applied) = (host.to_owned(), host.to_owned());
    Step::host(host, "no walls", "the blueprint says that there are none")
        .within(CHANGE)
        .check(move |cx| {
            let host = checked.clone();
            async move {
                match Asked::of(&cx, &host).await {
                    Ok(asked) => {
                        Check::when(!is_there(&cx.lab().name, &asked), "bp's walls stand there")
                    }
                    Err(Trouble::Session(error)) => cx.unanswered(&host, error).await,
                    Err(trouble) => trouble.into(),
                }
            }
        })
        .apply(move |cx| {
            let host = applied.clone();
            async move { remove(&cx, &host).await }
        })
}

async fn check(cx: &Cx, host: &str, backend: FirewallBackend, doors: &[Door]) -> Check {
    let walls = match Walls::of(cx, doors).await {
        Ok(walls) => walls,
        Err(why) => return Check::Unknown(why),
    };
    let asked = match Asked::of(cx, host).await {
        Ok(asked) => asked,
        Err(Trouble::Session(error)) => return cx.unanswered(host, error).await,
        Err(trouble) => return trouble.into(),
    };
    let backend = match asked.backend(backend) {
        Ok(backend) => backend,
        Err(failure) => return Check::Failed(failure),
    };
    if let Some(failure) = in_the_way(backend, &walls, &asked) {
        return Check::Failed(failure);
    }
    let mut words = differences(backend, &walls, &asked);
    if asked.has("armed") {
        words.push("a change was not confirmed and is about to undo itself".to_owned());
    }
    Check::when(words.is_empty(), words.join(", "))
}

/// What of others' keeps closed what the lab opens: bp does not touch it.
fn in_the_way(backend: Backend, walls: &Walls, asked: &Asked) -> Option<Failure> {
    match backend {
        Backend::Nftables => nftables::in_the_way(&walls.lab, asked),
        Backend::Ufw => ufw::in_the_way(walls, asked),
        Backend::Firewalld => firewalld::in_the_way(asked),
    }
}

fn differences(backend: Backend, walls: &Walls, asked: &Asked) -> Vec<String> {
    let mut words = match backend {
        Backend::Nftables => return nftables::differences(walls, asked),
        Backend::Ufw => ufw::differences(walls, asked),
        Backend::Firewalld => firewalld::differences(walls, asked),
    };
    if nftables::is_there(asked) {
        words.push("bp's own table of nftables is there beside it".to_owned());
    }
    words
}

/// What the phase made outside the machines that bp removes: see [`crate::destroy`].
///
/// # Errors
/// When nobody can say what is there.
pub async fn leftovers(cx: &Cx) -> Result<Vec<Leftover>, Failure> {
    let stay = cx.lab().hosts.iter().filter(|h| h.provider == HostProvider::Existing);
    let asked = join_all(
        stay.map(|host| async move { (host.name.clone(), Asked::of(cx, &host.name).await) }),
    );
    let mut left = Vec::new();
    for (host, asked) in asked.await {
        // Who does not answer may have them: the removal says that it could not be asked.
        let there = asked.map_or(cx.lab().firewall.is_some(), |a| is_there(&cx.lab().name, &a));
        if there {
            left.push(Leftover {
                what: format!("walls of {host}"),
                remove: Box::new(move |cx| {
                    let host = host.clone();
                    Box::pin(async move { remove(&cx, &host).await })
                }),
            });
        }
    }
    Ok(left)
}

fn is_there(lab: &str, asked: &Asked) -> bool {
    nftables::is_there(asked) || ufw::is_there(lab, asked) || firewalld::is_there(lab, asked)
}

/// Takes the lab's walls off a host, without locking anybody out.
async fn remove(cx: &Cx, host: &str) -> Result<(), Trouble> {
    let (asked, lab) = (Asked::of(cx, host).await?, &cx.lab().name);
    let mut removals: Vec<Change> = Vec::new();
    if nftables::is_there(&asked) {
        removals.push(nftables::removal(lab));
    }
    if ufw::is_there(lab, &asked) {
        removals.push(ufw::removal(lab, &asked));
    }
    if firewalld::is_there(lab, &asked) {
        removals.push(firewalld::removal(lab, &asked));
    }
    for change in removals {
        guarded(cx, host, &change).await?;
    }
    Ok(())
}

/// What `status` shows of it besides its steps: wanted ports against open ones.
pub async fn shown(cx: &Cx) -> Vec<Table> {
    let Some(backend) = cx.lab().firewall.as_ref().map(|f| f.backend) else { return Vec::new() };
    if backend == FirewallBackend::None {
        return Vec::new();
    }
    // The plan has read them; what can't be read is no door.
    let stacks = compose::all(cx.lab(), cx.dir()).unwrap_or_default();
    let hosts = cx.lab().hosts.iter().map(|host| {
        let doors = doors(cx.lab(), &stacks, host);
        async move {
            let open = open(cx, &host.name, backend, &doors).await;
            rows(&host.name, &doors, open.as_deref())
        }
    });
    let rows = join_all(hosts).await.into_iter().flatten().collect();
    vec![Table {
        title: "ports".to_owned(),
        head: vec!["host", "port", "from", "wanted", "open"],
        rows,
    }]
}

/// The ports of a host that are wanted or open. `None`: nobody could say what is open.
fn rows(host: &str, doors: &[Door], open: Option<&[Open]>) -> Vec<Vec<String>> {
    let row = |o: &Open, wanted: &str, open: &str| {
        [host, &o.what, &o.from, wanted, open].map(str::to_owned).to_vec()
    };
    let wanted: Vec<Open> = doors.iter().map(Open::of).collect();
    let is_open = |o: &Open| open.map_or("?", |all| if all.contains(o) { "yes" } else { "no" });
    let mut rows: Vec<Vec<String>> = wanted.iter().map(|o| row(o, "yes", is_open(o))).collect();
    let more = open.unwrap_or_default().iter().filter(|o| !wanted.contains(o));
    rows.extend(more.map(|o| row(o, "no", "yes")));
    rows
}

/// What is open on a host; `None` where nobody can say.
async fn open(cx: &Cx, host: &str, wanted: FirewallBackend, doors: &[Door]) -> Option<Vec<Open>> {
    let asked = Asked::of(cx, host).await.ok()?;
    Some(match asked.backend(wanted).ok()? {
        Backend::Nftables => nftables::open(&asked),
        Backend::Ufw => ufw::open(&Walls::of(cx, doors).await.ok()?, &asked),
        Backend::Firewalld => firewalld::open(&Walls::of(cx, doors).await.ok()?, &asked),
    })
}
