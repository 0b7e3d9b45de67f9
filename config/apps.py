"""Apps of Django with other defaults: the admin on our own site, static files without those of no page."""

import gc

from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.staticfiles.apps import StaticFilesConfig


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
        gc.freeze()  # all modules are loaded and live as long as the process: no collection need visit them
        gc.enable()  # settings disabled it


class CollectedConfig(StaticFilesConfig):
    """Replaces django.contrib.staticfiles: leaves out folders that no page links.

    The API reference is Swagger UI and not Redoc, and the API has no pages of REST framework; both are a
    quarter of all bytes.
    https://docs.djangoproject.com/en/5.2/ref/contrib/staticfiles/#customizing-the-ignored-pattern-list
    """

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "redoc", "rest_framework"]
