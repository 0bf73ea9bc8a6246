//! The services on the lab: deployed, used, rotated, changed, and what a lost node does to them.
//!
//! Stolon, GitLab and its runner are stand-ins (see `tests/lab/images`): PostgreSQL, Redis, Traefik,
//! the registry and every connection between them are real.

use crate::bp::{Lab, sh};
use crate::{names, replaced, repository, write_blueprint};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const STACKS: &str = "  - etcd
  - stolon:
      version: \"17\"
      image: lab/stolon-stand-in:0.17.0-pg17
      synchronous: true
      databases:
        gitlab: { extensions: [pg_trgm, btree_gist, amcheck] }
        shop:
  - redis
  - traefik
  - registry
  - gitlab:
      version: \"18\"
      image: lab/gitlab-stand-in:18
      runner: { image: lab/gitlab-runner-stand-in:18 }
";

/// The lab with all services, and what else its stacks are.
fn write(lab: &Lab, more: &str) {
    let images = repository().join("target/images");
    let archives: Vec<String> = ["stolon", "redis", "traefik", "registry", "gitlab"]
        .iter()
        .map(|name| format!("{}/{name}.tar", images.display()))
        .collect();
    write_blueprint(lab, &|text| {
        let text = replaced(&text, "web.tar]", &format!("web.tar, {}]", archives.join(", ")));
        replaced(&text, "  - etcd\n", STACKS) + more
    });
}

/// What concerns the stacks only: the rest of the lab was looked at by the stages before.
const UP: &[&str] = &["up", "lab.yml", "--yes", "--only", "stacks"];

/// Everything of the stacks healthy, and nothing left to do.
pub fn deployed(lab: &Lab) {
    write(lab, "");
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    let again = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(again.last()["applied"], 0, "{:?}", again.applied());
    sh(&format!("{} ca lab.yml >ca.pem", crate::bp::binary().display()), &lab.dir);
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
pub fn used(lab: &Lab) {
    let page = get(lab, "gitlab.lab.test", "/users/sign_in");
    assert!(page.ends_with("200") && page.contains("stand-in"), "{page}");
    let ready = get(lab, "gitlab.lab.test", "/-/readiness?all=1");
    assert!(ready.ends_with("200"), "{ready}");
    let dashboard = get(lab, "traefik.lab.test", "/dashboard/");
    assert!(dashboard.ends_with("401"), "the dashboard is open: {dashboard}");
    let plain = sh(
        &format!(
            "curl -sS -m 60 -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: gitlab.lab.test' http://{}/",
            address(lab, "node1")
        ),
        &lab.dir,
    );
    assert!(plain.starts_with("30") && plain.ends_with("https://gitlab.lab.test/"), "{plain}");
    let strange = sh(
        &format!(
            "curl -sS -m 60 --resolve gitlab.lab.test:443:{} https://gitlab.lab.test/ 2>&1 || true",
            address(lab, "node1")
        ),
        &lab.dir,
    );
    assert!(strange.contains("certificate"), "verified without the authority: {strange}");
}

/// An image pushed by one node runs on another; without the login or the authority it is refused.
pub fn registry(lab: &Lab) {
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
}

/// A change that can't run is taken back; a good one goes up without a failed request.
pub fn changed(lab: &Lab) {
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
    write(lab, stack);
    lab.expect(UP, 0);
    until(lab, "the shop answers", &|lab| get(lab, "shop.lab.test", "/").contains("web 1\n200"));

    file("lab/broken:1").expect("write shop.yml");
    let failed = lab.expect(UP, 1);
    let said = failed.failures();
    assert!(
        said.contains("non-zero exit (1)") && said.contains("the version before is back"),
        "{said}"
    );
    assert!(get(lab, "shop.lab.test", "/").contains("web 1\n200"));

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
    until(lab, "the new version answers", &|lab| {
        get(lab, "shop.lab.test", "/").contains("web 2\n200")
    });
    std::fs::write(lab.dir.join("stop"), "").expect("write stop");
    client.wait().expect("the client ends");
    let log = std::fs::read_to_string(lab.dir.join("client.log")).expect("client.log");
    let failed: Vec<&str> = log.lines().filter(|l| *l != "200").collect();
    assert!(log.lines().count() > 20, "the client hardly asked: {}", log.lines().count());
    assert_eq!(failed, Vec::<&str>::new(), "of {} requests", log.lines().count());
}

/// Waits for a state that has no event.
fn until(lab: &Lab, what: &str, is: &dyn Fn(&Lab) -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    while !is(lab) {
        assert!(Instant::now() < end, "not within 180 s: {what}");
    }
}

/// A rotated password: its users work, the old one does not, the old secret is gone.
pub fn rotated(lab: &Lab) {
    let old = secret(lab, "pgsql_shop");
    let names = |lab: &Lab| lab.on("node1", "docker secret ls --format '{{.Name}}'");
    let before = names(lab);
    lab.expect(&["secret", "rotate", "pgsql_shop", "lab.yml", "--yes"], 0);
    let new = secret(lab, "pgsql_shop");
    assert_ne!(old, new);
    let gone: BTreeSet<String> = before.lines().map(str::to_owned).collect();
    let now: BTreeSet<String> = names(lab).lines().map(str::to_owned).collect();
    let gone: Vec<&String> = gone.difference(&now).collect();
    assert!(matches!(gone.as_slice(), [name] if name.contains("pgsql_shop")), "{gone:?}");
    std::fs::write(lab.dir.join("password"), format!("{old}\n")).expect("write the password");
    assert!(!may_log_in(lab), "the old password still works");
    std::fs::write(lab.dir.join("password"), format!("{new}\n")).expect("write the password");
    assert!(may_log_in(lab), "the new password does not work");
    let journals = sh("cat .bp/lab/journal/*", &lab.dir);
    assert!(
        !journals.contains(&old) && !journals.contains(&new),
        "a password stands in the journal"
    );
}

/// Whether the shop's role logs in with the password of the file, through the proxy.
fn may_log_in(lab: &Lab) -> bool {
    let node = node_of(lab, "stolon_databases");
    let command = "c=$(docker ps -q --filter label=com.docker.swarm.service.name=stolon_databases | head -n 1); \
        docker exec -i \"$c\" sh -c 'read -r PGPASSWORD; export PGPASSWORD; psql -h postgresql -U shop -d shop -Atc \"select 1\"'";
    let script = format!(
        "{} ssh -f lab.yml {node} -- {} <password && echo yes || echo no",
        crate::bp::binary().display(),
        shell_word(command)
    );
    sh(&script, &lab.dir).ends_with("yes")
}

fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Numbers that PostgreSQL acknowledged, one a line, as long as the script runs.
const INTO_PGSQL: &str = r#"c=$(docker ps -q --filter label=com.docker.swarm.service.name=stolon_proxy-NODE | head -n 1)
exec docker exec -i "$c" sh -c 'read -r PGPASSWORD; export PGPASSWORD PGCONNECT_TIMEOUT=5 PGSSLMODE=require; i=0
while :; do i=$((i+1)); timeout 20 psql -h postgresql -U shop -d shop -qXc "insert into kept values ($i)" >/dev/null 2>&1 && echo $i; done' </run/password >/run/kept.pgsql
"#;

/// The same for Redis: what one more member than the primary has.
const INTO_REDIS: &str = r#"c=$(docker ps -q --filter label=com.docker.swarm.service.name=redis_redis-NODE | head -n 1)
exec docker exec "$c" sh -c 'export REDISCLI_AUTH=$(cat /run/secrets/redis_password); i=0
cli() { timeout 10 redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt "$@" 2>/dev/null; }
while :; do
p=$(cli -h sentinel-NODE -p 26379 sentinel get-master-addr-by-name redis | head -n 1)
i=$((i+1))
case "$(printf "SET kept:$i 1\nWAIT 1 3000\n" | cli -h "${p:-nobody}" -p 6379 | tr "\n" " ")" in "OK 1 "|"OK 2 ") echo $i ;; esac
done' >/run/kept.redis
"#;

/// The node with the master of PostgreSQL is cut off, and with it what else leads there: writes go on,
/// and none that was acknowledged is lost.
pub fn node_lost(lab: &Lab) {
    let lost = master(lab);
    let primary = primary(lab, "node1");
    let leader = lab.on(
        "node1",
        "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' | awk '$2 == \"Leader\" { print $1 }'",
    );
    println!(
        "  PostgreSQL's master on {lost}, Redis' primary on {primary}, the swarm's leader {leader}"
    );
    let writer = ["node1", "node2", "node3"].into_iter().find(|n| *n != lost).expect("another");
    lab.on(
        &node_of(lab, "stolon_databases"),
        &as_shop("create table if not exists kept (n int primary key)"),
    );
    std::fs::write(lab.dir.join("password"), secret(lab, "pgsql_shop") + "\n").expect("write");
    let put = |name: &str, text: &str| {
        std::fs::write(lab.dir.join("put"), text).expect("write");
        let bp = crate::bp::binary();
        sh(
            &format!(
                "{} ssh -f lab.yml {writer} -- 'umask 077; cat >/run/{name}' <put",
                bp.display()
            ),
            &lab.dir,
        );
    };
    put("password", &(secret(lab, "pgsql_shop") + "\n"));
    for (name, script) in [("pgsql", INTO_PGSQL), ("redis", INTO_REDIS)] {
        put(name, &script.replace("NODE", writer));
        lab.on(
            writer,
            &format!(": >/run/kept.{name}; systemd-run -q --unit=keep-{name} sh /run/{name}"),
        );
    }
    let count = |name: &str| -> usize {
        lab.on(writer, &format!("wc -l </run/kept.{name}")).parse().expect("a number")
    };
    until(lab, "both take writes", &|_| count("pgsql") > 3 && count("redis") > 3);

    sh(&format!("virsh -q destroy lab-{lost}"), &lab.dir);
    let cut = Instant::now();
    let (pgsql, redis) = (count("pgsql"), count("redis"));
    let (mut pgsql_after, mut redis_after) = (None, None);
    while pgsql_after.is_none() || redis_after.is_none() {
        assert!(
            cut.elapsed() < Duration::from_secs(300),
            "writes do not go on: {pgsql_after:?} {redis_after:?}"
        );
        if pgsql_after.is_none() && count("pgsql") > pgsql + 3 {
            pgsql_after = Some(cut.elapsed().as_secs());
        }
        if redis_after.is_none() && count("redis") > redis + 3 {
            redis_after = Some(cut.elapsed().as_secs());
        }
    }
    println!("  writes go on: PostgreSQL after {pgsql_after:?} s, Redis after {redis_after:?} s");
    lab.expect(&["status", "lab.yml"], 3);
    // The node comes back, and everything is healthy.
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    for name in ["pgsql", "redis"] {
        lab.on(writer, &format!("systemctl stop keep-{name} 2>/dev/null; true"));
    }
    lab.on(writer, "for s in stolon_proxy redis_redis; do docker kill $(docker ps -q --filter label=com.docker.swarm.service.name=$s-WRITER) >/dev/null; done; true".replace("WRITER", writer).as_str());
    crate::settled(lab);
    let kept = lab.on(writer, "sort -n /run/kept.pgsql");
    let there =
        lab.on(&node_of(lab, "stolon_databases"), &as_shop("select n from kept order by n"));
    assert_eq!(missing(&kept, &there), Vec::<String>::new(), "acknowledged by PostgreSQL and lost");
    let kept = lab.on(writer, "sort -n /run/kept.redis");
    let node = self::primary(lab, writer);
    let keys = inside(
        &format!("redis_redis-{node}"),
        "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt keys \"kept:*\"",
    );
    let there = lab.on(&node, &keys).replace("kept:", "");
    assert_eq!(missing(&kept, &there), Vec::<String>::new(), "acknowledged by Redis and lost");
    println!("  kept: {} keys", kept.lines().count());
}

fn missing(kept: &str, there: &str) -> Vec<String> {
    let there: BTreeSet<&str> = there.lines().map(str::trim).collect();
    kept.lines().filter(|n| !there.contains(n)).map(str::to_owned).collect()
}

/// SQL of the shop's role, in the container that knows its password.
fn as_shop(sql: &str) -> String {
    inside(
        "stolon_databases",
        &format!(
            "PGPASSWORD=$(cat /run/secrets/pgsql_shop) PGSSLMODE=require psql -h postgresql -U shop -d shop -qXAtc \"{sql}\""
        ),
    )
}

/// The host of PostgreSQL's master.
fn master(lab: &Lab) -> String {
    let ask = ". /etc/bp/common.sh; for k in $KEEPERS; do export PGHOST=$k; \
               [ \"$(as bp pgsql_bp bp -c \"select pg_is_in_recovery()\")\" != f ] || echo $k; done";
    let said = lab.on(&node_of(lab, "stolon_databases"), &inside("stolon_databases", ask));
    said.rsplit('-').next().expect("a keeper").to_owned()
}

/// The host of Redis' primary, as the sentinel of a node knows it.
fn primary(lab: &Lab, node: &str) -> String {
    let ask = inside(
        &format!("redis_sentinel-{node}"),
        "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt -p 26379 sentinel get-master-addr-by-name redis",
    );
    let said = lab.on(node, &ask);
    said.lines().next().and_then(|l| l.strip_prefix("redis-")).expect("a primary").to_owned()
}

/// A second lab in the same libvirt and the same zone, of one machine: its data go to the operator's
/// machine, and come back after it was destroyed and made anew. The first lab is whole all the time.
pub fn second_lab(lab: &Lab) {
    let text = std::fs::read_to_string(lab.dir.join("lab.yml")).expect("lab.yml");
    let provider = text.split("machine:").next().expect("a provider comes first");
    let provider = replaced(provider, "name: lab\n", "name: other\n");
    let provider = replaced(&provider, "network: lab\n", "network: other\n");
    let provider = replaced(&provider, "subnet: 10.20.30.0/24", "subnet: 10.20.31.0/24");
    let images = repository().join("target/images");
    let dns = names::DNS.split("  records:").next().expect("records come last");
    let other = format!(
        "{provider}machine: {{ cpus: 2, memory: 2GiB, disk: 10GiB }}
hosts: {{ box: {{ role: manager }} }}
{dns}  records: {{ shop: {{ cname: box }} }}
engine: {{ source: distro }}
images: {{ archives: [{0}/etcd.tar, {0}/stolon.tar] }}
stacks:
  - etcd
  - stolon: {{ version: \"17\", image: lab/stolon-stand-in:0.17.0-pg17, databases: {{ shop: }} }}
",
        images.display()
    );
    std::fs::write(lab.dir.join("other.yml"), other).expect("write other.yml");
    let before = names::both(lab);
    lab.expect(&["up", "other.yml", "--yes"], 0);
    lab.expect(&["plan", "other.yml"], 0);
    lab.expect(&["plan", "lab.yml"], 0);
    names::of_both_labs(lab);
    let on = |command: &str| {
        let output = std::process::Command::new(crate::bp::binary())
            .args(["ssh", "-f", "other.yml", "box", "--", command])
            .current_dir(&lab.dir)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("bp starts");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{command}`: {text}{error}");
        text
    };
    on(&as_shop("create table sold (what text); insert into sold values (\\$\\$two lamps\\$\\$)"));
    on(&crate::etcdctl("box", "put lamp on"));
    lab.expect(&["backup", "other.yml", "--to", "backup"], 0);
    let loose = sh("find backup ! -type l -perm /077", &lab.dir);
    assert_eq!(loose, "", "others may read this");
    lab.expect(&["destroy", "other.yml", "--yes"], 0);
    assert_eq!(names::both(lab), before);
    lab.expect(&["up", "other.yml", "--yes"], 0);
    let taken = sh("ls -d backup/*", &lab.dir);
    lab.expect(&["restore", "other.yml", "--from", &taken, "--yes"], 0);
    assert_eq!(on(&as_shop("select what from sold")), "two lamps");
    assert_eq!(on(&crate::etcdctl("box", "get lamp --print-value-only")), "on");
    lab.expect(&["destroy", "other.yml", "--yes"], 0);
    assert_eq!(names::both(lab), before);
    lab.expect(&["status", "lab.yml"], 0);
}
