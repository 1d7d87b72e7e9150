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
from urllib.parse import unquote

COMMIT = "c0ffee" + "0" * 34
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree|refs)(?:/(?P<revision>[^/?]+))?)?.*")


@contextmanager
def hub(
    repositories: Mapping[str, Mapping[str, Path]],
    gated: Sequence[str] = (),
    damaged: Sequence[str] = (),
    by_git: Sequence[str] = (),
    pages: Sequence[str] = (),
) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with these repositories' files, and the requests that it gets.

    It refuses repositories that are gated, sends other bytes than it announces for files that are damaged, and
    announces git's blob id of the files that it keeps in git. For pages it shows a page, as a proxy does.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            asked.append(f"{self.command} {self.path}")
            path = unquote(self.path)
            file, api = _FILE.fullmatch(path), _API.fullmatch(path)
            found = (file or api or {"repo": ""})["repo"]
            revision = (file or api or {"revision": None})["revision"] or "main"
            if found in pages:
                return self.send(b"<html>", 200, {}, with_body)
            if found in gated:
                told = f"gated for {self.headers.get('Authorization')}"
                return self.send(b"", 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": told}, with_body)
            if found not in repositories or revision not in ("main", COMMIT):
                missing = "RepoNotFound" if found not in repositories else "RevisionNotFound"
                return self.send(b"", 404, {"X-Error-Code": missing}, with_body)
            files = repositories[found]
            if file is not None:
                if file["file"] not in files:
                    return self.send(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, with_body)
                data = files[file["file"]].read_bytes()
                etag = hashlib.sha256(data).hexdigest()
                if file["file"] in by_git:
                    etag = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                if file["file"] in damaged:
                    data = data[:-1] + b" "
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
            if api["what"] == "refs":
                refs = [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}]
                return self.send(
                    json.dumps({"branches": refs, "tags": [], "converts": []}).encode(), 200, {}, with_body
                )
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
