"""Addresses of the dashboard, usage, history, and of what stands around every page."""

from django.urls import path

from usage import charge_views, frame_views, history_views, project_views, views, wall_views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("counter", views.counter, name="counter"),
    path("dashboard/balance", views.balance_part, name="balance_part"),
    path("dashboard/activity", views.activity_part, name="activity_part"),
    path("usage/", views.usage, name="usage"),
    path("charges/<str:public_id>/", charge_views.charge, name="charge"),
    path("charges/<str:public_id>/report/", charge_views.report_charge, name="report_charge"),
    path("projects/", project_views.projects_page, name="projects"),
    path("projects/<str:public_id>/", project_views.project_page, name="project"),
    path("projects/<str:public_id>/archive/", project_views.archive, name="archive_project"),
    path("projects/<str:public_id>/restore/", project_views.restore, name="restore_project"),
    path("wall/", wall_views.wall, name="wall"),
    path("wall/stand/", wall_views.stand, name="stand_on_wall"),
    path("history/", history_views.history_page, name="history"),
    path("history/newer", history_views.newer_rows, name="history_newer"),
    path("history/export.csv", history_views.history_csv, name="history_csv"),
    path("history/statement/", history_views.statement, name="statement"),
    path("documentation/", frame_views.documentation, name="documentation"),
    path("faq/", frame_views.faq, name="faq"),
    path("support/", frame_views.support, name="support"),
    path("brand.css", frame_views.brand_css, name="brand_css"),
    path("brand.svg", frame_views.brand_icon, name="brand_icon"),
]
