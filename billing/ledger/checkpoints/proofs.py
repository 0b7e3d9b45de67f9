"""Proofs that a wallet's position was signed, for statements."""

import uuid
from dataclasses import dataclass
from typing import Any

from billing.ledger.checkpoints import content, export, merkle
from billing.ledger.models import Checkpoint, Head


@dataclass(frozen=True)
class Signed:
    """The position of a wallet in a checkpoint."""

    head: Head
    checkpoint: Checkpoint

    def proof(self) -> dict[str, Any]:
        """The head, the path from it to the root of the checkpoint, and the signed checkpoint."""
        heads = list(Head.objects.filter(checkpoint=self.checkpoint).order_by("account_id"))
        leaves = [merkle.leaf_hash(content.leaf_of(head)) for head in heads]
        index = [head.account_id for head in heads].index(self.head.account_id)
        return {
            "head": {
                "seq": self.head.seq,
                "hash": bytes(self.head.head).hex(),
                "balance": content.six_places(self.head.balance),
                "held": content.six_places(self.head.held),
                "debt": content.six_places(self.head.debt),
            },
            "index": index,
            "count": len(heads),
            "nodes": [node.hex() for node in merkle.proof_of(leaves, index)],
            **export.signed(self.checkpoint),
        }


def covering(account_id: uuid.UUID, seq: int) -> Signed | None:
    """The first checkpoint that covers the wallet's entry `seq`; the newest of the wallet when none does yet.

    None when no checkpoint has the wallet.
    """
    heads = Head.objects.filter(account_id=account_id)
    head = heads.filter(seq__gte=seq).order_by("checkpoint_id").first()
    head = head or heads.order_by("-checkpoint_id").first()
    return Signed(head, Checkpoint.objects.get(number=head.checkpoint_id)) if head else None
