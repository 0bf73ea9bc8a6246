//! The stack redis over real servers and sentinels: containers of its image are namespaces of this
//! machine, and run what bp ships. Needs root and the archive that `tests/lab/images.sh` makes.

mod failures;
mod ground;
