"""The OpenAPI document as it is served.

Invariant: it is generated and rendered once in each process, because it depends on the code alone. Generating
takes seconds of processor time, and anybody may request it.
"""

import functools
import threading
from typing import Any

from django.http import HttpResponse
from django.utils.encoding import force_bytes
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_one_at_a_time = threading.Lock()


class OpenApiDocument(SpectacularAPIView):
    """GET /api/v1/schema/ as JSON or YAML."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer]

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        renderer: BaseRenderer = request.accepted_renderer
        with _one_at_a_time:
            content = _rendered(isinstance(renderer, OpenApiYamlRenderer))
        charset = f"; charset={renderer.charset}" if renderer.charset else ""
        response = HttpResponse(content, content_type=renderer.media_type + charset)
        response["Content-Disposition"] = f'inline; filename="refill-api.{renderer.format}"'
        return response


@functools.cache
def _rendered(as_yaml: bool) -> bytes:
    renderer = OpenApiYamlRenderer() if as_yaml else OpenApiJsonRenderer()
    return force_bytes(renderer.render(_document(), renderer_context={}))


@functools.cache
def _document() -> dict[str, Any]:
    generated = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return dict(generated)
