"""Roles of staff: what each may do in the admin, and giving a role to a user.

Each role is a group of Django's, made by a migration; `install` gives the groups exactly the permissions of
PERMISSIONS after every migration. An administrator is a superuser, who has every permission.
Invariants: only an administrator gives or takes a role; nobody changes their own; an active administrator is
always left.
"""

from collections.abc import Iterable

from django.contrib.auth.models import Group, Permission
from django.db import models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from accounts.models import User
from core.errors import Refusal


class Role(models.TextChoices):
    NONE = "none", pgettext_lazy("staff role", "No member of staff")
    SUPPORT = "support", pgettext_lazy("staff role", "Support")
    FINANCE = "finance", pgettext_lazy("staff role", "Finance")
    CATALOGUE_MANAGER = "catalogue manager", pgettext_lazy("staff role", "Catalogue manager")
    ADMINISTRATOR = "administrator", pgettext_lazy("staff role", "Administrator")


OTHER = "other"
OTHER_LABEL = gettext_lazy("Individual permissions, given before there were roles")


def _of(app: str, verbs: str, names: str) -> set[str]:
    """The permissions for these verbs and models: `_of("billing", "view change", "refund")`."""
    return {f"{app}.{verb}_{name}" for verb in verbs.split() for name in names.split()}


_CUSTOMERS = _of(
    "accounts",
    "view",
    "user account membership teamrequest apikey project webhookendpoint webhookdelivery",
)
_CREDITS = _of("billing", "view", "wallet grant entry charge") | _of("usage", "view", "chargereport")
_SALES = _of(
    "billing",
    "view",
    "purchase refund dispute subscription surplussubscription autotopup promotion redemption referral mail",
)
_CATALOGUE = _of("pricing", "view", "catalogue service ratecard rate plan pack sale")
_PROMOTIONS = _of("billing", "view add change delete", "promotion") | _of(
    "billing", "view add", "singleusecode"
)

PERMISSIONS: dict[str, set[str]] = {
    Role.SUPPORT: _CUSTOMERS
    | _CREDITS
    | _SALES
    | _CATALOGUE
    | _of("accounts", "change", "user account membership teamrequest apikey project")
    | _of("accounts", "add", "user membership")
    | _of("billing", "add view", "creditadjustment")
    | _of("accounts", "add view", "staffnote")
    | {"accounts.view_as_customer"}
    | _of("usage", "change", "chargereport"),
    Role.FINANCE: _CUSTOMERS
    | _CREDITS
    | _SALES
    | _CATALOGUE
    | _PROMOTIONS
    | _of("billing", "view", "stripeevent reconciliation stripeprice")
    | _of(
        "billing", "change", "purchase refund subscription reconciliation stripeevent stripeprice autotopup"
    )
    | _of("billing", "add view change", "creditadjustment")
    | _of("accounts", "add view", "staffnote")
    | {"accounts.view_as_customer"}
    | _of("usage", "change", "chargereport")
    | _of("core", "view", "staffact"),
    Role.CATALOGUE_MANAGER: _CATALOGUE
    | _PROMOTIONS
    | _of("billing", "view", "redemption referral")
    | _of("billing", "view change", "stripeprice")
    | _of("pricing", "add change delete", "ratecard")
    | _of("pricing", "delete", "rate")
    | _of("pricing", "add change", "plan pack sale"),
    Role.ADMINISTRATOR: set(),
}


class RoleRefused(Refusal):
    """The role cannot be changed."""

    code = "role_refused"


def install(**_: object) -> None:
    """Give the groups of the roles their permissions. Receiver of post_migrate."""
    for role, names in PERMISSIONS.items():
        group, _created = Group.objects.get_or_create(name=role)
        group.permissions.set(permissions_named(names))


def role_of(user: User) -> str:
    """The role of a user; OTHER for staff with permissions of their own."""
    if not user.is_staff:
        return Role.NONE
    if user.is_superuser:
        return Role.ADMINISTRATOR
    groups = list(user.groups.values_list("name", flat=True))
    if len(groups) == 1 and groups[0] in PERMISSIONS and not user.user_permissions.exists():
        return str(groups[0])
    return OTHER


def require_may_change(user: User, *, by: User) -> None:
    """Check that `by` may change this user's role, or deactivate the user. Raises RoleRefused.

    Call it inside the transaction of the change: it locks the administrators, so that two who take each
    other's role at once do not leave none.
    """
    if not by.is_superuser:
        raise RoleRefused(_("Only administrators change members of staff."))
    if user.pk == by.pk:
        raise RoleRefused(
            _("Nobody changes their own role or deactivates themselves. Ask another administrator.")
        )
    left = (
        User.objects.filter(is_superuser=True, is_active=True).select_for_update(no_key=True).order_by("pk")
    )
    if by.pk not in {administrator.pk for administrator in left}:
        raise RoleRefused(_("You are no administrator any more."))


def assign(user: User, role: str, *, by: User) -> None:
    """Give a user this role and take every other permission. Raises RoleRefused, ValueError."""
    chosen = Role(role)
    with transaction.atomic():
        require_may_change(user, by=by)
        staff, top = chosen != Role.NONE, chosen == Role.ADMINISTRATOR
        User.objects.filter(pk=user.pk).update(is_staff=staff, is_superuser=top)
        user.groups.set(Group.objects.filter(name=chosen) if staff else [])
        user.user_permissions.clear()


def permissions_named(names: Iterable[str]) -> list[Permission]:
    """Raises LookupError for a name that no model has."""
    found = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    unknown = set(names) - set(found)
    if unknown:
        raise LookupError(f"no such permissions: {', '.join(sorted(unknown))}")
    return [found[name] for name in names]
