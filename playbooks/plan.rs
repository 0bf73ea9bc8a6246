//! The order of a run, in one list.

use crate::cx::World;
use crate::step::{Failure, Step};
use crate::{
    base, compose, dns, engine, firewall, gluster, images, labels, machines, networks, runbook,
    secrets, stacks, swarm,
};
use blueprints::{Lab, Phase};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// The ordered steps of a lab, and remarks on what stands in for bp's own parts.
pub struct Plan {
    /// All steps of all phases, in order.
    pub steps: Vec<Step>,
    /// One sentence each.
    pub remarks: Vec<String>,
    /// What the stacks' secrets are called that somebody gives, and by what.
    pub given: Vec<(String, blueprints::Secret)>,
}

/// The steps of every phase of the lab. Reads files beside the blueprint, touches nothing else.
///
/// # Errors
/// When a playbook, a compose file or an image archive is wrong.
pub fn plan(lab: &Lab, beside: &Path, world: &Arc<dyn World>) -> Result<Plan, Failure> {
    let stacked = compose::all(lab, beside)?;
    let remarks = stacked.iter().flat_map(|stack| stack.remarks.clone());
    let remarks = remarks.chain(secrets::unused(lab, &stacked)).collect();
    let mut plan = Plan { steps: Vec::new(), remarks, given: secrets::given(lab, &stacked) };
    for phase in &lab.phases {
        let (mut steps, remarks) = match phase {
            Phase::Machines => {
                let providers = world.providers().into_iter();
                let shared =
                    providers.flat_map(|p| p.shared().into_iter().map(move |s| (p.clone(), s)));
                (machines::steps(lab, shared.collect()), Vec::new())
            }
            Phase::Base => base::steps(lab, beside)?,
            Phase::Dns => (dns::steps(lab), Vec::new()),
            Phase::Firewall => (firewall::steps(lab, &stacked), Vec::new()),
            Phase::Engine => engine::steps(lab, beside)?,
            Phase::Gluster => gluster::steps(lab, beside)?,
            Phase::Swarm => (swarm::steps(lab), Vec::new()),
            Phase::Labels => (labels::steps(lab), Vec::new()),
            Phase::Networks => (networks::steps(lab), Vec::new()),
            Phase::Images => (images::steps(lab, &stacked)?, Vec::new()),
            Phase::Stacks => stacks::steps(lab, &stacked, beside)?,
            Phase::Playbook(path) => {
                let (text, name) = (runbook::read_file(path)?, path.display().to_string());
                (runbook::steps(lab, &name, &text, &json!({}))?, Vec::new())
            }
        };
        for step in &mut steps {
            step.phase = name(phase);
        }
        plan.steps.extend(steps);
        plan.remarks.extend(remarks);
    }
    Ok(plan)
}

/// A phase's name, as it stands in the blueprint.
pub fn name(phase: &Phase) -> String {
    match phase {
        Phase::Machines => "machines".to_owned(),
        Phase::Base => "base".to_owned(),
        Phase::Dns => "dns".to_owned(),
        Phase::Firewall => "firewall".to_owned(),
        Phase::Engine => "engine".to_owned(),
        Phase::Gluster => "gluster".to_owned(),
        Phase::Swarm => "swarm".to_owned(),
        Phase::Labels => "labels".to_owned(),
        Phase::Networks => "networks".to_owned(),
        Phase::Images => "images".to_owned(),
        Phase::Stacks => "stacks".to_owned(),
        Phase::Playbook(path) => {
            path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        }
    }
}
