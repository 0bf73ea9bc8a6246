//! The shell of a fake host: knows exactly the commands that bp may run on it.

use super::docker::is_docker;
use super::fake::State;
use providers::{Cmd, File, Output, Stdin, put};
use std::collections::BTreeSet;
use std::sync::Mutex;

pub fn says(text: impl Into<String>) -> Output {
    Output { code: 0, stdout: (text.into() + "\n").into_bytes(), stderr: Vec::new() }
}

pub fn fails(code: i32, stderr: &str) -> Output {
    Output { code, stdout: Vec::new(), stderr: format!("{stderr}\n").into_bytes() }
}

/// A shell line's words, quotes taken off.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            '\\' if !quoted => word.extend(chars.next()),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    assert!(!quoted, "a quote that never ends: {line}");
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Fails the test where a script is none.
pub fn is_shell(script: &str) {
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    if known.insert(script.to_owned()) {
        let shell = std::process::Command::new("sh").args(["-n", "-c", script]).output();
        let said = shell.expect("sh runs").stderr;
        assert!(said.is_empty(), "{}\n{script}", String::from_utf8_lossy(&said));
    }
}

/// A command as one line.
pub fn line(script: &str) -> String {
    script.split_whitespace().collect::<Vec<_>>().join(" ")
}

const DUE: &str = "/etc/docker/.bp-restart-due";
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

impl State {
    /// What the command does and answers.
    pub fn execute(&mut self, host: &str, cmd: &Cmd) -> Output {
        let script = cmd.script.as_str();
        if script.starts_with("o=$( eval ") {
            return self.together(host, script);
        }
        if let ("eval \"$(cat)\"", Stdin::Bytes(script)) = (script, &cmd.stdin) {
            let script = String::from_utf8(script.clone()).expect("text");
            return self.together(host, &script);
        }
        if let Some(answer) = self.names_look(host, cmd).or_else(|| self.check(host, script)) {
            return answer;
        }
        if let Some(answer) = self.seal(host, cmd) {
            return answer;
        }
        if let Some(answer) = self.change(host, cmd) {
            let input = match &cmd.stdin {
                Stdin::Empty => String::new(),
                Stdin::Bytes(_) if !cmd.secrets.is_empty() => " <<<***".to_owned(),
                Stdin::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) if text.len() < 400 && !text.contains('\0') => {
                        format!(" <<<{}", line(text))
                    }
                    _ => " <<<(an archive)".to_owned(),
                },
                Stdin::File(path) => {
                    format!(" <{}", path.file_name().unwrap_or_default().to_string_lossy())
                }
            };
            let shown = cmd.mask(&line(super::glusterd_acts::shown(script)));
            // What playbooks run is text of theirs; its beginning says which it is.
            let shown = if shown.len() > 600 { format!("{}…", &shown[..80]) } else { shown };
            self.log.push(format!("{host}$ {shown}{input}"));
            return answer;
        }
        panic!("{host}: unknown command:\n{script}");
    }

    /// Checks that travel together, answered as a shell would.
    fn together(&mut self, host: &str, script: &str) -> Output {
        let mut answers = String::new();
        let mut rest = script;
        let mut number = 0;
        while let Some(begun) = rest.strip_prefix("o=$( eval ") {
            let end = format!(
                " </dev/null 2>&1 ); r=$?; [ $r = 0 ] && o=; o=${{o##*\"\n\"}}; printf '@%s %s\\n%s\\n' {number} $r \"$o\"\n"
            );
            let (quoted, after) = begun.split_once(&end).expect("each check has its end");
            let inner = words(quoted);
            let inner = inner.first().expect("one word");
            is_shell(inner);
            let answer = self
                .names_look(host, &Cmd::new(inner.clone()))
                .or_else(|| self.check(host, inner))
                .unwrap_or_else(|| panic!("{host}: unknown check:\n{inner}"));
            let said = if answer.ok() { String::new() } else { answer.out() + &answer.err() };
            let said = said.lines().last().unwrap_or_default();
            answers.push_str(&format!("@{number} {}\n{said}\n", answer.code));
            (rest, number) = (after, number + 1);
        }
        assert_eq!(rest, "exit 0\n", "{host}: unknown end of {script}");
        says(answers)
    }

    /// Commands that only look.
    fn check(&mut self, host: &str, script: &str) -> Option<Output> {
        if is_docker(script) && !self.guests[host].packages {
            return Some(fails(127, "sh: 1: docker: not found"));
        }
        if let Some(answer) = self.guests.get_mut(host)?.wall.look(script) {
            return Some(answer);
        }
        if let Some(answer) = self.ground(host, script).or_else(|| self.look(host, script)) {
            return Some(answer);
        }
        if let Some(answer) = self.look_gluster(host, script) {
            return Some(answer);
        }
        let guest = &self.guests[host];
        Some(match script {
            s if s.starts_with("for d in /srv/redis /srv/redis/data /srv/redis/sentinel; do\n") => {
                says("")
            }
            "true" => says(""),
            "command -v docker >/dev/null || echo @no-docker" => {
                says(if guest.packages { "" } else { "@no-docker" })
            }
            "cat /etc/machine-id" => says(guest.machine_id.clone()),
            s if s.starts_with("command -v cloud-init >/dev/null || exit 0\n") => {
                match guest.cloud_init {
                    "done" => says(""),
                    "error" => Output { code: 9, ..says("cloud-init failed:\nno such module") },
                    _ => Output { code: 1, ..says("cloud-init is at work") },
                }
            }
            s if s
                == format!(
                    "[ -e {DUE} ] && echo due || echo ok; [ ! -e {DAEMON_JSON} ] || cat {DAEMON_JSON}"
                ) =>
            {
                let due = if guest.restart_due { "due" } else { "ok" };
                says(format!("{due}\n{}", guest.daemon_json.clone().unwrap_or_default()))
            }
            s if s.starts_with(
                "want=''\ncommand -v apt-get >/dev/null || { echo 'there is no apt-get here: bp knows Debian and what is made of it'; exit 1; }\nfor p in docker.io curl ca-certificates; do\n",
            ) =>
            {
                match guest.packages {
                    true => says(""),
                    false => Output { code: 1, ..says("docker.io is not installed") },
                }
            }
            s if s.starts_with("e=$(curl -sS --max-time 50 -o /dev/null --unix-socket /var/run/docker.sock http://docker/_ping 2>&1)") => {
                match (guest.engine, guest.enabled) {
                    (false, _) => {
                        let why =
                            "curl: (7) Failed to connect to /var/run/docker.sock";
                        Output { code: 1, ..says(why) }
                    }
                    (_, false) => {
                        Output { code: 1, ..says("docker does not start with the machine") }
                    }
                    _ => says(""),
                }
            }
            s if s
                .starts_with("[ -d /srv/etcd ] || { echo '/srv/etcd is not there'; exit 1; }") =>
            {
                match guest.etcd_folder {
                    true => says(""),
                    false => Output { code: 1, ..says("/srv/etcd is not there") },
                }
            }
            _ => return None,
        })
    }

    /// Commands that change something.
    fn change(&mut self, host: &str, cmd: &Cmd) -> Option<Output> {
        let script = cmd.script.as_str();
        if is_docker(script) && !self.guests[host].engine {
            return Some(fails(1, "Cannot connect to the Docker daemon"));
        }
        if let (Some(answer), Stdin::Empty) = (self.till(host, script), &cmd.stdin) {
            return Some(answer);
        }
        if let Some(answer) = self.act_gluster(host, cmd) {
            return Some(answer);
        }
        if let Some(answer) = self.guests.get_mut(host).expect("a host of the lab").wall.act(cmd) {
            return Some(answer);
        }
        if let Some(answer) = self.act(host, cmd).or_else(|| self.names_act(host, cmd)) {
            return Some(answer);
        }
        let guest = self.guests.get_mut(host).expect("a host of the lab");
        if let Stdin::Bytes(content) = &cmd.stdin {
            let file = File {
                path: format!("{DAEMON_JSON}.new"),
                content: cmd.stdin.clone(),
                mode: 0o644,
                owner: "root:root".to_owned(),
            };
            if script == put(&file).script {
                guest.daemon_new = Some(String::from_utf8(content.clone()).expect("text"));
                return Some(says(""));
            }
        }
        if !matches!(cmd.stdin, Stdin::Empty) {
            return None;
        }
        match script {
            "systemctl enable --now docker" => {
                (guest.enabled, guest.engine) = (true, true);
            }
            "mkdir -p /etc/docker" => {}
            s if s
                == format!(
                    "[ -e {DUE} ] || exit 0\n\
                     systemctl reset-failed docker; systemctl restart docker && rm -f {DUE}"
                ) =>
            {
                if guest.restart_due {
                    guest.restarts += 1;
                    (guest.restart_due, guest.engine) = (false, true);
                }
            }
            s if s.starts_with(
                "command -v docker >/dev/null || exit 0\nfor i in $(seq 100); do\ns=$(docker info --format '{{.Swarm.LocalNodeState}} ",
            ) => {}
            s if s
                == format!(
                    "if command -v dockerd >/dev/null; then dockerd --validate --config-file {DAEMON_JSON}.new >/dev/null || \
                     {{ r=$?; rm -f {DAEMON_JSON}.new; exit $r; }}; touch {DUE} || exit; fi\n\
                     mv -f {DAEMON_JSON}.new {DAEMON_JSON}"
                ) =>
            {
                let new = guest.daemon_new.take().expect("it is written before");
                if let (true, Some(why)) = (guest.packages, guest.refuses) {
                    return Some(fails(1, why));
                }
                guest.restart_due |= guest.packages;
                guest.daemon_json = Some(new);
            }
            s if s
                .strip_prefix("set -eu\n")
                .and_then(|s| s.strip_prefix(crate::runbook::APT))
                .is_some_and(|s| s.starts_with("want=''\n")) =>
            {
                guest.packages = true;
                guest.engine = true;
                guest.enabled = true;
            }
            "install -d -m 0700 -o root -g root /srv/etcd\n" => guest.etcd_folder = true,
            _ => return None,
        }
        Some(says(""))
    }
}
