//! Guests on libvirt's test driver: made, cut off, lost; killed at every step; foreign ones beside.

use crate::support::bp::Desk;
use crate::support::guests::Guests;
use crate::support::libvirtd::Libvirtd;
use crate::support::sshd::Sshd;
use std::fs;

#[test]
fn guests_are_made_as_planned_and_found_again() {
    let guests = Guests::new(2);
    let desk = &guests.desk;
    let before = guests.libvirtd.inventory();
    let plan = desk.bp(&["plan", "--json"]).exits(3);
    assert_eq!(guests.libvirtd.inventory(), before, "plan changes nothing");
    let up = desk.bp(&["up", "--json"]).exits(0);
    guests.assert_complete();
    let shown = plan.steps("survey", |e| e["mark"] != "=");
    assert!(up.applied().iter().all(|step| shown.contains(step)), "{:?}", up.applied());
    assert_eq!(up.applied().len(), 5, "a network, two machines, both started");
    assert_eq!(desk.bp(&["up", "--json"]).exits(0).done()["applied"], 0);
    assert_eq!(desk.bp(&["plan", "--json"]).exits(0).done()["unknown"], 0);
    desk.bp(&["status"]).exits(0);
    // From another folder, with nothing remembered.
    let elsewhere = Desk::with(&fs::read_to_string(desk.at("bp.yml")).unwrap());
    elsewhere.bp(&["status"]).exits(0);
    assert_eq!(elsewhere.bp(&["up", "--json"]).exits(0).done()["applied"], 0);
}

#[test]
fn a_guest_that_is_cut_off_is_missed_and_brought_back() {
    let guests = Guests::new(3);
    let desk = &guests.desk;
    desk.bp(&["up"]).exits(0);
    guests.libvirtd.virsh(&["destroy", &format!("{}-node2", guests.lab)]);
    let status = desk.bp(&["status"]).exits(3);
    assert!(status.out.contains("! machines / running / node2: it is off"), "{}", status.out);
    assert!(!status.out.contains("node1:") && !status.out.contains("node3:"), "{}", status.out);
    assert_eq!(desk.bp(&["up", "--json"]).exits(0).applied(), ["machines/running/node2"]);
    guests.assert_complete();
    desk.bp(&["status"]).exits(0);
}

#[test]
fn a_run_killed_at_any_step_converges() {
    each_boundary(|guests, number| {
        guests.desk.bp(&["up"]).exits(0);
        guests.assert_complete();
        let again = guests.desk.bp(&["up", "--json"]).exits(0);
        assert_eq!(again.done()["applied"], 0, "killed at {number}");
    });
}

#[test]
fn after_a_run_killed_at_any_step_destroy_leaves_nothing() {
    each_boundary(|guests, number| {
        fs::remove_dir_all(guests.desk.at(".bp")).unwrap();
        guests.desk.bp(&["destroy", "--yes"]).exits(0);
        assert!(guests.own().is_empty(), "killed at {number}: {:?}", guests.own());
        assert!(!guests.desk.at(".bp").join(&guests.lab).join("lock").exists());
    });
}

#[test]
fn an_interrupted_run_ends_cleanly_and_is_continued() {
    let guests = Guests::new(4);
    for number in [1, 4, 9, 14] {
        let mut running = guests.desk.start(&["up", "--json"]);
        assert!(running.until_boundary(number));
        running.signal("INT");
        let ran = running.finish().exits(130);
        assert_eq!(ran.events("interrupted").len(), 1);
        assert!(ran.events("step_failed").is_empty(), "{ran:?}");
        guests.desk.bp(&["destroy", "--yes"]).exits(0);
        assert!(guests.own().is_empty(), "interrupted at {number}: {:?}", guests.own());
    }
    let mut running = guests.desk.start(&["up", "--json"]);
    assert!(running.until_boundary(6));
    running.signal("TERM");
    running.finish().exits(130);
    guests.desk.bp(&["up"]).exits(0);
    guests.assert_complete();
}

/// Kills an `up` of two guests at its first step boundary, at its second, and so on, each time on
/// a hypervisor where nothing is left of the time before.
fn each_boundary(then: impl Fn(&Guests, usize)) {
    let (mut libvirtd, mut sshd, mut number) = (Libvirtd::start(), Sshd::everywhere(), 0);
    loop {
        number += 1;
        let guests = Guests::on(libvirtd, sshd, 2);
        let mut running = guests.desk.start(&["up", "--json"]);
        let killed = running.until_boundary(number);
        if !killed {
            running.finish().exits(0);
            break;
        }
        running.kill();
        then(&guests, number);
        (libvirtd, sshd) = guests.give_back();
    }
    assert_eq!(number, 18, "a network begun and done, a template; two hosts with seven each");
}

#[test]
#[expect(clippy::print_stderr, reason = "a failed test shows which seed it was")]
fn a_run_killed_at_any_instant_converges_or_is_removed() {
    let (mut libvirtd, mut sshd) = (Libvirtd::start(), Sshd::everywhere());
    for seed in 1..=20_u64 {
        let guests = Guests::on(libvirtd, sshd, 2);
        let millis = xorshift(seed) % 300;
        eprintln!("seed {seed}: killed after {millis} ms");
        let running = guests.desk.start(&["up", "--json"]);
        std::thread::sleep(std::time::Duration::from_millis(millis));
        running.kill();
        if seed % 2 == 0 {
            guests.desk.bp(&["up"]).exits(0);
            guests.assert_complete();
            assert_eq!(guests.desk.bp(&["up", "--json"]).exits(0).done()["applied"], 0);
        } else {
            let _ = fs::remove_dir_all(guests.desk.at(".bp"));
            guests.desk.bp(&["destroy", "--yes"]).exits(0);
            assert!(guests.own().is_empty(), "seed {seed}: {:?}", guests.own());
        }
        (libvirtd, sshd) = guests.give_back();
    }
}

/// A number that looks like chance and is the same for the same seed.
fn xorshift(seed: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (left, right, again) in [(13, 7, 17), (13, 7, 17)] {
        x ^= x << left;
        x ^= x >> right;
        x ^= x << again;
    }
    x
}

#[test]
fn the_inventory_for_ssh_logs_in_with_the_pinned_keys() {
    let guests = Guests::new(2);
    let desk = &guests.desk;
    desk.bp(&["up"]).exits(0);
    let config = desk.bp(&["inventory", "--format", "ssh-config"]).exits(0).out;
    fs::write(desk.at("ssh config"), &config).unwrap();
    // One that is logged in to by bp leaves the others' keys where they are.
    desk.bp(&["ssh", "node1", "--", "true"]).exits(0);
    let ssh = |host: &str| {
        std::process::Command::new("ssh")
            .args(["-o", "BatchMode=yes", "-F"])
            .args([desk.at("ssh config").as_os_str(), host.as_ref(), "echo it-works".as_ref()])
            .output()
            .unwrap()
    };
    for host in ["node1", "node2"] {
        let output = ssh(host);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it-works\n", "{output:?}\n{config}");
    }
    // Another key than the pinned one is refused, whatever the user's own files say.
    let known = desk.at(".bp").join(&guests.lab).join("known_hosts");
    let text = fs::read_to_string(&known).unwrap();
    fs::write(
        &known,
        text.replace(
            "node2 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
            "node2 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAX",
        ),
    )
    .unwrap();
    assert!(!ssh("node2").status.success(), "{config}");
    let ansible = desk.bp(&["inventory", "--format", "ansible"]).exits(0).out;
    assert!(ansible.contains("StrictHostKeyChecking=yes"), "{ansible}");
}
