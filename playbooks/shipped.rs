//! What bp ships of a stack: its compose template, what it needs before, what makes it healthy.

use crate::secrets::Secret;
use crate::stacks::{authority, etcd, gitlab, portainer, redis, registry, stolon, traefik};
use crate::step::Step;
use blueprints::{Lab, Stack, StackKind};
use serde_json::{Value, json};

/// What bp ships of one stack, for one lab.
pub(crate) struct Shipped {
    /// The name of the template, for messages.
    pub file: &'static str,
    /// The compose template. It names secrets and configs of bp's by `external: true`.
    pub template: &'static str,
    /// What its strings may name.
    pub values: Value,
    /// Files that its `configs` name, made for this lab.
    pub files: Vec<(&'static str, String)>,
    /// The secrets that are made before it.
    pub secrets: Vec<Secret>,
    /// A playbook that runs before it: its name, its hosts (all, where there are none), and what
    /// its strings may name.
    pub playbook: Option<(&'static str, Vec<String>, Value)>,
    /// What has to be so before it besides that.
    pub before: Vec<Step>,
    /// What healthy means, besides all tasks running.
    pub health: Vec<Step>,
    /// Whether its services change one after another, each healthy before the next: members of a
    /// quorum.
    pub takes_turns: bool,
    /// The secrets by which its services know each other: who has the one before is refused by who
    /// has the new one, so where one of them changes, all services change at once.
    pub shared: &'static [&'static str],
    /// The secrets that it reads at its first start only: its data keeps what they said then.
    pub read_once: &'static [&'static str],
}

impl Shipped {
    /// A stack with nothing but its template.
    pub fn new(file: &'static str, template: &'static str) -> Self {
        Self {
            file,
            template,
            values: json!({}),
            files: Vec::new(),
            secrets: Vec::new(),
            playbook: None,
            before: Vec::new(),
            health: Vec::new(),
            takes_turns: false,
            shared: &[],
            read_once: &[],
        }
    }
}

/// What bp ships of a stack; `None`: it is the user's own.
pub(crate) fn of(lab: &Lab, stack: &Stack) -> Option<Shipped> {
    Some(match &stack.kind {
        StackKind::Authority => authority::shipped(lab),
        StackKind::Etcd(members) => etcd::shipped(lab, stack, members),
        StackKind::Stolon(stolon) => stolon::shipped(lab, stack, stolon),
        StackKind::Redis(members) => redis::shipped(lab, stack, members),
        StackKind::Traefik(traefik) => traefik::shipped(lab, stack, traefik),
        StackKind::Registry { host } => registry::shipped(lab, stack, host),
        StackKind::Gitlab(gitlab) => gitlab::shipped(lab, stack, gitlab),
        StackKind::Portainer { host } => portainer::shipped(lab, stack, host),
        StackKind::File(_) => return None,
    })
}
