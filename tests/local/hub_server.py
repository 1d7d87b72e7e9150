"""A hub on loopback: what huggingface_hub asks for to list a repository and to fetch files."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree)/(?P<revision>[^/?]+))?.*")


@contextmanager
def hub(repositories: Mapping[str, Mapping[str, Path]], gated: Sequence[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with these repositories' files, and the requests that it gets; it refuses those gated."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            asked.append(f"{self.command} {self.path}")
            file, api = _FILE.fullmatch(self.path), _API.fullmatch(self.path)
            found = (file or api or {"repo": ""})["repo"]
            revision = (file or api or {"revision": None})["revision"] or "main"
            if found in gated:
                return self.send(b"", 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, with_body)
            if found not in repositories or revision not in ("main", COMMIT):
                missing = "RepoNotFound" if found not in repositories else "RevisionNotFound"
                return self.send(b"", 404, {"X-Error-Code": missing}, with_body)
            files = repositories[found]
            if file is not None:
                if file["file"] not in files:
                    return self.send(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, with_body)
                data = files[file["file"]].read_bytes()
                etag = hashlib.sha256(data).hexdigest()
                start = int(re.sub(r"\D", "", self.headers.get("Range", "0").partition("-")[0]) or 0)
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                if start:
                    headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                return self.send(data[start:], 206 if start else 200, headers, with_body)
            assert api is not None
            listed = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
                for name, path in files.items()
            ]
            whole = {"id": found, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return self.send(json.dumps(listed if api["what"] == "tree" else whole).encode(), 200, {}, with_body)

        def send(self, data: bytes, status: int, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
