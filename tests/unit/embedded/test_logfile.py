"""Rotated logs: bounded size, nothing lost at the seams."""

from pathlib import Path

from services.embedded.logfile import KEPT, RotatedLog, tail


def test_rotates_and_keeps_the_newest(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "a.log", size_bytes=100, kept=2)
    for number in range(50):
        log.write(f"line {number:04}\n".encode())
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["a.log", "a.log.1", "a.log.2"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert tail(tmp_path / "a.log", 12) == [f"line {number:04}" for number in range(38, 50)]


def test_a_line_longer_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "a.log", size_bytes=10)
    log.write(b"x" * 100 + b"\n")
    log.write(b"y\n")
    log.close()
    assert tail(tmp_path / "a.log", 10) == ["x" * 100, "y"]


def test_goes_on_where_an_earlier_run_ended(tmp_path: Path) -> None:
    for word in (b"one\n", b"two\n"):
        log = RotatedLog(tmp_path / "a.log")
        log.write(word)
        log.close()
    assert tail(tmp_path / "a.log", 10) == ["one", "two"]


def test_tail_of_nothing_and_of_broken_text(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log", 5) == []
    (tmp_path / "b.log").write_bytes(b"\xff\xfe\n" * 3)
    assert len(tail(tmp_path / "b.log", 2)) == 2
    assert KEPT >= 1
