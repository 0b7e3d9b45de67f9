"""URLs of settings and keys. The sign-in URLs are those of allauth, under accounts/."""

from django.urls import path

from accounts import key_views, team_views, views, webhook_views

urlpatterns = [
    path("settings/", views.settings_page, name="settings"),
    path("settings/account/", views.save_account, name="account_settings"),
    path("switch/<str:public_id>/", views.switch_account, name="switch_account"),
    path("join/<str:token>/", team_views.join, name="join"),
    path("keys/", key_views.keys_page, name="api_keys"),
    path("keys/<str:public_id>/", key_views.change_key, name="change_key"),
    path("keys/<str:public_id>/revoke/", key_views.revoke_key, name="revoke_key"),
    path("webhooks/", webhook_views.webhooks_page, name="webhooks"),
    path("webhooks/<str:public_id>/", webhook_views.webhook_page, name="webhook"),
    path(
        "webhooks/<str:public_id>/rotate/", webhook_views.rotate_webhook_secret, name="rotate_webhook_secret"
    ),
    path("webhooks/<str:public_id>/test/", webhook_views.test_webhook, name="test_webhook"),
    path("webhooks/<str:public_id>/enable/", webhook_views.enable_webhook, name="enable_webhook"),
    path("webhooks/<str:public_id>/delete/", webhook_views.delete_webhook, name="delete_webhook"),
    path("webhooks/deliveries/<str:public_id>/", webhook_views.webhook_delivery, name="webhook_delivery"),
    path(
        "webhooks/deliveries/<str:public_id>/redeliver/",
        webhook_views.redeliver_webhook,
        name="redeliver_webhook",
    ),
]
