"""The request as views behind `account_page` see it: somebody signed in, acting for an account."""

from django.http import HttpRequest

from accounts.models import Account, Membership, User


class AuthenticatedRequest(HttpRequest):
    """A request of somebody who has signed in."""

    user: User


class AccountRequest(AuthenticatedRequest):
    """A request of a member, for the account that the member has chosen."""

    account: Account
    membership: Membership
