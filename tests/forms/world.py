"""The team that the forms belong to: its owner, a project, a charge and a paid purchase."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import Account, Project, User
from billing.models import Charge, Promotion, Purchase
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies
from tests.usage.spending import give, spend


@dataclass(frozen=True)
class World:
    account: Account
    user: User
    project: Project
    charge: Charge
    purchase: Purchase

    def path(self, pattern: str) -> str:
        return pattern.format(
            project=self.project.public_id,
            charge=self.charge.public_id,
            purchase=self.purchase.public_id,
            pack="small",
        )


def create(account: Account, user: User) -> World:
    """Everything that a form needs to be accepted; policies are on, a card is saved."""
    now = timezone.now()
    change_policies(
        refund_window_days=30,
        auto_top_up={"largest_monthly_packs": 5, "assumed": False, "reason": ""},
        providers=[{"key": "openai", "name": "OpenAI"}, {"key": "openrouter", "name": "OpenRouter"}],
    )
    stripe_sandbox.save_card(account)
    Project.objects.create(account=account, name="Taken", created_at=now)
    project = Project.objects.create(account=account, name="Bot", created_at=now)
    gives = {"HALF": {"gives": "discount", "percent_off": 50}, "GIFT": {"gives": "credits", "credits": 7}}
    span = {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=1)}
    for code, terms in gives.items():
        Promotion.objects.create(code=code, label=code, **span, **terms)
    purchase = Purchase.objects.create(
        account=account,
        kind=Purchase.Kind.PACK,
        origin=Purchase.Origin.PAGE,
        offer="small",
        label="Small",
        credits=500,
        amount=500,
        list_amount=500,
        currency="usd",
        status=Purchase.Status.PAID,
        idempotency_key="world",
        stripe_payment_id="pi_world",
        created_at=now,
        paid_at=now,
    )
    give(account, "500", now, purchase_id=purchase.pk)
    give(account, "500", now)
    charge_id = spend(account, "2", now).charge_id
    charge = Charge.objects.get(account=account, pk=charge_id)
    return World(account=account, user=user, project=project, charge=charge, purchase=purchase)
