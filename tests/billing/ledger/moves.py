"""Moves of one account that are made in the reference model and in the ledger, and compared.

A move is a name and plain parameters, so that a list of moves can be written down and repeated. Amounts are
named by what they relate to ("first": exactly what the first grant has); "+" adds a microcredit.
"""

import datetime as dt
import itertools
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Any

from billing import ledger
from tests.billing.ledger import rows, sizes
from tests.billing.ledger.conftest import DAY, NOON, charge_request, give, new_account
from tests.billing.ledger.correction_moves import CorrectionMoves
from tests.billing.ledger.corrections_model import Refused
from tests.billing.ledger.model import Book, a_use
from tests.billing.ledger.periods import MICROCREDIT, NEVER, ZERO, a_grant, total
from tests.billing.ledger.term_moves import API_KEY, INSTANT, MEMBER, PROJECT, SUBJECTS, TermMoves
from tests.billing.ledger.tree_moves import COVERS, TreeMoves, held


class Moves(CorrectionMoves, TermMoves, TreeMoves):
    """One account in both. Each method without underscore is a move."""

    def __init__(self, zone: str) -> None:
        self.now, self.book, self.account, self.zone = NOON, Book(), new_account(zone), zone
        self.book.plan.zone = zone
        self.ids = itertools.count(1)
        self.purchases: list[uuid.UUID] = []
        self.again: list[tuple[Callable[..., Any], Callable[[], dict[str, Any]]]] = []

    def _key(self) -> str:
        return f"move {next(self.ids)}"

    def _both(self, in_model: Callable[[], Any], in_ledger: Callable[..., Any], stated: Any = None) -> Any:
        """Make the move in both. Both refuse for one reason, or the ledger returns what the model states."""
        expected = found = outcome = given = None
        try:
            given = in_model()
        except Refused as error:
            expected = str(error), error.figures
        try:
            outcome = in_ledger()
        except ledger.LedgerError as error:
            found = type(error).__name__, vars(error)
        assert found == expected
        self._agree()
        if found is None and stated is not None:
            states = lambda: stated(given)  # noqa: E731
            self._check(outcome, states())
            self.again.append((in_ledger, states))
        return outcome

    def _check(self, outcome: Any, stated: dict[str, Any], **changed: Any) -> None:
        stated = stated | changed
        found = {name: getattr(outcome, name) for name in stated}
        if "detail" in found and isinstance(found["detail"], list):
            lines = [
                (line["grant"], Decimal(line["credits"]), Decimal(line["debt"])) for line in found["detail"]
            ]
            found["detail"] = lines
        assert found == stated

    def sizes(self) -> None:
        """From now on few moves are many (see `sizes.py`)."""
        sizes.make_small()
        self.book.largest = Decimal(1000)
        self.book.visit("small sizes")

    # credits in

    def grant(
        self,
        credits: str,
        kind: str = "bonus",
        days: float | None = None,
        of: Any = None,
        priority: int | None = None,
        purchase: Any = None,
        same_instant: bool = False,
    ) -> None:
        """Grant credits; `same_instant` as the grant before."""
        self.now += dt.timedelta(0) if same_instant else INSTANT
        amount = self._amount(credits) or MICROCREDIT
        ends = None if days is None else self.now + days * DAY
        terms = {
            "kind": kind,
            "services": of,
            "purchase_id": purchase,
            "priority": priority,
            "reason": "gift",
        }
        key, now = self._key(), self.now
        model_grant = a_grant(
            key, amount, kind, now, ends or NEVER, services=of, purchase=purchase, reason="gift"
        )
        model_grant.priority = model_grant.priority if priority is None else priority
        stated: dict[str, Any] = {}

        def in_model() -> None:
            stated.update(self.book.grant(model_grant, now, "gift", "who"))

        self._both(
            in_model,
            lambda **more: give(
                self.account, str(amount), key, now, **terms, expires_at=ends, actor="who", **more
            ),
            lambda _: stated | {"grant_id": model_grant.id},
        )

    def buy(
        self, credits: str = "40", days: float | None = None, bonus: bool = False, first: bool = False
    ) -> None:
        """Credits of a purchase; `first`: spent before anything else, so that a refund finds it spent."""
        self.purchases.append(uuid.uuid4())
        self.grant(credits, "top_up", days, None, 1 if first else None, self.purchases[-1])
        if bonus:
            self.grant("2", "bonus", 3, None, None, self.purchases[-1])

    def owe(self, credits: str = "6", priority: int = 1) -> None:
        """Get into debt: credits are bought, spent, and refunded."""
        if not self.book.debt:
            self.buy(credits, first=True)
            self.charge("first", covers="text")
            self.claw_back(-1)

    # uses

    def _amount(self, name: str, covers: Any = None, subjects: Any = None) -> Decimal:
        """A named amount, to six places; "1" where it relates to nothing."""
        self.book.settle(self.now)
        book, more = (
            self.book,
            MICROCREDIT if name.endswith("+") else -MICROCREDIT if name.endswith("-") else ZERO,
        )
        name = name.rstrip("+-") if more and name[0].isalpha() else name
        if name[0].isdigit():
            return Decimal(name)
        parts = [part for _, part in book.draw(Decimal(10**15), covers)]
        windows = [one for one in book.limits.of(a_use(subjects=subjects or {})) if one.kind != "quota"]
        found = {
            "micro": lambda: MICROCREDIT,
            "some": lambda: sum(parts, ZERO) / 3,
            "first": lambda: sum(parts[:1], ZERO),
            "two": lambda: sum(parts[:2], ZERO),
            "all": lambda: sum(parts, ZERO),
            "debt": lambda: book.debt,
            "limit": lambda: min((w.maximum - w.used * (w.end > self.now) for w in windows), default=ZERO),
            "threshold": lambda: book.balance - (book.warn_below or ZERO),
        }.get(name, lambda: ZERO)()
        found = found.quantize(MICROCREDIT, ROUND_UP) + more
        return found if 0 < found < 10**12 else Decimal(1)

    def _use(self, credits: str, covers: str = "text", by: str = "", files: int = 0, covered: bool = False,
             body: bytes = b"", key: str = "") -> Any:  # fmt: skip
        """The same use for model and ledger. `by`: project, member and key by their first letters."""
        subjects = {kind: SUBJECTS[kind] for kind in ("project", "member", "key") if kind[0] in by}
        subjects |= {"quota": "files"} if files else {}
        amount = ZERO if covered else self._amount(credits, COVERS[covers], subjects)
        key, used = key or self._key(), uuid.UUID(int=next(self.ids))
        terms = {
            "detail": {"use": key},
            "fingerprint": body,
            "covered_by": "own_key" if covered else None,
            "id": used,
        }
        request = charge_request(
            self.account, str(amount), key, covers=COVERS[covers], quota=("files", files) if files else None,
            project_id=PROJECT if "p" in by else None, member_id=MEMBER if "m" in by else None,
            api_key_id=API_KEY if "k" in by else None, **terms,
        )  # fmt: skip
        use = a_use(
            **terms, key=key, credits=amount, covers=COVERS[covers], subjects=subjects, count=Decimal(files),
            made=self.now,
        )  # fmt: skip
        return key, use, request

    def charge(self, credits: str, covers: str = "text", by: str = "", files: int = 0, covered: bool = False,
               body: bytes = b"", key: str = "") -> None:  # fmt: skip
        key, use, request = self._use(credits, covers, by, files, covered, body, key)
        now = self.now
        outcome = self._both(
            lambda: self.book.charge(key, use, now),
            lambda **more: ledger.charge(replace(request, **more), now),
            _charged,
        )
        assert outcome is None or outcome.replayed == (self.book.charges[key] is not use)

    def charge_again(self, which: int, body: bytes = b"", credits: str = "1") -> None:
        """A key that has charged before, whose request may be for another amount."""
        if keys := self._sent_keys():
            self.charge(credits, body=body, key=keys[which % len(keys)])

    def _sent_keys(self) -> list[str]:
        """The keys that have charged, without those of expired holds, which no client can send."""
        return [key for key in self.book.charges if not key.startswith("expiry of ")]

    def charge_many(self, wanted: list[dict[str, Any]], repeat: bool = False) -> None:
        """A batch of uses; `repeat`: its first key comes twice, and an old one."""
        uses = [self._use(**use) for use in wanted]
        if repeat:
            old = self._sent_keys()[-1:]
            uses += [self._use("1", key=key) for key in [uses[0][0], *old]]
        outcomes = ledger.charge_many([request for _, _, request in uses], self.now)
        stated = []
        for (key, use, _), outcome in zip(uses, outcomes, strict=True):
            try:
                given = self.book.charge(key, use, self.now)
                self.book.visit("batch: charged")
                stated.append((outcome, _charged(given)["charge_id"], outcome.charge_id))
            except Refused as error:
                self.book.visit("batch: refused")
                assert (type(outcome).__name__, vars(outcome)) == (str(error), error.figures)
        assert [expected for _, expected, _ in stated] == [found for _, _, found in stated]
        self._agree()

    def hold(self, credits: str, covers: str = "text", by: str = "", files: int = 0, covered: bool = False,
             minutes: float = 90, most: int | None = None, at_expiry: str = "release") -> None:  # fmt: skip
        key, use, request = self._use(credits, covers, by, files, covered, b"", "")
        use.covered_by = None  # a hold does not keep it: the capture says what was covered
        now, use.ends, use.at_expiry = self.now, self.now + dt.timedelta(minutes=minutes), at_expiry
        terms = {"expires_at": use.ends, "now": now, "most_running": most, "at_expiry": at_expiry}
        self._both(
            lambda: self.book.hold(key, use, most, now),
            lambda **more: ledger.hold(replace(request, **more), **terms),
            lambda given: held(given, self.book),
        )

    def _one_of(self, uses: dict[str, Any], which: int) -> Any:
        """Pick a charge or hold, mostly one that is still open."""
        every = list(uses.values())
        left = [one for one in every if one.status == "held" and one.returned < total(one.drawn)]
        return left[which % len(left)] if left and which % 7 != 6 else every[which % len(every)]

    def capture(self, which: int, credits: str, files: int | None = None, covered: bool = False) -> None:
        """Capture a hold: "held" and named amounts above it, or a share."""
        if not self.book.holds:
            return
        hold, now = self._one_of(self.book.holds, which), self.now
        free = self._amount("all", hold.covers) if credits.startswith("all") else ZERO
        shares = {"0": 0, "micro": MICROCREDIT, "third": hold.credits / 3, "all": hold.credits + free}
        amount = Decimal(shares.get(credits.rstrip("+"), hold.credits)).quantize(MICROCREDIT, ROUND_UP)
        amount = ZERO if covered else amount + (MICROCREDIT if credits.endswith("+") else 0)
        terms = {"detail": {"really": "used"}, "covered_by": "own_key" if covered else None}
        key, count = self._key(), None if files is None else Decimal(files)
        subjects = {} if files is None else {"quota": "files"}
        use = a_use(key=key, credits=amount, subjects=subjects, count=count, made=now, **terms)
        outcome = self._both(
            lambda: self._captured(hold, key, use, now),
            lambda **more: self._note(
                use,
                ledger.capture(
                    account_id=self.account,
                    hold_id=hold.id,
                    credits=amount,
                    key=key,
                    now=now,
                    quota=None if files is None else ("files", files),
                    **terms,
                    **more,
                ),
            ),
            _charged,
        )
        assert outcome is None or not outcome.replayed

    def _captured(self, hold: Any, key: str, use: Any, now: dt.datetime) -> Any:
        use.count = hold.count if use.count is None else use.count
        return self.book.capture(hold, key, use, now)

    @staticmethod
    def _note(use: Any, outcome: Any) -> Any:
        use.id = outcome.charge_id
        return outcome

    def release(self, which: int) -> None:
        if self.book.holds:
            hold = self._one_of(self.book.holds, which)
            self._both(
                lambda: self.book.release(hold, self.now),
                lambda: ledger.release(account_id=self.account, hold_id=hold.id, now=self.now),
            )

    # after each move

    def _agree(self) -> None:
        """Settle and compare. Time alone settles nothing, so that a move may find the wallet unsettled."""
        self.book.settle(self.now)
        rows.compare(self.book, self.account, self.now)


def _charged(use: Any) -> dict[str, Any]:
    drawn = tuple(ledger.Drawn(grant=grant.id, kind=grant.kind, credits=part) for grant, part in use.drawn)
    figures = {
        "credits": use.credits,
        "uncollected": use.credits - total(use.drawn),
        "covered_by": use.covered_by,
    }
    balances = {"balance_before": use.before, "balance_after": use.after}
    return (
        {"charge_id": use.id, "drawn": drawn, "detail": use.detail, "created_at": use.made}
        | figures
        | balances
    )
