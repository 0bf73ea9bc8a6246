//! Whether KVM really works at the hypervisor: the device may be there, and QEMU fail to start,
//! or a kernel hang in its first second.
//!
//! A probe guest boots one sector of code that does what kernels do first: it goes to 64-bit mode
//! with paging and computes with SSE and, where the CPU has it, BMI2. A KVM that interprets
//! guest code instead of running it fails there. It switches itself off where all went well.

use super::domain::{self, Cpu};
use super::hypervisor::{Doing, Hypervisor, Tagged};
use super::seed;
use super::tag::{Role, Tag, Volume};
use super::volume::volume_xml;
use super::xml::el;
use crate::ProviderError;
use std::thread::sleep;
use std::time::{Duration, Instant};
use virt::domain::{Domain, DomainShutoffReason, DomainState, DomainStateReason as Reason};
use virt::enumutil::Enum::Known;

/// Firmware and probe take a tenth of a second, on a loaded machine a few.
const BOUND: Duration = Duration::from_secs(20);
/// Between two looks at the probe.
const LOOK: Duration = Duration::from_millis(50);
/// Firmware reads no boot sector from disks smaller than a cylinder of 16 heads and 63 sectors.
const DISK: usize = 1 << 20;

/// Finds out, with the reason in a sentence.
pub fn run(hypervisor: &Hypervisor) -> Result<(Cpu, String), ProviderError> {
    let capabilities = hypervisor.connection()?.capabilities();
    let capabilities = capabilities.doing(|| "read the hypervisor's capabilities".to_owned())?;
    let capabilities =
        super::hypervisor::parse(&capabilities, "read the hypervisor's capabilities")?;
    let has_kvm = capabilities
        .all("guest")
        .flat_map(|g| g.all("arch"))
        .any(|a| a.all("domain").any(|d| d.get("type") == Some("kvm")));
    if !has_kvm {
        return Ok((Cpu::Emulated, "accel: emulate, the hypervisor has no KVM".to_owned()));
    }
    let arch = capabilities.at("host/cpu/arch").map_or("", |a| a.text.as_str());
    if arch != "x86_64" {
        return Ok((Cpu::Kvm, format!("accel: kvm, untried: bp has no probe for {arch}")));
    }
    let started = Instant::now();
    Ok(match boot(hypervisor)? {
        Ok(()) => {
            let took = started.elapsed().as_secs_f32();
            (Cpu::Kvm, format!("accel: kvm, a probe guest ran well under it in {took:.1} s"))
        }
        Err(why) => {
            (Cpu::Emulated, format!("accel: emulate, KVM is there but a probe guest {why}"))
        }
    })
}

/// What the lab's machines say, without finding out anything.
pub fn recall(hypervisor: &Hypervisor) -> Result<String, ProviderError> {
    let tagged = hypervisor.tagged()?;
    let machine = tagged.iter().find(|t| t.tag.role == Role::Machine);
    Ok(match machine.and_then(|t| t.xml.get("type")) {
        Some("kvm") => "accel: kvm, as the machines that exist".to_owned(),
        Some(_) => "accel: emulate, as the machines that exist".to_owned(),
        None => "accel: found out when the first machine is made".to_owned(),
    })
}

/// Boots the probe; where it does not run to its end, what it did instead.
fn boot(hypervisor: &Hypervisor) -> Result<Result<(), String>, ProviderError> {
    let name = format!("{}-probe", hypervisor.lab);
    if let Some(left) = hypervisor.own(&name, Role::Probe)? {
        hypervisor.remove(&left)?;
    }
    let uuid = seed::uuid();
    let volume = format!("{name}-{}.img", &uuid[..8]);
    let volume = Volume { pool: hypervisor.pool.clone(), name: volume };
    let tag = Tag { volumes: vec![volume.clone()], ..Tag::new(&hypervisor.lab, Role::Probe) };
    let mut xml = domain::keeper(&name, &uuid, &tag, Cpu::Kvm);
    xml.put(el("devices").child(domain::disk(&volume, "raw")));
    let domain = hypervisor.define(&name, &xml)?;
    let tagged = Tagged { domain, xml, tag };
    let outcome = try_it(hypervisor, &tagged.domain, &volume);
    // The probe goes, whatever came out; its own failure is told first.
    let removed = hypervisor.remove(&tagged);
    let outcome = outcome?;
    removed.map(|()| outcome)
}

fn try_it(
    hypervisor: &Hypervisor,
    domain: &Domain,
    volume: &Volume,
) -> Result<Result<(), String>, ProviderError> {
    let mut disk = SECTOR.to_vec();
    disk.resize(DISK, 0);
    let xml = volume_xml(&volume.name, "raw", DISK as u64, false);
    hypervisor.upload(&volume.pool, &xml, DISK as u64, &mut disk.as_slice())?;
    if let Err(error) = domain.create() {
        // QEMU's own words come last, after its command line and warnings.
        let said = error.message().trim().lines().next_back().unwrap_or_default().to_owned();
        return Ok(Err(format!("does not start: {said}")));
    }
    let end = Instant::now() + BOUND;
    while Instant::now() < end {
        match domain.state().doing(|| "look at the KVM probe".to_owned())? {
            (_, Known(Reason::Shutoff(Known(DomainShutoffReason::Shutdown)))) => return Ok(Ok(())),
            (Known(DomainState::Running | DomainState::Shutdown), _) => sleep(LOOK),
            (Known(DomainState::Paused), _) => {
                return Ok(Err("stops with an error inside KVM".to_owned()));
            }
            _ => return Ok(Err("crashes".to_owned())),
        }
    }
    Ok(Err(format!("hangs: not done within {BOUND:?}")))
}

/// The probe's boot sector, loaded at 0x7c00.
const SECTOR: [u8; 512] = sector();

const fn sector() -> [u8; 512] {
    let mut sector = [0; 512];
    let mut at = 0;
    while at < CODE.len() {
        sector[at] = CODE[at];
        at += 1;
    }
    // BIOS boots sectors that end in this.
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}

#[rustfmt::skip]
const CODE: &[u8] = &[
    // 16 bit: no interrupts, flat segments, protected mode, FPU not emulated
    0xfa,                                           // 7c00 cli
    0x31, 0xc0,                                     // 7c01 xor ax, ax
    0x8e, 0xd8,                                     // 7c03 mov ds, ax
    0x0f, 0x01, 0x16, 0xf0, 0x7c,                   // 7c05 lgdt [0x7cf0]
    0x0f, 0x20, 0xc0,                               // 7c0a mov eax, cr0
    0x24, 0xfb,                                     // 7c0d and al, 0xfb
    0x0c, 0x03,                                     // 7c0f or al, 3
    0x0f, 0x22, 0xc0,                               // 7c11 mov cr0, eax
    0xea, 0x19, 0x7c, 0x08, 0x00,                   // 7c14 jmp 8:0x7c19
    // 32 bit: three empty page tables, the first 2 MiB mapped onto themselves
    0x66, 0xb8, 0x10, 0x00,                         // 7c19 mov ax, 0x10
    0x8e, 0xd8,                                     // 7c1d mov ds, eax
    0x8e, 0xc0,                                     // 7c1f mov es, eax
    0xfc,                                           // 7c21 cld
    0xbf, 0x00, 0x10, 0x00, 0x00,                   // 7c22 mov edi, 0x1000
    0x31, 0xc0,                                     // 7c27 xor eax, eax
    0xb9, 0x00, 0x0c, 0x00, 0x00,                   // 7c29 mov ecx, 0xc00
    0xf3, 0xab,                                     // 7c2e rep stosd
    0xc7, 0x05, 0x00, 0x10, 0, 0, 0x03, 0x20, 0, 0, // 7c30 mov dword [0x1000], 0x2003
    0xc7, 0x05, 0x00, 0x20, 0, 0, 0x03, 0x30, 0, 0, // 7c3a mov dword [0x2000], 0x3003
    0xc7, 0x05, 0x00, 0x30, 0, 0, 0x83, 0x00, 0, 0, // 7c44 mov dword [0x3000], 0x83
    0xb8, 0x00, 0x10, 0x00, 0x00,                   // 7c4e mov eax, 0x1000
    0x0f, 0x22, 0xd8,                               // 7c53 mov cr3, eax
    // 64 bit: PAE, SSE, long mode, paging
    0x0f, 0x20, 0xe0,                               // 7c56 mov eax, cr4
    0x0d, 0x20, 0x06, 0x00, 0x00,                   // 7c59 or eax, 0x620
    0x0f, 0x22, 0xe0,                               // 7c5e mov cr4, eax
    0xb9, 0x80, 0x00, 0x00, 0xc0,                   // 7c61 mov ecx, 0xc0000080
    0x0f, 0x32,                                     // 7c66 rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00,                   // 7c68 or eax, 0x100
    0x0f, 0x30,                                     // 7c6d wrmsr
    0x0f, 0x20, 0xc0,                               // 7c6f mov eax, cr0
    0x0d, 0x00, 0x00, 0x00, 0x80,                   // 7c72 or eax, 0x80000000
    0x0f, 0x22, 0xc0,                               // 7c77 mov cr0, eax
    0xea, 0x81, 0x7c, 0x00, 0x00, 0x18, 0x00,       // 7c7a jmp 0x18:0x7c81
    // 3 + 3 by SSE
    0xb8, 0x03, 0x00, 0x00, 0x00,                   // 7c81 mov eax, 3
    0x66, 0x0f, 0x6e, 0xc0,                         // 7c86 movd xmm0, eax
    0x66, 0x0f, 0xfe, 0xc0,                         // 7c8a paddd xmm0, xmm0
    0x66, 0x0f, 0x7e, 0xc0,                         // 7c8e movd eax, xmm0
    0x83, 0xf8, 0x06,                               // 7c92 cmp eax, 6
    0x75, 0x2f,                                     // 7c95 jne 0x7cc6
    // 1 << 4 by BMI2, where CPUID has it
    0xb8, 0x07, 0x00, 0x00, 0x00,                   // 7c97 mov eax, 7
    0x31, 0xc9,                                     // 7c9c xor ecx, ecx
    0x0f, 0xa2,                                     // 7c9e cpuid
    0xf7, 0xc3, 0x00, 0x01, 0x00, 0x00,             // 7ca0 test ebx, 0x100
    0x74, 0x14,                                     // 7ca6 jz 0x7cbc
    0xb9, 0x04, 0x00, 0x00, 0x00,                   // 7ca8 mov ecx, 4
    0xb8, 0x01, 0x00, 0x00, 0x00,                   // 7cad mov eax, 1
    0xc4, 0xe2, 0x71, 0xf7, 0xc0,                   // 7cb2 shlx eax, eax, ecx
    0x83, 0xf8, 0x10,                               // 7cb7 cmp eax, 16
    0x75, 0x0a,                                     // 7cba jne 0x7cc6
    // off, by ACPI: firmware puts QEMU's power management at 0x600
    0x66, 0xba, 0x04, 0x06,                         // 7cbc mov dx, 0x604
    0x66, 0xb8, 0x00, 0x20,                         // 7cc0 mov ax, 0x2000
    0x66, 0xef,                                     // 7cc4 out dx, ax
    0xf4,                                           // 7cc6 hlt
    0xeb, 0xfd,                                     // 7cc7 jmp 0x7cc6
    0, 0, 0, 0, 0, 0, 0,                            // 7cc9
    // flat segments: code and data of 32 bit, code of 64 bit
    0, 0, 0, 0, 0, 0, 0, 0,                         // 7cd0
    0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0,             // 7cd8
    0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0,             // 7ce0
    0xff, 0xff, 0, 0, 0, 0x9a, 0xaf, 0,             // 7ce8
    0x1f, 0x00, 0xd0, 0x7c, 0, 0,                   // 7cf0 their table: last byte, place
];
