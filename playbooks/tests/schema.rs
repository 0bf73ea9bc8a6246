//! What is said of compose files before docker sees them.

use crate::schema::check;
use serde_json::{Map, Value, json};

fn document(text: &str) -> Map<String, Value> {
    let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
    yaml.apply_merge().expect("merged");
    match serde_json::to_value(yaml).expect("JSON") {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

/// What is said of a file: problems, remarks, or the version that it is deployed as.
fn said(text: &str) -> String {
    let said = check(&document(text));
    let remarks = said.remarks.iter().map(|r| format!("remark: {r}"));
    let mut lines: Vec<String> = said.problems.iter().cloned().chain(remarks).collect();
    if lines.is_empty() {
        lines.push(format!("right, {}", said.version));
    }
    lines.join("\n")
}

fn service(fields: &str) -> String {
    said(&format!("services: {{ web: {{ image: a, {fields} }} }}"))
}

/// Each line of the table and what is said of it.
fn all(lines: &str, of: impl Fn(&str) -> String) -> String {
    let lines = lines.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.map(|line| format!("{line}\n    {}\n", of(line).replace('\n', "\n    "))).collect()
}

#[test]
fn types() {
    insta::assert_snapshot!(all(
        "
        deploy: { replicas: two }
        deploy: { replicas: '2' }
        deploy: { replicas: 2.5 }
        deploy: { replicas: -1 }
        deploy: { replicas: 2.0 }
        deploy: { mode: globally }
        deploy: { mode: replicatd }
        deploy: { resources: { limits: { cpus: 0.5, memory: 512 } } }
        deploy: { resources: { limits: { cpus: '0.5', memory: 512M, pids: '9' } } }
        deploy: { resources: { limits: { cpus: half, memory: 512X } } }
        deploy: { update_config: { delay: 10, monitor: 1d, failure_action: stop, order: first } }
        deploy: { update_config: { max_failure_ratio: '0.1' }, restart_policy: { condition: always } }
        deploy: { placement: { constraints: 'node.role == manager' } }
        deploy: { labels: { traefik.enable: true } }
        deploy: { labels: [traefik.enable=true, 1] }
        deploy: [a]
        deploy: hunter2
        environment: hunter2
        environment: { DEBUG: true, LEVEL: 3, EMPTY: }
        environment: [A=1, A=1]
        environment: [{ PASSWORD: hunter2 }]
        command: [run, 8080]
        command: run 'it
        command: '\"its\" \\\\'
        healthcheck: { test: [CMD, 'true'], interval: 30 }
        healthcheck: { test: a, disable: true }
        init: 'true'
        tty: yes
        read_only: 1
        user: 1000
        depends_on: { db: { condition: service_healthy } }
        networks: { a b: }
        stop_grace_period: 1m30s
        logging: { driver: json-file, options: { max-size: 10m, max-file: 3, compress: true } }
        ulimits: { nofile: 1024, nproc: { soft: 1 }, core: unlimited }
        secrets: db
        labels: 3
        ",
        service
    ), @r#"
    deploy: { replicas: two }
        services.web.deploy.replicas: expected a whole number, found `two`
    deploy: { replicas: '2' }
        services.web.deploy.replicas: expected a whole number, found `2`: leave the quotes out
    deploy: { replicas: 2.5 }
        services.web.deploy.replicas: expected a whole number, found `2.5`
    deploy: { replicas: -1 }
        services.web.deploy.replicas: expected a whole number, found `-1`
    deploy: { replicas: 2.0 }
        right, 3.8
    deploy: { mode: globally }
        services.web.deploy.mode: expected `replicated`, `global`, `replicated-job` or `global-job`, found `globally`; did you mean `global`?
    deploy: { mode: replicatd }
        services.web.deploy.mode: expected `replicated`, `global`, `replicated-job` or `global-job`, found `replicatd`; did you mean `replicated`?
    deploy: { resources: { limits: { cpus: 0.5, memory: 512 } } }
        services.web.deploy.resources.limits.cpus: expected a number of processors such as `"0.5"`, found the number 0.5: put it in quotes
        services.web.deploy.resources.limits.memory: expected a size such as `512M`, found `512`
    deploy: { resources: { limits: { cpus: '0.5', memory: 512M, pids: '9' } } }
        services.web.deploy.resources.limits.pids: expected a whole number, found `9`: leave the quotes out
    deploy: { resources: { limits: { cpus: half, memory: 512X } } }
        services.web.deploy.resources.limits.cpus: expected a number of processors such as `"0.5"`, found `half`
        services.web.deploy.resources.limits.memory: expected a size such as `512M`, found `512X`
    deploy: { update_config: { delay: 10, monitor: 1d, failure_action: stop, order: first } }
        services.web.deploy.update_config.delay: expected a time such as `1m30s`, found `10`
        services.web.deploy.update_config.monitor: expected a time such as `1m30s`, found `1d`
        services.web.deploy.update_config.failure_action: expected `pause`, `continue` or `rollback`, found `stop`
        services.web.deploy.update_config.order: expected `stop-first` or `start-first`, found `first`
    deploy: { update_config: { max_failure_ratio: '0.1' }, restart_policy: { condition: always } }
        services.web.deploy.update_config.max_failure_ratio: expected a number, found `0.1`: leave the quotes out
        services.web.deploy.restart_policy.condition: expected `any`, `on-failure` or `none`, found `always`
    deploy: { placement: { constraints: 'node.role == manager' } }
        services.web.deploy.placement.constraints: expected a list, found a text
    deploy: { labels: { traefik.enable: true } }
        services.web.deploy.labels.traefik.enable: expected a text, found `true`: put it in quotes
    deploy: { labels: [traefik.enable=true, 1] }
        services.web.deploy.labels[1]: expected a text, found `1`: put it in quotes
    deploy: [a]
        services.web.deploy: expected a map, found a list
    deploy: hunter2
        services.web.deploy: expected a map, found a text
    environment: hunter2
        services.web.environment: expected a map, or a list of `key=value`, found a text
    environment: { DEBUG: true, LEVEL: 3, EMPTY: }
        services.web.environment.DEBUG: expected a text, found `true`: put it in quotes
    environment: [A=1, A=1]
        services.web.environment[1]: the same as services.web.environment[0]
    environment: [{ PASSWORD: hunter2 }]
        services.web.environment[0]: expected a text, found a map
    command: [run, 8080]
        services.web.command[1]: expected a text, found `8080`: put it in quotes
    command: run 'it
        services.web.command: a quote in it is not closed
    command: '"its" \\'
        right, 3.8
    healthcheck: { test: [CMD, 'true'], interval: 30 }
        services.web.healthcheck.interval: expected a time such as `1m30s`, found `30`
    healthcheck: { test: a, disable: true }
        services.web.healthcheck: `disable` and `test` exclude each other
    init: 'true'
        services.web.init: expected `true` or `false`, found `true`: leave the quotes out
    tty: yes
        services.web.tty: expected `true` or `false`, found `yes`: yes and on are `true`, no and off are `false`
    read_only: 1
        services.web.read_only: expected `true` or `false`, found `1`
    user: 1000
        services.web.user: expected a text, found `1000`: put it in quotes
    depends_on: { db: { condition: service_healthy } }
        services.web.depends_on: expected a list of texts, found a map: leave it out, a swarm starts all services side by side
        remark: a swarm ignores `depends_on` (of `web`): all services start side by side; between stacks there is `needs`
    networks: { a b: }
        services.web.networks.a b: a name has letters, digits, `.`, `_` and `-`
        services.web.networks: the file declares no network `a b`; declare it: `networks: { a b: { external: true } }`
    stop_grace_period: 1m30s
        right, 3.8
    logging: { driver: json-file, options: { max-size: 10m, max-file: 3, compress: true } }
        services.web.logging.options.compress: expected a text, found `true`: put it in quotes
    ulimits: { nofile: 1024, nproc: { soft: 1 }, core: unlimited }
        services.web.ulimits.core: expected a whole number, found `unlimited`
        services.web.ulimits.nproc: it needs `soft` and `hard`
    secrets: db
        services.web.secrets: expected a list, found a text
    labels: 3
        services.web.labels: expected a map, or a list of `key=value`, found `3`
    "#);
}

#[test]
fn images() {
    let of = |image: &str| said(&format!("services: {{ web: {{ image: '{image}' }} }}"));
    insta::assert_snapshot!(all(
        "
        registry.lab.test:5000/web:1
        lab/Web:1
        https://registry.lab.test/web:1
        bp:hunter2@registry.lab.test/web:1
        ",
        of
    ), @"
    registry.lab.test:5000/web:1
        right, 3.8
    lab/Web:1
        services.web.image: expected an image such as `redis:8.0.2`, its path in lower case, found `lab/Web:1`
    https://registry.lab.test/web:1
        services.web.image: expected an image such as `redis:8.0.2`, its path in lower case, found `https://registry.lab.test/web:1`
    bp:hunter2@registry.lab.test/web:1
        services.web.image: expected an image with its digest, such as `redis@sha256:...`
    ");
}

#[test]
fn ports_and_volumes() {
    insta::assert_snapshot!(all(
        "
        ports: ['80', '8080:80', 443, '53:53/udp', '3000-3005:3000-3005', '8000-8005:80', ':81']
        ports: ['127.0.0.1:8080:80', '[::1]:8081:80']
        ports: [http:80]
        ports: ['80:http']
        ports: ['70000:80']
        ports: ['80:80/icmp']
        ports: ['80-82:80-81']
        ports: ['81-80:81-80']
        ports: ['local:80:80']
        ports: ['80:80', '80:80']
        ports: [80.5, -1, true]
        ports: [{ target: 80, published: 8080, protocol: tcp, mode: host }]
        ports: [{ target: '80', publish: 8080, protocol: http, mode: hosts }]
        ports: 80
        ports: ['80:80'], deploy: { endpoint_mode: dnsrr }
        ports: [{ target: 80, mode: host }], deploy: { endpoint_mode: dnsrr }
        volumes: [/data, '/srv:/data', '/srv:/data:ro']
        volumes: ['data:/data']
        volumes: ['', 'a:', ':/b', '/srv:data', data]
        volumes: [{ source: /srv, target: /data }]
        volumes: [{ type: bind, target: /data }]
        volumes: [{ type: tmpfs, source: /srv, target: /data, tmpfs: { size: 1g } }]
        volumes: [{ type: bind, source: /srv, target: /data, volume: { nocopy: true } }]
        volumes: [{ type: folder, source: /srv, target: /data }]
        volumes: [{ type: bind, source: /srv, taget: /data }]
        ",
        service
    ), @r#"
    ports: ['80', '8080:80', 443, '53:53/udp', '3000-3005:3000-3005', '8000-8005:80', ':81']
        right, 3.8
    ports: ['127.0.0.1:8080:80', '[::1]:8081:80']
        remark: services.web: a swarm ignores the address `127.0.0.1` of the port `127.0.0.1:8080:80`: it is open on all of them
        remark: services.web: a swarm ignores the address `[::1]` of the port `[::1]:8081:80`: it is open on all of them
    ports: [http:80]
        services.web.ports[0]: `http:80` is no port: expected a number from 1 to 65535, found `http`
    ports: ['80:http']
        services.web.ports[0]: `80:http` is no port: expected a number from 1 to 65535, found `http`
    ports: ['70000:80']
        services.web.ports[0]: `70000:80` is no port: expected a number from 1 to 65535, found `70000`
    ports: ['80:80/icmp']
        services.web.ports[0]: `80:80/icmp` is no port: no protocol is called `icmp`; there are tcp, udp and sctp
    ports: ['80-82:80-81']
        services.web.ports[0]: `80-82:80-81` is no port: both ranges need the same length
    ports: ['81-80:81-80']
        services.web.ports[0]: `81-80:81-80` is no port: `81-80` ends before it begins
    ports: ['local:80:80']
        services.web.ports[0]: `local:80:80` is no port: `local` is no address
    ports: ['80:80', '80:80']
        services.web.ports[1]: the same as services.web.ports[0]
    ports: [80.5, -1, true]
        services.web.ports[0]: expected a port such as `"8080:80"`, found the number 80.5: put it in quotes
        services.web.ports[1]: expected a port such as `"8080:80"`, found the number -1: put it in quotes
        services.web.ports[2]: expected a port such as `"8080:80"`, found `true`
    ports: [{ target: 80, published: 8080, protocol: tcp, mode: host }]
        right, 3.8
    ports: [{ target: '80', publish: 8080, protocol: http, mode: hosts }]
        services.web.ports[0].target: expected a whole number, found `80`: leave the quotes out
        services.web.ports[0].publish: unknown key; did you mean `published`?
        services.web.ports[0].protocol: expected `tcp`, `udp` or `sctp`, found `http`
        services.web.ports[0].mode: expected `ingress` or `host`, found `hosts`; did you mean `host`?
    ports: 80
        services.web.ports: expected a list, found `80`
    ports: ['80:80'], deploy: { endpoint_mode: dnsrr }
        services.web.deploy.endpoint_mode: `dnsrr` has no address to publish ports on: `mode: host` for each port, or `vip`
    ports: [{ target: 80, mode: host }], deploy: { endpoint_mode: dnsrr }
        right, 3.8
    volumes: [/data, '/srv:/data', '/srv:/data:ro']
        right, 3.8
    volumes: ['data:/data']
        services.web.volumes[0]: the file declares no volume `data`; declare it: `volumes: { data: {} }`
    volumes: ['', 'a:', ':/b', '/srv:data', data]
        services.web.volumes[0]: `` is no volume: there is nothing beside a colon
        services.web.volumes[1]: `a:` is no volume: there is nothing beside a colon
        services.web.volumes[2]: `:/b` is no volume: there is nothing beside a colon
        services.web.volumes[3]: `/srv:data` is no volume: its place in the container begins with `/`
        services.web.volumes[4]: `data` is no volume: its place in the container begins with `/`
    volumes: [{ source: /srv, target: /data }]
        services.web.volumes[0]: it needs `type`, such as `type: bind`
    volumes: [{ type: bind, target: /data }]
        services.web.volumes[0]: `type: bind` needs `source`
    volumes: [{ type: tmpfs, source: /srv, target: /data, tmpfs: { size: 1g } }]
        services.web.volumes[0].tmpfs.size: expected a whole number, found `1g`
        services.web.volumes[0].source: a tmpfs is made of nothing: leave it out
    volumes: [{ type: bind, source: /srv, target: /data, volume: { nocopy: true } }]
        services.web.volumes[0].volume: its type is `bind`
    volumes: [{ type: folder, source: /srv, target: /data }]
        services.web.volumes[0].type: expected `volume`, `bind`, `tmpfs`, `npipe` or `cluster`, found `folder`
    volumes: [{ type: bind, source: /srv, taget: /data }]
        services.web.volumes[0].taget: unknown key; did you mean `target`?
        services.web.volumes[0]: it needs `target`, its place in the container
    "#);
}

#[test]
fn what_belongs_together() {
    insta::assert_snapshot!(all(
        "
        deploy: { mode: global, replicas: 2 }
        deploy: { mode: replicated-job, restart_policy: { condition: any }, update_config: {} }
        networks: [front]
        networks: { front: { aliases: [a] } }
        networks: [default]
        secrets: [db, { source: key, target: /k }]
        configs: [{ source: site, mode: 288 }]
        restart: sometimes
        restart: on-failure:3
        restart: 'no'
        restart: always, deploy: { restart_policy: { condition: any } }
        ",
        service
    ), @"
    deploy: { mode: global, replicas: 2 }
        services.web.deploy.replicas: `mode: global` runs one task a node
    deploy: { mode: replicated-job, restart_policy: { condition: any }, update_config: {} }
        services.web.deploy.update_config: a job is not updated
        services.web.deploy.restart_policy.condition: a job ends; `on-failure` or `none`
    networks: [front]
        services.web.networks[0]: the file declares no network `front`; declare it: `networks: { front: { external: true } }`
    networks: { front: { aliases: [a] } }
        services.web.networks: the file declares no network `front`; declare it: `networks: { front: { external: true } }`
    networks: [default]
        right, 3.8
    secrets: [db, { source: key, target: /k }]
        services.web.secrets[0]: the file declares no secret `db`; declare it: `secrets: { db: { external: true } }`
        services.web.secrets[1]: the file declares no secret `key`; declare it: `secrets: { key: { external: true } }`
    configs: [{ source: site, mode: 288 }]
        services.web.configs[0]: the file declares no config `site`; declare it: `configs: { site: { external: true } }`
    restart: sometimes
        services.web.restart: expected `always`, `on-failure`, `unless-stopped` or `no`, found `sometimes`
    restart: on-failure:3
        right, 3.8
    restart: 'no'
        remark: services.web: a swarm restarts it in spite of `restart: no`: `deploy: { restart_policy: { condition: none } }`
    restart: always, deploy: { restart_policy: { condition: any } }
        remark: services.web: `restart` is ignored beside `deploy.restart_policy`
    ");
    insta::assert_snapshot!(all(
        "
        { services: { web: { image: a, networks: [frnt] } }, networks: { front: {} } }
        { services: { web: { image: a } }, volumes: { data: { external: true, driver: nfs } } }
        { services: { web: { image: a } }, networks: { n: { external: { name: m }, name: o } } }
        { services: { web: { image: a } }, secrets: { s: {} } }
        { services: { web: { image: a } }, secrets: { s: { driver: a, file: b } } }
        { services: { web: { image: a } }, configs: { s: { content: b } } }
        { services: { web app: { image: a } }, volumes: { 'a/b': } }
        { services: [web] }
        { services: { web: nginx } }
        { services: { web: } }
        ",
        said
    ), @"
    { services: { web: { image: a, networks: [frnt] } }, networks: { front: {} } }
        services.web.networks[0]: the file declares no network `frnt`; did you mean `front`?
    { services: { web: { image: a } }, volumes: { data: { external: true, driver: nfs } } }
        volumes.data: it is external, so it can't have `driver`
    { services: { web: { image: a } }, networks: { n: { external: { name: m }, name: o } } }
        networks.n: it has two names: leave `external: true` and `name`
    { services: { web: { image: a } }, secrets: { s: {} } }
        secrets.s: it needs `file`, or `external: true`
    { services: { web: { image: a } }, secrets: { s: { driver: a, file: b } } }
        secrets.s: `driver` and `file` exclude each other
    { services: { web: { image: a } }, configs: { s: { content: b } } }
        configs.s.content: unknown key; there are `name`, `file`, `external`, `labels`, `template_driver`
        configs.s: it needs `file`, or `external: true`
    { services: { web app: { image: a } }, volumes: { 'a/b': } }
        services.web app: a name has letters, digits, `.`, `_` and `-`
        volumes.a/b: a name has letters, digits, `.`, `_` and `-`
    { services: [web] }
        services: expected a map, found a list
    { services: { web: nginx } }
        services.web: expected a map, found a text
    { services: { web: } }
        services.web: expected a map, found nothing
    ");
}

#[test]
fn keys() {
    insta::assert_snapshot!(all(
        "
        imge: a
        replicas: 2
        labls: [a=b]
        nonsense: 1
        mem_limit: 512m
        extends: base
        profiles: [debug]
        x-mine: 1
        deploy: { replica: 2, labels: {}, resource: {} }
        deploy: { nonsense: 1 }
        deploy: { resources: { limits: { cpu: '1' } } }
        healthcheck: { tests: a }
        networks: { n: { ip: 10.0.0.1 } }
        secrets: [{ source: s, whatever: 1 }]
        ",
        service
    ), @"
    imge: a
        services.web.imge: unknown key; did you mean `image`?
    replicas: 2
        services.web.replicas: unknown key; it belongs under `deploy`
    labls: [a=b]
        services.web.labls: unknown key; did you mean `labels`?
    nonsense: 1
        services.web.nonsense: unknown key; no service has it
    mem_limit: 512m
        services.web.mem_limit: `docker stack deploy` refuses it; `deploy: { resources: { limits: { memory: 512M } } }`
    extends: base
        services.web.extends: `docker stack deploy` refuses it; write the service out, or merge it from an anchor: `<<: *base`
    profiles: [debug]
        services.web.profiles: `docker stack deploy` refuses it; leave it out: a stack is deployed whole
    x-mine: 1
        right, 3.8
    deploy: { replica: 2, labels: {}, resource: {} }
        services.web.deploy.replica: unknown key; did you mean `replicas`?
        services.web.deploy.resource: unknown key; did you mean `resources`?
    deploy: { nonsense: 1 }
        services.web.deploy.nonsense: unknown key; there are `mode`, `endpoint_mode`, `replicas`, `labels`, `update_config`, `rollback_config`, `resources`, `restart_policy`, `placement`
    deploy: { resources: { limits: { cpu: '1' } } }
        services.web.deploy.resources.limits.cpu: unknown key; did you mean `cpus`?
    healthcheck: { tests: a }
        services.web.healthcheck.tests: unknown key; did you mean `test`?
    networks: { n: { ip: 10.0.0.1 } }
        services.web.networks.n.ip: unknown key; there are `aliases`, `driver_opts`, `ipv4_address`, `ipv6_address`
        services.web.networks: the file declares no network `n`; declare it: `networks: { n: { external: true } }`
    secrets: [{ source: s, whatever: 1 }]
        services.web.secrets[0]: the file declares no secret `s`; declare it: `secrets: { s: { external: true } }`
    ");
    insta::assert_snapshot!(all(
        "
        { service: { web: { image: a } } }
        { services: { web: { image: a } }, image: a, include: [b.yml] }
        { services: { web: { image: a } }, networks: { n: { enable_ipv6: true } } }
        { services: { web: { image: a } }, x-anything: [1, { a: b }] }
        { web: { image: a } }
        ",
        said
    ), @"
    { service: { web: { image: a } } }
        service: unknown key; did you mean `services`?
    { services: { web: { image: a } }, image: a, include: [b.yml] }
        image: unknown key; it belongs to a service
        include: unknown key; there are `version`, `services`, `networks`, `volumes`, `secrets`, `configs`
    { services: { web: { image: a } }, networks: { n: { enable_ipv6: true } } }
        networks.n.enable_ipv6: unknown key; there are `name`, `driver`, `driver_opts`, `ipam`, `external`, `internal`, `attachable`, `labels`
    { services: { web: { image: a } }, x-anything: [1, { a: b }] }
        right, 3.8
    { web: { image: a } }
        web: unknown key; there are `version`, `services`, `networks`, `volumes`, `secrets`, `configs`
    ");
}

#[test]
fn versions() {
    let versions = ["3", "3.0", "3.2", "3.7", "3.13", "3.14", "3.08", "2.1", "1", "v3", ""];
    let asked = versions.map(|version| {
        let text = format!(
            "{{ version: '{version}', services: {{ web: {{ image: a, init: true, ports: [{{ target: 80 }}] }} }} }}"
        );
        format!("{version}: {}", said(&text).replace('\n', "\n    "))
    });
    insta::assert_snapshot!(asked.join("\n"), @"
    3: right, 3.8
    3.0: services.web.init: it came with version 3.7; the file says 3.0
        services.web.ports[0]: a map here came with version 3.2; the file says 3.0
    3.2: services.web.init: it came with version 3.7; the file says 3.2
    3.7: right, 3.7
    3.13: right, 3.13
    3.14: version: `docker stack deploy` takes 3.0 to 3.13, found `3.14`
    3.08: version: `docker stack deploy` takes 3.0 to 3.13, found `3.08`
    2.1: version: `docker stack deploy` takes 3.0 to 3.13, found `2.1`
    1: version: `docker stack deploy` takes 3.0 to 3.13, found `1`
    v3: version: `docker stack deploy` takes 3.0 to 3.13, found `v3`
    : right, 3.8
    ");
    insta::assert_snapshot!(all(
        "
        { version: 3.8, services: { web: { image: a } } }
        { version: 3, services: { web: { image: a } } }
        { services: { web: { image: a } } }
        { services: { web: { image: a, deploy: { resources: { limits: { pids: 9 } } } } } }
        { services: { web: { image: a, oom_score_adj: 1 } } }
        ",
        said
    ), @"
    { version: 3.8, services: { web: { image: a } } }
        version: expected a text, found `3.8`: put it in quotes
    { version: 3, services: { web: { image: a } } }
        version: expected a text, found `3`: put it in quotes
    { services: { web: { image: a } } }
        right, 3.8
    { services: { web: { image: a, deploy: { resources: { limits: { pids: 9 } } } } } }
        right, 3.9
    { services: { web: { image: a, oom_score_adj: 1 } } }
        right, 3.13
    ");
}

#[test]
fn what_a_swarm_ignores() {
    insta::assert_snapshot!(said(
        "
services:
  web:
    image: a
    build: .
    container_name: web
    depends_on: [db]
    links: [db]
    expose: [80]
    privileged: true
    network_mode: host
    tmpfs: /tmp
    networks: { default: { ipv4_address: 10.0.0.9 } }
  db: { image: b, container_name: db, shm_size: 1g }
"
    ), @"
    remark: services.web: a swarm ignores its fixed address on `default`
    remark: a swarm ignores `build` (of `web`): a swarm builds nothing: `image` has to be in a registry or among `images.archives`
    remark: a swarm ignores `container_name` (of `web`, `db`): a task gets a name of its own; others reach the service by the service's name
    remark: a swarm ignores `depends_on` (of `web`): all services start side by side; between stacks there is `needs`
    remark: a swarm ignores `expose` (of `web`): services on one network reach all ports of each other
    remark: a swarm ignores `links` (of `web`): services on one network reach each other by their names
    remark: a swarm ignores `network_mode` (of `web`): for the host's own network: `networks: [host]`, with `host: { external: true }`
    remark: a swarm ignores `privileged` (of `web`): `cap_add` is what a swarm takes
    remark: a swarm ignores `shm_size` (of `db`): `volumes: [{ type: tmpfs, target: /dev/shm, tmpfs: { size: 268435456 } }]`
    remark: a swarm ignores `tmpfs` (of `web`): `volumes: [{ type: tmpfs, target: /tmp }]`
    ");
}

#[test]
fn more_than_anybody_reads() {
    let many: String = (0..30).map(|n| format!("nonsense{n}: 1, ")).collect();
    let refused = check(&document(&format!("services: {{ web: {{ image: a, {many} }} }}")));
    let refused = refused.refused().expect("it is refused");
    assert_eq!((refused.lines().count(), refused.lines().last()), (21, Some("and 10 more")));
}

/// Names and values of the author's, cut to a line.
#[test]
fn long_words_are_cut() {
    let long = "x\n".repeat(5000);
    let file = json!({ "services": { long.clone(): { "image": "a", long.clone(): long.clone(),
        "stop_grace_period": long } } });
    let said = check(file.as_object().expect("a map"));
    assert!(said.problems.len() > 2);
    assert!(said.problems.iter().all(|p| p.len() < 400 && !p.contains('\n')), "{said:?}");
}

/// Every value in every place: each file is answered.
#[test]
fn whatever_stands_there_is_answered() {
    let files: Vec<Value> = [FULL, "services: { web: { image: a } }"]
        .iter()
        .map(|text| Value::Object(document(text)))
        .collect();
    let pieces = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!(":"),
        json!("::"),
        json!("-"),
        json!("/"),
        json!("é-µ"),
        json!("\u{0}"),
        json!("[::]:"),
        json!("1-"),
        json!("0.0.0.0:1-2:3-4/udp"),
        json!("'"),
        json!("\\"),
        json!([]),
        json!([[]]),
        json!([null, {}]),
        json!({}),
        json!({ "": null }),
        json!({ "external": true, "name": {} }),
        json!({ "type": "bind" }),
        json!({ "mode": "global" }),
        json!("9".repeat(400)),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut refused = 0;
    for round in 0..20_000 {
        let mut file = files[round % 2].clone();
        for _ in 0..=random(3) {
            damage(&mut file, &pieces, &mut random);
        }
        if let Value::Object(map) = &file {
            refused += usize::from(check(map).refused().is_some());
        }
    }
    assert!(refused > 5_000, "{refused} of them were refused");
}

/// Puts a piece in the place of a value somewhere in the file, or moves a value there.
fn damage(file: &mut Value, pieces: &[Value], random: &mut impl FnMut(usize) -> usize) {
    let mut at = file;
    for _ in 0..random(8) {
        at = match at {
            Value::Object(map) if !map.is_empty() => {
                let key = map.keys().nth(random(map.len())).expect("in range").clone();
                &mut at[key]
            }
            Value::Array(items) if !items.is_empty() => {
                let index = random(items.len());
                &mut at[index]
            }
            _ => break,
        };
    }
    let piece = pieces[random(pieces.len())].clone();
    match at {
        Value::Object(map) if random(2) == 0 => {
            let keys =
                ["x-", "type", "deploy", "ports", "external", "", "driver", "mode", "source"];
            map.insert(keys[random(keys.len())].to_owned(), piece);
        }
        Value::Array(items) if random(2) == 0 => items.push(piece),
        _ => *at = piece,
    }
}

#[test]
fn a_file_with_everything_passes() {
    insta::assert_snapshot!(said(FULL), @"right, 3.13");
}

/// Every key that does something, in one file.
const FULL: &str = r#"
version: "3.13"
x-logging: &logging { driver: json-file, options: { max-size: 10m, max-file: "3" } }
services:
  web:
    image: example/web:1
    command: [serve, --port, "80"]
    entrypoint: /bin/web "with words"
    cap_add: [NET_ADMIN]
    cap_drop: [ALL]
    configs: [site, { source: site, target: /etc/site, uid: "0", gid: "0", mode: 288 }]
    credential_spec: { config: site }
    dns: 10.0.0.1
    dns_search: [example.net]
    environment: { A: 1, B: two, C: }
    extra_hosts: [a:10.0.0.1]
    healthcheck: { test: curl -f http://localhost, interval: 30s, timeout: 5s, retries: 3, start_period: 1m, start_interval: 1s }
    hostname: "{{.Node.Hostname}}"
    init: true
    isolation: default
    labels: [a=b, c]
    logging: *logging
    networks: { front: { aliases: [www], driver_opts: { a: 1 } }, back: }
    oom_score_adj: -100
    ports: ["8080:80", { target: 443, published: 8443, protocol: tcp, mode: host }]
    read_only: true
    secrets: [key, { source: key, target: /run/key, mode: 256 }]
    stdin_open: false
    stop_grace_period: 1m30s
    stop_signal: SIGQUIT
    sysctls: { net.core.somaxconn: 1024 }
    tty: false
    ulimits: { nproc: 65535, nofile: { soft: 1024, hard: 2048 } }
    user: "1000:1000"
    volumes: ["data:/data:nocopy", { type: tmpfs, target: /tmp, tmpfs: { size: 1000000 } }, { type: bind, source: /srv, target: /srv, read_only: true, bind: { propagation: rslave } }, { type: volume, source: data, target: /more, volume: { nocopy: true } }]
    working_dir: /srv
    deploy:
      mode: replicated
      replicas: 2
      endpoint_mode: vip
      labels: { tier: front, empty: }
      update_config: { parallelism: 1, delay: 10s, failure_action: rollback, monitor: 30s, max_failure_ratio: 0.1, order: start-first }
      rollback_config: { parallelism: 0, delay: 0s, failure_action: pause, monitor: 30s, max_failure_ratio: 0, order: stop-first }
      resources:
        limits: { cpus: "0.5", memory: 512M, pids: 100 }
        reservations: { cpus: "0.25", memory: 256M, generic_resources: [{ discrete_resource_spec: { kind: gpu, value: 1 } }] }
      restart_policy: { condition: on-failure, delay: 5s, max_attempts: 3, window: 120s }
      placement: { constraints: [node.role == worker], preferences: [{ spread: node.labels.zone }], max_replicas_per_node: 1 }
networks:
  front: { driver: overlay, driver_opts: { encrypted: "" }, attachable: true, internal: false, ipam: { driver: default, config: [{ subnet: 10.9.0.0/24 }] }, labels: [a=b], name: front }
  back: { external: true, name: lab_back }
volumes: { data: { driver: local, driver_opts: { type: nfs, o: 3 }, labels: { a: b }, name: data } }
secrets: { key: { external: true }, made: { file: key.pem, labels: { a: b } } }
configs: { site: { file: site.conf, name: site, template_driver: golang } }
"#;
