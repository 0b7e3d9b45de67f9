"""URLs under /api/v1/."""

from django.urls import path

from usage.api import (
    accounts,
    aggregates,
    balance,
    charges,
    holds,
    keys,
    members,
    projects,
    provider_keys,
    services,
)

urlpatterns = [
    path("balance", balance.Balance.as_view(), name="api_balance"),
    path("grants", balance.Grants.as_view(), name="api_grants"),
    path("transactions", balance.Transactions.as_view(), name="api_transactions"),
    path("services", services.Services.as_view(), name="api_services"),
    path("services/<str:service>", services.OneService.as_view(), name="api_service"),
    path("estimates", services.Estimates.as_view(), name="api_estimates"),
    path("charges", charges.Charges.as_view(), name="api_charges"),
    path("charges/batch", charges.Batch.as_view(), name="api_batch"),
    path("charges/<str:charge>", charges.OneCharge.as_view(), name="api_charge"),
    path("charges/<str:charge>/reversals", charges.Reversals.as_view(), name="api_reversals"),
    path("charges/<str:charge>/reports", charges.Reports.as_view(), name="api_reports"),
    path("holds", holds.Holds.as_view(), name="api_holds"),
    path("holds/<str:hold>", holds.OneHold.as_view(), name="api_hold"),
    path("holds/<str:hold>/capture", holds.Capture.as_view(), name="api_capture"),
    path("holds/<str:hold>/release", holds.Release.as_view(), name="api_release"),
    path("usage", aggregates.Usage.as_view(), name="api_usage"),
    path("projects", projects.Projects.as_view(), name="api_projects"),
    path("projects/<str:project>", projects.OneProject.as_view(), name="api_project"),
    path("provider-keys", provider_keys.ProviderKeys.as_view(), name="api_provider_keys"),
    path("provider-keys/<str:provider_key>", provider_keys.OneProviderKey.as_view(), name="api_provider_key"),
    path("members", members.Members.as_view(), name="api_members"),
    path("members/<str:member>", members.OneMember.as_view(), name="api_member"),
    path("invitations", members.Invitations.as_view(), name="api_invitations"),
    path("invitations/<str:invitation>", members.OneInvitation.as_view(), name="api_invitation"),
    path("keys", keys.Keys.as_view(), name="api_keys_of_account"),
    path("keys/<str:key>", keys.OneKey.as_view(), name="api_key"),
    path("accounts", accounts.Accounts.as_view(), name="api_accounts"),
    path("accounts/<str:account>", accounts.OneAccount.as_view(), name="api_account"),
    path("accounts/<str:account>/grants", accounts.AccountGrants.as_view(), name="api_account_grants"),
]
