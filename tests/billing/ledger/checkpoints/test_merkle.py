"""The tree is that of RFC 9162, and proofs lead from each leaf to the root."""

import hashlib

import pytest

from billing.ledger.checkpoints import merkle


def tree_of_the_rfc(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaf hashes, written as the RFC defines it."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    sides = tree_of_the_rfc(leaves[:split]) + tree_of_the_rfc(leaves[split:])
    return hashlib.sha256(b"\x01" + sides).digest()


def root_from(leaf: bytes, index: int, count: int, proof: list[bytes]) -> bytes:
    """The root that a proof leads to."""
    node, nodes = leaf, iter(proof)
    while count > 1:
        if index ^ 1 < count:
            pair = (next(nodes), node) if index % 2 else (node, next(nodes))
            node = hashlib.sha256(b"\x01" + b"".join(pair)).digest()
        index, count = index // 2, (count + 1) // 2
    assert next(nodes, None) is None
    return node


@pytest.mark.parametrize("count", range(1, 34))
def test_the_root_is_that_of_the_rfc_and_every_leaf_has_a_proof(count):
    leaves = [merkle.leaf_hash(str(number).encode()) for number in range(count)]
    root = merkle.root_of(leaves)
    assert root == tree_of_the_rfc(leaves)
    for index in range(count):
        assert root_from(leaves[index], index, count, merkle.proof_of(leaves, index)) == root


def test_the_empty_tree_has_the_hash_of_nothing():
    assert merkle.root_of([]) == hashlib.sha256(b"").digest()
