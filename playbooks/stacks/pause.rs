//! An image whose only program waits for ever. bp makes it itself: no registry is asked for it.

use crate::compose::digest;
use crate::step::{Failure, Step};
use providers::{Cmd, Stdin};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Its name. An engine asks a registry for every image before it takes its own: nobody can have one
/// at a name that ends in `.invalid` (RFC 2606), and put another program in this one's place.
pub(crate) const IMAGE: &str = "bp.invalid/pause:1";

/// The label by which bp knows its image, whatever id the engine gives it.
const LABEL: &str = "bp.image";

/// x86-64: `pause()`, again and again.
const X86_64: &[u8] = &[
    0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34 (pause)
    0x0f, 0x05, // syscall
    0xeb, 0xf7, // jmp to the beginning
];

/// AArch64, which has no `pause`: `ppoll(NULL, 0, NULL, NULL)`, again and again.
const AARCH64: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, // mov x0, #0 (no descriptors)
    0x01, 0x00, 0x80, 0xd2, // mov x1, #0 (of them)
    0x02, 0x00, 0x80, 0xd2, // mov x2, #0 (no bound)
    0x03, 0x00, 0x80, 0xd2, // mov x3, #0 (no mask)
    0x28, 0x09, 0x80, 0xd2, // mov x8, #73 (ppoll)
    0x01, 0x00, 0x00, 0xd4, // svc #0
    0xfa, 0xff, 0xff, 0x17, // b to the beginning
];

/// What `uname -m` says, what images say, ELF's number of the machine, the code.
pub(crate) const MACHINES: &[(&str, &str, u8, &[u8])] =
    &[("x86_64", "amd64", 62, X86_64), ("aarch64", "arm64", 183, AARCH64)];

/// The step that loads it on a host.
pub(super) fn step(host: &str) -> Step {
    let (host_name, mark) = (host.to_owned(), mark());
    Step::host(host, "pause image", "a task that only holds a secret needs a program that waits")
        .within(Duration::from_secs(300))
        .check_shell(format!(
            "curl -sS --max-time 50 --unix-socket /var/run/docker.sock http://docker/images/{IMAGE}/json | \
             grep -qF '\"{LABEL}\":\"{mark}\"' || {{ echo 'it is not loaded'; exit 1; }}"
        ))
        .apply(move |cx| {
            let host = host_name.clone();
            async move {
                let machine = cx.ok(&host, Cmd::new("uname -m")).await?.out();
                let load = Cmd::new("docker load -q").stdin(Stdin::Bytes(archive(&machine)?));
                cx.ok(&host, load.within(Duration::from_secs(240))).await.map(drop)
            }
        })
}

/// The label's value: the digest of the programs.
fn mark() -> String {
    let programs: Vec<Vec<u8>> = MACHINES.iter().map(|m| program(m.2, m.3)).collect();
    digest(&programs.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// An archive as `docker save` writes it, with the image for a machine that `uname -m` says this of.
pub(crate) fn archive(machine: &str) -> Result<Vec<u8>, Failure> {
    let Some((_, machine, number, code)) = MACHINES.iter().find(|m| m.0 == machine) else {
        return Err(Failure::new(format!("bp has no program for a machine that is `{machine}`")));
    };
    let packed = image(machine, &program(*number, code));
    packed.map_err(|e| Failure::new(format!("pack an image: {e}")))
}

/// Where the program is in memory.
const ADDRESS: u64 = 0x40_0000;

/// A static ELF program: its header, one segment that is the whole file, the code.
pub(crate) fn program(machine: u8, code: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01"); // 64 bits, little-endian, version 1
    elf.extend([0; 9]); // System V, padding
    elf.extend([2, 0, machine, 0]); // a program, for this machine
    elf.extend(1u32.to_le_bytes()); // version 1
    elf.extend((ADDRESS + HEADERS).to_le_bytes()); // where it begins
    elf.extend(64u64.to_le_bytes()); // where the segments are told
    elf.extend(0u64.to_le_bytes()); // no sections
    elf.extend(0u32.to_le_bytes()); // no flags
    for size in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(size.to_le_bytes()); // of this header; of a segment's, and one; of sections
    }
    let size = HEADERS + code.len() as u64;
    elf.extend(1u32.to_le_bytes()); // a segment that is loaded
    elf.extend(5u32.to_le_bytes()); // read and run
    for number in [0, ADDRESS, ADDRESS, size, size] {
        elf.extend(number.to_le_bytes()); // from the beginning, to there, this much
    }
    elf.extend(0x1_0000u64.to_le_bytes()); // pages of 4 to 64 KiB
    elf.extend(code);
    elf
}

/// An archive with an image of this one program.
fn image(machine: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let layer = packed(&[("pause", 0o555, program)])?;
    let config = json!({
        "architecture": machine,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/pause"],
            "User": "65534:65534",
            // The first process of a container takes no other signal that it does not ask for.
            "StopSignal": "SIGKILL",
            "Labels": { LABEL: mark() },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
    });
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", sha256(&config));
    let manifest =
        json!([{ "Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]).to_string();
    packed(&[
        (&name, 0o644, &config),
        ("layer.tar", 0o644, &layer),
        ("manifest.json", 0o644, manifest.as_bytes()),
    ])
}

fn packed(files: &[(&str, u32, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        archive.append_data(&mut header, name, *bytes)?;
    }
    archive.into_inner()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
