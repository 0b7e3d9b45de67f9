"""What holds after every move in every circumstance, so that no cell has to say it.

The rows are read with one query: these rules are checked more than a thousand times.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from billing import ledger
from billing.ledger.audit import wallets
from billing.models import Charge
from tests.billing.ledger.state import faults_in, rows_of
from tests.moves.usage.answers import Answer
from tests.moves.usage.world import World
from usage.charges.stored_detail import restored


def check(world: World) -> None:
    """The account's books agree, its API shows them, and what is due happens at its time."""
    account = world.account.pk
    rows = rows_of([account])
    [wallet] = rows["wallet"]
    assert wallet["is_low"] == (wallet["warn_below"] is not None and wallet["balance"] < wallet["warn_below"])
    frees = any(entry["kind"] in {"repay", "expire"} for entry in rows["entry"])
    for charge in rows["charge"]:
        by_lines = not (charge["hold_id"] and world.captures_the_other_way)
        _charge_adds_up(charge, by_lines=by_lines, frees=frees)
    if world.account_is_open:
        _shown_by_the_api(world, wallet, rows["charge"])
    # the wallet is due no later than the first of its grants and holds ends
    for row in [*rows["grant"], *rows["hold"]]:
        if (row.get("open") or row.get("status") == "held") and row["expires_at"]:
            assert wallet["next_due_at"] and _time(wallet["next_due_at"]) <= _time(row["expires_at"])
    # two days later no hold is open, and nothing is left of a grant that has ended
    world.wait(days=2)
    ledger.settle([account], world.now)
    rows = rows_of([account])
    assert not [hold for hold in rows["hold"] if hold["status"] == "held"]
    for grant in rows["grant"]:
        has_ended = grant["expires_at"] is not None and _time(grant["expires_at"]) <= world.now
        assert not grant["held"] and not (has_ended and grant["remaining"])
    assert faults_in(rows) == []
    assert wallets.inspect(wallets.Portion(accounts=[account])).findings == []


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _shown_by_the_api(world: World, wallet: dict[str, Any], charges: list[dict[str, Any]]) -> None:
    if any(charge["returned"] for charge in charges):
        for charge in Charge.objects.filter(account_id=world.account.pk, returned__gt=0):
            body = world.platform.get(f"charges/{charge.public_id}").json()
            assert (Decimal(body["returned"]), body["status"]) == (charge.returned, charge.status)
    balance = world.platform.get("balance", account=world.account.external_id).json()
    shown = [Decimal(balance[name]) for name in ("available", "held", "debt")]
    unlimited = Decimal(sum((Decimal(g["remaining"]) for g in balance["grants"] if not g["services"]), 0))
    assert shown == [unlimited, wallet["held"], wallet["debt"]]


def _charge_adds_up(charge: dict[str, Any], *, by_lines: bool, frees: bool) -> None:
    """`by_lines`: a hold by usage that was captured by amount has the lines of the hold. `frees`: an entry of
    the account repays a debt or expires credits."""
    collected = charge["credits"] - charge["uncollected"]
    # what returned, and repaid debt or expired
    lost = charge["balance_before"] - charge["balance_after"] - collected
    assert lost == 0 or (lost > 0 and frees)
    assert 0 <= charge["returned"] <= collected
    assert not (charge["covered_by"] and charge["credits"])
    detail = restored(charge["detail"])
    priced = sum((Decimal(line["credits"]) for line in detail["lines"]), Decimal(0))
    if detail["lines"] and by_lines:
        assert priced == charge["credits"] or charge["covered_by"]
        assert sum(int(line["quantity"]) for line in detail["lines"]) == detail["usage"]["uses"]


def stored_as_answered(world: World, answer: Answer) -> None:
    """A new charge or hold is stored as it was answered, with the attributes of its use."""
    body = answer.body
    if answer.status != 201 or answer.is_replay or "returned_to" in body:
        return
    kind = "charges" if body["id"].startswith("chg_") else "holds"
    stored = world.platform.get(f"{kind}/{body['id']}").json()
    assert {name: stored[name] for name in body} == body
    for name, value in world.fields.items():
        if name in body:
            assert body[name] == value, name
    assert body["member"] == world.alice.public_id
    assert body["account"] == world.account.public_id
