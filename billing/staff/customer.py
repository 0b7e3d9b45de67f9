"""The page of a customer and the search that finds it.

Invariants: the page has a fixed number of queries; it shows only the sections that the person may see, and no
secret; notes are written here and are never shown to members.
"""

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts import erasure, viewing
from accounts.models import Account, StaffNote, User
from billing import ledger
from billing.staff import burn_order, customer_search
from billing.staff import customer_sections as sections
from core import staff_acts
from core.templatetags.credits import credits
from core.templatetags.money import money

_ONE_TO_ONE = ("person", "subscription", "billing_profile", "auto_top_up")


class NoteForm(forms.Form):
    """A note about the customer, for staff."""

    text = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy("Members do not see notes. They are erased with the account."),
    )


def search(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Find customers; a single one opens at once."""
    term = request.GET.get("q", "")
    found = customer_search.find(term)
    if len(found) == 1:
        return redirect("admin:accounts_account_customer", found[0].pk)
    context |= {
        "title": _("Find a customer"),
        "term": term,
        "accounts": found,
        "most": customer_search.MOST,
    }
    return render(request, "admin/billing/customer_search.html", context)


def page(request: HttpRequest, account_id: UUID, context: dict[str, Any]) -> HttpResponse:
    """Everything about one account; POST adds a note. The caller has checked `accounts.view_account`."""
    user = request.user
    assert isinstance(user, User)
    account = Account.objects.filter(pk=account_id).select_related(*_ONE_TO_ONE).first()
    if account is None:
        raise Http404
    may_note, now = user.has_perm("accounts.add_staffnote"), timezone.now()
    form = NoteForm(request.POST or None)
    if request.method == "POST":
        if not may_note:
            raise PermissionDenied
        if form.is_valid():
            try:
                _add_note(account, form.cleaned_data["text"], user, now)
                messages.success(request, _("The note was saved."))
            except erasure.AccountErased as error:
                messages.error(request, str(error))
            return redirect("admin:accounts_account_customer", account.pk)
    staff_zone = Account.objects.filter(person=user).values_list("zone", flat=True).first()
    times = sections.Times(ZoneInfo(account.zone), ZoneInfo(staff_zone or settings.TIME_ZONE))
    names = sections.Names()
    balance = ledger.balance(account.pk, now)
    shown = [
        sections.grants(balance, times),
        sections.members(account, times, names),
        sections.purchases(account, times),
        sections.charges(account, times),
        sections.refunds(account, times),
        sections.disputes(account, times),
        sections.adjustments(account, times),
        sections.keys(account, times, names),
        sections.limits(account, names),
        sections.mails(account, times),
        sections.events(account, times),
    ]
    if user.has_perm("core.view_staffact"):
        shown.append(sections.acts(account, times))
    context |= {
        "title": str(account),
        "account": account,
        "now": times.both(now),
        "figures": _figures(balance) if user.has_perm("billing.view_wallet") else [],
        "facts": [fact for fact in _facts(account, times) if fact[1]],
        "sections": [section for section in shown if user.has_perm(section.needs)],
        "notes": _notes(account, times) if user.has_perm("accounts.view_staffnote") else [],
        "form": form if may_note else None,
        **(_burn_order(request, account, now) if user.has_perm("billing.view_grant") else {}),
        "actions": _actions(user, account),
    }
    return render(request, "admin/billing/customer.html", context)


def _burn_order(request: HttpRequest, account: Account, now: datetime) -> dict[str, Any]:
    """The form, and the grants that the charge in the query would use."""
    form = burn_order.BurnOrderForm(request.GET if "service" in request.GET else None)
    if not (form.is_bound and form.is_valid()):
        return {"burn_form": form}
    service, amount = form.cleaned_data["service"], form.cleaned_data["credits"]
    found = burn_order.preview(account.pk, service=service, credits=amount, now=now)
    return {
        "burn_form": form,
        "burn_title": _("%(credits)s credits of %(service)s")
        % {"credits": credits(amount), "service": service},
        "burn_refusal": found.refusal,
        "burn_draws": [
            (number, grant.label, grant.kind, credits(drawn), credits(left))
            for number, (grant, drawn, left) in enumerate(found.draws, start=1)
        ],
    }


def _figures(balance: ledger.Balance) -> list[tuple[str, str]]:
    return [
        (_("Balance"), credits(balance.total)),
        (_("For every service"), credits(balance.available)),
        (_("Held"), credits(balance.held)),
        (_("Debt"), credits(balance.debt)),
    ]


def _facts(account: Account, times: sections.Times) -> list[tuple[str, Any]]:
    """Who it is, its plan, its cards and its automatic top-up."""
    subscription = getattr(account, "subscription", None)
    profile = getattr(account, "billing_profile", None)
    top_up = getattr(account, "auto_top_up", None)
    facts: list[tuple[str, Any]] = [
        (_("Account"), account.public_id),
        (_("Kind"), account.get_kind_display()),
        (_("External id"), account.external_id),
        (_("Time zone"), account.zone),
        (_("Opened"), times.both(account.created_at)),
        (_("Erased"), times.both(account.erased_at) if account.erased_at else ""),
    ]
    if subscription:
        price = (
            money(subscription.amount, subscription.currency) if subscription.paid else _("without payment")
        )
        facts += [
            (_("Plan"), f"{subscription.plan} ({subscription.get_state_display()}), {price}"),
            (_("Period ends"), times.both(subscription.period_end) if subscription.period_end else ""),
            (_("Cancelled"), _("at the end of the period") if subscription.cancel_at_period_end else ""),
            (_("Next plan"), subscription.following_plan),
            (_("Subscription at Stripe"), subscription.stripe_subscription_id),
        ]
    if profile:
        cards = {
            _("Card"): (profile.card_name, profile.card_last4, profile.card_expires),
            _("Card of the plan"): (
                profile.plan_card_name,
                profile.plan_card_last4,
                profile.plan_card_expires,
            ),
        }
        facts += [
            (label, f"{name} … {last4} {expires}") for label, (name, last4, expires) in cards.items() if last4
        ]
        facts.append((_("Customer at Stripe"), profile.stripe_customer_id))
    if top_up and (top_up.enabled or top_up.failures):
        state = _("on") if top_up.enabled else _("off")
        outcome = top_up.get_last_outcome_display()
        facts.append((_("Automatic top-up"), sections.link(top_up, f"{state} {outcome}")))
    return facts


def _notes(account: Account, times: sections.Times) -> list[dict[str, Any]]:
    found = StaffNote.objects.filter(account=account).select_related("author").order_by("-created_at")[:20]
    return [{"text": one.text, "author": one.author, "time": times.both(one.created_at)} for one in found]


def _add_note(account: Account, text: str, author: User, now: datetime) -> None:
    with transaction.atomic():
        erasure.require_open(account.pk)
        note = StaffNote.objects.create(account=account, author=author, text=text, created_at=now)
        # Without the text: the audit log outlives the erasure of the account.
        staff_acts.record(actor_id=author.pk, act="staffnote.add", subject=note, now=now)


def _actions(user: User, account: Account) -> list[tuple[str, str]]:
    actions = [(_("Account"), reverse("admin:accounts_account_change", args=[account.pk]))]
    if user.has_perm("billing.add_creditadjustment"):
        address = reverse("admin:accounts_account_credits", args=[account.pk])
        actions.append((_("Give or take credits"), address))
    if user.has_perm(viewing.PERMISSION):
        actions.append((_("View as customer"), reverse("admin:accounts_account_view_as", args=[account.pk])))
    return actions
