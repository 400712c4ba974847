"""The server of the page: what it listens on, which addresses it answers, and when it ends."""

import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dcgan.demo.uploads import MAX_BYTES
from dcgan.errors import UserError
from dcgan.runtime.threads import environment_variables

if TYPE_CHECKING:
    import gradio as gr

_MAX_BODY = 2**20  # bytes of a request that is no upload
_MAX_VISITORS = 500  # that the server remembers
_MAX_WAITING = 100
_STOP_SECONDS = 1  # that open connections have in the end
# What the page asks for. Gradio has more, such as fetching files for visitors.
_PATHS = re.compile(
    r"/(|config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|(static|assets|svelte)/.*"
    r"|gradio_api/(info/?|theme\.css|startup-events|upload|upload_progress|heartbeat/\w+"
    r"|(run|call|api)/.*|queue/(join|data|status)|reset|cancel|file=.*))"
)
# The browser refuses what would leave the server. Gradio's page compiles templates: unsafe-eval.
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "worker-src 'self' blob:; connect-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
# The header Host: a name or an address, of IPv6 in brackets, and perhaps a port.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d+)?", re.ASCII)
_CSS = """
#message { position: sticky; top: 0; z-index: 10; }
#message p { padding: 8px; background: #b91c1c; color: white; border-radius: 4px; }
.shown img { width: min(100%, 384px); }
.seeds { display: grid; grid-template-columns: repeat(auto-fill, minmax(64px, 1fr)); gap: 4px; }
.seeds button { padding: 0; border: 0; background: none; cursor: pointer; }
.seeds button:hover, .seeds button:focus-visible { outline: 2px solid var(--color-accent); }
.seeds img { width: 100%; }
.picks { display: flex; flex-wrap: wrap; gap: 4px 12px; }
.picks div { display: flex; align-items: center; min-height: 44px; gap: 2px; }
.picks b { font-weight: normal; margin-right: 4px; }
.picks img { height: 44px; }
#animation img { width: min(100%, 200px); }
.pair img { width: 104px; display: inline; margin-right: 4px; }
.many { max-height: 420px; overflow-y: auto !important; }
#saved a { font-size: 0.9em; }
"""


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder for what visitors send, which is removed in the end; Gradio learns of it."""
    with TemporaryDirectory(prefix="dcgan-demo-") as folder:
        path = Path(folder).resolve()
        with environment_variables({"GRADIO_TEMP_DIR": str(path)}):
            yield path


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UserError where the address is taken, or none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on {host}, port {port}: {reason}: name another --port, or 0 for any"
        ) from None


def address_of(listening: socket.socket) -> str:
    """The address of the page for people: http://127.0.0.1:7860/."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def local_names(listening: socket.socket) -> tuple[str, ...]:
    """The names of a server that this machine alone reaches; none for others."""
    address = listening.getsockname()[0]
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return ()
    return (address, "localhost", "127.0.0.1", "::1")


def make_app(page: "gr.Blocks", names: tuple[str, ...] = ()) -> Any:
    """The ASGI application that serves the page, and nothing else that Gradio can do.

    `names`: under which it answers, see `local_names`; by default under all.
    """
    import gradio as gr
    from fastapi import FastAPI

    page.queue(max_size=_MAX_WAITING, api_open=False)
    page.state_session_capacity = _MAX_VISITORS
    page.has_launched = True  # or Gradio lets visitors name any file
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app = gr.mount_gradio_app(
        app,
        page,
        "/",
        footer_links=[],
        run_history=False,
        max_file_size=MAX_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Base(font=("system-ui", "sans-serif"), font_mono=("monospace",)),
        css=_CSS,
    )
    return _Gate(app, names)


class _Gate:
    """ASGI middleware: only the addresses of the page, small requests, and headers for safety."""

    def __init__(self, app: Any, names: tuple[str, ...]):
        self._app, self._names = app, names

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(event: dict) -> None:
            if event["type"] == "http.response.start":
                event = {**event, "headers": [*event.get("headers", []), *_HEADERS]}
            await send(event)

        refusal = _refusal(scope, self._names)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            status, words = refusal
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            start = {"type": "http.response.start", "status": status, "headers": headers}
            await send_with_headers(start)
            await send({"type": "http.response.body", "body": words.encode()})


def _refusal(scope: dict, names: tuple[str, ...]) -> tuple[int, str] | None:
    """The status and words for a request that is refused; None for others.

    `names`: of a server that this machine alone reaches. It has no other name, so that none of
    another site leads here (DNS rebinding), and no page of another site can send it anything.
    """
    path, headers = scope["path"], dict(scope["headers"])
    host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
    named = _HOST.fullmatch(host.lower())
    if names and (named is None or (named[1] or named[2]) not in names):
        return 400, "the server has another name"
    if not _PATHS.fullmatch(path):
        return 404, "there is no such page"
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return None
    if names and origin and origin.lower() != f"http://{host}".lower():
        return 403, "this is sent by the page of another site"
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers:  # which hides a length that differs
        length = b""
    most = _MAX_BODY + (MAX_BYTES if path.endswith("/upload") else 0)
    if not length.isdigit() or int(length) > most:
        return 413, f"too large: at most {most:,} bytes, whose number is sent first"
    return None


def serve(app: Any, listening: socket.socket) -> None:
    """Answer until Ctrl-C, which raises KeyboardInterrupt, or SIGTERM."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="critical", timeout_graceful_shutdown=_STOP_SECONDS, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listening])
