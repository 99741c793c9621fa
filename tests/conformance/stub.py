"""Two little containers of somebody else's: one that keeps the contract, and one that breaks it in every section.

    python stub.py PORT [wrong]

They turn a text to capitals: {"text": "hello"} → {"capitals": "HELLO"}. Their words are not this project's.
"""

import json
import sys
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
PARAMETERS = {"MaxConcurrentTransforms": 4, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 25}
METRICS = b"# HELP stub_calls Calls.\n# TYPE stub_calls counter\nstub_calls_total 3.0\n"
REFUSED_HEADERS = ("X-Amzn-SageMaker-Session-Id", "X-Amzn-SageMaker-Adapter-Identifier")


class RefusedError(Exception):
    """The caller's own fault."""


class Right(BaseHTTPRequestHandler):
    """Keeps the contract."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together

    def do_GET(self) -> None:
        if self.path == "/ping":
            self.send(200, b"")
        elif self.path == "/metrics":
            self.send(200, METRICS, "text/plain; version=0.0.4")
        elif self.path == "/execution-parameters":
            self.send(200, json.dumps(PARAMETERS).encode())
        else:
            self.fail(404, "no such route")

    def do_POST(self) -> None:
        body = self.body()
        try:
            if self.path == "/ping":
                self.send(200, b"")
            elif self.path == "/invocations":
                self.invocation(body)
            elif self.path == "/v1/chat/completions":
                self.chat(json.loads(body))
            else:
                self.fail(404, "no such route")
        except (RefusedError, ValueError) as error:
            self.fail(400, f"cannot be done: {error}")

    def do_PUT(self) -> None:
        self.body()
        self.fail(405, "not a method here")

    do_DELETE = do_PUT

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def invocation(self, body: bytes) -> None:
        if any(name in self.headers for name in REFUSED_HEADERS):
            raise RefusedError("neither sessions nor adapters")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "application/jsonlines":
            lines = [line for line in body.decode("utf-8-sig").splitlines() if line.strip()]
            self.send(200, self.lines([self.record(line) for line in lines]), "application/jsonlines")
        elif kind == "application/json":
            if self.headers.get("Accept") == "application/jsonlines":
                self.send(200, self.lines([self.record(body.decode())]), "application/jsonlines")
            elif self.headers.get("Accept") == "text/event-stream":
                self.stream(answer_to(body), "text/event-stream")
            else:
                self.send(200, json.dumps(answer_to(body)).encode())
        else:
            self.fail(415, "neither JSON nor JSON Lines")

    def record(self, line: str) -> dict[str, Any]:
        try:
            return answer_to(line.encode())
        except (RefusedError, ValueError) as error:
            return {"fault": str(error)}

    def lines(self, answers: list[dict[str, Any]]) -> bytes:
        return b"\n".join(json.dumps(each).encode() for each in answers)

    def stream(self, answer: dict[str, Any], media_type: str) -> None:
        told = ({"letter": letter} for letter in answer["capitals"])
        self.send_pieces(200, (b"data: " + json.dumps(each).encode() + b"\n\n" for each in told), media_type)

    def chat(self, asked: dict[str, Any]) -> None:
        if not isinstance(asked["messages"], list) or not asked["messages"]:
            raise RefusedError("messages")
        if not isinstance(asked.get("max_tokens", 1), int):
            raise RefusedError("max_tokens")
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "HELLO"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self.send(200, json.dumps({"object": "chat.completion", "choices": choices}).encode())
            return
        chunk = {"object": "chat.completion.chunk"}
        deltas = [({"content": "HELLO"}, None), ({}, "stop")]
        told = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
        data = [*(json.dumps(each) for each in told), "[DONE]"]
        self.send_pieces(200, (f"data: {each}\n\n".encode() for each in data), "text/event-stream")

    def fail(self, status: int, problem: str) -> None:
        self.send(status, json.dumps({"error": {"message": problem}}).encode())

    def send(self, status: int, content: bytes, media_type: str = "application/json") -> None:
        self.begin(status, media_type, ("Content-Length", str(len(content))))
        self.wfile.write(content)

    def send_pieces(self, status: int, pieces: Iterable[bytes], media_type: str) -> None:
        self.begin(status, media_type, ("Transfer-Encoding", "chunked"))
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def begin(self, status: int, media_type: str, framing: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header(*framing)
        if ATTRIBUTES in self.headers:
            self.send_header(ATTRIBUTES, self.attributes())
        self.end_headers()

    def attributes(self) -> str:
        return str(self.headers[ATTRIBUTES])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """None of it."""


class Wrong(Right):
    """One fault, at least, for each section."""

    busy = threading.Lock()
    seen: frozenset[str] = frozenset()

    def do_GET(self) -> None:
        if self.path == "/metrics":  # 1.14
            self.send(200, b"<html>{ not metrics", "text/plain")
        elif self.path == "/models":  # 1.10
            self.send(200, b'["all"]')
        elif self.path == "/invocations-bidirectional-stream":  # 1.12
            self.fail(500, "no handshake")
        elif self.path == "/execution-parameters":  # 3
            self.send(200, json.dumps({**PARAMETERS, "MaxPayloadInMB": 100}).encode())
        else:
            super().do_GET()

    def do_POST(self) -> None:
        if self.path == "/ping":  # 1.2
            self.body()
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_POST()

    def invocation(self, body: bytes) -> None:
        repeat = self.headers.get("X-Amzn-SageMaker-Inference-Id")
        if len(body) > 2 * 10**6:  # 1.4
            self.send(413, b"too large")
        elif repeat in Wrong.seen:  # 2.6
            self.send(409, b"seen before")
        elif not Wrong.busy.acquire(blocking=False):  # 2.2
            self.send(503, b"busy")
        else:
            try:
                Wrong.seen |= {repeat} - {None}
                time.sleep(0.05)
                for name in REFUSED_HEADERS:  # 1.11
                    del self.headers[name]
                super().invocation(body)
            finally:
                Wrong.busy.release()

    def stream(self, answer: dict[str, Any], media_type: str) -> None:  # 1.7
        told = ({"letter": letter} for letter in answer["capitals"])
        self.send_pieces(200, (json.dumps(each).encode() for each in told), media_type)

    def lines(self, answers: list[dict[str, Any]]) -> bytes:  # 3
        return super().lines(answers) + b"\n"

    def chat(self, asked: dict[str, Any]) -> None:  # 1.13
        if not asked["model"]:
            raise RefusedError("which model?")
        super().chat(asked)

    def fail(self, status: int, problem: str) -> None:  # 1.6, 2.3
        trace = "at line 1 of some file\n" * 200
        self.send(status if status >= 500 else 200, f"{trace}{problem}".encode())

    def send(self, status: int, content: bytes, media_type: str = "application/json") -> None:  # 2.3, 2.4
        self.send_pieces(status, [content] if content else [], media_type)

    def attributes(self) -> str:  # 1.5
        return super().attributes().upper()


def answer_to(body: bytes) -> dict[str, Any]:
    asked = json.loads(body.decode("utf-8-sig"))
    if not isinstance(asked, dict) or not isinstance(asked.get("text"), str):
        raise RefusedError("text is needed")
    return {"capitals": asked["text"].upper(), "id": asked.get("id")}


if __name__ == "__main__":
    handler = Wrong if sys.argv[2:] == ["wrong"] else Right
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
