"""Log lines that machines read, and figures that are cheap."""

import json
import logging
import subprocess
import sys

from prometheus_client import REGISTRY

from services.core import context
from services.core.telemetry import JsonFormatter, RpcMetrics

SCRIPT = """
import logging
from services.core.telemetry import configure_logging
configure_logging("sample", "INFO")
log = logging.getLogger("x")
log.info("一行目\\n二行目", extra={"count": 3, "path": __import__("pathlib").Path("/a")})
log.debug("not shown")
logging.getLogger("psycopg.pool").info("not shown")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broke")
"""


def test_one_json_object_a_line_on_standard_output() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["message"] == "一行目\n二行目"
    assert (first["level"], first["service"], first["logger"]) == ("INFO", "sample", "x")
    assert (first["count"], first["path"]) == (3, "/a")
    assert "ZeroDivisionError" in second["exception"]


def test_lines_of_a_call_carry_who_and_which() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello %s", ("you",), None)
    assert "request_id" not in json.loads(JsonFormatter("s").format(record))
    with context.acting("acme", "alice") as call:
        line = json.loads(JsonFormatter("s").format(record))
    assert (line["request_id"], line["tenant"], line["principal"]) == (call.request_id, "acme", "alice")
    assert line["message"] == "hello you"


def test_metrics_of_one_method() -> None:
    metrics = RpcMetrics("/t.S/Metrics")
    metrics.began()
    assert REGISTRY.get_sample_value("aift_rpcs_running", {"method": "/t.S/Metrics"}) == 1
    metrics.ended("OK", 0.002)
    metrics.began()
    metrics.ended("NOT_FOUND", 0.002)
    assert REGISTRY.get_sample_value("aift_rpcs_running", {"method": "/t.S/Metrics"}) == 0
    assert REGISTRY.get_sample_value("aift_rpcs_total", {"method": "/t.S/Metrics", "code": "NOT_FOUND"}) == 1
    assert REGISTRY.get_sample_value("aift_rpc_seconds_count", {"method": "/t.S/Metrics"}) == 2


def test_trace_ids() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert context.request_id_of(f"00-{trace}-00f067aa0ba902b7-01") == trace
    assert context.request_id_of(context.traceparent(trace)) == trace
    for bad in (None, "", "x", f"00-{trace}", f"00-{'0' * 32}-1-1", f"00-{trace.upper()}-1-1", "00-<script>-1-1"):
        made = context.request_id_of(bad)
        assert len(made) == 32
        assert made != trace
