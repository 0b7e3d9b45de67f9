"""Pages of budgets: the trees of holds of the account, and one tree with what each branch spent.

Every member may view them.
"""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage import budgets


@require_safe
@account_page
def budgets_page(request: AccountRequest) -> HttpResponse:
    """The newest trees of holds, running ones first."""
    return render(request, "usage/budgets.html", {"roots": budgets.trees_of(request.account, timezone.now())})


@require_safe
@account_page
def budget_page(request: AccountRequest, public_id: str) -> HttpResponse:
    """One tree of holds with what each branch spent."""
    tree = budgets.tree_of(request.account, public_id, timezone.now())
    if tree is None:
        raise Http404
    return render(request, "usage/budget.html", {"tree": tree, "root": tree.root})
