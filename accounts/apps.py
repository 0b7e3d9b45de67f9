from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import signals

        signals.connect()


class StaffAdminConfig(AdminConfig):
    """Django's admin with our own doors (stands in INSTALLED_APPS in place of django.contrib.admin)."""

    default_site = "accounts.admin_site.StaffSite"
