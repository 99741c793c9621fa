"""A small hub on this machine: as much of its protocol as fetching a snapshot takes, and its ways of refusing."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Refusal:
    """How requests are turned away. code: what the hub calls it, in a header."""

    status: int
    code: str = ""
    message: str = ""


@dataclass
class Hub:
    """One repository with one revision, or more in `branches`; others in `beside`, which have addresses of their own.

    Set `refusals` to turn away requests whose path contains the key."""

    model_id: str
    revision: str
    files: Mapping[str, bytes]
    branches: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    endpoint: str = ""
    refusals: dict[str, Refusal] = field(default_factory=dict)
    may_send: Event = field(default_factory=lambda: _set(Event()))  # clear it to hold the files' content back
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, authorization
    beside: list["Hub"] = field(default_factory=list)

    def downloaded(self) -> set[str]:
        """The files whose content was asked for."""
        return self.downloaded_of(COMMIT)

    def downloaded_of(self, commit: str, model_id: str = "") -> set[str]:
        """The same for one commit. model_id: of a repository beside this one."""
        prefix = f"/{model_id or self.model_id}/resolve/{commit}/"
        return {path.removeprefix(prefix) for method, path, _ in self.requests if method == "GET" and prefix in path}

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request."""
        for part, refusal in self.refusals.items():
            if part in path:
                headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
                return refusal.status, {key: value for key, value in headers.items() if value}, b""
        for other in self.beside:
            if f"/{other.model_id}/" in f"{path}/":
                return other.answer(path)
        for revision, files in {self.revision: self.files, **self.branches}.items():
            commit = COMMIT if revision == self.revision else commit_of(revision)
            answer = self._answer_of(path, revision, commit, files)
            if answer is not None:
                return answer
        if path.startswith(f"/api/models/{self.model_id}/revision/"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def _answer_of(
        self, path: str, revision: str, commit: str, files: Mapping[str, bytes]
    ) -> tuple[int, dict[str, str], bytes] | None:
        if path in [f"/api/models/{self.model_id}/revision/{name}" for name in (revision, commit)]:
            return self._json({"id": self.model_id, "sha": commit})
        if path == f"/api/models/{self.model_id}/tree/{commit}":
            return self._json(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
                    for name, content in files.items()
                ]
            )
        content = files.get(path.removeprefix(f"/{self.model_id}/resolve/{commit}/"))
        if content is None:
            return None
        return 200, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": commit}, content

    def _json(self, value: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _set(event: Event) -> Event:
    event.set()
    return event


def commit_of(revision: str) -> str:
    """The commit of a branch."""
    return hashlib.sha1(revision.encode(), usedforsecurity=False).hexdigest()


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, answering at its endpoint for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Authorization")))
            status, headers, body = hub.answer(path)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                if "/resolve/" in path:
                    hub.may_send.wait(60)
                self.wfile.write(body)

        do_GET = do_HEAD = _respond

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.may_send.set()
            server.shutdown()
            thread.join()
