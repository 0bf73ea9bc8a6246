//! Values between bp's spelling and the wire's.

use super::{RecordSet, value};
use hickory_net::proto::rr::rdata::{A, AAAA, CNAME, PTR, SRV, TXT};
use hickory_net::proto::rr::{Name, RData, Record};
use std::collections::BTreeMap;

/// A name of a question or record.
pub fn name(name: &str) -> Result<Name, String> {
    Name::from_ascii(format!("{name}.")).map_err(|e| format!("`{name}` is no name: {e}"))
}

/// A record's value in bp's spelling.
pub fn spelled(data: &RData) -> String {
    match data {
        RData::TXT(txt) => value::text(txt.txt_data.iter().map(|s| &**s)),
        RData::SRV(srv) => {
            let target = value::name(&srv.target.to_ascii());
            format!("{} {} {} {target}", srv.priority, srv.weight, srv.port)
        }
        RData::CNAME(name) => value::name(&name.to_ascii()),
        RData::PTR(name) => value::name(&name.to_ascii()),
        RData::NS(name) => value::name(&name.to_ascii()),
        other => other.to_string(),
    }
}

/// The wire's value of one in bp's spelling, for the kinds that a blueprint has.
pub fn data(kind: &str, text: &str) -> Result<RData, String> {
    let wrong = || format!("`{text}` is no value of {kind}");
    Ok(match kind {
        "A" => RData::A(A(text.parse().map_err(|_| wrong())?)),
        "AAAA" => RData::AAAA(AAAA(text.parse().map_err(|_| wrong())?)),
        "CNAME" => RData::CNAME(CNAME(name(text)?)),
        "PTR" => RData::PTR(PTR(name(text)?)),
        "TXT" => {
            let strings = value::strings(text);
            RData::TXT(TXT::from_bytes(strings.iter().map(Vec::as_slice).collect()))
        }
        "SRV" => {
            let words: Vec<&str> = text.split(' ').collect();
            let [priority, weight, port, target] = words[..] else { return Err(wrong()) };
            let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
            RData::SRV(SRV::new(number(priority)?, number(weight)?, number(port)?, name(target)?))
        }
        _ => return Err(wrong()),
    })
}

/// A text of one string.
pub fn text(string: &str) -> TXT {
    TXT::from_bytes(vec![string.as_bytes()])
}

/// Records as sets. What a server keeps beside others of a signed name is none of them.
pub fn sets(records: &[Record]) -> Vec<RecordSet> {
    let mut sets: BTreeMap<(String, String), RecordSet> = BTreeMap::new();
    for record in records {
        let (name, kind) = (value::name(&record.name.to_ascii()), record.record_type().to_string());
        if ["RRSIG", "NSEC", "NSEC3"].contains(&kind.as_str()) {
            continue;
        }
        let set = || RecordSet {
            name: name.clone(),
            kind: kind.clone(),
            ttl: record.ttl,
            values: Default::default(),
        };
        let set = sets.entry((name.clone(), kind.clone())).or_insert_with(set);
        set.values.insert(spelled(&record.data));
    }
    sets.into_values().collect()
}
