//! Walls of real nftables, ufw and firewalld, measured by connecting from other hosts.

mod backends;
mod ground;
mod reverts;
