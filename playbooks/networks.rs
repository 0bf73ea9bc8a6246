//! Phase networks: overlay networks that stacks share, declared once, before them.

use crate::cx::Cx;
use crate::docker::{LAB_LABEL, OverlayNetwork, no_manager};
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Lab, Network};
use providers::{Cmd, quote};

/// The steps of the phase.
pub fn steps(lab: &Lab) -> Vec<Step> {
    wanted(lab).iter().map(|network| made(lab, network)).collect()
}

/// The declared networks, and those that bp's own stacks need and nobody declared.
fn wanted(lab: &Lab) -> Vec<Network> {
    let mut wanted = lab.swarm.networks.clone();
    for name in lab.stacks.iter().flat_map(|s| s.kind.networks()) {
        if !wanted.iter().any(|n| n.name == *name) {
            let name = (*name).to_owned();
            wanted.push(Network { name, encrypted: false, attachable: false, subnet: None });
        }
    }
    wanted
}

fn made(lab: &Lab, wanted: &Network) -> Step {
    let (checked, applied, lab) = (wanted.clone(), wanted.clone(), lab.name.clone());
    Step::lab(&wanted.name, "stacks meet on overlay networks that exist before them")
        .check(move |cx| {
            let wanted = checked.clone();
            async move {
                let view = match cx.swarm().await {
                    Ok(view) => view,
                    Err(why) => return Check::Unknown(why),
                };
                match view.networks.iter().find(|n| n.name == wanted.name) {
                    None => Check::Not("it is not there".to_owned()),
                    Some(has) => {
                        let differs = differs(has, &wanted);
                        Check::when(differs.is_empty(), differs.join(", "))
                    }
                }
            }
        })
        .apply(move |cx| {
            let (wanted, lab) = (applied.clone(), lab.clone());
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                let mut script = String::new();
                if let Some(has) = view.networks.iter().find(|n| n.name == wanted.name) {
                    if owner(has) != lab {
                        return Err(Failure::new(format!(
                            "the network `{}` is not bp's own, and differs: {}",
                            wanted.name,
                            differs(has, &wanted).join(", ")
                        ))
                        .hint("remove it, or declare it in the blueprint as it is")
                        .into());
                    }
                    script = remove(&wanted.name);
                }
                script.push_str(&create(&lab, &wanted));
                change(&cx, &view.manager, script).await
            }
        })
}

async fn change(cx: &Cx, manager: &str, script: String) -> Result<(), Trouble> {
    let cmd = Cmd::new(script);
    let output = cx.run(manager, &cmd).await?;
    if output.ok() {
        return Ok(());
    }
    let failure = Failure::command(&cmd, &output);
    Err(if output.err().contains("in use") {
        failure.hint("docker can't change a network that is used: `docker stack rm` what uses it, then `bp up`")
    } else {
        failure
    }
    .into())
}

/// Networks of this lab that have left the blueprint.
pub(crate) fn pruned(lab: &Lab) -> Step {
    let (name, declared) = (lab.name.clone(), names(lab));
    let (by, keep) = (name.clone(), declared.clone());
    let left = move |networks: &[OverlayNetwork], lab: &str, declared: &[String]| -> Vec<String> {
        let gone = |n: &&OverlayNetwork| owner(n) == lab && !declared.contains(&n.name);
        networks.iter().filter(gone).map(|n| n.name.clone()).collect()
    };
    Step::lab("unlisted networks", "networks of the lab that have left the blueprint are removed")
        .check(move |cx| {
            let (name, declared) = (name.clone(), declared.clone());
            async move {
                match cx.swarm().await {
                    Err(why) => Check::Unknown(why),
                    Ok(view) => {
                        let left = left(&view.networks, &name, &declared);
                        Check::when(
                            left.is_empty(),
                            format!("{} left the blueprint", left.join(", ")),
                        )
                    }
                }
            }
        })
        .apply(move |cx| {
            let (name, declared) = (by.clone(), keep.clone());
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                for network in left(&view.networks, &name, &declared) {
                    change(&cx, &view.manager, remove(&network)).await?;
                }
                Ok(())
            }
        })
}

fn names(lab: &Lab) -> Vec<String> {
    wanted(lab).into_iter().map(|n| n.name).collect()
}

fn owner(network: &OverlayNetwork) -> &str {
    network.labels.as_ref().and_then(|l| l.get(LAB_LABEL)).map_or("", String::as_str)
}

/// Removes a network and waits until it is gone: docker answers before it is.
pub(crate) fn remove(name: &str) -> String {
    let name = quote(name);
    format!(
        "( docker network rm {name} >/dev/null || exit\n\
         for i in $(seq 50); do docker network inspect {name} >/dev/null 2>&1 || exit 0; sleep 0.2; done\n\
         echo 'it is still there after its removal' >&2; exit 1 ) || exit\n"
    )
}

fn create(lab: &str, wanted: &Network) -> String {
    let mut command = format!("docker network create --driver overlay --label {LAB_LABEL}={lab}");
    if wanted.attachable {
        command.push_str(" --attachable");
    }
    if wanted.encrypted {
        command.push_str(" --opt encrypted");
    }
    if let Some(subnet) = wanted.subnet {
        command.push_str(&format!(" --subnet {subnet}"));
    }
    format!("{command} {} >/dev/null", quote(&wanted.name))
}

fn differs(has: &OverlayNetwork, wanted: &Network) -> Vec<String> {
    let mut differs = Vec::new();
    for (what, has, wants) in [
        ("attachable", has.attachable, wanted.attachable),
        ("encrypted", has.is_encrypted(), wanted.encrypted),
    ] {
        if has != wants {
            differs.push(format!("{what} is {has}, the blueprint says {wants}"));
        }
    }
    if let Some(wants) = wanted.subnet {
        let subnets = has.ipam.config.iter().flatten();
        let subnets: Vec<&str> = subnets.map(|c| c.subnet.as_str()).collect();
        if subnets != [wants.to_string()] {
            differs.push(format!(
                "its subnet is {}, the blueprint says {wants}",
                subnets.join(" and ")
            ));
        }
    }
    differs
}
