"""A hub on this machine: the few routes of Hugging Face's that ``share`` and ``ckpt=hf://...`` use."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest

Files = dict[str, bytes]


class Hub(ThreadingHTTPServer):
    """Repositories in memory: each a list of commits, each the files by name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, list[Files]] = {}
        self.is_private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.may_write = True
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository: str, files: Files) -> str:
        commits = self.repositories.setdefault(repository, [])
        commits.append({**(commits[-1] if commits else {}), **files})
        return commit_name(len(commits) - 1)

    def add_folder(self, repository: str, folder: Path) -> str:
        return self.commit(repository, {path.name: path.read_bytes() for path in folder.iterdir()})


def commit_name(number: int) -> str:
    return hashlib.sha1(str(number).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._send_file(with_body=False)

    def do_GET(self) -> None:
        self._send_file(with_body=True)

    def do_PUT(self) -> None:
        content = self._body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_POST(self) -> None:
        body, path = self._body(), unquote(self.path.partition("?")[0])
        self.server.asked.append(f"POST {path}")
        if not self.server.may_write:
            self._answer({"error": "Invalid username or password."}, 401)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repository = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.server.repositories.setdefault(repository, [])
            is_private = asked.get("private", asked.get("visibility") == "private")
            self.server.is_private.setdefault(repository, is_private)
            self._answer({"url": f"{self.server.address}/{repository}", "name": repository})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            kinds = {True: "lfs", False: "regular"}
            self._answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": kinds[file["path"].endswith((".safetensors", ".png"))],
                            "shouldIgnore": False,
                        }
                        for file in files
                    ]
                }
            )
        elif path.endswith("/info/lfs/objects/batch"):
            self._answer(
                {"transfer": "basic", "objects": [self._place(o) for o in json.loads(body)["objects"]]}
            )
        elif "/commit/" in path:
            repository = path.removeprefix("/api/models/").partition("/commit/")[0]
            name = self.server.commit(repository, self._files_of(body))
            self._answer({"success": True, "commitOid": name, "commitUrl": f"{self.server.address}/c/{name}"})
        else:
            self._answer({"error": f"no such route {path}"}, 404)

    def _place(self, wanted: dict[str, object]) -> dict[str, object]:
        upload = {"href": f"{self.server.address}/lfs/{wanted['oid']}"}
        return {"oid": wanted["oid"], "size": wanted["size"], "actions": {"upload": upload}}

    def _files_of(self, body: bytes) -> Files:
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        return files

    def _send_file(self, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        repository, _, rest = path.strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        commits = self.server.repositories.get(repository)
        if commits is None:
            self._refuse("RepoNotFound", 401)
            return
        names = {commit_name(number): number for number in range(len(commits))}
        number = len(commits) - 1 if revision == "main" else names.get(revision)
        if number is None:
            self._refuse("RevisionNotFound", 404)
        elif name not in commits[number]:
            self._refuse("EntryNotFound", 404, commit_name(number))
        else:
            content = commits[number][name]
            self.send_response(200)
            self.send_header("X-Repo-Commit", commit_name(number))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    def _refuse(self, code: str, status: int, commit: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, content: dict[str, object], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers while the block runs."""
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool = False) -> None:
    """Let ``huggingface_hub`` in this process ask that hub, and keep what it fetches in ``cache``.

    Large files go by HTTP, not by Xet, whose server is none that a test could imitate.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    place = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + place)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")


def environment(hub: Hub, cache: Path) -> dict[str, str]:
    """The same for a process of its own, which must import the library anew."""
    return {
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "x",
    }
