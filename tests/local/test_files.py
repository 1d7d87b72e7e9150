from __future__ import annotations

import os
from pathlib import Path

import pytest

from decodekit.local.files import open_regular, read_bytes


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == read_bytes(tmp_path / "file") == b"abc"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_nothing_is_waited_for_that_may_never_come(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, of_opening, of_reading in (
        (tmp_path / "pipe", "not a regular file", "without a writer"),
        (Path("/dev/null"), "not a regular file", "neither a regular file nor a pipe"),
        (tmp_path, "Is a directory", "Is a directory"),
        (tmp_path / "absent", "No such file", "No such file"),
    ):
        with pytest.raises(OSError, match=of_opening):
            open_regular(path)
        with pytest.raises(OSError, match=of_reading):
            read_bytes(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_to_its_end_if_it_has_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.write(writer, b"abc")
    os.close(writer)
    assert read_bytes(tmp_path / "pipe") == b"abc"
    os.close(held)
