//! Edges of trees by token, held in one hash table for all nodes.

use midge_stdx::hash::MapHasher;

/// The hash of an edge: the parent's number spreads over all bits, as numbers of nodes are small.
pub(crate) fn hash_edge(hasher: MapHasher, parent: u32, token: &[u8]) -> u64 {
    hasher.bytes(token) ^ u64::from(parent).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
