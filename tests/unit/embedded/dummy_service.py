"""A small HTTP service for the supervisor's tests: `dummy_service.py PORT [--mark FILE] [--slow-stop S] [--child]`."""

import argparse
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType

from services.core import lifeline


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/crash":
            os._exit(7)
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        print("asked", self.path, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--mark", type=Path)
    parser.add_argument("--slow-stop", type=float, default=0.0)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()

    def stop(number: int, frame: FrameType | None) -> None:
        time.sleep(options.slow_stop)
        if options.mark:
            with options.mark.open("a") as file:
                file.write(f"{options.port} {time.monotonic()}\n")
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    lifeline.attach(grace_s=1.0)
    if options.child:  # in our process group, deaf to SIGTERM: only the group's end ends it
        script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", script])
        print("child", child.pid, flush=True)
    print("here", os.getpid(), os.environ.get("SECRET"), flush=True)
    HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
