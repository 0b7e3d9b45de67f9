"""Every page's address. Each app names its own in its `urls.py`."""

import importlib.util

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from config import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
for app in ("config.api", "accounts.urls", "pricing.urls", "billing.urls", "usage.urls"):
    if importlib.util.find_spec(app):
        urlpatterns.append(path("api/v1/" if app == "config.api" else "", include(app)))
if settings.SANDBOX:
    urlpatterns.append(path("sandbox/", include("sandbox.urls")))
