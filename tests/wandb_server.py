"""A server on loopback that answers what wandb asks for one artifact with one file."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

PROJECT = {
    "id": "P", "internalId": "1", "name": "detection", "entity": {"name": "me"}, "__typename": "Project",
}  # fmt: skip
COLLECTION = {"__typename": "ArtifactSequence", "name": "model-x", "project": PROJECT}
WHEN = "2026-11-29T10:00:00Z"


class Store:
    """What lies at ``me/detection/model-x:best``."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.sent = 0
        self.address = ""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "FetchArtifactManifest" in query:
            return {"artifact": {"currentManifest": {"file": {"directUrl": f"{self.address}/manifest"}}}}
        if "ArtifactMembershipByName" in query:
            known = variables["name"] == "model-x:best"
            membership = {
                "__typename": "ArtifactCollectionMembership", "id": "M", "versionIndex": 0, "createdAt": WHEN,
                "aliases": [{"__typename": "ArtifactAlias", "id": "A", "alias": "best"}],
                "artifactCollection": COLLECTION, "artifact": self._artifact(),
            }  # fmt: skip
            return {"project": {"artifactCollectionMembership": membership if known else None}}
        account = {"id": "1", "entity": "me", "username": "me", "email": "", "flags": "{}"}
        return {"viewer": {**account, "teams": {"edges": []}}, "serverInfo": {"features": []}}

    def _artifact(self) -> dict[str, Any]:
        return {
            "__typename": "Artifact", "id": "QXJ0aWZhY3Q6MQ==", "artifactSequence": COLLECTION,
            "versionIndex": 0, "artifactType": {"name": "model"}, "description": None, "metadata": None,
            "ttlDurationSeconds": -2, "ttlIsInherited": True, "tags": [], "historyStep": None,
            "state": "COMMITTED", "size": len(self.content), "commitHash": "c", "fileCount": 1,
            "digest": hashlib.md5(self.content).hexdigest(), "createdAt": WHEN, "updatedAt": WHEN,
            "aliases": [],
        }  # fmt: skip

    def file(self, path: str) -> bytes:
        if path != "/manifest":
            self.sent += 1
            return self.content
        digest = base64.b64encode(hashlib.md5(self.content).digest()).decode()
        entry = {"digest": digest, "size": len(self.content), "birthArtifactID": "QXJ0aWZhY3Q6MQ=="}
        manifest = {
            "version": 1, "storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {},
            "contents": {"model.ckpt": entry},
        }  # fmt: skip
        return json.dumps(manifest).encode()


@contextmanager
def serving(content: bytes) -> Iterator[Store]:
    """Serve an artifact; ``address`` is where."""
    store = Store(content)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(
                json.dumps({"data": store.answer(asked["query"], asked.get("variables") or {})}).encode()
            )

        def do_GET(self) -> None:
            self._send(store.file(self.path))

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
