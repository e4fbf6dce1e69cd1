"""How soon PreviewRows answers anywhere in a version of very many rows.

    python -m benchmarks.preview [--rows 10000000] [--calls 200] [--folder DIR] [--json]

The file goes through the real service: uploaded with the SDK, checked by its child processes, kept in a directory store.
Then a client asks for 20 rows at places all over the version, one call at a time, over gRPC with authentication and the
database's look-up of the version. Peak memory is that of the service with its children while it takes and checks the
file. Exit code 1 when a page takes longer than the aim.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

from aift import Client

from benchmarks.data_rig import data_service, postgres, state_dir
from benchmarks.peak_memory import PeakMemory

AIM_MS = 100.0
PAGE_ROWS = 20


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where everything lies; by default the temporary folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with state_dir(options.folder) as folder:
        figures = measure(folder, options.rows, options.calls)
    print(json.dumps(figures, indent=1) if options.json else "\n".join(f"{k:20} {v}" for k, v in figures.items()))
    return 0 if figures["page_ms_worst"] <= AIM_MS else 1


def measure(folder: Path, rows: int, calls: int) -> dict[str, float]:
    """A version of `rows` rows, and `calls` pages of it."""
    file = folder / "rows.jsonl"
    with file.open("w") as out:
        out.writelines(f'{{"text":"質問: {number} 番は？\\n回答: {number} です。"}}\n' for number in range(rows))
    with postgres(folder) as database, data_service(folder, database, "preview") as service:
        client = Client(token=service.token, addresses={"data": f"127.0.0.1:{service.port}"})
        began = time.perf_counter()
        with PeakMemory(service.pid) as memory:
            version = client.datasets.upload(file, dataset="preview").name
        took = time.perf_counter() - began
        chance = random.Random(0)  # noqa: S311 - not for secrets
        places = [0, rows - PAGE_ROWS, *(chance.randrange(rows - PAGE_ROWS) for _ in range(calls - 2))]
        times = [_page_ms(client, version, place) for place in places]
    return {
        "rows": rows,
        "upload_and_check_s": round(took, 1),
        "service_peak_mib": memory.peak_bytes >> 20,
        "page_ms_median": round(statistics.median(times), 2),
        "page_ms_p99": round(statistics.quantiles(times, n=100)[98], 2),
        "page_ms_worst": round(max(times), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def _page_ms(client: Client, version: str, place: int) -> float:
    began = time.perf_counter()
    found = client.datasets.preview(version, offset=place, limit=PAGE_ROWS)
    took = (time.perf_counter() - began) * 1000
    assert [row.index for row in found.rows] == list(range(place, place + PAGE_ROWS))
    return took


if __name__ == "__main__":
    sys.exit(main())
