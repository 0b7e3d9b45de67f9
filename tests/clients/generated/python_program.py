"""Uses a Python client that openapi-python-client has generated; `mypy --strict` checks this file with it."""

import sys

from portal_client import AuthenticatedClient
from portal_client.api.accounts import post_account_grants, post_accounts
from portal_client.api.balance import get_balance
from portal_client.api.charges import get_charges, post_batch, post_charges
from portal_client.api.holds import post_capture, post_holds
from portal_client.models import (
    Account,
    AccountInput,
    AnyGrant,
    Balance,
    BatchInput,
    BatchItem,
    BatchItemUsage,
    BatchOutcome,
    Buy,
    CaptureInput,
    CaptureInputUsage,
    Charge,
    ChargedItem,
    ChargeInput,
    ChargeInputUsage,
    ChargeList,
    GrantInput,
    HoldAnswer,
    HoldInput,
    HoldInputUsage,
    InsufficientCreditsProblem,
    RefusedItem,
    UnknownServiceProblem,
    Wait,
)

SERVICE = "document-question"  # one credit for each use


def main(address: str, key: str) -> None:
    client = AuthenticatedClient(base_url=address, token=key)
    account = post_accounts.sync(client=client, body=AccountInput(external_id="generated"))
    assert isinstance(account, Account) and account.external_id == "generated"
    grant = GrantInput(credits_="10", kind="bonus")
    given = post_account_grants.sync(account.id, client=client, body=grant, idempotency_key="give")
    assert isinstance(given, AnyGrant) and given.remaining == "10"

    use = ChargeInput(service=SERVICE, usage=ChargeInputUsage(uses=2), account="generated")
    first = post_charges.sync_detailed(client=client, body=use, idempotency_key="call-1")
    again = post_charges.sync_detailed(client=client, body=use, idempotency_key="call-1")
    assert isinstance(first.parsed, Charge) and first.parsed.credits_ == "2"
    assert again.parsed == first.parsed and again.headers["Idempotent-Replayed"] == "true"

    hold = HoldInput(service=SERVICE, usage=HoldInputUsage(uses=5), account="generated")
    held = post_holds.sync(client=client, body=hold, idempotency_key="hold-1")
    assert isinstance(held, HoldAnswer) and held.credits_ == "5"
    used = CaptureInput(usage=CaptureInputUsage(uses=3))
    captured = post_capture.sync(held.id, client=client, body=used, idempotency_key="capture-1")
    assert isinstance(captured, Charge) and captured.hold == held.id

    too_much = ChargeInput(service=SERVICE, usage=ChargeInputUsage(uses=1000), account="generated")
    refused = post_charges.sync(client=client, body=too_much, idempotency_key="call-2")
    assert isinstance(refused, InsufficientCreditsProblem) and refused.needed == "1000"
    for way in refused.ways_on:
        print(way.until if isinstance(way, Wait) else way.url)
        assert not isinstance(way, Buy) or way.credits_

    known = BatchItem(service=SERVICE, usage=BatchItemUsage(uses=1), idempotency_key="item-1")
    unknown = BatchItem(service="nothing", usage=BatchItemUsage(uses=1), idempotency_key="item-2")
    batch = post_batch.sync(client=client, body=BatchInput(data=[known, unknown], account="generated"))
    assert isinstance(batch, BatchOutcome)
    charged, not_charged = batch.data
    assert isinstance(charged, ChargedItem) and charged.charge.credits_ == "1"
    assert isinstance(not_charged, RefusedItem) and isinstance(not_charged.error, UnknownServiceProblem)

    balance = get_balance.sync(client=client, account="generated")
    assert isinstance(balance, Balance)
    charges = get_charges.sync(client=client, account="generated", limit=2)
    assert isinstance(charges, ChargeList) and charges.has_more
    print(balance.available)


if __name__ == "__main__":
    main(*sys.argv[1:])
