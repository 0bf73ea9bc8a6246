//! The run of bp: phases, steps, the engine that goes through them. Never prints.
//!
//! A [`Plan`] is the ordered list of [`Step`]s. `plan`, `status`, `up`, health and resume are the
//! same checks: see [`survey`] and [`run`].

pub mod backup;
mod base;
mod clocks;
mod compose;
mod converge;
mod cx;
pub mod destroy;
mod dns;
mod dns_hosts;
mod dns_look;
mod dns_owned;
mod dns_records;
mod dns_resolves;
mod docker;
mod engine;
pub mod event;
mod firewall;
mod first;
mod gluster;
mod gluster_bricks;
mod gluster_change;
mod gluster_folder;
mod gluster_host;
mod gluster_mount;
mod gluster_peers;
mod gluster_record;
mod gluster_status;
mod gluster_view;
mod gluster_volume;
mod gluster_xml;
mod health;
mod images;
mod images_load;
pub mod journal;
mod labels;
mod limits;
pub mod lock;
mod machines;
mod networks;
mod plan;
pub mod run;
mod runbook;
mod schema;
pub mod secrets;
mod shipped;
mod stacks;
mod step;
pub mod survey;
mod swarm;
pub mod view;
mod world;

pub use cx::{Cx, World};
pub use images::Archive;
pub use images_load::{
    Needed, Pushed, before_the_registry, load as load_images, needed as needed_images,
    read as read_archives, replacements,
};
pub use plan::{Plan, name as phase_name, plan};
pub use step::{Check, CheckBy, Failure, On, Step, Trouble};
pub use world::{RealWorld, lab_key, target};

#[cfg(test)]
mod tests;
