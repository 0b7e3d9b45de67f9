"""The root URLconf; each app has its own `urls.py`."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.i18n import set_language

from config import health

handler429 = "config.middleware.too_many_attempts"  # read by allauth
urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),  # the three are served earlier, by config.health.Probes
    path("healthz/background", health.background, name="background_health"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("language/", set_language, name="set_language"),
    path("api/v1/", include("config.api")),
    path("", include("accounts.urls")),
    path("", include("pricing.urls")),
    path("", include("billing.urls")),
    path("", include("usage.urls")),
]
if settings.SANDBOX:
    urlpatterns.append(path("sandbox/", include("sandbox.urls")))
