"""OpenTelemetry traces: a span for each request, statement and task, sent with OTLP over HTTP.

OTEL_EXPORTER_OTLP_ENDPOINT turns them on; the other variables are those of the OpenTelemetry specification,
such as OTEL_TRACES_SAMPLER (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).

Invariants: without the variable nothing of OpenTelemetry is imported. A span has the route of a page, not its
path, and no query string, header, body or parameter of a statement.
"""

import contextvars
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

LONGEST_STATEMENT = 2000

_tracer: Any = None


def is_on() -> bool:
    """Whether this process makes spans."""
    return _tracer is not None


def start(process: str) -> None:
    """Make spans in this process, if the variable is set.

    Spans are sent by a thread, so that it is called after the process has forked:
    https://opentelemetry-python.readthedocs.io/en/stable/examples/fork-process-model/README.html
    """
    global _tracer
    if not settings.TRACES_ENDPOINT:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", f"refill-{process}")
    provider = TracerProvider(resource=Resource.create())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    connection_created.connect(_trace_connection, dispatch_uid="config.tracing")
    _tracer = provider.get_tracer("refill")


def end() -> None:
    """Send what is left. Spans that cannot be sent are lost after the exporter's time limit."""
    if is_on():
        from opentelemetry import trace

        trace.get_tracer_provider().shutdown()  # type: ignore[attr-defined]


@contextmanager
def request(scope: Any, exchange: Any) -> Iterator[None]:
    """A span for the request (an Exchange), which continues the trace of its `traceparent` header."""
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind, StatusCode

    carrier = {name: value for name, value in scope.headers.items() if name in {"traceparent", "tracestate"}}
    with _tracer.start_as_current_span(
        scope.method, context=propagate.extract(carrier), kind=SpanKind.SERVER, record_exception=False
    ) as span:
        try:
            yield
        finally:
            span.update_name(f"{scope.method} {exchange.path}".rstrip())
            span.set_attribute("http.request.method", scope.method)
            span.set_attribute("http.route", exchange.path)
            span.set_attribute("http.response.status_code", exchange.status)
            span.set_attribute("refill.request_id", exchange.request_id)
            if exchange.account_id is not None:
                span.set_attribute("refill.account_id", str(exchange.account_id))
            if exchange.status >= 500:
                span.set_status(StatusCode.ERROR)


def in_this_context(work: Callable[[], None]) -> Callable[[], None]:
    """`work` for another thread, where its spans are inside of the present one."""
    context = contextvars.copy_context()
    return lambda: context.run(work)


def _trace_connection(connection: Any, **_: Any) -> None:
    if _trace_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(_trace_statement)


def _trace_statement(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Execute a statement in a span: https://docs.djangoproject.com/en/5.2/topics/db/instrumentation/"""
    from opentelemetry.trace import SpanKind, get_current_span

    if not get_current_span().is_recording():  # of no request or task: the queries of live updates, probes
        return execute(sql, params, many, context)
    text = str(sql)
    with _tracer.start_as_current_span(text.split(maxsplit=1)[0], kind=SpanKind.CLIENT) as span:
        span.set_attribute("db.system.name", "postgresql")
        span.set_attribute("db.query.text", text[:LONGEST_STATEMENT])
        return execute(sql, params, many, context)
