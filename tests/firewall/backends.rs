//! Each backend: walls made, measured, bent by hand, mended, taken away.

use crate::firewall::ground::Ground;

/// What each backend is asked for in its own words.
struct Words {
    backend: &'static str,
    /// Before bp comes: as an operator left the host.
    before: &'static str,
    /// Closes a wanted port, opens an unwanted one, by hand.
    bend: [&'static str; 2],
    /// Loads again what comes back at a boot.
    boot: &'static str,
    /// What `plan` says of the two.
    said: [&'static str; 2],
}

/// Rules as Docker makes them: in tables of its own and the built-in ones.
const DOCKER: &str = "iptables -N DOCKER && iptables -N DOCKER-USER && iptables -I FORWARD -j DOCKER-USER && \
     iptables -A DOCKER -d 172.18.0.2/32 -p tcp -m tcp --dport 8443 -j ACCEPT && iptables -A FORWARD -j DOCKER && \
     iptables -t nat -N DOCKER-INGRESS && \
     iptables -t nat -A DOCKER-INGRESS -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.18.0.2:8443 && \
     iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS";

/// Docker's rules as they stand.
const DOCKERS: &str =
    "{ iptables-save -t filter; iptables-save -t nat; } | grep -E 'DOCKER' | sed 's/\\[.*//'";

const BLUEPRINT: &str = "open: [80/tcp, 5000-5001/udp] }";

#[test]
fn nftables() {
    walls(&Words {
        backend: "nftables",
        before: ":",
        bend: [
            "nft delete rule inet bp_lab input handle $(nft -a list chain inet bp_lab input | sed -n 's/.* dport 80 .*handle //p')",
            "nft insert rule inet bp_lab input tcp dport 9999 accept",
        ],
        boot: "nft delete table inet bp_lab; nft -f /etc/bp/firewall-lab.nft",
        said: ["80/tcp is not open", "9999/tcp is open, the blueprint does not say so"],
    });
}

#[test]
fn ufw() {
    walls(&Words {
        backend: "ufw",
        before: "ufw allow 8080/tcp comment mine && ufw limit 2222/tcp && ufw reject 2223/tcp && ufw allow OpenSSH",
        bend: [
            "ufw delete allow proto tcp from any to any port 80",
            "ufw allow proto tcp from any to any port 9999 comment 'bp lab'",
        ],
        boot: "/lib/ufw/ufw-init force-stop; iptables -F ufw-user-input; /lib/ufw/ufw-init start quiet",
        said: ["80/tcp is not open", "9999/tcp is open, the blueprint does not say so"],
    });
}

#[test]
fn firewalld() {
    walls(&Words {
        backend: "firewalld",
        before: "systemctl start firewalld && firewall-cmd -q --permanent --add-port=8080/tcp && firewall-cmd -q --add-port=8080/tcp",
        bend: [
            "firewall-cmd -q --remove-rich-rule=\"$(firewall-cmd --list-rich-rules | grep 'port=\"80\" ')\"",
            "firewall-cmd -q --add-rich-rule=\"$(firewall-cmd --list-rich-rules | grep 'port=\"80\" ' | sed 's/\"80\"/\"9999\"/')\"",
        ],
        boot: "firewall-cmd -q --reload",
        said: ["80/tcp is not open", "9999/tcp is open, the blueprint does not say so"],
    });
}

fn walls(words: &Words) {
    let ground = Ground::new(22);
    ground.blueprint(", ports: [9100/tcp]", &format!("{{ backend: {}, {BLUEPRINT}", words.backend));
    ground.on(1, words.before);
    ground.on(1, DOCKER);
    let docker = ground.on(1, DOCKERS);
    ground.assert(&[(0, 2, "9999/tcp"), (0, 2, "7946/udp")], &[]);

    ground.bp(&["plan"]).exits(3);
    ground.bp(&["up", "--yes"]).exits(0);
    ground.bp(&["plan"]).exits(0);
    let is_as_wanted = || {
        ground.assert(
            &[
                (0, 1, "22/tcp"),
                (0, 1, "80/tcp"),
                (0, 1, "9100/tcp"),
                (0, 1, "5001/udp"),
                (2, 1, "2377/tcp"),
                (2, 1, "7946/tcp"),
                (2, 1, "7946/udp"),
                (1, 2, "4789/udp"),
            ],
            &[
                (0, 1, "9999/tcp"),
                (0, 1, "2377/tcp"),
                (0, 1, "7946/tcp"),
                (0, 1, "7946/udp"),
                (0, 1, "4789/udp"),
                (0, 2, "9100/tcp"),
                (1, 2, "2377/tcp"),
                (2, 1, "9999/tcp"),
            ],
        );
    };
    is_as_wanted();
    assert_eq!(ground.on(1, DOCKERS), docker, "Docker's rules are as they were");

    // What an operator opened by hand stays; nftables' table is bp's alone.
    if words.backend != "nftables" {
        ground.assert(&[(0, 1, "8080/tcp")], &[]);
    }

    for (bend, said) in words.bend.iter().zip(words.said) {
        ground.on(1, bend);
        let plan = ground.bp(&["plan"]).exits(3);
        assert!(plan.out.contains(&format!("firewall / doors / node1: {said}")), "{}", plan.out);
        assert!(!plan.out.contains("+ firewall / doors / node2"), "{}", plan.out);
        let up = ground.bp(&["up", "--yes", "--json"]).exits(0);
        assert_eq!(up.applied(), ["firewall/doors/node1"]);
        ground.bp(&["plan"]).exits(0);
    }
    is_as_wanted();

    ground.on(1, words.boot);
    ground.bp(&["plan"]).exits(0);
    is_as_wanted();
    // firewalld 1 flushes everybody's rules at a reload, which is why bp asks for none; dockerd makes
    // its own again when firewalld says that it has, and here nobody does.
    if words.backend == "firewalld" && ground.on(1, &format!("{DOCKERS} || :")).is_empty() {
        ground.on(1, DOCKER);
    }
    assert_eq!(ground.on(1, DOCKERS), docker, "Docker's rules survive a reload");

    ground.bp(&["destroy", "--yes"]).exits(0);
    let left = ground.on(1, "nft list ruleset; ls /etc/bp 2>&1; cat /etc/ufw/user.rules /etc/firewalld/zones/public.xml 2>/dev/null; :");
    assert!(!left.contains("bp_lab") && !left.contains("6270206c6162"), "{left}");
    assert!(!left.contains("rule priority"), "{left}");
    if words.backend == "firewalld" {
        ground.assert(&[(0, 1, "22/tcp"), (0, 1, "8080/tcp")], &[(0, 1, "80/tcp")]);
        // Where bp started it, it would close what is open without it.
        ground.assert(&[(0, 2, "22/tcp"), (0, 2, "9999/tcp"), (0, 2, "7946/udp")], &[]);
        let left = ground.on(2, "cat /etc/firewalld/zones/public.xml; ls /etc/bp 2>&1; :");
        assert!(!left.contains("rule priority") && !left.contains("firewalld\n"), "{left}");
    } else {
        ground.assert(&[(0, 1, "22/tcp"), (0, 1, "9999/tcp"), (0, 1, "7946/udp")], &[]);
    }
    assert_eq!(ground.on(1, DOCKERS), docker, "Docker's rules outlive bp's");
}
