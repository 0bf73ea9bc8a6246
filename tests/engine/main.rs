//! Docker Engine's packages, installed for real by bp's own steps into Debian root file systems:
//! from a repository of the shape of Docker's, and from the distribution. See `repository.sh`
//! for what stands in for Docker's packages. Needs root and the way to Debian's packages.

mod distro;
mod docker_ce;
mod host;
mod root;
mod web;
