//! Containers of the stack redis, side by side on a wire.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("../../playbooks/stacks/redis/redis.sh");
const CONF: &str = include_str!("../../playbooks/stacks/redis/redis.conf");

/// Makes an authority, and a certificate of it with its key in one file.
const CERTIFICATES: &str = "
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lab -keyout ca.key -out bp/ca.crt
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout key -out request
openssl x509 -req -in request -CA bp/ca.crt -CAkey ca.key -CAcreateserial -days 2 -out certificate
cat key certificate >secrets/tls_redis
printf %s \"0123456789abcdefghij A\\\"B\\\\C'D #\" >secrets/redis_password
chown -R 999:999 secrets && chmod 0400 secrets/*";

/// Members `node1`, `node2`, `node3`, each a server and a sentinel.
pub struct Ground {
    dir: PathBuf,
    wire: Child,
    tls: bool,
    /// The servers, then the sentinels.
    containers: Vec<Container>,
}

/// One container: its place, which stays, and what runs in it.
struct Container {
    name: String,
    member: String,
    address: String,
    place: Child,
    runs: Option<Child>,
}

/// What a container's process is.
#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    /// `redis-server`.
    Redis,
    /// `redis-sentinel`.
    Sentinel,
}

pub const MEMBERS: [&str; 3] = ["node1", "node2", "node3"];

impl Ground {
    /// Three members with empty disks, not started, which speak TLS or not.
    pub fn new(name: &str, tls: bool) -> Self {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let target = target.canonicalize().expect("the target folder");
        let dir = target.join("redis").join(name);
        let _ = std::fs::remove_dir_all(&dir);
        for part in ["root/etc/bp", "root/run/secrets", "root/run/redis", "bp", "secrets"] {
            std::fs::create_dir_all(dir.join(part)).expect("a folder");
        }
        let image = target.join("images/redis.tar");
        assert!(image.is_file(), "{} is not there: tests/lab/images.sh", image.display());
        sh(
            &dir,
            &format!(
                "tar -xOf '{}' --wildcards '*/layer.tar' | tar -xz -C root && mkdir -p root/sentinel root/proc root/dev && touch hosts",
                image.display()
            ),
        );
        sh(&dir, &format!("set -e{CERTIFICATES}"));
        std::fs::write(dir.join("bp/redis.sh"), SCRIPT).expect("written");
        std::fs::write(dir.join("bp/redis.conf"), CONF.replace("{{followers}}", "1"))
            .expect("written");
        let wire = namespaces(&["--net"], "ip link add br0 type bridge && ip link set br0 up");
        let mut ground = Self { dir, wire, tls, containers: Vec::new() };
        for part in ["redis", "sentinel"] {
            for member in MEMBERS {
                ground.empty(member);
                ground.place(part, member);
            }
        }
        ground
    }

    /// A server's disk is a new one, the sentinel's is not.
    pub fn empty_data(&self, member: &str) {
        sh(&self.dir, &format!("rm -rf srv/{member}/data/*"));
    }

    /// What the sentinel of a member that does not run wrote down: that this one is the primary.
    pub fn believes(&self, member: &str, primary: &str) {
        let line =
            format!("s/^sentinel monitor redis [^ ]*/sentinel monitor redis redis-{primary}/");
        sh(&self.dir, &format!("sed -i '{line}' srv/{member}/sentinel/sentinel.conf"));
    }

    /// The disks of a member are new ones.
    pub fn empty(&self, member: &str) {
        sh(
            &self.dir,
            &format!(
                "rm -rf srv/{member}/data/* srv/{member}/sentinel/* && mkdir -p srv/{member}/data srv/{member}/sentinel && \
             chown 999:999 srv/{member}/* && chmod 0700 srv/{member}/*"
            ),
        );
    }

    fn place(&mut self, part: &str, member: &str) {
        let number = self.containers.len() + 1;
        let (dir, address) = (self.dir.display(), format!("10.97.3.{number}"));
        let script = format!(
            "mount --make-rprivate / && cd '{dir}' && mount --bind root root && mount -t proc proc root/proc && \
             mount --bind /dev root/dev && mount --bind hosts root/etc/hosts && mount --bind bp root/etc/bp && \
             mount -t tmpfs -o mode=1777 tmpfs root/run/redis && mount --bind secrets root/run/secrets && \
             mount --bind srv/{member}/data root/data && mount --bind srv/{member}/sentinel root/sentinel && ip link set lo up"
        );
        sh(&self.dir, "touch root/etc/hosts");
        let place = namespaces(&["--mount", "--net"], &script);
        let (pid, wire) = (place.id(), self.wire.id());
        sh(
            &self.dir,
            &format!(
                "nsenter --net=/proc/{wire}/ns/net ip link add v{number} type veth peer name eth0 netns {pid} && \
             nsenter --net=/proc/{wire}/ns/net ip link set v{number} master br0 up && \
             nsenter --net=/proc/{pid}/ns/net ip addr add {address}/24 dev eth0 && \
             nsenter --net=/proc/{pid}/ns/net ip link set eth0 up"
            ),
        );
        let name = format!("{part}-{member}");
        let member = member.to_owned();
        self.containers.push(Container { name, member, address, place, runs: None });
    }

    fn at(part: Part, member: &str) -> usize {
        let number = MEMBERS.iter().position(|m| *m == member).expect("a member");
        if part == Part::Redis { number } else { number + MEMBERS.len() }
    }

    /// Starts a container: its name is known from now on.
    pub fn start(&mut self, part: Part, member: &str) {
        let what = if part == Part::Redis { "server" } else { "sentinel" };
        let container = &self.containers[Self::at(part, member)];
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{}.log", container.name)));
        let log = log.expect("a log");
        let mut command = self.inside(container);
        // It ends with this program however that ends.
        command
            .args(["unshare", "--pid", "--fork", "--kill-child", "chroot"])
            .arg(self.dir.join("root"));
        command.args([
            "/usr/bin/setpriv",
            "--reuid=999",
            "--regid=999",
            "--clear-groups",
            "--pdeathsig=KILL",
            "sh",
            "/etc/bp/redis.sh",
            what,
        ]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().expect("it starts");
        self.containers[Self::at(part, member)].runs = Some(child);
        self.name_those_that_run();
    }

    /// Starts both containers of these members.
    pub fn start_all(&mut self, members: &[&str]) {
        for member in members {
            self.start(Part::Redis, member);
            self.start(Part::Sentinel, member);
        }
    }

    /// Ends a container as docker does, and waits for its end; a client may ask meanwhile.
    pub fn end(&self, part: Part, member: &str) {
        self.ask_to_end(part, member);
        self.ends(part, member);
    }

    /// Ends all containers at once, as docker does.
    pub fn end_all(&mut self) {
        let all = MEMBERS.map(|m| [(Part::Redis, m), (Part::Sentinel, m)]).concat();
        for (part, member) in &all {
            self.ask_to_end(*part, member);
        }
        for (part, member) in &all {
            self.ends(*part, member);
            self.forget(*part, member);
        }
    }

    /// The password of all containers that are started from now on.
    pub fn set_password(&self, password: &str) {
        std::fs::write(self.dir.join("secrets/redis_password"), password).expect("written");
    }

    /// The file that names what runs in a container.
    fn children(&self, part: Part, member: &str) -> String {
        let runs = self.containers[Self::at(part, member)].runs.as_ref().expect("it runs").id();
        format!("/proc/{runs}/task/{runs}/children")
    }

    fn ask_to_end(&self, part: Part, member: &str) {
        sh(&self.dir, &format!("kill -TERM $(cat {})", self.children(part, member)));
    }

    fn ends(&self, part: Part, member: &str) {
        let children = self.children(part, member);
        self.until("it ends", || match std::fs::read_to_string(&children) {
            Ok(alive) if !alive.is_empty() => Err("it still runs".to_owned()),
            _ => Ok(()),
        });
    }

    /// What has ended has no name any more.
    pub fn forget(&mut self, part: Part, member: &str) {
        let at = Self::at(part, member);
        let mut runs = self.containers[at].runs.take().expect("it ran");
        runs.wait().expect("it has ended");
        self.name_those_that_run();
    }

    /// A container is gone without a word.
    pub fn kill(&mut self, part: Part, member: &str) {
        let at = Self::at(part, member);
        let mut runs = self.containers[at].runs.take().expect("it runs");
        runs.kill().expect("killed");
        runs.wait().expect("it ends");
        self.name_those_that_run();
    }

    /// The node under both containers of a member is cut off, or back.
    pub fn wire(&self, member: &str, state: &str) {
        for part in [Part::Redis, Part::Sentinel] {
            let (wire, number) = (self.wire.id(), Self::at(part, member) + 1);
            sh(
                &self.dir,
                &format!("nsenter --net=/proc/{wire}/ns/net ip link set v{number} {state}"),
            );
        }
    }

    /// Names that the overlay's DNS knows: those of tasks that run.
    fn name_those_that_run(&self) {
        let run = self.containers.iter().filter(|c| c.runs.is_some());
        let lines: String = run.map(|c| format!("{} {}\n", c.address, c.name)).collect();
        std::fs::write(self.dir.join("hosts"), format!("127.0.0.1 localhost\n{lines}"))
            .expect("written");
    }

    /// A command in a container's place, with its environment.
    fn inside(&self, container: &Container) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig=KILL",
            "nsenter",
            "--mount",
            "--net",
            "--target",
            &container.place.id().to_string(),
            "--",
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .env("MEMBERS", MEMBERS.join(" "))
            .env("HOST", &container.member)
            .env("TLS", if self.tls { "yes" } else { "no" })
            .env("HOSTNAME", &container.name);
        command
    }

    /// What a script says in a member's server container, as its user; and whether it succeeds.
    pub fn ask(&self, member: &str, script: &str) -> (bool, String) {
        let mut command = self.inside(&self.containers[Self::at(Part::Redis, member)]);
        command
            .args(["chroot", "--userspec=999:999"])
            .arg(self.dir.join("root"))
            .args(["sh", "-c", script]);
        let output = command.stdin(Stdio::null()).output().expect("an answer");
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.trim().to_owned())
    }

    /// What `redis-cli` with the password says to a server or a sentinel.
    pub fn cli(&self, member: &str, address: &str, words: &str) -> String {
        let (name, port) = address.split_once(':').expect("name and port");
        let tls = if self.tls { "--tls --cacert /etc/bp/ca.crt" } else { "" };
        let cli = format!(
            "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning {tls} -h {name} -p {port} {words}"
        );
        self.ask(member, &cli).1
    }

    /// The primary as the sentinel of a member names it.
    pub fn primary(&self, member: &str) -> String {
        let said = self.cli(
            member,
            &format!("sentinel-{member}:26379"),
            "sentinel get-master-addr-by-name redis",
        );
        said.lines().next().unwrap_or_default().trim_start_matches("redis-").to_owned()
    }

    /// Waits until all members are in order, as bp's health check asks them.
    pub fn well(&self) {
        for member in MEMBERS {
            self.until(&format!("{member} is in order"), || {
                let (well, why) = self.ask(member, "sh /etc/bp/redis.sh well");
                if well { Ok(()) } else { Err(why) }
            });
        }
        let roles: Vec<String> =
            MEMBERS.iter().map(|m| self.cli(m, "127.0.0.1:6379", "role")).collect();
        let primaries = roles.iter().filter(|r| r.starts_with("master")).count();
        assert_eq!(primaries, 1, "{roles:?}");
    }

    /// Waits until a key can be written through a member.
    pub fn writes(&self, member: &str, key: &str) {
        self.until(&format!("{key} is written"), || {
            match self.ask(member, &format!("sh /etc/bp/redis.sh write {key} value")) {
                (true, _) => Ok(()),
                (false, why) => Err(why),
            }
        });
    }

    /// Asks until the answer is yes, two minutes at most.
    pub fn until(&self, what: &str, is: impl Fn() -> Result<(), String>) {
        let until = Instant::now() + Duration::from_secs(120);
        while let Err(why) = is() {
            assert!(Instant::now() < until, "{what}: {why}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The last lines of all containers.
    fn logs(&self) -> String {
        let output =
            Command::new("sh").arg("-c").arg("tail -n 15 *.log").current_dir(&self.dir).output();
        String::from_utf8_lossy(&output.expect("tail").stdout).into_owned()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for container in &mut self.containers {
            for child in container.runs.iter_mut().chain([&mut container.place]) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let _ = self.wire.kill();
        let _ = self.wire.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Namespaces that end with this program however that ends: their first process reads from it.
fn namespaces(which: &[&str], script: &str) -> Child {
    let script = format!("{script} && echo ready && exec cat >/dev/null");
    let mut command = Command::new("unshare");
    command.args(which).args(["sh", "-c", &script]);
    let mut first = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
    let mut ready = String::new();
    let stdout = first.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut ready).expect("it says ready");
    assert_eq!(ready, "ready\n", "no namespace");
    first
}

fn sh(dir: &Path, script: &str) {
    let output = Command::new("sh").arg("-c").arg(script).current_dir(dir).output().expect("sh");
    assert!(output.status.success(), "`{script}`: {}", String::from_utf8_lossy(&output.stderr));
}
