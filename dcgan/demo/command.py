"""`dcgan demo`: a generator as a page in the browser."""

import socket
import sys
from importlib.util import find_spec

import torch

from dcgan import sampling
from dcgan.config import DemoConfig
from dcgan.config.validation import require_options
from dcgan.demo.answers import Answers
from dcgan.demo.model import Model, make_model
from dcgan.demo.page import build_page
from dcgan.demo.server import (
    address_of,
    listen,
    local_names,
    make_app,
    serve,
    upload_folder,
)
from dcgan.errors import UserError
from dcgan.export import choose_directions
from dcgan.export.command import model_name
from dcgan.networks import weights_hash
from dcgan.runtime import device as devices
from dcgan.runtime.terminal import print_lines


def run_demo(config: DemoConfig) -> None:
    """Serve the page until it is interrupted, and print its address when it is ready.

    Raises UserError where Gradio is missing, the checkpoint or the directions cannot be used, or
    the port is taken.
    """
    require_options(config, DemoConfig, "run_demo")
    if find_spec("gradio") is None:
        raise UserError('the page needs Gradio: pip install "dcgan[demo]"')
    devices.reuse_freed_memory()
    device = devices.select_device(config.device)
    G = sampling.load(
        config.checkpoint, raw=config.raw, recalibrate=config.recalibrate, device=device
    )
    with listen(config.host, config.port) as listening:
        directions = choose_directions(G, config.checkpoint, config.directions)
        if directions.generator != weights_hash(G):
            print_lines("note: these directions were found with other weights of the generator")
        model = make_model(G, model_name(config.checkpoint), directions)
        serve_model(model, listening)


def serve_model(model: Model, listening: socket.socket) -> None:
    """Serve the page of a model until it is interrupted, and print its address."""
    names = local_names(listening)
    if not names:
        print_lines(
            "note: other machines reach this address: whoever does can use the page, without a "
            "password",
            file=sys.stderr,
        )
    # Pictures of several visitors are computed side by side, each by one thread.
    torch.set_num_threads(1)
    with upload_folder() as folder:
        app = make_app(build_page(model, Answers(model, folder)), names)
        print_lines(f"{model.name}: {address_of(listening)} (Ctrl-C ends it)")
        serve(app, listening)
