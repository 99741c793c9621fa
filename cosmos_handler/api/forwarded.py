"""What SageMaker puts on a request to `/invocations`: attributes of the caller's own, which may name another route."""

from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cosmos_handler.api.attributes import ATTRIBUTES_HEADER, Attributes, read_attributes
from cosmos_handler.api.errors import response_for
from cosmos_handler.errors import CosmosError, NotShared

_JOBS = "/v1/videos"
_NO_JOBS = (
    "jobs of /v1/videos are known to one instance only, and the platform may send the next request to another one: "
    "use asynchronous inference, or Accept: text/event-stream; with COSMOS_JOBS_S3_URI set all instances know them"
)


class Forwarded:
    """An application that other routes of are reached through `/invocations`, the only one that the platform forwards.

    keeps_jobs: whether a job of one request is there for the next.
    """

    def __init__(self, app: ASGIApp, *, keeps_jobs: bool) -> None:
        self._app = app
        self._keeps_jobs = keeps_jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's own start and end."""
        if scope["type"] != "http" or scope["path"] != "/invocations":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            attributes = read_attributes(headers)
            asked = self._routed(scope, headers, attributes)
        except CosmosError as error:
            await response_for(error)(scope, receive, send)
            return

        async def send_with_attributes(message: Message) -> None:
            if message["type"] == "http.response.start" and attributes.text:
                MutableHeaders(raw=message.setdefault("headers", []))[ATTRIBUTES_HEADER] = attributes.text
            await send(message)

        await self._app(asked, receive, send_with_attributes)

    def _routed(self, scope: Scope, headers: Headers, attributes: Attributes) -> Scope:
        """The request as the one that it stands for."""
        if attributes.route is None:
            return scope
        path, _, query = attributes.route.partition("?")
        if not self._keeps_jobs and (path == _JOBS or path.startswith(f"{_JOBS}/")):
            raise NotShared(_NO_JOBS)
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        method = attributes.method or ("POST" if has_body else "GET")
        return {
            **scope,
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "method": method,
        }
