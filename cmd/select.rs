//! Which steps of a plan a run is about: `--only`, `--from`, `--host`.

use crate::exit::Error;
use playbooks::{On, Plan};

/// Selects a part of the plan.
#[derive(clap::Args)]
pub struct Select {
    /// Only this phase.
    #[arg(long, value_name = "PHASE", conflicts_with = "from")]
    pub only: Option<String>,
    /// This phase and those after it.
    #[arg(long, value_name = "PHASE")]
    pub from: Option<String>,
    /// Only this host's steps (may be given several times).
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
}

impl Select {
    /// Takes the other steps out of the plan.
    ///
    /// # Errors
    /// When a name is none of the plan's.
    pub fn apply(&self, plan: &mut Plan, hosts: &[String]) -> Result<(), Error> {
        let mut phases: Vec<String> = plan.steps.iter().map(|s| s.phase.clone()).collect();
        phases.dedup();
        for name in self.only.iter().chain(&self.from) {
            if !phases.contains(name) {
                return Err(Error::input(format!("there is no phase `{name}`"))
                    .hint(format!("the phases are {}", phases.join(", "))));
            }
        }
        for name in &self.host {
            if !hosts.contains(name) {
                return Err(Error::input(format!("there is no host `{name}`"))
                    .hint(format!("the hosts are {}", hosts.join(", "))));
            }
        }
        if let Some(only) = &self.only {
            plan.steps.retain(|s| s.phase == *only);
        }
        if let Some(from) = &self.from {
            let first = plan.steps.iter().position(|s| s.phase == *from).unwrap_or(0);
            plan.steps.drain(..first);
        }
        if !self.host.is_empty() {
            plan.steps.retain(|s| match &s.on {
                On::Lab => false,
                On::Host(host) => self.host.contains(host),
            });
        }
        Ok(())
    }
}
