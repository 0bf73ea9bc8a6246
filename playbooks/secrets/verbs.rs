//! What `bp ca` and `bp secret` ask for.

