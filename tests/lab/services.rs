//! The services on the lab: deployed, used, changed, their passwords rotated, a machine lost.

use crate::bp::{Lab, sh};
use crate::{Stage, replaced, repository, settled, write_blueprint};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What stands between users and services, alone: all stacks together are more than three emulated
/// guests on two cores carry at the pace that these stages ask for.
const WEB: &str = "  - etcd
  - traefik
  - registry
";

/// Stolon, GitLab and its runner are stand-ins: `tests/lab/images` says what they do and what not.
const ALL: &str = "  - etcd
  - redis
  - stolon:
      image: lab/stolon-stand-in:0.17.0-pg17
      members: 1
      databases: { shop: {}, gitlab: { extensions: [pg_trgm, btree_gist] } }
  - traefik
  - registry
  - gitlab: { image: \"lab/gitlab-stand-in:18\", runner: { image: \"lab/gitlab-runner-stand-in:18\" } }
";

/// What is asked of them, one after another on the same lab.
pub const STAGES: &[(&str, Stage)] = &[
    ("a lab without services", made),
    ("Traefik and the registry deployed and healthy", web_deployed),
    ("an image goes through the registry", registry),
    ("a broken change is taken back, a good one fails no request", changed),
    ("the dashboard's password is rotated", dashboard_rotated),
    ("all deployed and healthy", deployed),
    ("used as their users do", used),
    ("PostgreSQL's password is rotated", rotated),
    ("the machine of the services' primaries is lost and comes back", machine_lost),
    ("a backup is taken, the lab made anew, the backup restored", carried),
    ("destroy leaves nothing", destroyed),
];

/// The lab with the services, and what else its stacks are.
fn write(lab: &Lab, stacks: &str, more: &str) {
    let images = repository().join("target/images");
    let archives: Vec<String> = ["redis", "stolon", "traefik", "registry", "gitlab"]
        .iter()
        .map(|name| format!("{}/{name}.tar", images.display()))
        .collect();
    write_blueprint(lab, &|text| {
        let text = replaced(&text, "web.tar]", &format!("web.tar, {}]", archives.join(", ")));
        replaced(&text, "  - etcd\n", stacks) + more
    });
}

/// What concerns the stacks only: the rest of the lab was looked at by the stages before.
const UP: &[&str] = &["up", "lab.yml", "--yes", "--only", "stacks"];

/// The lab without them.
fn made(lab: &Lab) {
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    // Emulated guests on a busy machine miss heartbeats of five seconds: that is no loss of a node.
    lab.on("node1", "docker swarm update --dispatcher-heartbeat 20s");
}

/// What comes in through Traefik, and is refused where it should be.
fn web_deployed(lab: &Lab) {
    healthy(lab, WEB);
    sh(&format!("{} ca lab.yml >ca.pem", crate::bp::binary().display()), &lab.dir);
    let dashboard = get(lab, "traefik.lab.test", "/dashboard/");
    assert!(dashboard.ends_with("401"), "the dashboard is open: {dashboard}");
    let node = address(lab, "node1");
    let plain = format!(
        "curl -sS -m 60 -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: registry.lab.test' http://{node}/"
    );
    let plain = sh(&plain, &lab.dir);
    assert!(plain.starts_with("30") && plain.ends_with("https://registry.lab.test/"), "{plain}");
    let strange = format!(
        "curl -sS -m 60 --resolve registry.lab.test:443:{node} https://registry.lab.test/ 2>&1 || true"
    );
    let strange = sh(&strange, &lab.dir);
    assert!(strange.contains("certificate"), "verified without the authority: {strange}");
}

fn deployed(lab: &Lab) {
    healthy(lab, ALL);
}

/// Every gate of the stacks true, and nothing left to do.
fn healthy(lab: &Lab, stacks: &str) {
    write(lab, stacks, "");
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    let again = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(again.last()["applied"], 0, "{:?}", again.applied());
}

/// An HTTPS request that verifies the certificate against the lab's authority.
fn get(lab: &Lab, host: &str, path: &str) -> String {
    let node = address(lab, "node2");
    let curl = format!(
        "curl -sS -m 60 --cacert ca.pem --resolve {host}:443:{node} -w '\\n%{{http_code}}' https://{host}{path}"
    );
    sh(&curl, &lab.dir)
}

fn address(lab: &Lab, host: &str) -> String {
    lab.on(host, "hostname -I | tr ' ' '\\n' | grep '^10\\.20\\.30\\.' | head -n 1")
}

/// A secret as its user reads it.
fn secret(lab: &Lab, name: &str) -> String {
    sh(&format!("{} secret show {name} lab.yml", crate::bp::binary().display()), &lab.dir)
}

/// The shell of a node's task of a service.
fn inside(service: &str, command: &str) -> String {
    format!(
        "c=$(docker ps -q --filter label=com.docker.swarm.service.name={service} | head -n 1); \
         [ -n \"$c\" ] || {{ echo '{service} does not run here'; exit 9; }}; docker exec \"$c\" sh -c '{command}'"
    )
}

/// The first node that runs a task of a service.
fn node_of(lab: &Lab, service: &str) -> String {
    let list = format!(
        "docker service ps {service} --filter desired-state=running --format '{{{{.Node}}}}' | head -n 1"
    );
    lab.on("node2", &list)
}

/// Each service as its user meets it.
fn used(lab: &Lab) {
    let page = get(lab, "gitlab.lab.test", "/users/sign_in");
    assert!(page.ends_with("200") && page.contains("GitLab"), "{page}");
    let now = psql(lab, "shop", "CREATE TABLE lamps AS SELECT 7 AS lit; SELECT lit FROM lamps");
    assert_eq!(now, (0, "7".to_owned()));
    let other = psql(
        lab,
        "shop",
        "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname = current_user",
    );
    assert_eq!(other, (0, "0".to_owned()), "the owner of a database is no superuser");
}

/// What a database answers its owner, who comes through the proxies as any client does.
fn psql(lab: &Lab, owner: &str, sql: &str) -> (i32, String) {
    let command = format!(". /etc/bp/common.sh; as {owner} pgsql_{owner} {owner} -c \"{sql}\"");
    lab.ssh(&node_of(lab, "stolon_databases"), &inside("stolon_databases", &command))
}

/// An image pushed by one node runs on another; without the login or the authority it is refused.
fn registry(lab: &Lab) {
    let image = "registry.lab.test/lab/web:1";
    let refused =
        lab.ssh("node2", &format!("docker tag lab/web:1 {image} && docker push -q {image}"));
    assert!(refused.0 != 0 && refused.1.contains("no basic auth"), "{}", refused.1);
    let password = secret(lab, "registry_password");
    std::fs::write(lab.dir.join("password"), &password).expect("write the password");
    let login = "docker login -u bp --password-stdin registry.lab.test";
    let push = format!(
        "{} ssh -f lab.yml node2 -- '{login} && docker push -q {image} && docker logout registry.lab.test' <password",
        crate::bp::binary().display()
    );
    sh(&push, &lab.dir);
    let stranger = lab.ssh("node3", &format!("docker pull -q {image}"));
    assert!(stranger.0 != 0, "pulled without a login: {}", stranger.1);
    // Its own nodes need no login by hand: a stack of the lab gets it.
    let compose = format!(
        "services:\n  web:\n    image: {image}\n    deploy: {{ placement: {{ constraints: ['node.labels.bp.host == node3'] }} }}\n"
    );
    std::fs::write(lab.dir.join("pulled.yml"), compose).expect("write pulled.yml");
    lab.on("node3", &format!("docker image rm -f {image} lab/web:1 >/dev/null"));
    write(lab, WEB, "  - pulled: { file: pulled.yml, within: 3m }\n");
    lab.expect(UP, 0);
    assert_eq!(node_of(lab, "pulled_web"), "node3");
    let untrusted = lab.ssh(
        "node1",
        "mv /etc/docker/certs.d /etc/docker/certs.away; docker pull -q registry.lab.test/lab/web:1; \
         code=$?; mv /etc/docker/certs.away /etc/docker/certs.d; exit $code",
    );
    assert!(untrusted.0 != 0 && untrusted.1.contains("certificate"), "{}", untrusted.1);
}

/// A change that can't run is taken back; a good one goes up without a failed request.
fn changed(lab: &Lab) {
    let compose = |image: &str| {
        format!(
            "services:
  web:
    image: {image}
    networks: [traefik]
    healthcheck: {{ test: [CMD, wget, -q, -O, /dev/null, 'http://127.0.0.1:8080/health'], interval: 2s, timeout: 10s, retries: 20 }}
    stop_grace_period: 10s
    deploy:
      replicas: 2
      update_config: {{ parallelism: 1, order: start-first, failure_action: pause, monitor: 5s }}
      labels:
        traefik.enable: 'true'
        traefik.http.routers.shop.rule: Host(`shop.lab.test`)
        traefik.http.routers.shop.entrypoints: websecure
        traefik.http.routers.shop.tls: 'true'
        traefik.http.services.shop.loadbalancer.server.port: '8080'
        traefik.http.services.shop.loadbalancer.healthcheck.path: /health
        traefik.http.services.shop.loadbalancer.healthcheck.interval: 1s
networks:
  traefik: {{ external: true }}
"
        )
    };
    let stack = "  - shop: { file: shop.yml, needs: [traefik], within: 3m }\n";
    let file = |image: &str| std::fs::write(lab.dir.join("shop.yml"), compose(image));
    file("lab/web:1").expect("write shop.yml");
    write(lab, WEB, stack);
    lab.expect(UP, 0);
    until("the shop answers", || shop(lab) == "web 1 200");

    file("lab/broken:1").expect("write shop.yml");
    let failed = lab.expect(UP, 1);
    let said = failed.failures();
    assert!(
        said.contains("non-zero exit (1)") && said.contains("the version before is back"),
        "{said}"
    );
    assert_eq!(shop(lab), "web 1 200");

    let client = std::process::Command::new("bash")
        .args(["-c", "while [ ! -e stop ]; do
            curl -sS -m 60 --cacert ca.pem --resolve shop.lab.test:443:$NODE -o /dev/null -w '%{http_code}\\n' \
                https://shop.lab.test/ 2>&1; done >client.log"])
        .env("NODE", address(lab, "node2"))
        .current_dir(&lab.dir)
        .spawn();
    let mut client = client.expect("bash starts");
    file("lab/web:2").expect("write shop.yml");
    lab.expect(UP, 0);
    until("the new version answers", || shop(lab) == "web 2 200");
    std::fs::write(lab.dir.join("stop"), "").expect("write stop");
    client.wait().expect("the client ends");
    let log = std::fs::read_to_string(lab.dir.join("client.log")).expect("client.log");
    let failed: Vec<&str> = log.lines().filter(|l| *l != "200").collect();
    assert!(log.lines().count() > 20, "the client hardly asked: {}", log.lines().count());
    assert_eq!(failed, Vec::<&str>::new(), "of {} requests", log.lines().count());
}

/// What the shop answers.
fn shop(lab: &Lab) -> String {
    let said = get(lab, "shop.lab.test", "/");
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits for a state that has no event.
fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(300);
    while !is() {
        assert!(Instant::now() < end, "not within 300 s: {what}");
    }
}

/// A rotated password: the new one works, the old one does not, the old secrets are gone.
fn rotated(lab: &Lab) {
    // GitLab is a client of its database.
    let (old, before) = (secret(lab, "pgsql_gitlab"), names(lab));
    lab.expect(&["secret", "rotate", "pgsql_gitlab", "lab.yml", "--yes"], 0);
    let gone: Vec<String> = before.difference(&names(lab)).cloned().collect();
    assert!(gone.len() == 1 && gone[0].contains("pgsql_gitlab"), "{gone:?}");
    assert_eq!(psql(lab, "gitlab", "SELECT 1"), (0, "1".to_owned()));
    let page = get(lab, "gitlab.lab.test", "/users/sign_in");
    assert!(page.ends_with("200"), "{page}");
    std::fs::write(lab.dir.join("password"), &old).expect("write the password");
    let node = node_of(lab, "stolon_databases");
    let login = "read -r PGPASSWORD; export PGPASSWORD; . /etc/bp/common.sh; psql -w -U gitlab -d gitlab -c \"SELECT 1\" 2>&1";
    let login = inside("stolon_databases", login).replace("docker exec", "docker exec -i");
    let refused = sh(
        &format!(
            "{} ssh -f lab.yml {node} -- {} <password || true",
            crate::bp::binary().display(),
            quoted(&login)
        ),
        &lab.dir,
    );
    assert!(refused.contains("password authentication failed"), "the old password: {refused}");
    let journals = sh("cat .bp/lab/journal/*", &lab.dir);
    for secret in [old, secret(lab, "pgsql_gitlab")] {
        assert!(!journals.contains(&secret), "a password stands in a journal");
    }
}

/// The dashboard lets in who has the new password.
fn dashboard_rotated(lab: &Lab) {
    let (old, before) = (secret(lab, "traefik_password"), names(lab));
    assert_eq!(dashboard(lab, &old), "200");
    lab.expect(&["secret", "rotate", "traefik_password", "lab.yml", "--yes"], 0);
    let (new, now) = (secret(lab, "traefik_password"), names(lab));
    assert_ne!(old, new);
    let gone: Vec<&String> = before.difference(&now).collect();
    assert!(gone.len() == 2 && gone.iter().all(|n| n.contains("traefik_password")), "{gone:?}");
    assert_eq!(now.len(), before.len(), "{now:?}");
    assert_eq!((dashboard(lab, &old).as_str(), dashboard(lab, &new).as_str()), ("401", "200"));
}

/// The secrets of the swarm.
fn names(lab: &Lab) -> BTreeSet<String> {
    let list = lab.on("node1", "docker secret ls --format '{{.Name}}'");
    list.lines().map(str::to_owned).collect()
}

/// One word of a shell's line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the dashboard answers to a login.
fn dashboard(lab: &Lab, password: &str) -> String {
    let netrc = format!("machine traefik.lab.test login admin password {password}\n");
    std::fs::write(lab.dir.join("netrc"), netrc).expect("write netrc");
    let curl = format!(
        "curl -sS -m 60 --cacert ca.pem --netrc-file netrc --resolve traefik.lab.test:443:{} -o /dev/null -w '%{{http_code}}' https://traefik.lab.test/dashboard/",
        address(lab, "node2")
    );
    sh(&curl, &lab.dir)
}

/// Numbers that Redis acknowledged and that one more member has, one a line, as long as it runs.
const KEEP: &str = r#"c=$(docker ps -q --filter label=com.docker.swarm.service.name=redis_redis-NODE | head -n 1)
exec docker exec "$c" sh -c 'export REDISCLI_AUTH=$(cat /run/secrets/redis_password); i=0
cli() { timeout 10 redis-cli --no-auth-warning "$@" 2>/dev/null; }
while [ ! -e /run/redis/enough ]; do
p=$(cli -h sentinel-NODE -p 26379 sentinel get-master-addr-by-name redis | head -n 1)
i=$((i+1))
case "$(printf "SET kept:$i 1\nWAIT 1 3000\n" | cli -h "${p:-nobody}" -p 6379 | tr "\n" " ")" in
"OK 1 "|"OK 2 ") echo $i ;; esac
done' >/run/kept
"#;

/// The first manager is lost, with the primary of Redis, PostgreSQL and mostly the swarm's leader on
/// it: Redis takes writes again, and what it acknowledged is there afterwards.
fn machine_lost(lab: &Lab) {
    settled(lab);
    let kept = Kept::begin(lab, "node3");
    let leader =
        "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' | sed -n 's/ Leader$//p'";
    println!("  Redis' primary is on {}", primary(lab, "node3"));
    println!("  the swarm's leader is {}", lab.on("node3", leader));
    sh("virsh -q destroy lab-node1", &lab.dir);
    kept.goes_on(lab);
    lab.expect(&["status", "lab.yml"], 3);
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    kept.is_whole(lab);
    settled(lab);
}

fn destroyed(lab: &Lab) {
    lab.expect(&["destroy", "lab.yml", "--yes"], 0);
    assert_eq!(sh("virsh -q list --all --name", &lab.dir), "");
}

/// Writes to Redis from a node that go on while another one is lost.
struct Kept {
    node: &'static str,
}

impl Kept {
    /// Begins.
    fn begin(lab: &Lab, node: &'static str) -> Self {
        std::fs::write(lab.dir.join("keep"), KEEP.replace("NODE", node)).expect("write keep");
        let bp = crate::bp::binary();
        let put = format!(
            "{} ssh -f lab.yml {node} -- 'cat >/run/keep; : >/run/kept' <keep",
            bp.display()
        );
        sh(&put, &lab.dir);
        lab.on(node, "systemd-run -q --unit=keep sh /run/keep");
        let kept = Self { node };
        until("Redis takes writes", || kept.count(lab) > 3);
        kept
    }

    fn count(&self, lab: &Lab) -> usize {
        lab.on(self.node, "wc -l </run/kept").parse().expect("a number")
    }

    /// Waits until writes that began after this are acknowledged.
    fn goes_on(&self, lab: &Lab) {
        let (before, began) = (self.count(lab), Instant::now());
        until("Redis takes writes again", || self.count(lab) > before + 3);
        println!("  Redis takes writes again after {} s", began.elapsed().as_secs());
    }

    /// Ends, and looks for every write that was acknowledged.
    fn is_whole(&self, lab: &Lab) {
        let service = format!("redis_redis-{}", self.node);
        lab.on(self.node, &inside(&service, ": >/run/redis/enough"));
        until("the writer ends", || lab.ssh(self.node, "systemctl -q is-active keep").0 != 0);
        let kept = lab.on(self.node, "cat /run/kept");
        let primary = primary(lab, self.node);
        let keys = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning keys \"kept:*\"";
        let there = lab.on(&primary, &inside(&format!("redis_redis-{primary}"), keys));
        let there = there.replace("kept:", "");
        assert_eq!(missing(&kept, &there), Vec::<String>::new(), "acknowledged by Redis and lost");
        println!("  {} keys acknowledged, all there", kept.lines().count());
    }
}

fn missing(kept: &str, there: &str) -> Vec<String> {
    let there: BTreeSet<&str> = there.lines().map(str::trim).collect();
    kept.lines().filter(|n| !there.contains(n)).map(str::to_owned).collect()
}

/// The host of Redis' primary, as the sentinel of a node knows it.
fn primary(lab: &Lab, node: &str) -> String {
    let ask = inside(
        &format!("redis_sentinel-{node}"),
        "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning -p 26379 sentinel get-master-addr-by-name redis",
    );
    let said = lab.on(node, &ask);
    said.lines().next().and_then(|l| l.strip_prefix("redis-")).expect("a primary").to_owned()
}

/// Rows and keys go to the operator's machine, the lab is made anew, and they are there again.
fn carried(lab: &Lab) {
    lab.on("node1", &crate::etcdctl("node1", "put lamp on"));
    lab.expect(&["backup", "lab.yml", "--to", "backup"], 0);
    let loose = sh("find backup ! -type l -perm /077", &lab.dir);
    assert_eq!(loose, "", "others may read this");
    lab.expect(&["destroy", "lab.yml", "--yes"], 0);
    write_blueprint(lab, &|text| text);
    made(lab);
    write(lab, ALL, "");
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(lab.on("node3", &crate::etcdctl("node3", "get lamp --print-value-only")), "");
    let lit = "SELECT lit FROM lamps";
    assert_ne!(psql(lab, "shop", lit).0, 0);
    let taken = sh("ls -d backup/*", &lab.dir);
    lab.expect(&["restore", "lab.yml", "--from", &taken, "--yes"], 0);
    assert_eq!(lab.on("node3", &crate::etcdctl("node3", "get lamp --print-value-only")), "on");
    assert_eq!(psql(lab, "shop", lit), (0, "7".to_owned()));
}
