"""The team that the forms belong to: its owner, a project, a charge and a paid purchase."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, Project, User
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

    @property
    def member(self) -> Membership:
        """A plain member of the team, beside its owner and bob."""
        edith, _created = User.objects.get_or_create(email="edith@example.org")
        return Membership.objects.get_or_create(account=self.account, user=edith)[0]

    @property
    def key(self) -> ApiKey:
        """A key of the owner."""
        terms = {"kind": "account", "scopes": ["read"], "account": self.account, "created_by": self.owner}
        found = ApiKey.objects.filter(account=self.account, created_by=self.owner).first()
        return found or api_keys.issue(name="Agent", now=timezone.now(), **terms).key  # type: ignore[arg-type]

    @property
    def owner(self) -> User:
        return Membership.objects.get(
            account=self.account, role="owner", user__email="alice@example.org"
        ).user

    def path(self, pattern: str) -> str:
        if "{member}" in pattern:
            return pattern.format(member=self.member.public_id)
        if "{key}" in pattern:
            return pattern.format(key=self.key.public_id)
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
        teams={"kinds": ["family", "business"]},
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
