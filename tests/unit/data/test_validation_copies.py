"""Files that are rewritten before they are read: how far it is, and what lies on the disk meanwhile."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from services.data_service.child import Progress
from services.data_service.domain import ReadOptions, TextEncoding
from services.data_service.validation import meter, transcoding, unpacking
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate

JSONL = "".join(json.dumps({"text": f"{n} 行目の文です"}, ensure_ascii=False) + "\n" for n in range(20_000))


class Watch:
    """Notes progress, and what lies in the folder for copies at each moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.progress: list[Progress] = []
        self.copies: list[set[str]] = []

    def __call__(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.copies.append({path.name for path in self._folder.glob("*/*") if path.name in ("unpacked", "transcoded")})


def watched(tmp_path: Path, source: Path, encoding: TextEncoding = TextEncoding.DETECT) -> Watch:
    output = tmp_path / "output"
    output.mkdir()
    watch = Watch(output)
    request = ValidationRequest(
        input_file=str(source), output_dir=str(output), filename="", read=ReadOptions(encoding=encoding)
    )
    assert validate(request, watch).valid
    assert not [path for path in output.iterdir() if path.is_dir()]
    return watch


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_EVERY_S", -1)
    monkeypatch.setattr(unpacking, "_READ_BYTES", {"gzip": 1000, "zstd": 1000})
    monkeypatch.setattr(transcoding, "_READ_BYTES", 10_000)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_progress_is_told_while_a_file_is_unpacked(tmp_path: Path, compress: object) -> None:
    source = tmp_path / "input"
    source.write_bytes(compress(JSONL.encode()))  # type: ignore[operator]
    size = source.stat().st_size
    watch = watched(tmp_path, source)
    done = [progress.done_bytes for progress in watch.progress]
    unpacking_ = [progress.done_bytes for progress in watch.progress if progress.rows == 0]
    assert done == sorted(done)
    assert (len(unpacking_) > 5, max(unpacking_), done[-1]) == (True, size // 2, size)
    assert watch.progress[-1].rows == 20_000


def test_no_more_than_one_copy_is_read_and_none_stays(tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_bytes(gzip.compress(JSONL.encode("cp932")))
    watch = watched(tmp_path, source, TextEncoding.CP932)
    checking = [names for progress, names in zip(watch.progress, watch.copies, strict=True) if progress.rows]
    assert checking[0] == {"transcoded"}
    assert checking[-1] == set()  # told at the end of the pass
    done = [progress.done_bytes for progress in watch.progress]
    assert (done, done[-1]) == (sorted(done), source.stat().st_size)


def test_the_copy_of_a_file_goes_before_the_next_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jsonl.gz").write_bytes(gzip.compress(JSONL.encode()))
    (folder / "2.jsonl").write_text(JSONL.replace("文", "話"), encoding="utf-8")
    watch = watched(tmp_path, folder)
    later = [names for progress, names in zip(watch.progress, watch.copies, strict=True) if progress.rows > 20_000]
    assert later
    assert set().union(*later) == set()
