"""The root URLconf; each app has its own `urls.py`."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.i18n import set_language

from config import health

# allauth's own list has the routes of other sites' accounts also where none is configured.
sign_in: list[URLPattern | URLResolver] = [path("accounts/", include("allauth.urls"))]
if not settings.SOCIAL_LOGIN:
    sign_in = [
        path("accounts/", include("allauth.account.urls")),
        path("accounts/2fa/", include("allauth.mfa.urls")),
        path("accounts/sessions/", include("allauth.usersessions.urls")),
    ]
handler429 = "config.middleware.too_many_attempts"  # read by allauth
urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),  # the three are served earlier, by config.health.Probes
    path("healthz/background", health.background, name="background_health"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    *sign_in,
    path("language/", set_language, name="set_language"),
    path("api/v1/", include("config.api")),
    path("", include("accounts.urls")),
    path("", include("pricing.urls")),
    path("", include("billing.urls")),
    path("", include("usage.urls")),
]
if settings.SANDBOX:
    urlpatterns.append(path("sandbox/", include("sandbox.urls")))
