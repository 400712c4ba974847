"""Pages that are served by a process of their own, for the tests beside this file."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from dcgan.demo.command import serve_model
from dcgan.demo.model import Model, make_model
from dcgan.demo.server import listen
from dcgan.networks import Generator
from tests.export.pages import some_directions
from tests.latent.generators import ATTRIBUTES, CLASSES, make_generator

HOSTILE = '<img src="http://192.0.2.1/x" onerror="alert(1)">${alert(2)}{{name}}'


def tiny(kind: str) -> Generator:
    """A generator with random weights: "class", "attributes" or "uniform"."""
    if kind == "class":
        return make_generator(CLASSES, channels=1)
    if kind == "attributes":
        return make_generator(ATTRIBUTES, size=32)
    return make_generator(latent="uniform")


def tiny_model(kind: str) -> Model:
    """The same with two directions, one of them with a hostile name, as that of the model."""
    G = tiny(kind)
    return make_model(G, HOSTILE, some_directions(G, ("first", HOSTILE)))


class Served:
    """A page that is served, and requests to it without a browser."""

    def __init__(self, process: subprocess.Popen, address: str):
        self.process, self.address = process, address
        self.place = address.removeprefix("http://").rstrip("/")

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and the content of an answer; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection(self.place, timeout=60)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        with contextlib.closing(connection):
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def ask(self, name: str, *values: Any, **others: Any) -> tuple[int, Any]:
        """What a control's event with these values is answered, as JSON."""
        body = {"data": values, "session_hash": "tests", **others}
        status, content = self.request("POST", f"/gradio_api/run/{name}", body)
        return status, json.loads(content)

    def answer(self, name: str, *values: Any, **others: Any) -> list[Any]:
        """The new values of the controls, of which the last is a message."""
        status, content = self.ask(name, *values, **others)
        assert status == 200, content
        return content["data"]


@contextlib.contextmanager
def served(*command: str) -> Iterator[Served]:
    """Run `python COMMAND`, which prints the address of its page, in the block. It must end without
    words when it is interrupted.
    """
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert "http://" in line, process.communicate(timeout=60)[1]
        yield Served(process, line[line.rindex("http://") :].split()[0])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors and "Warning" not in errors, errors
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), listen("127.0.0.1", 0) as listening:
        serve_model(tiny_model(sys.argv[1]), listening)
