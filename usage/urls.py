"""URLs of the dashboard, usage, budgets, history, projects, memorial wall and help pages."""

from django.urls import path

from usage.views import (
    budgets,
    charges,
    dashboard,
    history,
    live,
    members,
    memorial_wall,
    projects,
    provider_keys,
    site,
)

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("counter", dashboard.counter, name="counter"),
    path("live", live.live, name="live"),
    path("dashboard/balance", dashboard.balance_fragment, name="balance_fragment"),
    path("dashboard/spending", dashboard.spending_fragment, name="spending_fragment"),
    path("dashboard/activity", dashboard.activity_fragment, name="activity_fragment"),
    path("usage/", charges.usage, name="usage"),
    path("budgets/", budgets.budgets_page, name="budgets"),
    path("budgets/<str:public_id>/", budgets.budget_page, name="budget"),
    path("charges/<str:public_id>/", charges.charge, name="charge"),
    path("charges/<str:public_id>/report/", charges.report_charge, name="report_charge"),
    path("projects/", projects.projects_page, name="projects"),
    path("projects/<str:public_id>/", projects.project_page, name="project"),
    path("projects/<str:public_id>/archive/", projects.archive, name="archive_project"),
    path("projects/<str:public_id>/restore/", projects.restore, name="restore_project"),
    path("provider-keys/", provider_keys.provider_keys_page, name="provider_keys"),
    path(
        "provider-keys/<str:public_id>/delete/", provider_keys.forget_provider_key, name="forget_provider_key"
    ),
    path("members/", members.members_page, name="members"),
    path("members/leave/", members.leave, name="leave_account"),
    path("members/invitations/<str:public_id>/revoke/", members.revoke_invitation, name="revoke_invitation"),
    path("members/<str:public_id>/", members.member_page, name="member"),
    path("members/<str:public_id>/remove/", members.remove_member, name="remove_member"),
    path("members/<str:public_id>/hand-over/", members.hand_over, name="hand_over"),
    path("teams/new/", members.request_team, name="request_team"),
    path("wall/", memorial_wall.wall, name="memorial_wall"),
    path("wall/listing/", memorial_wall.set_listed, name="set_wall_listing"),
    path("history/", history.history_page, name="history"),
    path("history/newer", history.newer_rows, name="history_newer"),
    path("history/export.csv", history.history_csv, name="history_csv"),
    path("history/statement/", history.statement, name="statement"),
    path("history/statement.json", history.statement_json, name="statement_json"),
    path("clients/verify_statement.py", site.verifier, name="verifier"),
    path(".well-known/refill-ledger-keys.json", site.ledger_keys, name="ledger_keys"),
    path("documentation/", site.documentation, name="documentation"),
    path("faq/", site.faq, name="faq"),
    path("support/", site.support, name="support"),
    path("brand.css", site.brand_css, name="brand_css"),
    path("brand.svg", site.brand_icon, name="brand_icon"),
]
