"""URLs of settings and keys. The sign-in URLs are those of allauth, under accounts/."""

from django.urls import path

from accounts import key_views, team_views, views

urlpatterns = [
    path("settings/", views.settings_page, name="settings"),
    path("settings/account/", views.account_settings, name="account_settings"),
    path("switch/<str:public_id>/", views.switch_account, name="switch_account"),
    path("join/<str:token>/", team_views.join, name="join"),
    path("keys/", key_views.keys_page, name="api_keys"),
    path("keys/<str:public_id>/revoke/", key_views.revoke_key, name="revoke_key"),
]
