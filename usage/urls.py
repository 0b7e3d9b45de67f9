"""Addresses of the dashboard, usage, history, and of what stands around every page."""

from django.urls import path

from usage import frame_views, history_views, views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("counter", views.counter, name="counter"),
    path("dashboard/balance", views.balance_part, name="balance_part"),
    path("dashboard/activity", views.activity_part, name="activity_part"),
    path("usage/", views.usage, name="usage"),
    path("charges/<str:public_id>/", views.charge, name="charge"),
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
