"""The pages on which packs are bought: contents, permissions, payment and return."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Membership, User
from billing.models import Promotion, Purchase, Redemption
from billing.payments import return_links
from core.templatetags.credits import credits
from core.templatetags.money import money
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack, Sale
from tests.billing.conftest import change_policies, smallest_pack
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(stripe_api: Any, alice: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(alice)


def purchase_form(**more: Any) -> dict[str, Any]:
    return {"pack": smallest_pack(), "currency": "usd", "quantity": 1, "key": str(uuid.uuid4()), **more}


def test_packs_show_the_price_of_one_credit_and_the_saving(browser: Client) -> None:
    text = browser.get("/billing/buy/").content.decode()

    packs = list(Pack.objects.filter(retired_at=None))
    assert text.count("per credit") == len(packs)
    assert "% less than in the smallest pack" in text
    assert "Most popular" in text


@pytest.mark.requirement("FLOW-05")
def test_a_sale_shows_its_price_and_checkout_charges_it(browser: Client) -> None:
    pack = Pack.objects.get(key=smallest_pack())
    now = timezone.now()
    Sale.objects.create(
        key="black-friday",
        pack=pack,
        label="Black Friday",
        prices={"usd": 123},
        starts_at=now - timezone.timedelta(days=1),
        ends_at=now + timezone.timedelta(days=1),
    )
    catalogue_cache.changed()

    text = browser.get("/billing/buy/").content.decode()
    browser.post("/billing/purchases/new/", purchase_form())

    assert "Black Friday" in text and "$1.23" in text
    purchase = Purchase.objects.get()
    assert (purchase.amount, purchase.list_amount) == (123, pack.prices["usd"])

    dialog = browser.get("/billing/buy/", headers={"HX-Request": "true"}).content.decode()
    [form] = [part for part in dialog.split("</form>") if f'name="pack" value="{pack.key}"' in part]
    sent = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert browser.post("/billing/purchases/new/", sent).status_code == 303, "the shown price is the price"
    assert set(Purchase.objects.values_list("amount", flat=True)) == {123}


@pytest.mark.requirement("FLOW-05")
def test_a_price_that_changed_after_it_was_shown_is_not_charged(browser: Client) -> None:
    pack = Pack.objects.get(key=smallest_pack())
    shown = pack.prices["usd"]
    Pack.objects.filter(pk=pack.pk).update(prices=pack.prices | {"usd": shown + 100})
    catalogue_cache.changed()

    response = browser.post("/billing/purchases/new/", purchase_form(shown=shown))

    assert response.status_code == 422
    assert "price has changed" in response.content.decode() and "$6.00" in response.content.decode()
    assert not Purchase.objects.exists()


def test_only_the_plan_that_was_previewed_can_be_confirmed(browser: Client) -> None:
    page = browser.get("/plans/starter/?interval=month")
    token = page.context["preview"].token
    form = {"token": token, "key": str(uuid.uuid4())}

    assert browser.post("/plans/creator/", form).status_code == 302  # not the plan of the preview
    assert not Purchase.objects.exists()
    response = browser.post("/plans/starter/", form)
    assert (response.status_code, Purchase.objects.get().amount) == (303, 990)


def test_paying_at_stripe_returns_to_a_page_that_shows_the_credits(browser: Client) -> None:
    response = browser.post("/billing/purchases/new/", purchase_form())
    assert response.status_code == 303
    buyer = Buyer()
    buyer.pay(response["Location"])
    page = browser.get(re.sub(r"^https?://[^/]+", "", buyer.redirect), follow=True).content.decode()

    assert "credits added" in page
    assert "/state/" not in page  # no more polling
    assert Purchase.objects.get().status == Purchase.Status.PAID


def test_submitting_twice_creates_one_purchase_and_one_payment_page(browser: Client) -> None:
    form = purchase_form()

    first, second = (
        browser.post("/billing/purchases/new/", form),
        browser.post("/billing/purchases/new/", form),
    )

    assert first["Location"] == second["Location"]
    assert Purchase.objects.count() == 1


def test_going_back_from_stripe_shows_that_nothing_was_charged(browser: Client) -> None:
    browser.post("/billing/purchases/new/", purchase_form())
    purchase = Purchase.objects.get()

    left = return_links.url("payment_left", purchase.public_id).removeprefix(SITE)
    page = browser.get(left, follow=True).content.decode()
    assert "Nothing was charged" in page

    browser.post(f"/billing/purchases/{purchase.public_id}/cancel/")
    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.CANCELLED


@pytest.mark.fault("P10")
@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": -1},
        {"quantity": 0},
        {"quantity": 10**9},
        {"pack": "nothing"},
        {"currency": "xxx"},
        {"key": ""},
    ],
)
def test_invalid_input_creates_no_purchase(browser: Client, wrong: dict[str, Any]) -> None:
    response = browser.post("/billing/purchases/new/", purchase_form(**wrong, amount=1, credits=10**6))

    assert response.status_code == 422
    assert not Purchase.objects.exists()


@pytest.mark.fault("Z4")
def test_a_member_without_the_billing_role_cannot_buy(
    stripe_api: Any, team: Account, bob: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(bob)
    session = browser.session
    session["account"] = str(team.pk)
    session.save()

    assert "Only owners and billing members can buy credits" in browser.get("/billing/buy/").content.decode()
    assert browser.post("/billing/purchases/new/", purchase_form()).status_code == 403
    Membership.objects.filter(account=team, user=bob).update(role=Membership.Role.BILLING)
    assert browser.post("/billing/purchases/new/", purchase_form()).status_code == 303


@pytest.mark.fault("Z1")
def test_the_purchases_of_others_are_404_on_every_page(
    browser: Client, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser.post("/billing/purchases/new/", purchase_form())
    purchase = Purchase.objects.get()
    stranger = signed_in(charlie)

    for tail in ("", "return/", "state/", "left/", "invoice/", "invoice.pdf", "refund/"):
        assert stranger.get(f"/billing/purchases/{purchase.public_id}/{tail}").status_code == 404, tail
    for tail in ("pay/", "cancel/", "refund/"):
        assert stranger.post(f"/billing/purchases/{purchase.public_id}/{tail}").status_code == 404, tail


def test_every_billing_page_opens(browser: Client, paid_purchase: Callable[..., Purchase]) -> None:
    purchase = paid_purchase()
    base = f"/billing/purchases/{purchase.public_id}"
    pages = [
        "/billing/",
        "/billing/purchases/",
        f"{base}/",
        f"{base}/invoice/",
        "/billing/subscription/",
        "/plans/",
    ]
    pages += ["/billing/alerts/", "/billing/auto-top-up/", "/billing/redeem/", "/billing/invitations/"]
    pages += ["/billing/details/", f"/billing/buy/{purchase.offer}/", "/plans/starter/?interval=month"]

    for url in pages:
        response = browser.get(url)
        assert response.status_code == 200, (url, response.status_code, response.headers.get("Location"))
    pdf = browser.get(f"{base}/invoice.pdf")
    assert pdf.content.startswith(b"%PDF")


class TestOrderSum:
    """The confirmation shows what the entered quantity and code cost, before the payment page does."""

    def shown(self, signed_in: Callable[[User], Client], user: User, **entered: Any) -> str:
        response = signed_in(user).get(f"/billing/buy/{smallest_pack()}/sum", {"currency": "usd"} | entered)
        assert response.status_code == 200
        return " ".join(response.content.decode().split())

    def test_several_packs(self, alice: User, signed_in: Callable[[User], Client]) -> None:
        pack = Pack.objects.get(key=smallest_pack())
        price = pack.prices["usd"]
        text = self.shown(signed_in, alice, quantity="3")
        assert f"<dd>{credits(pack.credits * 3)}</dd>" in text
        assert f"3 × {money(price, 'usd')}" in text
        assert f"<strong>{money(3 * price, 'usd')}</strong>" in text

    def test_a_code_lowers_the_total_and_is_not_used(
        self, alice: User, signed_in: Callable[[User], Client]
    ) -> None:
        code = Promotion.objects.create(
            code="TENTH", label="-", gives="discount", percent_off=10, lasts="forever",
            starts_at=timezone.now() - timedelta(1), ends_at=timezone.now() + timedelta(1),
        )  # fmt: skip
        price = Pack.objects.get(key=smallest_pack()).prices["usd"]
        text = self.shown(signed_in, alice, quantity="2", code="tenth")
        assert "Code TENTH" in text and f"−{money(2 * price // 10, 'usd')}" in text
        assert f"<strong>{money(2 * price - 2 * price // 10, 'usd')}</strong>" in text
        code.refresh_from_db()
        assert (code.redeemed, Redemption.objects.count(), Purchase.objects.count()) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("entered", "words"),
        [
            ({"quantity": "0"}, "greater than or equal to 1"),
            ({"quantity": "x"}, "Enter a whole number."),
            ({"quantity": "1", "code": "NONE"}, "This code does not exist."),
        ],
    )
    def test_what_cannot_be_bought_has_its_reason_beside_the_price_of_one(
        self, alice: User, signed_in: Callable[[User], Client], entered: dict[str, str], words: str
    ) -> None:
        text = self.shown(signed_in, alice, **entered)
        assert words in text
        assert money(Pack.objects.get(key=smallest_pack()).prices["usd"], "usd") in text

    def test_a_refused_code_leaves_the_total_of_the_quantity(
        self, alice: User, signed_in: Callable[[User], Client]
    ) -> None:
        price = Pack.objects.get(key=smallest_pack()).prices["usd"]
        text = self.shown(signed_in, alice, quantity="3", code="NONE")
        assert "This code does not exist." in text
        assert f"<strong>{money(3 * price, 'usd')}</strong>" in text

    @pytest.mark.fault("Z1")
    def test_guesses_of_codes_are_counted(self, alice: User, signed_in: Callable[[User], Client]) -> None:
        browser = signed_in(alice)
        entered = {"currency": "usd", "quantity": "1", "code": "GUESS"}
        url = f"/billing/buy/{smallest_pack()}/sum"
        statuses = [browser.get(url, entered).status_code for _ in range(21)]
        assert statuses == [200] * 20 + [429]

    def test_the_form_loads_it_for_the_entered_values_only(
        self, alice: User, signed_in: Callable[[User], Client]
    ) -> None:
        text = signed_in(alice).get("/billing/buy/").content.decode()
        assert f'hx-get="/billing/buy/{smallest_pack()}/sum"' in text
        assert 'hx-params="quantity,code,currency"' in text, "not the token against forged requests"


def dialog_of(browser: Client) -> str:
    response = browser.get("/billing/buy/", headers={"HX-Request": "true"})
    assert "HX-Request" in response["Vary"]
    return " ".join(response.content.decode().split())


@pytest.mark.requirement("RECR-09", "RECR-07")
def test_the_dialog_of_buy_more_sells_each_pack_with_one_button(browser: Client) -> None:
    dialog = dialog_of(browser)
    assert "<html" not in dialog
    packs = list(Pack.objects.filter(retired_at=None))
    assert dialog.count(">Add credits</button>") == len(packs)
    for pack in packs:
        assert f"{credits(pack.credits)} credits" in dialog
        assert money(pack.prices["usd"], "usd") in dialog
    fields = dict(re.findall(r'name="(pack|currency|key|shown|quantity)" value="([^"]*)"', dialog))
    response = browser.post("/billing/purchases/new/", fields)
    assert response.status_code == 303
    assert Purchase.objects.get().offer == fields["pack"]


@pytest.mark.requirement("RECR-09", "RECR-06")
def test_the_dialog_leads_an_account_without_the_needed_plan_to_the_plans(browser: Client) -> None:
    Pack.objects.update(paid_plans_only=True)
    dialog = dialog_of(browser)
    assert "You need a paid plan" in dialog and 'href="/plans/"' in dialog and "Add credits" not in dialog


def test_the_dialog_shows_a_sale_and_the_tax(browser: Client) -> None:
    assert "<s " not in dialog_of(browser) and "Tax" not in dialog_of(browser)
    change_policies(auto_top_up=None, tax={"behavior": "exclusive"})
    Sale.objects.create(
        key="winter",
        pack=Pack.objects.get(key=smallest_pack()),
        label="Winter",
        prices={"usd": 123},
        starts_at=timezone.now() - timedelta(days=1),
        ends_at=timezone.now() + timedelta(days=1),
    )
    dialog = dialog_of(browser)
    assert "$1.23 <s" in dialog and "Tax: Added at checkout." in dialog


def test_the_dialog_without_packs_says_so(browser: Client) -> None:
    Pack.objects.update(retired_at=timezone.now())
    assert "No packs available" in dialog_of(browser)


def test_a_paid_purchase_without_a_number_has_no_invoice(
    browser: Client, new_purchase: Callable[..., Purchase]
) -> None:
    purchase = new_purchase()
    Purchase.objects.update(status=Purchase.Status.PAID, paid_at=timezone.now())
    for page in ("invoice/", "invoice.pdf"):
        assert browser.get(f"/billing/purchases/{purchase.public_id}/{page}").status_code == 404
