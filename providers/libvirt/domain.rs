//! The XML of the lab's domains: pure functions.

use super::tag::{Tag, Volume};
use super::xml::{Element, el};
use blueprints::Machine;

/// How a guest's CPU is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// By the hardware.
    Kvm,
    /// By QEMU, in software.
    Emulated,
    /// Not at all: libvirt's test driver.
    Test,
}

impl Cpu {
    /// libvirt's word for the type of such a domain.
    pub fn domain_type(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulated => "qemu",
            Self::Test => "test",
        }
    }

    fn model(self) -> Option<Element> {
        match self {
            Self::Kvm => Some(el("cpu").attr("mode", "host-passthrough")),
            Self::Emulated => {
                let without = |name| el("feature").attr("policy", "disable").attr("name", name);
                Some(el("cpu").attr("mode", "maximum").children(DEAR.map(without)))
            }
            Self::Test => None,
        }
    }
}

/// What an emulated processor pays for at every system call, copy or look at a page table, and what
/// guards nothing in it that the emulator does not: without them processes start in 0.6 of the time.
const DEAR: [&str; 4] = ["la57", "smap", "smep", "pku"];

/// A kernel that is booted directly, for root disks without a boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Path at the hypervisor.
    pub kernel: String,
    /// Path at the hypervisor.
    pub initrd: String,
    /// The kernel's command line.
    pub cmdline: String,
}

/// What the kernel of an emulated guest is told besides: an emulated processor has no side
/// channels that are worth a flush at every system call, and its clock is the emulator's.
const EMULATED: &str = "mitigations=off no_timer_check tsc=reliable";

impl Kernel {
    /// The same kernel for a guest on this processor.
    pub fn on(&self, cpu: Cpu) -> Self {
        let mut kernel = self.clone();
        if cpu == Cpu::Emulated {
            kernel.cmdline = format!("{} {EMULATED}", kernel.cmdline);
        }
        kernel
    }
}

/// All that a guest's XML depends on.
pub struct Guest<'a> {
    /// Its name at the hypervisor.
    pub name: &'a str,
    /// Its uuid.
    pub uuid: &'a str,
    /// Its tag.
    pub tag: &'a Tag,
    /// How it is run.
    pub cpu: Cpu,
    /// Its size.
    pub machine: Machine,
    /// What is booted where the disk has no boot loader.
    pub kernel: Option<&'a Kernel>,
    /// Its root disk.
    pub disk: &'a Volume,
    /// Its cloud-init seed.
    pub seed: &'a Volume,
    /// The network of its one interface.
    pub network: &'a str,
    /// The MAC of its one interface.
    pub mac: &'a str,
    /// The file at the hypervisor that keeps its console.
    pub console: Option<&'a str>,
}

/// A guest's XML.
pub fn guest(guest: &Guest<'_>) -> Element {
    let mut os = el("os").child(hvm());
    match guest.kernel {
        Some(kernel) => {
            os = os
                .child(el("kernel").text(&kernel.kernel))
                .child(el("initrd").text(&kernel.initrd))
                .child(el("cmdline").text(&kernel.cmdline));
        }
        None => os = os.child(el("boot").attr("dev", "hd")),
    }
    let interface = el("interface")
        .attr("type", "network")
        .child(el("mac").attr("address", guest.mac))
        .child(el("source").attr("network", guest.network))
        .child(el("model").attr("type", "virtio"));
    let agent = el("channel")
        .attr("type", "unix")
        .child(el("target").attr("type", "virtio").attr("name", "org.qemu.guest_agent.0"));
    let rng = el("rng")
        .attr("model", "virtio")
        .child(el("backend").attr("model", "random").text("/dev/urandom"));
    let devices = el("devices")
        .child(disk(guest.disk, "qcow2"))
        .child(seed(guest.seed))
        .child(interface)
        .child(console(guest.console))
        .child(agent)
        .child(rng);
    let mut domain = el("domain")
        .attr("type", guest.cpu.domain_type())
        .child(el("name").text(guest.name))
        .child(el("uuid").text(guest.uuid))
        .child(el("metadata").child(guest.tag.element()))
        .child(el("memory").attr("unit", "bytes").text(guest.machine.memory))
        .child(el("vcpu").text(guest.machine.cpus))
        .child(os)
        .child(el("features").child(el("acpi")).child(el("apic")));
    if let Some(model) = guest.cpu.model() {
        domain = domain.child(model);
    }
    domain
        .child(el("clock").attr("offset", "utc"))
        .child(el("on_poweroff").text("destroy"))
        .child(el("on_reboot").text("restart"))
        .child(el("on_crash").text("destroy"))
        .child(devices)
}

/// A domain that is never started: it only owns volumes.
pub fn keeper(name: &str, uuid: &str, tag: &Tag, cpu: Cpu) -> Element {
    el("domain")
        .attr("type", cpu.domain_type())
        .child(el("name").text(name))
        .child(el("uuid").text(uuid))
        .child(el("metadata").child(tag.element()))
        .child(el("memory").attr("unit", "MiB").text(64))
        .child(el("vcpu").text(1))
        .child(el("os").child(hvm()))
        .child(el("features").child(el("acpi")))
}

/// A root disk. Its cache may lie about being flushed: only a crash of the hypervisor itself
/// loses data then, and a lab is made anew by `bp up`; apt is several times faster.
pub fn disk(volume: &Volume, format: &str) -> Element {
    el("disk")
        .attr("type", "volume")
        .attr("device", "disk")
        .child(
            el("driver")
                .attr("name", "qemu")
                .attr("type", format)
                .attr("cache", "unsafe")
                .attr("discard", "unmap"),
        )
        .child(source(volume))
        .child(el("target").attr("dev", "vda").attr("bus", "virtio"))
}

/// A seed: a small disk, because kernels made for clouds know virtio and may not know CD drives.
pub fn seed(volume: &Volume) -> Element {
    el("disk")
        .attr("type", "volume")
        .attr("device", "disk")
        .child(el("driver").attr("name", "qemu").attr("type", "raw"))
        .child(source(volume))
        .child(el("target").attr("dev", "vdz").attr("bus", "virtio"))
        .child(el("readonly"))
}

/// The serial console, kept in a file where the pool has files.
pub fn console(file: Option<&str>) -> Element {
    let port = el("target").attr("port", "0");
    match file {
        Some(path) => {
            let source = el("source").attr("path", path).attr("append", "on");
            el("serial").attr("type", "file").child(source).child(port)
        }
        None => el("serial").attr("type", "pty").child(port),
    }
}

fn source(volume: &Volume) -> Element {
    el("source").attr("pool", &volume.pool).attr("volume", &volume.name)
}

fn hvm() -> Element {
    el("type").text("hvm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::tag::Role;

    fn xml(cpu: Cpu, kernel: Option<&Kernel>, console: Option<&str>) -> String {
        let volume = |name: &str| Volume { pool: "default".to_owned(), name: name.to_owned() };
        let (disk, seed) =
            (volume("lab-node1-1a2b3c4d.qcow2"), volume("lab-node1-1a2b3c4d-seed.iso"));
        let tag = Tag {
            host: Some("node1".to_owned()),
            host_key: Some("ssh-ed25519 AAAA".to_owned()),
            disk: Some(40 << 30),
            volumes: vec![disk.clone(), seed.clone()],
            ..Tag::new("lab", Role::Machine)
        };
        let machine = Machine { cpus: 2, memory: 4 << 30, disk: 40 << 30 };
        guest(&Guest {
            name: "lab-node1",
            uuid: "1a2b3c4d-0000-4000-8000-000000000000",
            tag: &tag,
            cpu,
            machine,
            kernel,
            disk: &disk,
            seed: &seed,
            network: "lab & co",
            mac: "52:54:00:01:02:03",
            console,
        })
        .to_string()
    }

    #[test]
    fn an_emulated_guest_with_a_kernel() {
        let kernel = Kernel {
            kernel: "/pool/kernel".to_owned(),
            initrd: "/pool/initrd".to_owned(),
            cmdline: "root=/dev/vda \"<&>\"".to_owned(),
        };
        insta::assert_snapshot!(xml(Cpu::Emulated, Some(&kernel), Some("/pool/console.log")));
    }

    #[test]
    fn a_kvm_guest_with_a_boot_loader() {
        insta::assert_snapshot!(xml(Cpu::Kvm, None, None));
    }
}
