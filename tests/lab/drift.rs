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
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    // A wrong record makes the hosts' resolvers wrong: one that still remembers it forgets it. Nothing
    // else has to be mended.
    for found in [plan.marked("+"), up.applied()] {
        assert!(expected.is_subset(&found), "{found:?}");
        let others: Vec<_> = found.difference(&expected).collect();
        assert!(others.iter().all(|step| step.starts_with("dns/resolves/")), "{others:?}");
    }
    lab.expect(&["plan", "lab.yml"], 0);
    names::answered(lab);
}
