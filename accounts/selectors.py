"""Read-only queries of accounts, for pages and the API."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import F, QuerySet

from accounts.models import Account, ApiKey, Membership, ProviderKey, User


def memberships_of(user_id: UUID) -> Sequence[Membership]:
    """The user's memberships with their accounts: the personal one first, then the oldest."""
    rows = Membership.objects.filter(user_id=user_id, account__erased_at=None).select_related("account")
    return list(rows.order_by(F("account__person_id").asc(nulls_last=True), "created_at", "pk"))


def membership_in(user_id: UUID, account_id: UUID) -> Membership | None:
    """The user's membership in that account, or None."""
    rows = Membership.objects.filter(user_id=user_id, account_id=account_id, account__erased_at=None)
    return rows.select_related("account").first()


def account_of_platform(name: str) -> Account | None:
    """The account that a platform key names: by public id or by external id."""
    account_id = Account.uuid_of(name)
    if account_id is not None:
        found = Account.objects.filter(pk=account_id, erased_at=None).first()
        if found is not None:
            return found
    return Account.objects.filter(external_id=name, erased_at=None).first()


def keys_of(account: Account) -> QuerySet[ApiKey]:
    """The account's keys: active ones first, then the newest."""
    return account.api_keys.select_related("created_by").order_by(
        F("revoked_at").desc(nulls_first=True), "-created_at"
    )


def provider_keys_of(account: Account) -> QuerySet[ProviderKey]:
    return account.provider_keys.order_by("provider")


def buyers_are_deactivated(account_id: UUID) -> bool:
    """Whether the account has members who may buy, and none of them can sign in.

    An account that only a platform key manages has no members.
    """
    buyers = Membership.objects.filter(account_id=account_id, role__in=Membership.BUYERS)
    return {False} == set(buyers.values_list("user__is_active", flat=True))


def member_addresses(account_id: UUID) -> list[str]:
    """The addresses of all members of an account."""
    members = Membership.objects.filter(account_id=account_id, user__is_active=True)
    return list(members.values_list("user__email", flat=True))


def owner_addresses(account_id: UUID) -> list[str]:
    """The addresses for e-mail about an account: those of its owners."""
    owners = Membership.objects.filter(
        account_id=account_id, role=Membership.Role.OWNER, user__is_active=True
    )
    return list(owners.order_by("pk").values_list("user__email", flat=True))


def mail_languages(addresses: Iterable[str]) -> dict[str, str]:
    """The languages of e-mails to those of the addresses that users have."""
    return {user.email: user.mail_language for user in User.objects.filter(email__in=addresses)}
