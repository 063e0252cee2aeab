import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detection.data.download import MIRRORS, VOC_ARCHIVES, Archive, archives_of, download_voc


class Server(ThreadingHTTPServer):
    """Serves bytes from memory; knows Range; can break connections and ignore Range."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.break_after: list[int] = []
        self.knows_range = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.requests.append((self.path, wanted))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.knows_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent = self.server.break_after.pop(0) if self.server.break_after else len(content)
        self.wfile.write(content[start : start + sent])

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def make_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def voc_files(year: int, split: str, ids: list[str]) -> dict[str, bytes]:
    folder = f"VOCdevkit/VOC{year}"
    files = {f"{folder}/ImageSets/Main/{split}.txt": "\n".join(ids).encode()}
    for image_id in ids:
        files[f"{folder}/Annotations/{image_id}.xml"] = b"<annotation/>"
        files[f"{folder}/JPEGImages/{image_id}.jpg"] = image_id.encode() * 5000
    return files


TRAINVAL = make_tar(voc_files(2007, "trainval", ["000005", "000007"]))
TEST = make_tar(voc_files(2007, "test", ["000001"]))


def archive(content: bytes = TRAINVAL, name: str = "a.tar", split: str = "trainval") -> Archive:
    return Archive(name, hashlib.md5(content).hexdigest(), 2007, split)


def assert_unpacked(root: Path) -> None:
    for name, content in voc_files(2007, "trainval", ["000005", "000007"]).items():
        assert (root / name).read_bytes() == content


def test_official_archives() -> None:
    names = {item.name: item.md5 for item in VOC_ARCHIVES}
    assert names["VOCtrainval_06-Nov-2007.tar"] == "c52e279531787c972589f7e41ab4ae64"
    assert names["VOCtest_06-Nov-2007.tar"] == "b6e924de25625d8de591ea690078ad9f"
    assert names["VOCtrainval_11-May-2012.tar"] == "6cd6e144f989b92b3379bac3b3de84fd"
    assert (
        MIRRORS[0].format(year=2012, name="x.tar") == "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/x.tar"
    )


def test_downloads_and_unpacks_into_one_devkit(server: Server, tmp_path: Path) -> None:
    server.files = {"/2007/a.tar": TRAINVAL, "/2007/b.tar": TEST}
    wanted = [archive(), archive(TEST, "b.tar", "test")]
    devkit = download_voc(tmp_path, archives=wanted, mirrors=[server.url + "/{year}/{name}"])
    assert devkit == tmp_path / "VOCdevkit"
    assert_unpacked(tmp_path)
    assert (devkit / "VOC2007" / "JPEGImages" / "000001.jpg").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOCdevkit", "a.tar", "b.tar"]


def test_root_may_be_the_devkit(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.tar": TRAINVAL}
    download_voc(str(tmp_path / "VOCdevkit"), archives=[archive()], mirrors=[server.url + "/{name}"])
    assert_unpacked(tmp_path)


def test_complete_data_is_left_alone(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.tar": TRAINVAL}
    for _ in range(2):
        download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert len(server.requests) == 1
    (tmp_path / "VOCdevkit/VOC2007/JPEGImages/000007.jpg").unlink()
    download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert len(server.requests) == 1  # mended from the archive that was kept
    assert_unpacked(tmp_path)


def test_resumes_a_partial_file(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.tar": TRAINVAL}
    (tmp_path / "a.tar.part").write_bytes(TRAINVAL[:1000])
    download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert server.requests == [("/a.tar", "bytes=1000-")]
    assert_unpacked(tmp_path)


def test_resumes_after_a_broken_connection(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.tar": TRAINVAL}
    server.break_after = [3000]
    download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert server.requests == [("/a.tar", None), ("/a.tar", "bytes=3000-")]
    assert_unpacked(tmp_path)


def test_server_without_range_sends_everything(server: Server, tmp_path: Path) -> None:
    server.files, server.knows_range = {"/a.tar": TRAINVAL}, False
    (tmp_path / "a.tar.part").write_bytes(b"x" * 1000)
    download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert_unpacked(tmp_path)


def test_whole_partial_file_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.tar": TRAINVAL}
    (tmp_path / "a.tar.part").write_bytes(TRAINVAL)
    download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert_unpacked(tmp_path)


@pytest.mark.parametrize("length", [1000, len(TRAINVAL) + 5])
def test_bad_partial_file_is_started_afresh(server: Server, tmp_path: Path, length: int) -> None:
    server.files = {"/a.tar": TRAINVAL}
    (tmp_path / "a.tar.part").write_bytes(b"x" * length)
    download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert server.requests == [("/a.tar", f"bytes={length}-"), ("/a.tar", None)]
    assert_unpacked(tmp_path)


def test_next_mirror_when_one_is_dead_and_one_is_wrong(server: Server, tmp_path: Path) -> None:
    server.files = {"/bad/a.tar": b"<html>moved</html>", "/good/a.tar": TRAINVAL}
    paths = ["/gone/{name}", "/bad/{name}", "/good/{name}"]
    mirrors = ["http://127.0.0.1:1/{name}", *(server.url + path for path in paths)]
    download_voc(tmp_path, archives=[archive()], mirrors=mirrors)
    assert [path for path, _ in server.requests] == ["/gone/a.tar", "/bad/a.tar", "/good/a.tar"]
    assert_unpacked(tmp_path)


def test_wrong_checksum_everywhere(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.tar": TEST}
    with pytest.raises(ConnectionError, match="wrong checksum"):
        download_voc(tmp_path, archives=[archive()], mirrors=[server.url + "/{name}"])
    assert list(tmp_path.iterdir()) == []


def test_offline_gives_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ConnectionError, match="no mirror could be reached") as error:
        download_voc(tmp_path, archives=[archive()], mirrors=["http://127.0.0.1:1/{name}"])
    message = str(error.value)
    assert f"Place the file a.tar in {tmp_path}, or set data.root" in message
    assert message.count("127.0.0.1:1") == 1
    assert "\n" not in message


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_archives_on_disk_are_used(tmp_path: Path, where: str) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
    (tmp_path / where / "a.tar").write_bytes(TRAINVAL)
    download_voc(root, archive_folder=elsewhere, archives=[archive()], mirrors=[])
    assert_unpacked(root)
    assert (tmp_path / where / "a.tar").is_file()


def test_damaged_archive_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(TRAINVAL[:-1])
    with pytest.raises(ValueError, match=r"a.tar is not the official archive \(wrong checksum\)"):
        download_voc(tmp_path, archives=[archive()], mirrors=[])


@pytest.mark.parametrize("name", ["../escaped.txt", "VOCdevkit/../../escaped.txt"])
def test_archive_that_escapes_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    content = make_tar({name: b"evil"})
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.tar").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.tar would write outside its folder .*refused"):
        download_voc(root, archives=[archive(content)], mirrors=[])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.tar"]


def test_not_a_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all")
    with pytest.raises(ValueError, match="not a readable tar archive"):
        download_voc(tmp_path, archives=[archive(b"no tar at all")], mirrors=[])


def test_only_the_archives_of_the_splits_are_wanted() -> None:
    assert [archive.name for archive in archives_of([(2007, "train"), (2007, "val")])] == [
        "VOCtrainval_06-Nov-2007.tar"
    ]
    voc0712 = archives_of([(2007, "trainval"), (2012, "trainval"), (2007, "test")])
    assert {archive.name for archive in voc0712} == {archive.name for archive in VOC_ARCHIVES}
    assert archives_of([]) == []
