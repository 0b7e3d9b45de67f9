"""The page on which staff try a promotion: what a customer would get from it at a time, or why not.

Invariant: the answer is that of `billing.promotion_trials`; nothing is stored.
"""

from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import Account
from billing import offers
from billing import promotion_trials as trials
from billing.models import Promotion
from billing.purchases.create import MAX_PACKS
from billing.staff import customer_search
from core.errors import Refusal
from core.templatetags.credits import credits
from core.templatetags.money import money
from pricing.models import Pack

FIND = "accounts.view_account"


class TrialForm(forms.Form):
    """Who would enter the code, and when; for a discount also what is bought."""

    customer = forms.CharField(
        label=gettext_lazy("Customer"),
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("E-mail, name or any id. Empty: a new customer."),
    )
    at = forms.SplitDateTimeField(
        label=gettext_lazy("Time"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text=gettext_lazy("Empty: now, or the start of the promotion if that is later."),
    )
    pack = forms.ChoiceField(label=gettext_lazy("Pack"), widget=UnfoldAdminSelectWidget)
    quantity = forms.IntegerField(
        label=gettext_lazy("Number of packs"),
        min_value=1,
        max_value=MAX_PACKS,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    currency = forms.ChoiceField(label=gettext_lazy("Currency"), widget=UnfoldAdminSelectWidget)

    def __init__(self, promotion: Promotion, *args: Any, may_find: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.promotion = promotion
        if not may_find:
            del self.fields["customer"]
        if promotion.gives != Promotion.Gives.DISCOUNT:
            for name in ("pack", "quantity", "currency"):
                del self.fields[name]
            return
        packs = Pack.objects.filter(retired_at=None).order_by("position", "key")
        names = [(pack.key, f"{pack.name} ({pack.key})") for pack in packs]
        self.fields["pack"].choices = names  # type: ignore[attr-defined]
        self.fields["currency"].choices = [  # type: ignore[attr-defined]
            (currency, currency.upper()) for currency in offers.currencies()
        ]

    def clean_customer(self) -> Account | None:
        term: str = self.cleaned_data["customer"].strip()
        if not term:
            return None
        found = customer_search.find(term)
        if not found:
            raise forms.ValidationError(_("No customer was found."))
        if len(found) > 1:
            raise forms.ValidationError(_("Several customers were found. Enter an id, such as acct_…"))
        if found[0].erased_at is not None:
            raise forms.ValidationError(_("This account was erased."))
        return found[0]

    def clean_at(self) -> datetime:
        """A time in the past cannot be tried: the ledger's time never goes backwards."""
        now = timezone.now()
        given: datetime | None = self.cleaned_data["at"]
        if given is not None and given < now:
            raise forms.ValidationError(_("The time is in the past. Choose a later one."))
        return given or max(now, self.promotion.starts_at)


def page(request: HttpRequest, promotion: Promotion, context: dict[str, Any]) -> HttpResponse:
    """The form, and the answer to what is in the query. The caller has checked `billing.view_promotion`."""
    may_find = request.user.has_perm(FIND)  # type: ignore[union-attr]
    form = TrialForm(promotion, request.GET if "try" in request.GET else None, may_find=may_find)
    context |= {
        "title": _("Try the promotion %(code)s") % {"code": promotion.code},
        "form": form,
        "back": reverse("admin:billing_promotion_change", args=[promotion.pk]),
    }
    if form.is_bound and form.is_valid():
        context |= _answer(promotion, form.cleaned_data)
    return render(request, "admin/billing/promotion_trial.html", context)


def _answer(promotion: Promotion, given: dict[str, Any]) -> dict[str, Any]:
    account: Account | None = given.get("customer")
    who = str(account) if account else _("A new customer")
    answer: dict[str, Any] = {"who": who, "at": given["at"]}
    try:
        if promotion.gives == Promotion.Gives.DISCOUNT:
            terms = {name: given[name] for name in ("pack", "quantity", "currency")}
            facts = _of_discount(trials.discount(promotion, account=account, now=given["at"], **terms))
        else:
            facts = _of_credits(trials.give(promotion, account=account, now=given["at"]))
    except Refusal as error:
        return answer | {"refusal": str(error), "code": error.code}
    return answer | {"facts": facts}


def _of_discount(found: trials.Discounted) -> list[tuple[str, str]]:
    currency = found.offer.currency
    return [
        (_("Price"), money(found.amount + found.discount, currency)),
        (_("Discount"), money(found.discount, currency)),
        (_("To pay"), money(found.amount, currency)),
    ]


def _of_credits(found: trials.Given) -> list[tuple[str, str]]:
    facts = [(_("Credits"), credits(found.credits))]
    if found.repaid:
        facts.append((_("Of these, repay debt"), credits(found.repaid)))
    if found.grant is not None:
        ends = found.grant.expires_at
        facts += [
            (_("Services"), ", ".join(found.grant.services or []) or _("all")),
            (_("Expires"), date_format(timezone.localtime(ends), "DATETIME_FORMAT") if ends else "–"),
        ]
    return [*facts, (_("Balance afterwards"), credits(found.balance))]
