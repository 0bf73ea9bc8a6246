//! SSH sessions against real `sshd` processes.

mod commands;
mod faults;
mod host_keys;
mod jump;
mod logins;
mod put;
pub mod sudo;
