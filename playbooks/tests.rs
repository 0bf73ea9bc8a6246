//! Tests of the crate on strict fakes: what a fake does not know fails the test.

mod bench;
mod bounds;
mod commands;
mod compose;
mod converge;
mod destroy;
mod diary;
mod docker;
mod engine;
mod etcd;
mod fake;
mod health;
mod hypervisor;
mod images;
mod labels;
mod lock;
mod machines;
mod networks;
mod run;
mod runbook;
mod secrets;
mod shell;
mod stacks;
mod swarm;
mod tasks;
mod whole;
