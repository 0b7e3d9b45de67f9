"""Codes for one use: made, imported after a check, downloaded, redeemed once."""

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts import staff_roles
from accounts.models import Account, User
from billing.models import InvitationCode, Promotion, Purchase, Redemption, SingleUseCode
from billing.payments import fulfilment
from billing.promotions import single_use_codes
from billing.promotions.single_use_codes import CodesRefused
from billing.purchases import checkout
from core.models import StaffAct
from tests.billing.promotions.conftest import NOW, outcome
from tests.conftest import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock", "catalogue")]


@pytest.fixture
def made() -> Promotion:
    return promotion()


def promotion(**changes: Any) -> Promotion:
    fields: dict[str, Any] = {"code": "SUMMER", "label": "Summer", "gives": "credits", "credits": 50}
    fields |= {"starts_at": NOW - timedelta(days=1), "ends_at": NOW + timedelta(days=1), "single_use": True}
    return Promotion.objects.create(**fields | changes)


def make(made: Promotion, number: int) -> list[str]:
    return single_use_codes.make(made, number=number, batch=uuid4(), now=NOW)


def path(made: Promotion, page: str) -> str:
    return f"/admin/billing/promotion/{made.pk}/{page}/"


def faults(text: str) -> dict[int, str]:
    return {line.number: line.fault for line in single_use_codes.check(text) if line.fault}


def test_a_code_is_redeemed_once_whoever_enters_it(made: Promotion, account: Account, bobs: Account) -> None:
    first, second, third = make(made, 3)
    assert outcome(account, code=first.lower()) == "ok"
    assert outcome(bobs, code=first) == "code_used_up"
    assert outcome(account, code=second) == "code_already_used"  # one for each account
    assert outcome(bobs, code=second) == "ok"
    assert outcome(bobs, code="SUMMER") == "unknown_code"
    assert outcome(bobs, code=third, now=NOW + timedelta(days=2)) == "code_expired"
    Promotion.objects.filter(pk=made.pk).update(single_use=False)
    assert outcome(bobs, code=third) == "unknown_code"
    assert Promotion.objects.get(code="SUMMER").redeemed == 2
    assert single_use_codes.numbers(made) == single_use_codes.Numbers(made=3, used=2)


def test_codes_cannot_be_guessed_and_a_form_makes_them_once(made: Promotion) -> None:
    batch = uuid4()
    codes = single_use_codes.make(made, number=500, batch=batch, now=NOW)
    assert len(set(codes)) == 500
    assert all(re.fullmatch(r"([A-HJ-NP-Z2-9]{4}-){3}[A-HJ-NP-Z2-9]{4}", code) for code in codes)
    assert {code[0] for code in codes} >= set("ABCDEFGH")
    assert single_use_codes.make(made, number=500, batch=batch, now=NOW) == codes
    assert SingleUseCode.objects.count() == 500
    for number in (0, single_use_codes.MOST_AT_ONCE + 1):
        with pytest.raises(CodesRefused):
            make(made, number)
    with pytest.raises(CodesRefused, match="Choose"):
        make(promotion(code="OPEN", single_use=False), 1)


def test_a_cancelled_purchase_frees_its_code_and_a_late_payment_counts(
    new_purchase: Callable[..., Purchase], bobs: Account
) -> None:
    made = promotion(gives="discount", credits=0, percent_off=10)
    (code,) = make(made, 1)
    purchase = new_purchase(code=code.lower())
    assert purchase.promotion_code == "SUMMER"
    with pytest.raises(Exception, match="maximum number"):
        new_purchase(code=code, key="other")
    assert single_use_codes.numbers(made) == single_use_codes.Numbers(made=1, used=1)
    checkout.cancel(purchase, timezone.now())
    assert single_use_codes.numbers(made) == single_use_codes.Numbers(made=1, used=0)
    assert [row[1] for row in single_use_codes.rows(made)] == ["state", "unused"]
    again = new_purchase(code=code, key="third")
    assert again.amount < again.list_amount
    purchase.refresh_from_db()
    payment = fulfilment.Payment(amount=purchase.amount, currency=purchase.currency)
    fulfilment.record_payment(purchase.pk, payment, timezone.now())
    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.PAID
    codes = Redemption.objects.filter(released_at=None).values_list("purchase", "single_use_code__code")
    assert dict(codes) == {purchase.pk: None, again.pk: code}
    assert Promotion.objects.get(code="SUMMER").redeemed == 2


def test_a_check_names_the_fault_of_every_line(made: Promotion, account: Account) -> None:
    (taken,) = make(made, 1)
    InvitationCode.objects.create(account=account, code="FRIEND-OF-ALICE")
    text = (
        "CARD-0001\n\nshort\n=HYPERLINK(1)\n-CARD-0002\nÜBER-0001-X\n"
        f"card-0001\n{taken}\nSUMMER\nINV-ABCDEFGH\nfriend-of-alice\n{'X' * 41}\nCARD-0003,2\n  \nCARD-0004"
    )
    found = faults(text)
    words = {3: "fewer than 8", 4: "begin with a letter", 5: "begin with", 6: "without accents"}
    words |= {7: "in line 1 already", 8: "exists already", 9: "fewer than 8", 10: "invitations"}
    words |= {11: "exists already", 12: "more than 40", 13: "several columns"}
    assert set(found) == set(words)
    for line, word in words.items():
        assert word in found[line]
    with pytest.raises(CodesRefused, match="Nothing was imported"):
        single_use_codes.add(made, text, batch=uuid4(), now=NOW)
    assert SingleUseCode.objects.count() == 1
    columns = '\ufeffnumber;x,"Code"\n1,CARD-0001\n2,\n3\n'
    assert list(faults(columns)) == [3, 4]
    assert faults("code\nCARD-0001") == {}
    assert "without accents" in faults('code\n"CARD-0001\nCARD-0002\n')[3], "two codes are not joined"
    for empty in ("", "\n \n", "code\n"):
        with pytest.raises(CodesRefused, match="no codes"):
            single_use_codes.check(empty)
    with pytest.raises(CodesRefused, match="10000"):
        single_use_codes.check("\n".join(f"CARD-{number:06}" for number in range(10_001)))
    with pytest.raises(CodesRefused, match="Line 1 cannot be read"):
        single_use_codes.check("x" * 200_000)
    assert single_use_codes.add(made, "CARD-0001\r\ncard-0002\r\n", batch=uuid4(), now=NOW) == 2
    assert outcome(account, code="card-0002") == "ok"


def test_codes_at_their_limits_are_made_and_imported_and_no_further_ones(
    made: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults("\n".join(["C" * 7, "C" * 8, "C" * 40, "C" * 41])).keys() == {1, 4}
    monkeypatch.setattr(single_use_codes, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(single_use_codes, "MOST", 7)
    assert len(single_use_codes.check("CARD-0001\nCARD-0002\nCARD-0003")) == 3
    with pytest.raises(CodesRefused, match="at most 3 codes at once"):
        single_use_codes.check("CARD-0001\nCARD-0002\nCARD-0003\nCARD-0004")
    make(made, 3)
    make(promotion(code="OTHER"), 3)
    with pytest.raises(CodesRefused, match="at most 3 codes at once"):
        make(made, 4)
    assert single_use_codes.add(made, "CARD-0001\nCARD-0002", batch=uuid4(), now=NOW) == 2
    with pytest.raises(CodesRefused, match="at most 7 codes for one use"):
        make(made, 3)
    make(made, 2)
    with pytest.raises(CodesRefused, match="at most 7 codes for one use"):
        single_use_codes.add(made, "CARD-0003", batch=uuid4(), now=NOW)
    assert SingleUseCode.objects.filter(promotion=made).count() == 7


def test_the_codes_of_a_promotion_and_of_its_uses_are_not_the_same(made: Promotion) -> None:
    single_use_codes.add(made, "CARD-0001", batch=uuid4(), now=NOW)
    assert faults("card-0001") == {1: "The code exists already."}
    promotion(code="LONGER-CODE")
    assert faults("LONGER-CODE") == {1: "The code exists already."}


def test_a_file_is_checked_and_then_imported(
    made: Promotion, staff: User, signed_in: Callable[[User], Client]
) -> None:
    browser, address = signed_in(staff), path(made, "import-codes")

    def sent(data: bytes, choice: str = "check") -> Any:
        return browser.post(address, {"file": SimpleUploadedFile("codes.csv", data), "choice": choice})

    page = sent(b"code\nCARD-0001\nbad\n<b>x</b>\n")
    text = page.content.decode()
    assert "Lines with a code: 3. With a fault: 2." in text
    assert "<b>x" not in text.lower().replace("&lt;b&gt;x", "")
    assert page.context["form"]["codes"].value() == "code\nCARD-0001\nbad\n<b>x</b>\n"
    assert sent(b"CARD-0001\nbad", "import").status_code == 200
    assert not SingleUseCode.objects.exists()
    for data, words in {
        b"\xff\xfe\x00": "not text in UTF-8",
        b"a\0b": "not text in UTF-8",
        b"x" * (1024 * 1024 + 1): "larger than 1 MB",
    }.items():
        assert words in str(sent(data).context["form"].errors["file"])
    assert "no codes" in str(sent(b"").context["form"].errors)
    assert sent(b"code\nCARD-0001\nCARD-0002\n", "import").status_code == 302
    assert SingleUseCode.objects.count() == 2
    assert "exists already" in sent(b"CARD-0001", "import").content.decode()
    act = StaffAct.objects.get(act="promotion.import_codes")
    assert act.after == {"codes": 2}


def test_codes_are_downloaded_with_their_state_by_those_who_may(
    made: Promotion, account: Account, staff: User, signed_in: Callable[[User], Client]
) -> None:
    used, unused = make(made, 2)
    outcome(account, code=used)
    browser = signed_in(staff)
    page = browser.get(path(made, "codes")).content.decode()
    assert "Codes: 2. Used: 1." in page
    response = browser.post(path(made, "codes"), {"choice": "download"})
    assert "attachment" in response["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [(row["code"], row["state"], row["account"]) for row in rows] == [
        (used, "used", account.public_id),
        (unused, "unused", ""),
    ]
    assert datetime.fromisoformat(rows[0]["used_at"]) == NOW
    act = StaffAct.objects.get(act="promotion.download_codes")
    assert act.actor_id == staff.pk
    support = person("sue")
    staff_roles.assign(support, staff_roles.Role.SUPPORT, by=staff)
    client = signed_in(User.objects.get(pk=support.pk))
    for address in (path(made, "codes"), path(made, "import-codes")):
        assert client.get(address).status_code == 403
        assert client.post(address, {"choice": "download"}).status_code == 403
    redemption = Redemption.objects.get()
    shown = [
        f"/admin/billing/promotion/{made.pk}/change/",
        f"/admin/billing/redemption/{redemption.pk}/change/",
    ]
    shown += ["/admin/billing/redemption/", f"/admin/accounts/account/{account.pk}/customer/"]
    for address in shown:
        response = client.get(address)
        assert response.status_code == 200, address
        assert used not in response.content.decode() and unused not in response.content.decode(), address
    log = "".join(str((act.before, act.after)) for act in StaffAct.objects.all())
    assert used not in log and unused not in log


def test_a_promotion_for_one_use_is_tried_without_its_codes(
    made: Promotion, account: Account, staff: User, signed_in: Callable[[User], Client]
) -> None:
    page = signed_in(staff).get(path(made, "trial"), {"try": "1", "customer": account.public_id})
    assert page.context["facts"][0] == ("Credits", "50")
    assert not SingleUseCode.objects.exists()
    (code,) = make(made, 1)
    outcome(account, code=code)
    page = signed_in(staff).get(path(made, "trial"), {"try": "1", "customer": account.public_id})
    assert page.context["code"] == "code_already_used"
