"""The REST API, version 1: the URLs of each app, and the OpenAPI document."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularSwaggerSplitView

from config.openapi.document import OpenApiDocument
from core import problems

urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", OpenApiDocument.as_view(), name="api_schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api_schema"), name="api_docs"),
    path("", include("usage.api.urls")),
    path("", include("billing.api")),
    path("", include("accounts.api")),
    path("<path:nothing>", problems.nothing_here),
]
