"""What holds after every move in every circumstance, so that no cell has to say it."""

from decimal import Decimal

from billing import ledger
from billing.ledger.audit import wallets
from billing.models import Charge, Entry, Grant, Hold, Wallet
from tests.billing.ledger.state import broken
from tests.moves.usage.answers import Answer
from tests.moves.usage.world import World
from usage.charges.stored_detail import restored


def check(world: World) -> None:
    """The account's books agree, its API shows them, and what is due happens at its time."""
    account = world.account.pk
    wallet = Wallet.objects.get(account_id=account)
    assert wallet.is_low == (wallet.warn_below is not None and wallet.balance < wallet.warn_below)
    for charge in Charge.objects.filter(account_id=account):
        _charge_adds_up(charge, by_lines=not (charge.hold_id and world.captures_the_other_way))
    if world.account_is_open:
        for charge in Charge.objects.filter(account_id=account, returned__gt=0):
            body = world.platform.get(f"charges/{charge.public_id}").json()
            assert (Decimal(body["returned"]), body["status"]) == (charge.returned, charge.status)
        balance = world.platform.get("balance", account=world.account.external_id).json()
        shown = [Decimal(balance[name]) for name in ("available", "held", "debt")]
        unlimited = Decimal(sum((Decimal(g["remaining"]) for g in balance["grants"] if not g["services"]), 0))
        assert shown == [unlimited, wallet.held, wallet.debt]
    # the wallet is due no later than the first of its grants and holds ends
    ends = [grant.expires_at for grant in Grant.objects.filter(account_id=account, open=True)]
    ends += [hold.expires_at for hold in Hold.objects.filter(account_id=account, status="held")]
    for end in ends:
        assert end is None or (wallet.next_due_at is not None and wallet.next_due_at <= end)
    # two days later no hold is open, and nothing is left of a grant that has ended
    world.wait(days=2)
    ledger.settle([account], world.now)
    assert not Hold.objects.filter(account_id=account, status="held").exists()
    assert not Grant.objects.filter(account_id=account, expires_at__lte=world.now, remaining__gt=0).exists()
    assert not Grant.objects.filter(account_id=account, held__gt=0).exists()
    assert broken([account]) == []
    assert wallets.inspect(wallets.Portion(accounts=[account])).findings == []


def _charge_adds_up(charge: Charge, *, by_lines: bool) -> None:
    """`by_lines`: a hold by usage that was captured by amount has the lines of the hold."""
    collected = charge.credits - charge.uncollected
    # what returned, and repaid debt or expired
    lost = charge.balance_before - charge.balance_after - collected
    gone = Entry.objects.filter(account_id=charge.account_id, kind__in=["repay", "expire"])
    assert lost == 0 or (lost > 0 and gone.exists())
    assert 0 <= charge.returned <= collected
    assert not (charge.covered_by and charge.credits)
    detail = restored(charge.detail)
    priced = sum((Decimal(line["credits"]) for line in detail["lines"]), Decimal(0))
    if detail["lines"] and by_lines:
        assert priced == charge.credits or charge.covered_by
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
