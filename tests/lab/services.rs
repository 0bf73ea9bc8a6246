//! The services on the lab: deployed, used, changed, their passwords rotated, a machine lost.

use crate::bp::{Lab, sh};
use crate::hosts::{self, NAMES, address};
use crate::{Stage, cluster, lost, stacks, walls};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Stolon, GitLab, its runner and Portainer are stand-ins: `tests/lab/images` says what they do and what not.
const STACKS: &str = "  - etcd
  - redis
  - stolon:
      version: \"17\"
      image: lab/stolon-stand-in:0.17.0-pg17
      synchronous: true
      databases: { shop: {}, gitlab: { extensions: [pg_trgm, btree_gist, amcheck] } }
  - traefik
  - registry
  - gitlab:
      version: \"18\"
      image: \"lab/gitlab-stand-in:18\"
      runner: { image: \"lab/gitlab-runner-stand-in:18\" }
";

const ARCHIVES: &[&str] = &["etcd", "web", "redis", "stolon", "traefik", "registry", "gitlab"];

/// What is asked of them, one after another on the same lab.
pub const STAGES: &[(&str, Stage)] = &[
    ("hosts become a cluster; a join token from before the joins is worth nothing", cluster::made),
    ("a name, a rule and a mount changed by hand", cluster::by_hand),
    ("three things changed in the file", cluster::in_the_file),
    ("walls: a change that locks the operator out undoes itself", walls::locked_out),
    ("a second run is kept out by the leader's lock", cluster::two_runs),
    ("all stacks deployed and healthy, then nothing to do", deployed),
    ("used as their users do", used),
    ("the machine of all primaries is lost and comes back", lost::machine_lost),
    ("PostgreSQL's password is rotated", rotated),
    ("destroy takes away what bp made of hosts that it did not make", destroyed),
];

/// What is asked of others, beside that.
pub const CHANGES: &[(&str, Stage)] = &[
    ("hosts with nothing on them get all stacks at once, then nothing to do", deployed_at_once),
    ("used as their users do", used),
    ("a backup is taken, the lab made anew, the backup restored", carried),
    ("only what should comes in", guarded),
    ("an image goes through the registry", registry),
    ("the user's own stacks", stacks::own_stacks),
    ("a broken change is taken back, a good one fails no request", changed),
    ("the lab's own registry brings the images of a stack", air_gap),
];

/// The lab, and what else its stacks are.
pub fn write(lab: &Lab, more: &str) {
    hosts::blueprint(lab, ARCHIVES, &format!("{STACKS}{more}"));
}

/// What concerns the stacks only: the rest of the lab was looked at by the stages before.
const UP: &[&str] = &["up", "lab.yml", "--yes", "--only", "stacks"];

fn deployed_at_once(lab: &Lab) {
    hosts::fresh();
    deployed(lab);
}

/// Every gate of every stack true, and nothing left to do.
fn deployed(lab: &Lab) {
    write(lab, "");
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    nothing_to_do(lab);
    certificate(lab);
}

/// The authority's certificate, as its users get it.
fn certificate(lab: &Lab) {
    sh(&format!("{} ca lab.yml >ca.pem", crate::bp::binary().display()), &lab.dir);
}

pub fn nothing_to_do(lab: &Lab) {
    let again = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(again.last()["applied"], 0, "{:?}", again.applied());
}

/// What comes in through Traefik, and is refused where it should be.
fn guarded(lab: &Lab) {
    let dashboard = get(lab, "traefik.lab.test", "/dashboard/");
    assert!(dashboard.ends_with("401"), "the dashboard is open: {dashboard}");
    let password = secret(lab, "traefik_password");
    assert_eq!(dashboard_for(lab, &password), "200");
    let node = address("node1");
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
    // Nobody outside speaks to the services themselves. That Traefik's port is open shows that this
    // would see one that is.
    let open = format!(
        "for port in 443 2379 2380 5432 6379 26379 5000 8080; do \
         timeout 5 bash -c \"exec 3<>/dev/tcp/{node}/$port\" 2>/dev/null && echo $port & done; wait"
    );
    assert_eq!(sh(&open, &lab.dir), "443");
}

/// An HTTPS request that verifies the certificate against the lab's authority.
fn get(lab: &Lab, host: &str, path: &str) -> String {
    let node = address("node2");
    let curl = format!(
        "curl -sS -m 60 --cacert ca.pem --resolve {host}:443:{node} -w '\\n%{{http_code}}' https://{host}{path}"
    );
    sh(&curl, &lab.dir)
}

/// A secret as its user reads it.
pub fn secret(lab: &Lab, name: &str) -> String {
    sh(&format!("{} secret show {name} lab.yml", crate::bp::binary().display()), &lab.dir)
}

/// The shell of a node's task of a service.
pub fn inside(service: &str, command: &str) -> String {
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
    connected(lab);
    let now = psql(lab, "shop", "CREATE TABLE lamps AS SELECT 7 AS lit; SELECT lit FROM lamps");
    assert_eq!(now, (0, "7".to_owned()));
    let other = psql(
        lab,
        "shop",
        "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname = current_user",
    );
    assert_eq!(other, (0, "0".to_owned()), "the owner of a database is no superuser");
    let primary = primary(lab, "node1");
    let cli = |words: &str| {
        format!(
            "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt {words}"
        )
    };
    let service = format!("redis_redis-{primary}");
    assert_eq!(lab.on(&primary, &inside(&service, &cli("set lamp lit"))), "OK");
    let stranger = "redis-cli --tls --cacert /etc/bp/ca.crt get lamp";
    let refused = lab.on(&primary, &inside(&service, stranger));
    assert!(refused.contains("NOAUTH"), "Redis answers without the password: {refused}");
}

/// GitLab's sign-in page through Traefik. The stand-in's says whether it reaches PostgreSQL and Redis.
fn connected(lab: &Lab) {
    let page = get(lab, "gitlab.lab.test", "/users/sign_in");
    assert!(page.ends_with("200") && page.contains("GitLab"), "{page}");
    assert_eq!(page.matches("class=\"ok\"").count(), 2, "PostgreSQL and Redis: {page}");
}

/// What a database answers its owner, who comes through the proxies as any client does.
pub fn psql(lab: &Lab, owner: &str, sql: &str) -> (i32, String) {
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
    write(lab, "  - pulled: { file: pulled.yml, within: 3m }\n");
    lab.expect(UP, 0);
    assert_eq!(node_of(lab, "pulled_web"), "node3");
    let untrusted = lab.ssh(
        "node1",
        "mv /etc/docker/certs.d /etc/docker/certs.away; docker pull -q registry.lab.test/lab/web:1; \
         code=$?; mv /etc/docker/certs.away /etc/docker/certs.d; exit $code",
    );
    assert!(untrusted.0 != 0 && untrusted.1.contains("certificate"), "{}", untrusted.1);
    // The image that was taken away above comes back.
    lab.expect(&["up", "lab.yml", "--yes"], 0);
}

/// Portainer's images, which no node has, come from the lab's registry, where bp pushed them.
fn air_gap(lab: &Lab) {
    write(lab, "");
    let archive = crate::repository().join("target/images/portainer.tar");
    let archive = archive.to_str().expect("a path of the repository");
    let loaded = lab.expect(&["images", "load", "lab.yml", archive], 0);
    let server = "registry.lab.test/lab/portainer-stand-in";
    let pushed = &loaded.last()["images"][0];
    assert_eq!(pushed["pushed"], format!("{server}:2"), "{pushed}");

    write(lab, "  - portainer: { image: \"lab/portainer-stand-in:2\" }\n");
    let needed = lab.expect(&["images", "list", "lab.yml"], 0).last().to_string();
    assert!(needed.contains(&format!("\"{server}:2\"")), "{needed}");
    lab.on("node1", "docker image rm -f $(docker image ls -q 'lab/portainer*') >/dev/null");
    lab.expect(UP, 0);
    for node in NAMES {
        let running = lab.on(node, "docker ps --format '{{.Image}}'");
        let agent = "registry.lab.test/lab/portainer-agent-stand-in:2";
        assert!(running.lines().any(|image| image == agent), "{node} runs {running}");
    }
    let page = get(lab, "portainer.lab.test", "/");
    assert!(page.ends_with("200"), "{page}");
    nothing_to_do(lab);
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
    # Its first process takes no notice of it, and goes on answering until the ten seconds are over.
    stop_signal: SIGTERM
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
    let stack = "  - shop: { file: shop.yml, needs: [traefik], within: 3m, health: [{ http: \"https://shop.lab.test/health\" }] }\n";
    let file = |image: &str| std::fs::write(lab.dir.join("shop.yml"), compose(image));
    file("lab/web:1").expect("write shop.yml");
    write(lab, stack);
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
        .env("NODE", address("node2"))
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
pub fn until(what: &str, is: impl Fn() -> bool) {
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
    connected(lab);
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
fn dashboard_for(lab: &Lab, password: &str) -> String {
    let netrc = format!("machine traefik.lab.test login admin password {password}\n");
    std::fs::write(lab.dir.join("netrc"), netrc).expect("write netrc");
    let curl = format!(
        "curl -sS -m 60 --cacert ca.pem --netrc-file netrc --resolve traefik.lab.test:443:{} -o /dev/null -w '%{{http_code}}' https://traefik.lab.test/dashboard/",
        address("node2")
    );
    sh(&curl, &lab.dir)
}

/// The host of Redis' primary, as the sentinel of a node knows it.
pub fn primary(lab: &Lab, node: &str) -> String {
    let ask = inside(
        &format!("redis_sentinel-{node}"),
        "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt -p 26379 sentinel get-master-addr-by-name redis",
    );
    let said = lab.on(node, &ask);
    said.lines().next().and_then(|l| l.strip_prefix("redis-")).expect("a primary").to_owned()
}

/// Rows and keys go to the operator's machine, the lab is made anew, and they are there again.
fn carried(lab: &Lab) {
    lab.on("node1", &crate::etcdctl("node1", "put lamp on"));
    lab.expect(&["backup", "lab.yml", "--to", "backup"], 0);
    let keys = gitlab_keys(lab);
    let loose = sh("find backup ! -type l -perm /077", &lab.dir);
    assert_eq!(loose, "", "others may read this");
    hosts::fresh();
    write(lab, "");
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    // The authority is a new one.
    certificate(lab);
    assert_eq!(lab.on("node3", &crate::etcdctl("node3", "get lamp --print-value-only")), "");
    let lit = "SELECT lit FROM lamps";
    let (_, dark) = psql(lab, "shop", lit);
    assert!(dark.contains("does not exist"), "{dark}");
    assert_ne!(gitlab_keys(lab), keys);
    let taken = sh("ls -d backup/*", &lab.dir);
    lab.expect(&["restore", "lab.yml", "--from", &taken, "--yes"], 0);
    assert_eq!(lab.on("node3", &crate::etcdctl("node3", "get lamp --print-value-only")), "on");
    assert_eq!(psql(lab, "shop", lit), (0, "7".to_owned()));
    assert_eq!(gitlab_keys(lab), keys);
    // The GitLab that is back knows the runner of the lab that was, not this one's.
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    connected(lab);
    nothing_to_do(lab);
}

/// What tells GitLab's own keys from others, without which its database can't be read.
fn gitlab_keys(lab: &Lab) -> String {
    lab.on("node1", "sha256sum </srv/docker/gitlab/config/gitlab-secrets.json")
}

/// Stacks, membership, mounts and walls are gone; what the services wrote stays.
fn destroyed(lab: &Lab) {
    lab.expect(&["destroy", "lab.yml", "--yes"], 0);
    for host in NAMES {
        let swarm = lab.on(host, "docker info --format '{{.Swarm.LocalNodeState}}'");
        assert_eq!(swarm, "inactive", "{host} is in a swarm");
        assert_eq!(lab.on(host, "docker ps -q; findmnt -n /srv/docker || true"), "");
        let rules = lab.on(host, "nft list tables | grep -F bp || true");
        assert_eq!(rules, "", "walls are left on {host}");
        let names = lab.on(host, "grep -F traefik.lab.test /etc/hosts; ls -A /etc/docker/certs.d");
        assert_eq!(names, "", "names or trust are left on {host}");
        for data in ["etcd", "stolon", "redis"] {
            let files = format!("find /srv/{data} -type f | head -n 1");
            assert_ne!(lab.on(host, &files), "", "{data} on {host}");
        }
    }
}
