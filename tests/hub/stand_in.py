"""A stand-in for the Hub: the part of its HTTP interface that huggingface_hub uses for models.

https://huggingface.co/docs/hub/api and the client's code say what it asks for and expects.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_the_owner"
_REPOSITORY = r"/([\w.-]+/[\w.-]+)"


class StandIn(ThreadingHTTPServer):
    """Repositories in memory, the requests so far, and faults to show."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}  # by repository and name
        self.uploads: dict[str, bytes] = {}  # by SHA-256
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.forbidden: set[str] = set()
        self.sizes: dict[str, int] = {}  # that HEAD says, by file name
        self.replaced: dict[str, bytes] = {}  # contents that GET sends, by file name
        self.cut_after: int | None = None  # bytes of every file
        self.requests: list[tuple[str, str]] = []  # method and path
        self.bodies: list[Any] = []  # of commits
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def commit_of(self, repository: str) -> str:
        """The hash of the files of a repository, which stands for its last commit."""
        content = sorted((n, sha256(c)) for n, c in self.files[repository].items())
        return hashlib.sha1(repr(content).encode()).hexdigest()

    def fetched(self) -> set[str]:
        """The names of the files whose content has been asked for."""
        paths = (path for method, path in self.requests if method == "GET" and "/resolve/" in path)
        return {unquote(re.split("/resolve/[^/]+/", path)[1]) for path in paths}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    """As `git hash-object` computes it."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def is_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".png", ".pth"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        if path == "/api/agent-harnesses":  # which the client asks for by itself
            self._json({})
            return
        self.server.requests.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, answer in _ROUTES:
            method, _, expression = pattern.partition(" ")
            if self.command in method.split("|") and (found := re.fullmatch(expression, path)):
                answer(self, body, *map(unquote, found.groups()))
                return
        self._error(404, "EntryNotFound")

    def _send(self, status: int, content: bytes, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _error(self, status: int, code: str = "", message: str = "") -> None:
        headers = {"X_Error_Code": code, "X_Error_Message": message}
        self._send(status, b"{}", **{name: text for name, text in headers.items() if text})

    def _is_refused(self, repository: str = "", writes: bool = False) -> bool:
        """Whether the answer is an error for this token, which is then sent."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if (token and token != TOKEN) or (writes and not token):
            self._error(401, message="Invalid credentials in Authorization header")
        elif repository in self.server.gated:
            self._error(403, "GatedRepo")
        elif repository in self.server.forbidden:
            self._error(403, message="You have no access")
        elif repository and repository not in self.server.files:
            self._error(404, "RepoNotFound")
        elif repository in self.server.private and not token:
            self._error(401, "RepoNotFound")
        else:
            return False
        return True

    def _create(self, body: bytes) -> None:
        if self._is_refused(writes=True):
            return
        asked = json.loads(body)
        repository = f"{asked['organization']}/{asked['name']}"
        if repository in self.server.files:
            self._send(409, json.dumps({"url": f"{self.server.url}/{repository}"}).encode())
            return
        self.server.files[repository] = {".gitattributes": b"*.safetensors filter=lfs\n"}
        if asked.get("private") or asked.get("visibility") == "private":
            self.server.private.add(repository)
        self._json({"url": f"{self.server.url}/{repository}"})

    def _validate_yaml(self, body: bytes) -> None:
        text = json.loads(body)["content"].split("---\n")[1]
        assert isinstance(yaml.safe_load(text), dict)
        self._json({"errors": [], "warnings": []})

    def _preupload(self, body: bytes, repository: str, _revision: str) -> None:
        if self._is_refused(repository, writes=True):
            return
        names = [file["path"] for file in json.loads(body)["files"]]
        modes = {name: "lfs" if is_lfs(name) else "regular" for name in names}
        files = [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]
        self._json({"files": files})

    def _batch(self, body: bytes, repository: str) -> None:
        if self._is_refused(repository, writes=True):
            return
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.server.url}/upload/{item['oid']}"}}}
            for item in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, body: bytes, oid: str) -> None:
        assert sha256(body) == oid
        self.server.uploads[oid] = body
        self._send(200, b"")

    def _commit(self, body: bytes, repository: str, _revision: str) -> None:
        if self._is_refused(repository, writes=True):
            return
        files = self.server.files[repository]
        for line in map(json.loads, body.splitlines()):
            self.server.bodies.append(line)
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        commit = self.server.commit_of(repository)
        self._json({"commitUrl": f"{self.server.url}/{repository}", "commitOid": commit})

    def _info(self, _body: bytes, repository: str, revision: str = "main") -> None:
        if self._is_refused(repository):
            return
        commit = self.server.commit_of(repository)
        if revision not in ("main", "v1.0", commit):
            self._error(404, "RevisionNotFound")
            return
        siblings = [{"rfilename": name} for name in self.server.files[repository]]
        private = repository in self.server.private
        self._json({"id": repository, "sha": commit, "siblings": siblings, "private": private})

    def _resolve(self, _body: bytes, repository: str, revision: str, name: str) -> None:
        if self._is_refused(repository):
            return
        files, commit = self.server.files[repository], self.server.commit_of(repository)
        if revision not in ("main", "v1.0", commit):
            self._error(404, "RevisionNotFound")
            return
        if name not in files:
            self._error(404, "EntryNotFound")
            return
        content = files[name]
        etag = sha256(content) if is_lfs(name) else git_hash(content)
        size = self.server.sizes.get(name, len(content))
        headers = {"X_Repo_Commit": commit, "ETag": f'"{etag}"', "X_Linked_Size": size}
        if self.command == "GET":
            content = self.server.replaced.get(name, content)
            if self.server.cut_after is not None:
                headers["Content_Length"] = len(content)
                content = content[: self.server.cut_after]
                self.close_connection = True
        self._send(200, content, **headers)


_ROUTES = [
    ("POST /api/repos/create", _Handler._create),
    ("POST /api/validate-yaml", _Handler._validate_yaml),
    (f"POST /api/models{_REPOSITORY}/preupload/(.+)", _Handler._preupload),
    (rf"POST {_REPOSITORY}\.git/info/lfs/objects/batch", _Handler._batch),
    ("PUT /upload/([0-9a-f]{64})", _Handler._upload),
    (f"POST /api/models{_REPOSITORY}/commit/(.+)", _Handler._commit),
    (f"GET /api/models{_REPOSITORY}", _Handler._info),
    (f"GET /api/models{_REPOSITORY}/revision/(.+)", _Handler._info),
    (f"HEAD|GET {_REPOSITORY}/resolve/([^/]+)/(.+)", _Handler._resolve),
]
