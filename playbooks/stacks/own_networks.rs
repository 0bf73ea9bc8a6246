//! Networks of a stack's own: docker makes them with the stack, and changes none that is there.

use crate::compose::Compose;
use crate::docker::OverlayNetwork;
use crate::step::Failure;
use serde_json::{Value, json};

/// The failure of a deploy that would leave a network as it was.
pub(super) fn changed(networks: &[OverlayNetwork], compose: &Compose) -> Option<Failure> {
    let document: Value = serde_json::from_str(&compose.text).unwrap_or_default();
    let declared = document["networks"].as_object().into_iter().flatten();
    let mut own = declared.filter(|(_, n)| n.get("external").is_none_or(|e| *e == json!(false)));
    own.find_map(|(key, wanted)| {
        let name = compose.network(key);
        let has = networks.iter().find(|n| n.name == name)?;
        let (what, has, wants) = [
            ("attachable", has.attachable, wanted["attachable"] == json!(true)),
            ("internal", has.internal, wanted["internal"] == json!(true)),
            ("encrypted", has.is_encrypted(), wanted["driver_opts"].get("encrypted").is_some()),
        ]
        .into_iter()
        .find(|(_, has, wants)| has != wants)?;
        let why = format!("the network {name}: {what} is {has}, the compose file says {wants}");
        let hint = "docker changes no network that is there";
        let rm = format!("{hint}: `docker stack rm {}`, then `bp up`", compose.name);
        Some(Failure::new(why).hint(rm))
    })
}
