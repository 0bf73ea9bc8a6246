//! What ufw and firewalld say of their rules, as they really say it, against walls.

use crate::firewall::asked::Asked;
use crate::firewall::doors::{Door, What, Who};
use crate::firewall::walls::Walls;
use crate::firewall::{firewalld, nftables, ufw};
use std::net::IpAddr;

/// SSH for everybody, the swarm for two nodes.
fn walls() -> Walls {
    let door = |what: Option<What>, from, why: &str| Door {
        what: what.expect("a port"),
        from,
        why: why.to_owned(),
    };
    let nodes = ["10.20.30.11", "fd00::1"].map(|a| a.parse::<IpAddr>().expect("an address"));
    Walls {
        lab: "lab".to_owned(),
        doors: vec![
            door(What::read("tcp", "22"), Who::Anyone, "ssh"),
            door(What::read("udp", "5000-5001"), Who::Anyone, "open everywhere"),
            door(What::read("tcp", "2377"), Who::Nodes, "swarm"),
            door(What::read("esp", ""), Who::Nodes, "encrypted overlay networks"),
        ],
        addresses: [(Who::Nodes, nodes.into())].into(),
    }
}

/// ufw 0.36, its rules made with its command: `allow 25`, `limit 22`, `allow OpenSSH` and
/// `reject 23/tcp` are the operator's.
const UFW: &str = r#"@ufw
@ufw-file
### RULES ###

### tuple ### allow any 25 0.0.0.0/0 any 0.0.0.0/0 in comment=6d696e65
-A ufw-user-input -p tcp --dport 25 -j ACCEPT
-A ufw-user-input -p udp --dport 25 -j ACCEPT

### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=6d696e65
-A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set
-A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j ufw-user-limit
-A ufw-user-input -p tcp --dport 22 -j ufw-user-limit-accept

### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in
-A ufw-user-input -p tcp --dport 22 -j ACCEPT -m comment --comment 'dapp_OpenSSH'

### tuple ### reject tcp 23 0.0.0.0/0 any 0.0.0.0/0 in
-A ufw-user-input -p tcp --dport 23 -j REJECT --reject-with tcp-reset

### tuple ### allow udp 5000:5001 0.0.0.0/0 any 0.0.0.0/0 in comment=6270206c6162
-A ufw-user-input -p udp -m multiport --dports 5000:5001 -j ACCEPT

### tuple ### allow tcp 2377 0.0.0.0/0 any 10.20.30.11 in comment=6270206c6162
-A ufw-user-input -p tcp --dport 2377 -s 10.20.30.11 -j ACCEPT

### tuple ### allow esp any 0.0.0.0/0 any 10.20.30.11 in comment=6270206c6162
-A ufw-user-input -p esp -s 10.20.30.11 -j ACCEPT

### END RULES ###
### RULES ###

### tuple ### allow any 25 ::/0 any ::/0 in comment=6d696e65
-A ufw6-user-input -p tcp --dport 25 -j ACCEPT
-A ufw6-user-input -p udp --dport 25 -j ACCEPT

### tuple ### limit tcp 22 ::/0 any ::/0 in comment=6d696e65
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j ufw6-user-limit
-A ufw6-user-input -p tcp --dport 22 -j ufw6-user-limit-accept

### tuple ### allow tcp 22 ::/0 any ::/0 OpenSSH - in
-A ufw6-user-input -p tcp --dport 22 -j ACCEPT -m comment --comment 'dapp_OpenSSH'

### tuple ### reject tcp 23 ::/0 any ::/0 in
-A ufw6-user-input -p tcp --dport 23 -j REJECT --reject-with tcp-reset

### tuple ### allow udp 5000:5001 ::/0 any ::/0 in comment=6270206c6162
-A ufw6-user-input -p udp -m multiport --dports 5000:5001 -j ACCEPT

### tuple ### allow tcp 2377 ::/0 any fd00::1 in comment=6270206c6162
-A ufw6-user-input -p tcp --dport 2377 -s fd00::1 -j ACCEPT

### tuple ### allow esp any ::/0 any fd00::1 in comment=6270206c6162
-A ufw6-user-input -p esp -s fd00::1 -j ACCEPT

### END RULES ###
@ufw-settings
IPV6=yes
DEFAULT_INPUT_POLICY="DROP"
@ufw-live
-P INPUT DROP
-A INPUT -j ufw-before-input
-P INPUT DROP
-A INPUT -j ufw6-before-input
-N ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 25 -j ACCEPT
-A ufw-user-input -p udp -m udp --dport 25 -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit
-A ufw-user-input -p tcp -m tcp --dport 22 -j ufw-user-limit-accept
-A ufw-user-input -p tcp -m tcp --dport 22 -m comment --comment "\'dapp_OpenSSH\'" -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 23 -j REJECT --reject-with tcp-reset
-A ufw-user-input -p udp -m multiport --dports 5000:5001 -j ACCEPT
-A ufw-user-input -s 10.20.30.11/32 -p tcp -m tcp --dport 2377 -j ACCEPT
-A ufw-user-input -s 10.20.30.11/32 -p esp -j ACCEPT
-N ufw6-user-input
-A ufw6-user-input -p tcp -m tcp --dport 25 -j ACCEPT
-A ufw6-user-input -p udp -m udp --dport 25 -j ACCEPT
-A ufw6-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource
-A ufw6-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource -j ufw6-user-limit
-A ufw6-user-input -p tcp -m tcp --dport 22 -j ufw6-user-limit-accept
-A ufw6-user-input -p tcp -m tcp --dport 22 -m comment --comment "\'dapp_OpenSSH\'" -j ACCEPT
-A ufw6-user-input -p tcp -m tcp --dport 23 -j REJECT --reject-with tcp-reset
-A ufw6-user-input -p udp -m multiport --dports 5000:5001 -j ACCEPT
-A ufw6-user-input -s fd00::1/128 -p tcp -m tcp --dport 2377 -j ACCEPT
-A ufw6-user-input -s fd00::1/128 -p esp -j ACCEPT
"#;

#[test]
fn what_ufw_says() {
    let differs = |from: &str, to: &str| {
        assert!(UFW.contains(from), "{from}");
        ufw::differences(&walls(), &Asked::read(&UFW.replace(from, to)))
    };
    assert_eq!(differs("@ufw\n", "@ufw\n"), Vec::<String>::new());
    let lab = ["5000-5001/udp", "2377/tcp from nodes", "esp from nodes"];
    assert_eq!(differs("=6270206c6162", "=6270"), Vec::<String>::new(), "whosever rule it is");
    let off = "nothing is closed: ufw is off";
    assert_eq!(differs("@ufw\n", ""), [off]);
    let gone = "### tuple ### allow tcp 2377 0.0.0.0/0 any 10.20.30.11 in";
    assert_eq!(
        differs(gone, "### tuple ### deny tcp 2377 0.0.0.0/0 any 10.20.30.11 in"),
        ["2377/tcp from 10.20.30.11 is not open"]
    );
    let more = "### tuple ### allow tcp 2377:2378 0.0.0.0/0 any 10.20.30.11 in";
    assert_eq!(
        differs(gone, more),
        [
            "2377/tcp from 10.20.30.11 is not open",
            "2377-2378/tcp from 10.20.30.11 is open, the blueprint does not say so",
        ]
    );
    assert_eq!(differs("=\"DROP\"", "=\"ACCEPT\""), ["ufw lets in what no rule forbids"]);
    let live = "-A ufw-user-input -s 10.20.30.11/32 -p tcp -m tcp --dport 2377 -j ACCEPT\n";
    let said = differs(live, "");
    assert_eq!(
        said,
        ["`-A ufw-user-input --dport 2377 -j ACCEPT -p tcp -s 10.20.30.11` is not loaded"]
    );
    assert_eq!(
        differs("-A INPUT -j ufw-before-input\n", ""),
        ["`-A INPUT -j ufw-before-input` is not loaded"]
    );
    let open = ufw::open(&walls(), &Asked::read(UFW));
    let open: Vec<String> = open.iter().map(ToString::to_string).collect();
    assert_eq!(open[1..4], lab);
    assert_eq!(open[4..], ["25/tcp", "25/udp"]);
}

#[test]
fn what_an_earlier_rule_of_ufw_shuts() {
    let denied = |at: &str, rule: &str| {
        assert!(UFW.contains(at), "{at}");
        let said = UFW.replacen(at, &format!("### tuple ### {rule}\n{at}"), 1);
        ufw::in_the_way(&walls(), &Asked::read(&said)).map(|f| f.message)
    };
    let before = "### tuple ### allow any 25 0.0.0.0/0";
    let after = "### END RULES ###";
    let shut = |what: &str| Some(format!("a rule of ufw shuts {what}, which has to be open"));
    assert_eq!(denied(before, "deny tcp 24 0.0.0.0/0 any 0.0.0.0/0 in"), None);
    let ports = "deny_log udp 5001:5002 0.0.0.0/0 any 0.0.0.0/0 in";
    assert_eq!(denied(before, ports), shut("5000-5001/udp"));
    assert_eq!(denied(after, ports), None, "the first rule that fits is taken");
    let one = "reject tcp 2377 0.0.0.0/0 any 10.20.30.11 in comment=6d696e65";
    assert_eq!(denied(before, one), shut("2377/tcp"));
    assert_eq!(denied(before, &one.replace("30.11", "30.99")), None, "somebody else");
    let six = "deny tcp 22 ::/0 any ::/0 in";
    assert_eq!(denied("### tuple ### allow any 25 ::/0", six), shut("22/tcp"));
    // Nobody allowed it yet: the rule that will is after it.
    let gone = UFW.replace(
        "### tuple ### allow udp 5000:5001 0.0.0.0/0",
        "### tuple ### deny udp 5000 0.0.0.0/0",
    );
    let said = ufw::in_the_way(&walls(), &Asked::read(&gone)).expect("shut");
    let hint = "`ufw delete deny proto udp from any to any port 5000` there, or `ufw delete reject proto udp from any to any port 5000`";
    assert_eq!(said.hint.as_deref(), Some(hint));
}

#[test]
fn what_ufw_is_told() {
    let gone = "allow tcp 2377 0.0.0.0/0 any 10.20.30.11 in";
    let said = UFW.replace(gone, "allow udp 9:10 0.0.0.0/0 any 10.20.30.11 in");
    let change = ufw::change(&walls(), &Asked::read(&said));
    assert_eq!(
        change.content,
        "allow proto tcp from 10.20.30.11 to any port 2377 comment 'bp lab'\n\
         delete allow proto udp from 10.20.30.11 to any port 9:10\n"
    );
    let removal = ufw::removal("lab", &Asked::read(UFW));
    assert_eq!(
        removal.content,
        "delete allow proto tcp from 10.20.30.11 to any port 2377\n\
         delete allow proto tcp from fd00::1 to any port 2377\n\
         delete allow proto udp from any to any port 5000:5001\n\
         delete allow proto esp from 10.20.30.11\n\
         delete allow proto esp from fd00::1\n"
    );
}

/// firewalld 1.3, asked over the bus, and the file of its zone.
const FIREWALLD: &str = r#"@firewalld
@firewalld-zone
<?xml version="1.0" encoding="utf-8"?>
<zone>
  <short>Public</short>
  <service name="ssh"/>
  <rule priority="-2000">
    <port port="25" protocol="tcp"/>
    <accept/>
  </rule>
  <rule priority="-N">
    <port port="22" protocol="tcp"/>
    <accept/>
  </rule>
  <rule priority="-N">
    <port port="5000-5001" protocol="udp"/>
    <accept/>
  </rule>
  <rule priority="-N" family="ipv4">
    <source address="10.20.30.11"/>
    <port port="2377" protocol="tcp"/>
    <accept/>
  </rule>
  <rule priority="-N" family="ipv6">
    <source address="fd00::1"/>
    <port port="2377" protocol="tcp"/>
    <accept/>
  </rule>
  <rule priority="-N" family="ipv4">
    <source address="10.20.30.11"/>
    <protocol value="esp"/>
    <accept/>
  </rule>
  <rule priority="-N" family="ipv6">
    <source address="fd00::1"/>
    <protocol value="esp"/>
    <accept/>
  </rule>
  <forward/>
</zone>
@firewalld-live
as 7 "rule priority=\"-2000\" port port=\"25\" protocol=\"tcp\" accept" "rule priority=\"-N\" port port=\"22\" protocol=\"tcp\" accept" "rule priority=\"-N\" port port=\"5000-5001\" protocol=\"udp\" accept" "rule priority=\"-N\" family=\"ipv4\" source address=\"10.20.30.11\" port port=\"2377\" protocol=\"tcp\" accept" "rule priority=\"-N\" family=\"ipv6\" source address=\"fd00::1\" port port=\"2377\" protocol=\"tcp\" accept" "rule priority=\"-N\" family=\"ipv4\" source address=\"10.20.30.11\" protocol value=\"esp\" accept" "rule priority=\"-N\" family=\"ipv6\" source address=\"fd00::1\" protocol value=\"esp\" accept"
"#;

#[test]
fn what_firewalld_says() {
    let change = firewalld::change(&walls(), &Asked::read("@firewalld\n@firewalld-zone\n"));
    let number = change.content.split('"').nth(1).expect("a priority").to_owned();
    let whole = FIREWALLD.replace("-N", &number);
    let differs = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        firewalld::differences(&walls(), &Asked::read(&whole.replacen(from, to, 1)))
    };
    assert_eq!(differs("@firewalld\n", "@firewalld\n"), Vec::<String>::new());
    assert_eq!(differs("@firewalld\n", ""), ["nothing is closed: firewalld does not run"]);
    assert_eq!(
        differs("<zone>", "<zone target=\"ACCEPT\">"),
        ["the default zone lets in what no rule forbids"]
    );
    assert_eq!(
        differs("port port=\\\"22\\\"", "port port=\\\"23\\\""),
        ["22/tcp is not open", "23/tcp is open, the blueprint does not say so",]
    );
    assert_eq!(
        differs("port=\"22\" protocol=\"tcp\"/>", "port=\"23\" protocol=\"tcp\"/>"),
        ["the walls would not come back like this at a boot"]
    );
    let bent = whole.replace("port=\\\"22\\\"", "port=\\\"23\\\"");
    let change = firewalld::change(&walls(), &Asked::read(&bent));
    let rule = |port: u16| {
        format!("rule priority=\"{number}\" port port=\"{port}\" protocol=\"tcp\" accept\n")
    };
    assert_eq!(change.content, format!("+{}-{}", rule(22), rule(23)));
    let removal = firewalld::removal("lab", &Asked::read(&whole));
    let lines: Vec<&str> = removal.content.lines().collect();
    assert_eq!(lines.iter().filter(|l| l.starts_with("-rule ")).count(), 6);
    assert_eq!(lines.iter().filter(|l| l.starts_with("k-rule ")).count(), 6);
    assert!(!removal.content.contains("port=\"25\""));
}

#[test]
fn an_interface_in_another_zone_of_firewalld_is_said() {
    let said = |zones: &str| {
        let asked =
            Asked::read(&format!("@firewalld\n@firewalld-zones\npublic\na{{sa{{sas}}}} {zones}\n"));
        firewalld::in_the_way(&asked).map(|failure| failure.message)
    };
    assert_eq!(said("0"), None);
    let own = r#"2 "docker" 1 "interfaces" 2 "docker0" "docker_gwbridge" "public" 1 "interfaces" 1 "eth0""#;
    assert_eq!(said(own), None);
    let sources = r#"1 "internal" 1 "sources" 1 "10.0.0.0/8""#;
    assert_eq!(said(sources), None);
    let other = r#"2 "public" 2 "interfaces" 1 "eth0" "sources" 1 "10.0.0.0/8" "internal" 1 "interfaces" 1 "eth1""#;
    let why = "eth1 is in firewalld's zone internal, and the doors are in the default one, public";
    assert_eq!(said(other).as_deref(), Some(why));
}

/// What nft 1.0 lists of a table that bp loaded: sorted, over several lines.
const NFT: &str = r#"@nft
@table
table inet bp_lab {
	set nodes_v4 {
		type ipv4_addr
		elements = { 10.20.30.9, 10.20.30.10,
			     10.20.30.11, 10.20.30.12,
			     192.168.100.200 }
	}

	set nodes_v6 {
		type ipv6_addr
		elements = { 2001:db8:0:1::a,
			     fd00::1,
			     fd00::2 }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iifname "lo" accept
		ct state established,related accept
		icmp type echo-request accept
		icmpv6 type { echo-request, mld-listener-query, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept
		udp sport 67 udp dport 68 accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
		tcp dport 22 accept comment "ssh"
		udp dport 5000-5001 accept comment "open everywhere"
		ip saddr @nodes_v4 tcp dport 2377 accept comment "swarm"
		ip6 saddr @nodes_v6 tcp dport 2377 accept comment "swarm"
		ip saddr @nodes_v4 meta l4proto esp accept comment "encrypted overlay networks"
		ip6 saddr @nodes_v6 meta l4proto esp accept comment "encrypted overlay networks"
	}
}
"#;

#[test]
fn what_nft_lists_is_read() {
    let mut walls = walls();
    let nodes = [
        "10.20.30.11",
        "10.20.30.9",
        "10.20.30.10",
        "192.168.100.200",
        "10.20.30.12",
        "fd00::1",
        "fd00::2",
        "2001:db8:0:1::a",
    ];
    let nodes = nodes.map(|a| a.parse::<IpAddr>().expect("an address"));
    walls.addresses = [(Who::Nodes, nodes.into())].into();
    let said = |listing: &str| nftables::differences(&walls, &Asked::read(listing));
    assert_eq!(said(NFT), ["the walls would not come back like this at a boot"]);
    let less = NFT.replace("10.20.30.12,", "");
    assert_eq!(said(&less), ["10.20.30.12 is not among nodes_v4"]);
    let less = NFT.replace("fd00::1,", "fd00::9,");
    let both = [
        "fd00::1 is not among nodes_v6",
        "fd00::9 is among nodes_v6, the blueprint does not say so",
    ];
    assert_eq!(said(&less), both);
}
