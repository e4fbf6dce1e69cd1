"""What a process tells about itself: JSON lines on standard output, and Prometheus figures for every RPC."""

import json
import logging
import sys
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge, Histogram

from services.core import context

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RPC_SECONDS = Histogram("aift_rpc_seconds", "Duration of RPCs in seconds.", ["method"], buckets=_BUCKETS)
RPC_TOTAL = Counter("aift_rpcs", "RPCs by method and gRPC code.", ["method", "code"])
RPC_RUNNING = Gauge("aift_rpcs_running", "RPCs that are being served.", ["method"])
_PLAIN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class RpcMetrics:
    """The figures of one method, with their label look-ups done once."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._seconds = RPC_SECONDS.labels(method)
        self._running = RPC_RUNNING.labels(method)
        self._codes: dict[str, Counter] = {}

    def began(self) -> None:
        """A call came in."""
        self._running.inc()

    def ended(self, code: str, seconds: float) -> None:
        """A call ended with the named gRPC code."""
        self._running.dec()
        self._seconds.observe(seconds)
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = RPC_TOTAL.labels(self._method, code)
        counter.inc()


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra=` fields and the current call's request id, tenant and principal are added."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = context.find()
        if call is not None:
            line |= {"request_id": call.request_id, "tenant": call.tenant, "principal": call.principal}
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Sends all logging of the process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # These tell of every call at INFO.
    for noisy in ("psycopg.pool", "sqlalchemy.engine", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
