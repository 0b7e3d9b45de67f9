"""The admin of this installation: Django's, on our own site, with the admin classes of our own apps only."""

from django.contrib.admin.apps import SimpleAdminConfig


class StaffAdminConfig(SimpleAdminConfig):
    """Replaces django.contrib.admin in INSTALLED_APPS.

    Without autodiscovery the lists of third parties stay out: those of allauth would let staff confirm
    addresses and read second factors. What staff may do with both is on the page of the user.
    """

    default_site = "accounts.admin_site.StaffSite"

    def ready(self) -> None:
        super().ready()
        from accounts import admin as _accounts
        from billing import admin as _billing
        from pricing import admin as _pricing
        from usage import admin as _usage

        assert all((_accounts, _pricing, _billing, _usage))  # importing a module registers its classes
