"""The request types of views behind `account_page`."""

from django.http import HttpRequest

from accounts.models import Account, Membership, User


class AuthenticatedRequest(HttpRequest):
    """A request of a signed-in user."""

    user: User


class AccountRequest(AuthenticatedRequest):
    """A request of a member for the chosen account."""

    account: Account
    membership: Membership
