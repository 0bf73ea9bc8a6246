//! What somebody changed by hand is shown by `plan` and mended by `up`, and nothing else is.

use crate::bp::Lab;
use crate::names;
use std::collections::BTreeSet;

/// A record, a rule, a mount.
pub fn by_hand(lab: &Lab) {
    names::set_by_hand(lab, "traefik.lab.test.", "A", "10.20.30.250");
    lab.on(
        "node2",
        "handle=$(nft -a list chain inet bp_lab input | sed -n 's/.*24007.* # handle //p' | head -n 1) && \
         nft delete rule inet bp_lab input handle $handle",
    );
    lab.on("node3", "umount /srv/docker");
    let expected: BTreeSet<String> =
        ["dns/records/", "firewall/doors/node2", "gluster/mount docker/node3"]
            .map(str::to_owned)
            .into();
    let plan = lab.expect(&["plan", "lab.yml"], 3);
    // A wrong record makes the hosts' resolvers wrong, and nothing else has to be mended.
    let marked = plan.marked("+");
    assert!(expected.is_subset(&marked), "{marked:?}");
    let others: Vec<_> = marked.difference(&expected).collect();
    assert!(others.iter().all(|step| step.starts_with("dns/resolves/")), "{others:?}");
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(up.applied(), expected);
    lab.expect(&["plan", "lab.yml"], 0);
    names::answered(lab);
}
