//! What changes a cluster of glusterd, and what it refuses.

use super::fake::State;
use super::glusterd::{Lies, On, Vol, host_of};
use super::shell::{fails, says, words};
use crate::gluster_view::CHANGES;
use providers::{Cmd, Output};
use std::collections::BTreeMap;

/// A script as a transcript shows it: without what all changes of gluster begin with.
pub fn shown(script: &str) -> &str {
    script.strip_prefix(CHANGES).unwrap_or(script)
}

impl Vol {
    /// These bricks leave it. Nothing may be lost that only they hold: an arbiter keeps no files.
    fn give_up(&self, going: &[String]) {
        let is_arbiter = |b: &String| {
            let at = self.bricks.iter().position(|of| of == b).expect("a brick of it");
            self.arbiter == 1 && at % 3 == 2
        };
        for on in &self.written {
            let kept = on.iter().any(|b| !going.contains(b) && !is_arbiter(b));
            assert!(kept, "what only {on:?} held was lost");
        }
    }
}

impl State {
    /// What commands that change something do.
    pub fn act_gluster(&mut self, host: &str, cmd: &Cmd) -> Option<Output> {
        let script = cmd.script.as_str();
        if let Some(script) = script.strip_prefix(CHANGES) {
            return Some(self.gluster_script(host, script));
        }
        if script.starts_with("set -eu\ncommand -v apt-get")
            && script.contains("install --no-remove --no-install-recommends glusterfs-")
        {
            let daemon = self.gluster.daemon(host);
            if script.contains("--no-install-recommends glusterfs-server attr ") {
                daemon.server = true;
            }
            daemon.client = true;
            return Some(says(""));
        }
        if script.starts_with("set -eu\nd=/etc/systemd/system/glusterd.service.d\n") {
            let daemon = self.gluster.daemon(host);
            if !daemon.server {
                return Some(fails(
                    1,
                    "Failed to enable unit: Unit file glusterd.service does not exist.",
                ));
            }
            (daemon.runs, daemon.drop_in) = (true, true);
            return Some(says(""));
        }
        if let Some(path) = script.strip_prefix("mkdir -p /srv/gluster/") {
            let path = format!("/srv/gluster/{path}");
            self.gluster.daemon(host).lies.entry(path).or_insert(Lies::Empty);
            return Some(says(""));
        }
        if let Some(rest) = script.strip_prefix("rm -rf --one-file-system ") {
            let (path, rest) = rest.split_once(" || exit\n").expect("the folder is made again");
            assert_eq!(rest, format!("mkdir -p {path}"));
            let used = self.gluster.volumes.values().flat_map(|v| &v.bricks);
            let own = format!("{host}.lab.test:{path}");
            assert!(!used.clone().any(|b| *b == own), "{own} was wiped while a volume has it");
            self.gluster.daemon(host).lies.insert(path.to_owned(), Lies::Empty);
            return Some(says(""));
        }
        if let Some(rest) = script.strip_prefix("set -eu\nm=") {
            return Some(self.mount(host, rest));
        }
        if let Some(rest) = script.strip_prefix("set -eu; m=") {
            let (folder, body) = rest.split_once('\n').expect("a folder, then what is done");
            assert!(body.contains("umount -l") && body.contains("chattr -i"), "{body}");
            let daemon = self.gluster.daemon(host);
            daemon.mounts.remove(folder);
            daemon.fstab.retain(|l| {
                l.split(' ').nth(1) != Some(folder) || !l.ends_with("x-bp.lab=lab 0 0")
            });
            return Some(says(""));
        }
        if let Some(rest) = script.strip_prefix("set -e; cd /var/lib/glusterd; printf '%s\\n' ") {
            let end = " >new-bp-lab; mv -f new-bp-lab bp-lab";
            let names = rest.strip_suffix(end).expect("put in place whole");
            let daemon = self.gluster.daemon(host);
            assert!(daemon.server, "{host}: the daemon's folder is not there");
            daemon.probed = Some(words(names).into_iter().collect());
            return Some(says(""));
        }
        if let Some(rest) = script.strip_prefix("set -e; rm -f ") {
            let (files, _) = rest.split_once("; rmdir ").expect("then the folder");
            let daemon = self.gluster.daemon(host);
            for file in words(files) {
                match file.as_str() {
                    "/var/lib/glusterd/bp-lab" => daemon.probed = None,
                    "/etc/systemd/system/glusterd.service.d/bp.conf" => daemon.drop_in = false,
                    other => panic!("{host}: {other} is not bp's"),
                }
            }
            return Some(says(""));
        }
        if let Some(rest) = script.strip_prefix("f=") {
            let (file, rest) = rest.split_once("; timeout -k 1 60 sh -c ").expect("a file");
            assert!(
                rest.starts_with("'mkdir -p \"${1%/*}\" && echo \"$2\" >\"$1\"' sh \"$f\" "),
                "{rest}"
            );
            return Some(self.write(host, &words(file)[0]));
        }
        None
    }

    fn gluster_script(&mut self, host: &str, script: &str) -> Output {
        if !self.gluster.daemon(host).runs {
            return fails(1, "Connection failed. Please check if gluster daemon is operational.");
        }
        if let Some(rest) = script.strip_prefix("for n in ") {
            let (names, rest) = rest.split_once("; do\n").expect("a loop");
            assert!(
                rest.starts_with("i=0; until said=$(g peer probe \"$n\" 2>&1); do\n"),
                "{rest}"
            );
            for name in words(names) {
                if let Err(why) = self.probe(host, &name) {
                    return fails(1, &format!("{name}: peer probe: failed: {why}"));
                }
            }
            return says("");
        }
        let stops = script.starts_with("set -e\n");
        let lines: Vec<&str> = script.lines().filter(|l| !l.is_empty() && *l != "set -e").collect();
        assert!(stops || lines.len() == 1, "{host}: several commands, and no `set -e`:\n{script}");
        for line in lines {
            let line = match line.strip_prefix("if g volume info ") {
                None => line.to_owned(),
                Some(rest) => {
                    let end = " | grep -q '^Status: Started'; then g volume stop ";
                    let (name, stop) = rest.split_once(end).expect("stopped where it is started");
                    if self.gluster.volumes.get(name).is_none_or(|v| v.state != "Started") {
                        continue;
                    }
                    format!("g volume stop {}", stop.strip_suffix("; fi").expect("an end"))
                }
            };
            let asked = words(&line);
            let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
            assert_eq!(asked[0], "g", "{host}: unknown line: {line}");
            let done = match &asked[1..] {
                ["peer", "detach", name, rest @ ..] => self.detach(host, name, rest == ["force"]),
                ["volume", verb, name, rest @ ..] => self.on_volume(host, verb, name, rest),
                _ => panic!("{host}: unknown line: {line}"),
            };
            if let Err(why) = done {
                return fails(1, &why);
            }
        }
        says("")
    }

    fn probe(&mut self, host: &str, name: &str) -> Result<(), String> {
        let own = self.gluster.daemon(host).clone();
        let other = host_of(name).to_owned();
        if own.nameless.contains(name) || !self.answers(&other) {
            return Err("Probe returned with Transport endpoint is not connected".to_owned());
        }
        let theirs = self.gluster.daemon(&other).clone();
        if theirs.uuid == own.uuid {
            return Err("Peer uuid (host) is same as local uuid".to_owned());
        }
        let back = format!("{host}.lab.test");
        if theirs.pool == own.pool {
            self.gluster.daemon(host).knows.entry(name.to_owned()).or_insert(0);
            // An address is what it was known by; now it has a name.
            let address = self.guests[&other].address.clone();
            self.gluster.daemon(host).knows.remove(&address);
            return Ok(());
        }
        let has_volume = self.gluster.volumes.values().any(|v| v.pool == theirs.pool);
        if !theirs.knows.is_empty() || has_volume {
            return Err(format!(
                "{name} is either already part of another cluster or having volumes configured"
            ));
        }
        // All who are in the pool already learn of it; it takes two questions until they are connected.
        let members: Vec<String> = own.knows.keys().cloned().chain([back]).collect();
        for member in &members {
            self.gluster.daemon(host_of(member)).knows.insert(name.to_owned(), 2);
            self.gluster.daemon(&other).knows.insert(member.clone(), 2);
        }
        self.gluster.daemon(&other).pool = own.pool;
        // The one who probes is known by its address until it is probed itself.
        let address = self.guests[host].address.clone();
        let _ = address;
        Ok(())
    }

    fn detach(&mut self, host: &str, name: &str, force: bool) -> Result<(), String> {
        let used = self.gluster.volumes.values().flat_map(|v| &v.bricks);
        if used.clone().any(|b| b.split(':').next() == Some(name)) {
            return Err(format!("peer detach: failed: Peer {name} hosts one or more bricks."));
        }
        if !self.answers(host_of(name)) && !force {
            return Err(
                "peer detach: failed: One of the peers is probably down. Check with 'peer status'"
                    .to_owned(),
            );
        }
        let pool = self.gluster.daemon(host).pool;
        for daemon in self.gluster.daemons.values_mut().filter(|d| d.pool == pool) {
            daemon.knows.remove(name);
        }
        let alone = self.next() + 100;
        let gone = self.gluster.daemon(host_of(name));
        gone.knows.clear();
        gone.pool = alone;
        Ok(())
    }

    fn on_volume(
        &mut self,
        host: &str,
        verb: &str,
        name: &str,
        rest: &[&str],
    ) -> Result<(), String> {
        let pool = self.gluster.daemon(host).pool;
        if verb == "create" {
            return self.create(pool, name, rest);
        }
        let bricks_of = |rest: &[&str]| -> Vec<String> {
            rest.iter().filter(|w| w.contains(":/")).map(|w| (*w).to_owned()).collect()
        };
        let named = bricks_of(rest);
        let known = self.gluster.volumes.get(name).filter(|v| v.pool == pool);
        let Some(known) = known.cloned() else {
            return Err(format!("volume {verb}: {name}: failed: Volume {name} does not exist"));
        };
        if matches!(verb, "add-brick" | "replace-brick") {
            let new = if verb == "replace-brick" { &named[1..] } else { &named[..] };
            self.claim(name, &known.id, new)?;
        }
        let dead: Vec<String> =
            known.bricks.iter().filter(|b| !self.brick_online(b)).cloned().collect();
        let volume = self.gluster.volumes.get_mut(name).expect("known");
        match (verb, rest) {
            ("set", pairs) => {
                for pair in pairs.chunks(2) {
                    let [key, value] = pair else { panic!("an option without a value: {rest:?}") };
                    if !key.starts_with("user.") && !OPTIONS.contains(key) {
                        return Err(format!("volume set: failed: option : {key} does not exist"));
                    }
                    volume.options.insert((*key).to_owned(), (*value).to_owned());
                }
            }
            ("reset", [key]) if key.starts_with("user.") => {
                return Err(format!("volume reset: failed: Option {key} does not exist"));
            }
            ("reset", [key]) => drop(volume.options.remove(*key)),
            ("start", []) if volume.state == "Started" => {
                return Err(format!("volume start: {name}: failed: Volume {name} already started"));
            }
            ("start", [] | ["force"]) => {
                volume.state = "Started";
                for brick in dead {
                    let (host, path) = brick.split_once(':').expect("host:/path");
                    self.gluster.daemon(host_of(host)).dead_bricks.remove(path);
                }
            }
            ("heal", []) => {}
            ("stop", ["force"]) => {
                assert_eq!(volume.state, "Started");
                volume.state = "Stopped";
            }
            ("delete", []) => {
                assert_eq!(volume.state, "Stopped", "volume delete: {name}: has been started");
                self.gluster.volumes.remove(name);
            }
            ("add-brick", _) => {
                if let ["replica", count, ..] = rest {
                    volume.replica = count.parse().expect("a number");
                    for brick in &named {
                        volume.pending.insert(volume.bricks[0].clone(), 4);
                        assert!(rest.last() == Some(&"force"), "{brick}");
                    }
                }
                volume.bricks.extend(named);
                assert_eq!(volume.bricks.len() as u32 % volume.replica, 0, "copies are kept whole");
            }
            ("rebalance", ["start"]) => {
                if matches!(volume.task, Some((_, _, "in progress", _))) {
                    return Err(format!(
                        "volume rebalance: {name}: failed: Rebalance on {name} is already started"
                    ));
                }
                volume.task = Some(("Rebalance", Vec::new(), "in progress", 3));
            }
            ("replace-brick", [old, new, "commit", "force"]) => {
                assert!(volume.replica > 1, "a brick without a copy was replaced");
                let at = volume.bricks.iter().position(|b| b == old).expect("a brick of it");
                volume.give_up(&named[..1]);
                volume.bricks[at] = (*new).to_owned();
                volume.pending.remove(*old);
                let source = volume.bricks.iter().find(|b| b != new).expect("another").clone();
                volume.pending.insert(source, 5);
            }
            ("remove-brick", ["replica", count, .., "force"]) => {
                let waits: u32 = volume
                    .bricks
                    .iter()
                    .filter(|b| !named.contains(b))
                    .filter_map(|b| volume.pending.get(b))
                    .sum();
                assert!(
                    waits == 0 || named.iter().all(|b| dead.contains(b)),
                    "copies were dropped before all was healed"
                );
                volume.give_up(&named);
                volume.replica = count.parse().expect("a number");
                volume.bricks.retain(|b| !named.contains(b));
                volume.pending.clear();
            }
            ("remove-brick", [.., "start"]) => {
                assert!(volume.task.as_ref().is_none_or(|t| t.2 != "in progress"));
                volume.task = Some(("Remove brick", named, "in progress", 3));
            }
            ("remove-brick", [.., "commit"]) => {
                let task = volume.task.take().expect("a removal");
                assert_eq!(
                    (task.0, task.2),
                    ("Remove brick", "completed"),
                    "committed before all was moved"
                );
                volume.bricks.retain(|b| !named.contains(b));
            }
            _ => panic!("{host}: unknown: volume {verb} {name} {rest:?}"),
        }
        Ok(())
    }

    fn create(&mut self, pool: u32, name: &str, rest: &[&str]) -> Result<(), String> {
        if self.gluster.volumes.contains_key(name) {
            return Err(format!("volume create: {name}: failed: Volume {name} already exists"));
        }
        let (replica, arbiter, bricks) = match rest {
            ["replica", "3", "arbiter", "1", bricks @ .., "force"] => (3, 1, bricks),
            ["replica", count, bricks @ .., "force"] => {
                (count.parse().expect("a number"), 0, bricks)
            }
            [bricks @ .., "force"] => (1, 0, bricks),
            _ => panic!("unknown: volume create {name} {rest:?}"),
        };
        let bricks: Vec<String> = bricks.iter().map(|b| (*b).to_owned()).collect();
        let id = self.gluster.new_id();
        for brick in &bricks {
            let (host, _) = brick.split_once(':').expect("host:/path");
            let daemon = self.gluster.daemon(host_of(host));
            if daemon.pool != pool || daemon.knows.values().any(|wait| *wait > 0) {
                return Err(format!(
                    "volume create: {name}: failed: Host {host} is not in 'Peer in Cluster' state"
                ));
            }
        }
        self.claim(name, &id, &bricks)?;
        let volume = Vol { id, pool, state: "Created", replica, arbiter, bricks, ..Vol::default() };
        self.gluster.volumes.insert(name.to_owned(), volume);
        Ok(())
    }

    /// A brick that was part of a volume refuses to be part of one again, `force` or not.
    fn claim(&mut self, name: &str, id: &str, bricks: &[String]) -> Result<(), String> {
        for brick in bricks {
            let (host, path) = brick.split_once(':').expect("host:/path");
            match self.gluster.daemon(host_of(host)).lies.get(path) {
                Some(Lies::Empty) => {}
                Some(Lies::Files) => panic!("{brick} holds files of nobody"),
                Some(_) => {
                    return Err(format!(
                        "volume create: {name}: failed: {path} is already part of a volume"
                    ));
                }
                None => panic!("{brick} is not there"),
            }
        }
        for brick in bricks {
            let (host, path) = brick.split_once(':').expect("host:/path");
            self.gluster
                .daemon(host_of(host))
                .lies
                .insert(path.to_owned(), Lies::Brick(id.to_owned()));
        }
        Ok(())
    }

    fn mount(&mut self, host: &str, rest: &str) -> Output {
        let (head, body) = rest.split_once('\n').expect("three values, then what is done");
        assert!(body.contains("umount -l") && body.ends_with("exit 1; }"), "{body}");
        let values: BTreeMap<String, String> = format!("m={head}")
            .split("; ")
            .map(|pair| {
                pair.split_once('=')
                    .map(|(k, v)| (k.to_owned(), words(v)[0].clone()))
                    .expect("a value")
            })
            .collect();
        let (folder, line, source) = (&values["m"], &values["line"], &values["source"]);
        let name = source.rsplit(":/").next().expect("a volume");
        let daemon = self.gluster.daemon(host);
        if !daemon.client {
            return fails(32, "mount: unknown filesystem type 'glusterfs'.");
        }
        daemon.fstab.retain(|l| l.split(' ').nth(1) != Some(folder) || !l.contains("x-bp.lab="));
        daemon.fstab.push(line.clone());
        let has = daemon.mounts.get(folder).cloned();
        assert!(
            !matches!(has, Some(On::Other(_))) && !daemon.full.contains(folder),
            "mounted over something"
        );
        let volume = self.gluster.volumes.get(name).cloned();
        let quorum = volume
            .as_ref()
            .is_some_and(|v| v.state == "Started" && v.bricks.iter().any(|b| self.brick_online(b)));
        if matches!(has, Some(On::Volume(_))) && quorum {
            return says("");
        }
        let stale = if has.is_some() { "stale" } else { "" };
        if !quorum {
            self.gluster.daemon(host).mounts.remove(folder);
            return fails(1, "Mount failed. Check the log file for more details.");
        }
        self.gluster.daemon(host).mounts.insert(folder.clone(), On::Volume(source.clone()));
        says(stale)
    }

    fn write(&mut self, host: &str, path: &str) -> Output {
        let daemon = self.gluster.daemon(host).clone();
        let on = daemon.mounts.iter().find(|(folder, _)| path.starts_with(&format!("{folder}/")));
        let Some((folder, On::Volume(source))) = on else {
            panic!("{host}: {path} was written beside the volume")
        };
        let name = source.rsplit(":/").next().expect("a volume").to_owned();
        let text = format!("{host} {}", self.next());
        let file = path[folder.len() + 1..].to_owned();
        self.gluster.volumes.get_mut(&name).expect("mounted").files.insert(file, text);
        says("")
    }
}

/// The options that it knows.
const OPTIONS: [&str; 4] = [
    "network.ping-timeout",
    "cluster.heal-timeout",
    "cluster.quorum-type",
    "performance.cache-size",
];
