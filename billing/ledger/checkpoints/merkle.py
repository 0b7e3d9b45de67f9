"""Merkle trees as in RFC 9162, section 2.1 (https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1).

Invariant: leaves and inner nodes are hashed with different prefixes, so that no inner node can be presented
as a leaf; an inner node's left side has the largest power of two of leaves that leaves something for the
right side.
"""

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + content).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes."""
    if not leaves:
        return EMPTY
    levels = _levels(leaves)
    return levels[-1][0]


def proof_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the nodes beside the path from the leaf at `index` to the root, the lowest first.

    A leaf without a sibling on some level is carried to the next one, and that level gives no node.
    """
    proof = []
    for level in _levels(leaves)[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        index //= 2
    return proof


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The levels, leaves first. Pairing neighbours and carrying an odd last node builds the RFC's tree."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [
            hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        levels.append(above + level[len(above) * 2 :])
    return levels
