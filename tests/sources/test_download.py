"""Downloads: checked, resumed, renamed when complete, with clear errors.

All of it against a server on this machine; nothing here reaches the network.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from channelsim.cli.app import answer
from channelsim.sources import Dataset, download
from channelsim.support.errors import InputError, MachineError

CONTENT = np.random.default_rng(3).bytes(700_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def server() -> Iterator[Any]:
    """``files`` by path; ``ranges``: resumes; ``cut``: breaks off after so many bytes, once.

    ``length``: whether to send a file's length.
    """
    state = SimpleNamespace(files={"/a.bin": CONTENT}, ranges=True, cut=None, asked=[])
    state.length = True

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            data = state.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if state.length:
                self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = len(data) if state.cut is None else start + state.cut
            state.cut = None
            with contextlib.suppress(ConnectionError):  # the client may disconnect
                self.wfile.write(data[start:end])

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield state
        running.shutdown()
        thread.join()


def remote(server: Any, md5: str = MD5, *more: str, size: int = len(CONTENT)) -> download.Remote:
    return download.Remote("a.bin", md5, size, (*more, f"{server.url}/a.bin"))


def ignore(transfer: download.Transfer) -> None:
    """Ignore the progress."""


def test_a_file_is_fetched_under_another_name_and_renamed_when_it_is_right(server, tmp_path):
    seen: list[tuple[int, int | None, bool]] = []

    def show(now: download.Transfer) -> None:
        seen.append((now.done, now.total, (tmp_path / "a.bin").exists()))

    file = download.fetch(remote(server), tmp_path, show)
    assert file.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert seen[0] == (0, 700_000, False)
    assert seen[-1] == (700_000, 700_000, False)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    download.fetch(remote(server), tmp_path, ignore)
    assert server.asked == []
    (tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"is there but is not the official file .*move it away"):
        download.fetch(remote(server), tmp_path, ignore)
    assert (tmp_path / "a.bin").read_bytes() == b"mine"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_broke_off_is_resumed_or_begun_again(server, tmp_path, ranges):
    server.ranges, server.cut = ranges, 300_000
    with pytest.raises(MachineError, match=r"broke off after 300,000 of 700,000 bytes|Incomplete"):
        download.fetch(remote(server), tmp_path, ignore)
    assert (tmp_path / "a.bin.part").stat().st_size == 300_000
    assert download.fetch(remote(server), tmp_path, ignore).read_bytes() == CONTENT
    assert server.asked[1] == ("/a.bin", "bytes=300000-")


@pytest.mark.parametrize("left", [b"\0" * 1000, b"\0" * 700_000, b"\0" * 800_000])
def test_what_is_left_of_another_file_is_thrown_away_and_fetched_once_more(server, tmp_path, left):
    (tmp_path / "a.bin.part").write_bytes(left)
    assert download.fetch(remote(server), tmp_path, ignore).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(server, tmp_path):
    with pytest.raises(MachineError, match=rf"wrong checksum \(MD5 {MD5}, expected {'0' * 32}\)"):
        download.fetch(remote(server, "0" * 32), tmp_path, ignore)
    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_is_asked_where_one_has_no_file_or_cannot_be_reached(server, tmp_path):
    mirrors = (f"{server.url}/gone.bin", "http://127.0.0.1:9/a.bin")
    assert download.fetch(remote(server, MD5, *mirrors), tmp_path, ignore).is_file()
    (tmp_path / "a.bin").unlink()
    server.files.clear()
    with pytest.raises(
        MachineError, match=r"a.bin could not be fetched: .*answers 404; .*no connection .*refused"
    ):
        download.fetch(remote(server, MD5, *mirrors), tmp_path, ignore)


@pytest.mark.parametrize("length", [True, False])
def test_no_more_than_the_official_size_is_written_whatever_a_server_offers(
    server, tmp_path, length
):
    server.length = length
    seen: list[int] = []
    with pytest.raises(MachineError, match=r"(offers 700,000 bytes, |sends )more than the 300,000"):
        download.fetch(remote(server, size=300_000), tmp_path, lambda now: seen.append(now.done))
    assert max(seen, default=0) <= 300_000
    assert list(tmp_path.iterdir()) == []
    assert download.fetch(remote(server), tmp_path, ignore).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["a.bin", "a.bin.part"])
def test_a_folder_in_the_place_of_the_file_is_said_in_one_sentence(server, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf"{name}: is a folder where the file is to go"):
        download.fetch(remote(server), tmp_path, ignore)
    assert server.asked == []


def test_too_little_room_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100_000))
    with pytest.raises(MachineError, match=r"a.bin needs 1 MB more and 0 MB are free; make room"):
        download.fetch(remote(server), tmp_path, ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_said_in_one_sentence(server, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not on this system")
    (tmp_path / "a.bin.part").symlink_to("/dev/full")
    with pytest.raises(MachineError, match=r"the disk is full; make room and ask again"):
        download.fetch(remote(server), tmp_path, ignore)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mnst", r"no such data set .*Did you mean mnist\?"),
        ("mnist5k", "part of the installation"),
        ("celeba", r"Google Drive .*img_align_celeba.zip and list_eval_partition.txt"),
        ("cifar10-subset", "a file of your own"),
    ],
)
def test_what_cannot_be_downloaded_says_how_to_get_it(name, said):
    with pytest.raises(InputError, match=said):
        download.download(name)


def test_every_official_file_has_a_checksum_and_a_mirror():
    for name, files in download.REMOTE.items():
        assert files
        for file in files:
            assert len(bytes.fromhex(file.md5)) == 16
            assert file.size > 4000
            assert all(url.endswith(file.name) for url in file.urls)
            assert file.urls
        assert download.folder_of(name, Path("/data")).is_relative_to("/data")


def test_the_command_fetches_a_data_set_that_a_scenario_can_then_name(
    server, tmp_path, monkeypatch, capsys
):
    pixels = np.arange(784 * 3, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    images = np.array([2051, 3, 28, 28], dtype=">i4").tobytes() + pixels.tobytes()
    labels = np.array([2049, 3], dtype=">i4").tobytes() + bytes([1, 2, 3])
    files = []
    for stem in ("train", "t10k"):
        for ending, data in (("images-idx3", images), ("labels-idx1", labels)):
            name, packed = f"{stem}-{ending}-ubyte.gz", gzip.compress(data, mtime=0)
            server.files[f"/{name}"] = packed
            digest = hashlib.md5(packed, usedforsecurity=False).hexdigest()
            files.append(download.Remote(name, digest, len(packed), (f"{server.url}/{name}",)))
    monkeypatch.setitem(download.REMOTE, "fashion-mnist", tuple(files))
    assert answer(["download", "fashion-mnist", "--data-root", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "use it    source: {kind: dataset, name: fashion-mnist}"
    assert out.count("-ubyte.gz") == 4
    assert "train-images-idx3-ubyte.gz: fetching (" in err
    monkeypatch.setenv("CHANNELSIM_DATA", str(tmp_path))
    assert Dataset(name="fashion-mnist").messages == 3
    server.files.clear()
    assert answer(["download", "fashion-mnist", "--data-root", str(tmp_path), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (4, "")
    assert answer(["download", "fashion-mnist", "--data-root", str(tmp_path / "new")]) == 1
    _, err = capsys.readouterr()
    assert err.splitlines()[-1].endswith("FashionMNIST/raw yourself")
    assert "answers 404" in err.splitlines()[-1]
