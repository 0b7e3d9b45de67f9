from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import checks, signals, staff_roles

        signals.connect()
        # usage is the last app with permissions of staff: by then Django has made those of all apps.
        post_migrate.connect(
            staff_roles.install, sender=apps.get_app_config("usage"), dispatch_uid="accounts.staff_roles"
        )
        checks.register()
