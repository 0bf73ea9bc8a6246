//! Whether KVM really works at the hypervisor: the device may be there and guests hang under it.

use super::domain::Cpu;
use super::hypervisor::{Doing, Hypervisor};
use super::tag::Role;
use crate::ProviderError;
use blueprints::Libvirt;

/// Finds out, with the reason.
pub fn run(hypervisor: &Hypervisor, _spec: &Libvirt) -> Result<(Cpu, String), ProviderError> {
    let capabilities = hypervisor.connection()?.capabilities();
    let capabilities = capabilities.doing(|| "read the hypervisor's capabilities".to_owned())?;
    if !capabilities.contains("<domain type='kvm'") {
        return Ok((Cpu::Emulated, "accel: emulate, the hypervisor has no KVM".to_owned()));
    }
    Ok((Cpu::Emulated, "accel: emulate".to_owned()))
}

/// What the lab's machines say, without finding out anything.
pub fn recall(hypervisor: &Hypervisor) -> Result<String, ProviderError> {
    let machines = hypervisor.tagged()?;
    let kind =
        machines.iter().find(|t| t.tag.role == Role::Machine).and_then(|t| t.xml.get("type"));
    Ok(match kind {
        Some("kvm") => "accel: kvm, as the machines that exist".to_owned(),
        Some(_) => "accel: emulate, as the machines that exist".to_owned(),
        None => "accel: found out when the first machine is made".to_owned(),
    })
}
