"""Which grants a charge would use, in order, on the page of a customer.

Invariant: the order is the ledger's own: the charge is carried out in a transaction that is never committed.
It locks the wallet as a charge does, for as long as one takes.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing import ledger
from core import amounts
from pricing import lookup
from pricing.catalogue import cache as catalogue_cache


class BurnOrderForm(forms.Form):
    """A charge to preview."""

    service = forms.ChoiceField(label=gettext_lazy("Service"), widget=UnfoldAdminSelectWidget)
    credits = forms.CharField(
        label=gettext_lazy("Credits"),
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keys = sorted(catalogue_cache.current().services)
        self.fields["service"].choices = [(key, key) for key in keys]  # type: ignore[attr-defined]

    def clean_credits(self) -> Decimal:
        amount = amounts.parse(self.cleaned_data["credits"].strip())
        if amount is None or not 0 < amount <= amounts.LARGEST:
            raise forms.ValidationError(_("Enter credits above zero, such as 250 or 2.5."))
        return amount


@dataclass(frozen=True, kw_only=True)
class BurnOrder:
    """The grants that pay, in order, with what each pays and keeps; or why nothing is charged."""

    draws: list[tuple[ledger.GrantInForce, Decimal, Decimal]]
    refusal: str = ""


def preview(account_id: UUID, *, service: str, credits: Decimal, now: datetime) -> BurnOrder:
    """Charge so many credits for a use of the service, without effect."""
    facts, _action = lookup.facts_of(service, "")
    request = ledger.ChargeRequest(
        account_id=account_id,
        credits=credits,
        key=f"preview:{uuid4().hex}",
        service=service,
        covers=lookup.covers_of(facts, None),
    )
    with transaction.atomic():
        grants = {grant.id: grant for grant in ledger.balance(account_id, now).grants}
        try:
            drawn = ledger.charge(request, now).drawn
        except ledger.LedgerError as error:
            return BurnOrder(draws=[], refusal=error.detail())
        finally:
            transaction.set_rollback(True)
    return BurnOrder(
        draws=[(grants[one.grant], one.credits, grants[one.grant].remaining - one.credits) for one in drawn]
    )
