//! Phase gluster: volumes over the hosts' bricks, mounted.
//!
//! Hosts with a brick share one pool, and know each other by name. A volume is made from their
//! bricks, carries the lab's name as an option of its own (`user.bp.lab`), and is mounted on every
//! node of the swarm.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::runbook;
use crate::step::{Failure, Step};
use crate::view::Table;
use crate::{
    gluster_bricks as bricks, gluster_folder as folder, gluster_mount as mount,
    gluster_peers as peers, gluster_status as status, gluster_volume as volume,
};
use blueprints::{Lab, VolumeKind};
use serde_json::json;
use std::path::Path;

/// The playbook that installs it.
const PLAYBOOK: &str = "gluster.yml";

/// The steps of the phase, and remarks on playbooks that stand in for bp's own.
///
/// # Errors
/// When a playbook can't be read.
pub fn steps(lab: &Lab, beside: &Path) -> Result<(Vec<Step>, Vec<String>), Failure> {
    if lab.volumes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (text, remark) = runbook::built_in(PLAYBOOK, beside)?;
    let mut steps = runbook::steps(lab, PLAYBOOK, &text, &json!({}))?;
    steps.push(peers::identities());
    steps.push(peers::peers());
    for host in lab.brick_hosts() {
        let of_host = lab.volumes.iter().flat_map(|v| v.bricks.iter().map(move |b| (v, b)));
        let of_host = of_host.filter(|(_, brick)| brick.host == host.name);
        steps.extend(of_host.map(|(v, brick)| folder::brick(&v.name, brick)));
    }
    steps.extend(lab.volumes.iter().map(volume::made));
    steps.extend(lab.volumes.iter().map(bricks::members));
    steps.extend(lab.volumes.iter().map(volume::online));
    for host in lab.mount_hosts() {
        steps.extend(lab.volumes.iter().map(|v| mount::mounted(lab, host, v)));
    }
    steps.extend(lab.hosts.iter().map(|host| mount::unlisted(lab, host)));
    let copies = lab.volumes.iter().filter(|v| v.kind != VolumeKind::Distribute);
    steps.extend(copies.map(volume::healed));
    steps.extend(lab.volumes.iter().map(mount::shared));
    steps.push(volume::unlisted());
    steps.push(peers::unlisted());
    Ok((steps, remark.into_iter().collect()))
}

/// What the phase made outside the machines that bp removes: see [`crate::destroy`].
///
/// # Errors
/// When nobody can say what is there.
pub async fn leftovers(cx: &Cx) -> Result<Vec<Leftover>, Failure> {
    Ok(status::leftovers(cx).await)
}

/// What `status` shows of it besides its steps.
pub async fn shown(cx: &Cx) -> Vec<Table> {
    match cx.lab().volumes.is_empty() {
        true => Vec::new(),
        false => vec![status::table(cx).await],
    }
}
