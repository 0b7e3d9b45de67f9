"""Invoice numbers of each year, and the buyer's details as they were when the number was given."""

from datetime import UTC, datetime

import pytest

from accounts.models import Account, User
from billing.models import BillingProfile, InvoiceYear, Purchase
from billing.payments import invoices

pytestmark = pytest.mark.django_db
END_OF_YEAR = datetime(2027, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def numbered(account: Account, buyer: User | None, now: datetime = END_OF_YEAR) -> Purchase:
    purchase = Purchase(account=account, buyer=buyer)
    invoices.assign_number(purchase, now)
    return purchase


def test_each_year_has_its_own_numbers_without_gaps(account: Account, alice: User) -> None:
    times = [END_OF_YEAR, END_OF_YEAR, datetime(2028, 1, 1, tzinfo=UTC), END_OF_YEAR]
    numbers = [numbered(account, alice, now).invoice_number for now in times]
    assert numbers == ["2027-000001", "2027-000002", "2028-000001", "2027-000003"]
    assert dict(InvoiceYear.objects.values_list("year", "last")) == {2027: 3, 2028: 1}


def test_a_purchase_keeps_its_number_and_its_buyers_details(account: Account, alice: User, bob: User) -> None:
    purchase = numbered(account, bob)
    assert purchase.billed_to == {"name": account.name, "address": "", "tax_id": "", "email": bob.email}
    BillingProfile.objects.update_or_create(
        account=account, defaults={"invoice_name": "Alice Ltd", "invoice_address": "1 Road", "tax_id": "GB1"}
    )
    invoices.assign_number(purchase, END_OF_YEAR)
    assert (purchase.invoice_number, purchase.billed_to["name"]) == ("2027-000001", account.name)
    assert numbered(account, None).billed_to == {
        "name": "Alice Ltd",
        "address": "1 Road",
        "tax_id": "GB1",
        "email": alice.email,
    }


def test_an_invoice_has_the_details_of_its_account(account: Account, bob: User) -> None:
    both = [account, Account.objects.get(person=bob)]
    for each in both:
        BillingProfile.objects.update_or_create(account=each, defaults={"invoice_name": f"{each.name} Ltd"})
    assert [numbered(each, None).billed_to["name"] for each in both] == [f"{each.name} Ltd" for each in both]
