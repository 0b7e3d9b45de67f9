"""Traces: a process sends its spans to the receiver that the environment names, without secrets."""

import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from accounts.models import Account, User
from tests.integration.races.web import ROOT, database_url, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TASK = """
import django; django.setup()
from config import tracing
from config.celery import app, trace_tasks, send_traces
@app.task(name="tests.traced")
def traced():
    from django.contrib.sessions.models import Session
    Session.objects.count()
trace_tasks()
traced.apply(task_id="task-81")
send_traces()
"""

Span = dict[str, Any]


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Span]]]:
    """The address of an OTLP receiver, and the spans that it got: their names, and attributes by name."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                of_resource = _attributes(resource.resource)
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        ids = {"trace": span.trace_id.hex(), "id": span.span_id.hex()}
                        ids |= {"parent": span.parent_span_id.hex(), "name": span.name}
                        spans.append(ids | of_resource | _attributes(span))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    server.server_close()


def _attributes(part: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in part.attributes}


@pytest.mark.django_db(transaction=True)
def test_a_web_process_sends_spans_of_requests_with_their_statements(
    catalogue: None, alice: User, api_of: Any, receiver: tuple[str, list[Span]]
) -> None:
    endpoint, spans = receiver
    headers = {"Authorization": f"Bearer {api_of(alice).secret}", "Idempotency-Key": "k1"}
    headers |= {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    body = b'{"service": "document-question", "usage": {"uses": 1}}'
    with serving(processes=1, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_METRICS_EXPORTER="none") as address:
        charge = urllib.request.Request(f"{address}/api/v1/charges", body, headers)
        assert urllib.request.urlopen(charge).status == 201
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{address}/join/very-secret/?t=hidden")
    # the process has ended, and has sent what was left
    (charged,) = (span for span in spans if span["name"] == "POST /api/v1/charges")
    assert (charged["trace"], charged["parent"]) == (TRACE, "00f067aa0ba902b7")
    assert charged["service.name"] == "refill-web"
    assert charged["http.response.status_code"] == 201
    assert charged["refill.account_id"] == str(Account.objects.get(person=alice).pk)
    statements = [span for span in spans if span["parent"] == charged["id"]]
    assert any("ledger_charge" in span["db.query.text"] for span in statements)
    (joined,) = (span for span in spans if span["name"] == "GET /join/<str:token>/")
    assert joined["http.response.status_code"] == 404
    assert not [span for span in spans if "very-secret" in str(span) or "hidden" in str(span)]


@pytest.mark.django_db(transaction=True)
def test_a_worker_sends_spans_of_tasks_with_their_statements(
    receiver: tuple[str, list[Span]], tmp_path: Path
) -> None:
    endpoint, spans = receiver
    environ = {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    environ["REFILL_VAR"] = str(tmp_path)
    command = [sys.executable, "-W", "ignore", "-c", TASK]
    ran = subprocess.run(
        command, cwd=ROOT, env=_environment() | environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (task,) = (span for span in spans if span.get("celery.task_name") == "tests.traced")
    assert task["service.name"] == "refill-worker"
    assert [span["name"] for span in spans if span["parent"] == task["id"]] == ["SELECT"]


def test_without_the_variable_nothing_is_imported() -> None:
    code = "import sys; from config import tracing; tracing.start('web'); "
    code += "assert not tracing.is_on() and not any('opentelemetry' in name for name in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def _environment() -> dict[str, str]:

    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
