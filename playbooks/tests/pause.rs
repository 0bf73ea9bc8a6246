//! The program that waits for ever.

use crate::stacks::pause;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn program(machine: &str) -> Vec<u8> {
    let known = pause::MACHINES.iter().find(|m| m.0 == machine).expect("a machine");
    pause::program(known.2, known.3)
}

/// What `/proc` says of a process's state: `S` where it waits.
fn state(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let (_, rest) = status.rsplit_once(") ").expect("a name in brackets");
    rest.split(' ').next().expect("a state").to_owned()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn it_runs_waits_and_ends_when_it_is_killed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("pause");
    std::fs::write(&path, program("x86_64")).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o555)).expect("set");
    let mut command = Command::new(&path);
    // Nothing of this process is open in it: it needs nothing.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it is a program");
    let until = Instant::now() + Duration::from_secs(20);
    while state(child.id()) != "S" {
        assert!(Instant::now() < until, "it does not wait: {}", state(child.id()));
        std::thread::yield_now();
    }
    assert_eq!(child.try_wait().expect("asked"), None, "it waits");
    child.kill().expect("killed");
    assert_eq!(child.wait().expect("ended").signal(), Some(9));
}

#[test]
fn its_programs_are_small_and_whole() {
    for (machine, number, size) in [("x86_64", 62, 129), ("aarch64", 183, 148)] {
        let elf = program(machine);
        assert_eq!((elf.len(), elf[18]), (size, number), "{machine}");
        let number = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!(number(24), 0x40_0000 + 120, "it begins after its headers");
        assert_eq!((number(96), number(104)), (size as u64, size as u64), "all of it is loaded");
    }
}

#[test]
fn its_archive_is_the_same_every_time_and_names_what_is_in_it() {
    let archive = pause::archive("x86_64").expect("packed");
    assert_eq!(archive, pause::archive("x86_64").expect("packed"));
    assert_ne!(archive, pause::archive("aarch64").expect("packed"));
    let images = super::images::read(&archive);
    assert_eq!(images.keys().collect::<Vec<_>>(), [pause::IMAGE]);
    assert!(archive.len() < 16 << 10, "{} bytes", archive.len());
}
