"""Every form of the product and every field of it is in a table of this folder."""

import importlib
from collections.abc import Iterator

import pytest
from allauth.core.context import request_context
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.test import RequestFactory

from accounts import sign_in_forms
from accounts.models import User
from billing.staff import burn_order, promotion_trial
from billing.views import forms as billing_forms
from core.staff_admin import ReadOnly
from pricing.staff import offer_forms, rate_forms
from tests.forms.staff_table import FORMS
from tests.forms.table import PAGES
from tests.forms.test_queries import QUERIES
from tests.forms.test_staff_actions import ACTIONS
from tests.some import some
from usage.staff import price_simulation
from usage.views import forms as usage_forms

APPS = ("accounts.", "billing.", "pricing.", "usage.", "config.", "core.")
MODULES = (
    "accounts.forms",
    "accounts.admin_forms",
    "accounts.sign_in_forms",
    "billing.views.forms",
    "accounts.team_admin",
)
MODULES += ("billing.staff.purchases", "billing.staff.stripe_prices", "billing.staff.subscriptions")
MODULES += ("billing.staff.adjustments", "billing.staff.customer")
MODULES += ("pricing.forms", "pricing.admin_forms", "usage.views.forms", "usage.staff.reports")

# Forms in a query, with a table of their own.
ELSEWHERE = {
    promotion_trial.TrialForm: "tests/billing/staff/test_promotion_trials.py",
    burn_order.BurnOrderForm: "tests/billing/staff/test_promotion_trials.py",
    billing_forms.OrderForm: "tests/billing/views/test_buy.py",
    billing_forms.ErasureForm: "tests/billing/views/test_erasure.py",
    usage_forms.RangeForm: "tests/usage/views/test_forms.py",
    usage_forms.UsageForm: "tests/usage/views/test_forms.py",
    usage_forms.HistoryForm: "tests/usage/views/test_forms.py",
    usage_forms.SwapForm: "tests/usage/repricing/test_model_swap.py",
    usage_forms.RefusalForm: "tests/usage/views/test_refusals.py",
    rate_forms.PricesForm: "tests/pricing/staff/test_rate_card_pages.py",
    rate_forms.RateForm: "tests/pricing/staff/test_rate_card_pages.py",
    **dict.fromkeys(
        (offer_forms.OfferForm, offer_forms.PackForm, offer_forms.PlanForm, offer_forms.SaleForm),
        "tests/pricing/staff/test_offer_pages.py",
    ),
    price_simulation.PublishForm: "tests/pricing/staff/test_rate_card_pages.py",
}
# The forms of allauth as this product shows them: the label of each field.
CODE, ADDRESS, PASSWORD = {"code": "Code"}, "E-mail address", "Password"
SIGN_IN: dict[type[forms.BaseForm], dict[str, str]] = {
    sign_in_forms.SignUp: {"email": ADDRESS, "password1": PASSWORD, "zone": "None"},
    sign_in_forms.SignIn: {"login": ADDRESS, "password": PASSWORD},
    sign_in_forms.RequestCode: {"email": ADDRESS},
    sign_in_forms.ConfirmSignInCode: CODE,
    sign_in_forms.ConfirmAddressCode: CODE,
    sign_in_forms.ChangeAddress: {"email": "New e-mail address"},
    sign_in_forms.ResetPassword: {"email": ADDRESS},
    sign_in_forms.ConfirmResetCode: CODE,
    sign_in_forms.NewPassword: {"password1": "New password"},
    sign_in_forms.ChangePassword: {"oldpassword": "Current password", "password1": "New password"},
    sign_in_forms.SetPassword: {"password1": "New password"},
    sign_in_forms.Reauthenticate: {"password": PASSWORD},
    sign_in_forms.ShowSecondFactor: CODE,
    sign_in_forms.ShowSecondFactorAgain: CODE,
    sign_in_forms.ActivateSecondFactor: CODE,
    sign_in_forms.AddPasskey: {"name": "Name", "credential": "None", "passwordless": "None"},
    sign_in_forms.RenamePasskey: {"name": "Name"},
    sign_in_forms.SignInWithPasskey: {"credential": "None"},
    sign_in_forms.ShowPasskey: {"credential": "None"},
    sign_in_forms.ShowPasskeyAgain: {"credential": "None"},
}


def forms_of_the_product() -> set[type[forms.BaseForm]]:
    for module in MODULES:
        importlib.import_module(module)

    def below(parent: type) -> Iterator[type]:
        for form in parent.__subclasses__():
            yield form
            yield from below(form)

    found = {form for form in below(forms.BaseForm) if form.__module__.startswith(APPS)}
    return found - {sign_in_forms.OurWords}  # a mixin


def test_every_form_is_in_a_table() -> None:
    listed = {page.form for page in PAGES} | {form.form for form in FORMS} | set(QUERIES) | set(ELSEWHERE)
    missing = forms_of_the_product() - listed - set(SIGN_IN)
    assert {form.__name__ for form in missing} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_field_of_a_page_has_rows(page) -> None:  # type: ignore[no-untyped-def]
    assert set(page.rows) == set(page.form.base_fields)
    assert set(page.valid) == set(page.form.base_fields)
    for name, rows in page.rows.items():
        assert any(row.error for row in rows) or "bool" in str(type(page.form.base_fields[name])).lower(), (
            name
        )
        assert any(not row.error for row in rows), name


def test_every_field_of_a_filter_is_named() -> None:
    for form, fields in some(QUERIES.items()):
        assert set(form.base_fields) <= fields, form.__name__


def test_every_model_that_staff_can_edit_is_in_a_table() -> None:
    tables = [form.needs for form in FORMS] + [action.needs for action in ACTIONS.values()]
    listed = {needs.partition(".")[0] + "." + needs.rpartition("_")[2] for needs in tables}
    editable = {
        model._meta.label_lower
        for model, of in admin.site._registry.items()
        if type(of).__module__.startswith(APPS) and not isinstance(of, ReadOnly)
    }
    assert editable <= listed


def test_the_fields_of_the_sign_in_forms_have_our_labels_and_no_placeholders(
    alice: User, rf: RequestFactory
) -> None:
    request = rf.get("/")
    request.session, request.user = {}, alice  # type: ignore[assignment]
    passkey = Authenticator(user=alice, type="webauthn", data={"name": "Phone"})
    given = {
        "instance": passkey,
        "user": alice,
        "code": "1",
        "email": alice.email,
        "temp_key": "k",
        "request": request,
    }
    needs: dict[type[forms.BaseForm], tuple[str, ...]] = {
        sign_in_forms.SignIn: ("request",),
        sign_in_forms.ConfirmSignInCode: ("code",),
        sign_in_forms.ConfirmAddressCode: ("code", "user", "email"),
        sign_in_forms.ConfirmResetCode: ("code",),
        sign_in_forms.NewPassword: ("user", "temp_key"),
        sign_in_forms.RenamePasskey: ("instance",),
    }
    without = (sign_in_forms.SignUp, sign_in_forms.RequestCode, sign_in_forms.ResetPassword)
    without += (sign_in_forms.SignInWithPasskey,)
    with request_context(request):
        for form, labels in SIGN_IN.items():
            names = needs.get(form, () if form in without else ("user",))
            fields = form(**{name: given[name] for name in names}).fields
            shown = {name: str(field.label) for name, field in fields.items() if name != "remember"}
            assert shown == labels, form.__name__
            assert not any("placeholder" in field.widget.attrs for field in fields.values())
            if "code" in fields:
                attributes = fields["code"].widget.attrs
                assert (attributes["autocomplete"], attributes["inputmode"]) == ("one-time-code", "numeric")
