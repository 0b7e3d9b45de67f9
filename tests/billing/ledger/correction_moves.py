"""Moves that correct (see `moves.py`): reversals, adjustments, claw-backs and their restoration."""

from collections.abc import Callable
from decimal import ROUND_UP, Decimal
from typing import Any

from billing import ledger
from tests.billing.ledger.periods import MICROCREDIT, ZERO, total

EVERYTHING = Decimal(10**14)


class CorrectionMoves:
    """Each method without underscore is a move."""

    def _correct(
        self, in_model: Callable[..., Any], in_ledger: Callable[..., Any], key: str, **terms: Any
    ) -> None:
        now, why = self.now, ("why", "who")
        self._both(
            lambda: in_model(key=key, now=now, why=why),
            lambda **more: in_ledger(
                account_id=self.account, key=key, now=now, reason="why", actor="who", **terms, **more
            ),
            lambda stated: stated | {"detail": [(str(g.id), c, d) for g, c, d in stated["detail"]]},
        )

    def reverse(self, which: int, credits: str = "left") -> None:
        """Reverse a charge: "left" without an amount, or a part by name."""
        if not self.book.charges:
            return
        charge = self._one_of(self.book.charges, which)
        if charge.id is None:
            self._agree()  # for the id of a charge that settling has made
        left, last = total(charge.drawn) - charge.returned, charge.drawn[-1][1] if charge.drawn else ZERO
        parts = {"third": left / 3, "last": last, "whole": charge.credits}
        amount = None
        if credits != "left":
            amount = Decimal(parts.get(credits.rstrip("+"), left)).quantize(MICROCREDIT, ROUND_UP)
            amount += MICROCREDIT if credits.endswith("+") or not amount else 0
        self._correct(
            lambda **more: self.book.reverse(charge, amount, **more),
            ledger.reverse, self._key(), charge_id=charge.id, credits=amount,
        )  # fmt: skip

    def adjust(self, credits: str, take: bool = False) -> None:
        amount = self._amount(credits) * (-1 if take else 1)
        self._correct(
            lambda **more: self.book.adjust(amount, **more), ledger.adjust, self._key(), credits=amount
        )

    def claw_back(
        self, which: int, credits: str = "", unspent_only: bool = False, named: bool = False
    ) -> None:
        """Claw back a purchase: all of it, a named part of it, or grants of an allowance by their ids."""
        if not self.purchases:
            return
        if named:
            self._agree()  # for the ids of the grants
        purchase, grants = self.purchases[which % len(self.purchases)], None
        if named:
            grants = [one for one in self.book.grants if one.allowance][-2:] or None
        mine = grants or [grant for grant in self.book.grants if grant.purchase == purchase]
        unspent = sum((grant.remaining for grant in mine), ZERO)
        found = {"": None, "unspent": unspent, "half": unspent / 2}.get(credits.rstrip("+"), credits)
        most = None if found is None else Decimal(found).quantize(MICROCREDIT, ROUND_UP)
        most = None if most is None else most + (MICROCREDIT if credits.endswith("+") or not most else 0)
        self._correct(
            lambda **more: self.book.claw_back(
                purchase, most or EVERYTHING, unspent_only, grants=grants, **more
            ),
            ledger.claw_back, self._key(), purchase_id=purchase, credits=most, unspent_only=unspent_only,
            grant_ids=grants and [grant.id for grant in grants],
        )  # fmt: skip

    def restore(self, which: int) -> None:
        if keys := [key for kind, key in self.book.corrections if kind == "claw_back"]:
            undone = keys[which % len(keys)]
            self._correct(
                lambda **more: self.book.restore(undone, **more),
                ledger.restore,
                self._key(),
                claw_back_key=undone,
            )
