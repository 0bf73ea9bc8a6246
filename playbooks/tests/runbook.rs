//! YAML playbooks.

use super::bench::{Bench, LAB};
use crate::runbook::{built_in, render, steps};
use crate::step::{CheckBy, Step};
use serde_json::json;
use std::time::Duration;

fn read(text: &str) -> Result<Vec<Step>, String> {
    let lab = LAB.replace(
        "'node{1..3}': { role: manager }",
        "'node{1..3}': { role: manager, labels: { zone: east } }",
    );
    let lab = lab.replace("hosts:\n", "hosts:\n  box: { role: none }\n");
    let lab = Bench::new(&lab).lab;
    steps(&lab, "my.yml", text, &json!({ "color": "blue" })).map_err(|f| f.message)
}

fn one(step: &str) -> String {
    format!("steps:\n  - name: s\n    check: 'true'\n{step}")
}

#[test]
fn a_playbook_becomes_steps_of_its_hosts() {
    let text = "
why: hosts are hardened
on: managers
steps:
  - name: motd of {{host.name}}
    check: |
      grep -q '{{color}} {{lab}}.{{domain}} {{host.labels.zone}}' /etc/motd || { echo '{\"a\": 1}'; exit 1; }
    apply: echo >/etc/motd
    within: 90s
    one_at_a_time: true
  - name: gate
    why: it waits
    on: node2
    check: 'true'
";
    let steps = read(text).expect("a playbook");
    let shown: String = steps
        .iter()
        .map(|s| {
            let CheckBy::Shell(check) = &s.check else { panic!("shell") };
            format!(
                "{} on {}: {} within {:?}, alone {:?}, apply {}\n{check}\n",
                s.name,
                s.on.host(),
                s.why,
                s.within,
                s.alone,
                s.apply.is_some()
            )
        })
        .collect();
    insta::assert_snapshot!(shown, @r#"
    motd of node1 on node1: hosts are hardened within 90s, alone Some("one at a time"), apply true
    grep -q 'blue lab.lab.internal east' /etc/motd || { echo '{"a": 1}'; exit 1; }

    motd of node2 on node2: hosts are hardened within 90s, alone Some("one at a time"), apply true
    grep -q 'blue lab.lab.internal east' /etc/motd || { echo '{"a": 1}'; exit 1; }

    motd of node3 on node3: hosts are hardened within 90s, alone Some("one at a time"), apply true
    grep -q 'blue lab.lab.internal east' /etc/motd || { echo '{"a": 1}'; exit 1; }

    gate on node2: it waits within 1200s, alone None, apply false
    true
    "#);
}

#[test]
fn selectors() {
    for (on, expected) in [
        ("all", "box node1 node2 node3 worker1 worker2"),
        ("nodes", "node1 node2 node3 worker1 worker2"),
        ("managers", "node1 node2 node3"),
        ("workers", "worker1 worker2"),
        ("box", "box"),
    ] {
        let steps = read(&format!("on: {on}\n{}", one(""))).expect("a playbook");
        let hosts: Vec<&str> = steps.iter().map(|s| s.on.host()).collect();
        assert_eq!(hosts.join(" "), expected);
    }
    assert_eq!(read(&one("")).expect("a playbook").len(), 6, "all is the default");
}

#[test]
fn bounds() {
    for (within, seconds) in [("90s", 90), ("10m", 600), ("1h", 3600), ("5m30s", 330)] {
        let steps = read(&one(&format!("    within: {within}\n"))).expect("a playbook");
        assert_eq!(steps[0].within, Duration::from_secs(seconds));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_before_any_host_is_touched() {
    let cases = [
        ("unknown key", "steps:\n  - name: s\n    check: 'true'\n    when: later\n".to_owned()),
        ("unknown key on top", "stepz: []\nsteps: []\n".to_owned()),
        ("no check", "steps:\n  - name: s\n    apply: 'true'\n".to_owned()),
        ("no name", "steps:\n  - check: 'true'\n".to_owned()),
        ("a key twice", "on: all\non: nodes\nsteps: []\n".to_owned()),
        ("no YAML", "steps: [".to_owned()),
        ("no map", "hello".to_owned()),
        ("empty", String::new()),
        ("missing variable", one("    apply: echo {{colour}}\n")),
        ("missing label", one("    apply: echo {{host.labels.rack}}\n")),
        ("block", one("    apply: '{{#if color}}x{{/if}}'\n")),
        ("block with a tilde", one("    apply: '{{~#each x}}x{{/each}}'\n")),
        ("block with blanks", one("    apply: '{{ #if color}}x{{/if}}'\n")),
        ("inverse block", one("    apply: '{{^color}}x{{/color}}'\n")),
        ("partial", one("    apply: '{{> other}}'\n")),
        ("never closed", one("    apply: '{{color'\n")),
        ("bound of nothing", one("    within: 0s\n")),
        ("bound before now", one("    within: -5m\n")),
        ("bound without a unit", one("    within: '10'\n")),
        ("selector", one("    on: debian\n")),
    ];
    let mut said = String::new();
    for (what, text) in cases {
        let error = read(&text).err().unwrap_or_else(|| "ACCEPTED".to_owned());
        said.push_str(&format!("## {what}\n{error}\n"));
    }
    insta::assert_snapshot!(said, @r#"
    ## unknown key
    my.yml: error: line 4 column 5: unknown field `when`, expected one of name, why, on, check, apply, within, one_at_a_time
     --> <input>:4:5
      |
    2 |   - name: s
    3 |     check: 'true'
    4 |     when: later
      |     ^ unknown field `when`, expected one of name, why, on, check, apply, within, one_at_a_time
    ## unknown key on top
    my.yml: error: line 1 column 1: unknown field `stepz`, expected one of why, on, steps
     --> <input>:1:1
      |
    1 | stepz: []
      | ^ unknown field `stepz`, expected one of why, on, steps
    2 | steps: []
      |
    ## no check
    my.yml: error: line 3 column 5: missing field `check`
     --> <input>:3:5
      |
    1 | steps:
    2 |   - name: s
    3 |     apply: 'true'
      |     ^ missing field `check`
    ## no name
    my.yml: error: line 2 column 5: missing field `name`
     --> <input>:2:5
      |
    1 | steps:
    2 |   - check: 'true'
      |     ^ missing field `name`
    ## a key twice
    my.yml: error: line 2 column 1: duplicate mapping key: on, set DuplicateKeyPolicy in Options if acceptable
     --> <input>:2:1
      |
    1 | on: all
    2 | on: nodes
      | ^ duplicate mapping key: on, set DuplicateKeyPolicy in Options if acceptable
    3 | steps: []
      |
    ## no YAML
    my.yml: error: line 1 column 8: unclosed bracket '['
     --> <input>:1:8
      |
    1 | steps: [
      |        ^ unclosed bracket '['
    ## no map
    my.yml: error: line 1 column 1: expected mapping start
     --> <input>:1:1
      |
    1 | hello
      | ^ expected mapping start
    ## empty
    my.yml: unexpected end of input at line 1, column 1
    ## missing variable
    my.yml: step `s`: Error rendering "Unnamed template" line 1, col 6: Failed to access variable in strict mode Some("colour")
    ## missing label
    my.yml: step `s`: Error rendering "Unnamed template" line 1, col 6: Failed to access variable in strict mode Some("host.labels.rack")
    ## block
    my.yml: step `s`: playbooks have no conditions and no loops: such a step belongs in Rust, or two steps with different `on`
    ## block with a tilde
    my.yml: step `s`: playbooks have no conditions and no loops: such a step belongs in Rust, or two steps with different `on`
    ## block with blanks
    my.yml: step `s`: playbooks have no conditions and no loops: such a step belongs in Rust, or two steps with different `on`
    ## inverse block
    my.yml: step `s`: Failed to parse template Template error: invalid handlebars syntax: expected keywords
    ## partial
    my.yml: step `s`: Error rendering "Unnamed template" line 1, col 1: Partial not found other
    ## never closed
    my.yml: step `s`: Failed to parse template Template error: invalid handlebars syntax: expected identifier, helper_parameter, or trailing_tilde_to_omit_whitespace
    ## bound of nothing
    my.yml: step `s`: `within: 0s` is no duration such as `10m`
    ## bound before now
    my.yml: step `s`: `within: -5m` is no duration such as `10m`
    ## bound without a unit
    my.yml: step `s`: `within: 10` is no duration such as `10m`
    ## selector
    my.yml: step `s`: `on: debian` is neither `all`, `nodes`, `managers`, `workers`, `bricks`, `mounts` nor a host
    "#);
}

#[test]
fn a_value_does_not_change_the_structure() {
    let lab = Bench::new(LAB).lab;
    let text = one("    apply: echo {{v}}\n");
    let value = "x\n  - name: more\n    check: 'true'";
    let steps = steps(&lab, "my.yml", &text, &json!({ "v": value })).expect("a playbook");
    assert_eq!(steps.len(), 5);
}

#[test]
fn quoted_values_are_words_of_shell_whatever_they_hold() {
    let evil = "it's; $(echo run) `echo run` \"\\ \n{{v}}";
    let values = json!({ "v": evil, "list": ["one", evil, ""], "none": [], "number": 7 });
    let shell = |template: &str| {
        let script = render(template, &values).expect("rendered");
        let out = std::process::Command::new("sh").args(["-c", &script]).output();
        String::from_utf8(out.expect("sh runs").stdout).expect("text")
    };
    assert_eq!(shell("printf '<%s>' {{q v}}"), format!("<{evil}>"));
    assert_eq!(shell("printf '<%s>' {{q list}}"), format!("<one><{evil}><>"));
    assert_eq!(shell("set -- {{q none}}; echo $#"), "0\n");
    assert_eq!(shell("v={{q number}}; echo $v"), "7\n");
    for wrong in ["{{q nope}}", "{{q host.name}}", "{{q}}"] {
        assert!(render(wrong, &values).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_beside_the_blueprint_stands_in_for_bps_own_and_that_is_said() {
    let bench = Bench::with(LAB, &[("etcd.yml", b"steps: []\n")]);
    let (text, remark) = built_in("etcd.yml", bench.dir.path()).expect("read");
    assert_eq!(text, "steps: []\n");
    assert!(remark.is_some_and(|r| r.ends_with("stands in for bp's own etcd.yml")));
    let (_, remark) = built_in("engine-distro.yml", bench.dir.path()).expect("built in");
    assert_eq!(remark, None);
    assert!(built_in("nope.yml", bench.dir.path()).is_err());
    // What only happens to have the name is not taken for one without a word.
    let bench = Bench::with(LAB, &[("base.yml", b"version: 1\nname: lab\n")]);
    let failure = built_in("base.yml", bench.dir.path()).expect_err("no playbook");
    assert!(failure.message.contains("base.yml: error: line 1 column 1: unknown field `version`"));
    assert!(failure.hint.is_some_and(|h| h.contains("give it another name where it is none")));
}
