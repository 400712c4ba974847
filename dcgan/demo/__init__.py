"""A generator as a page in the browser, served by this machine."""

from dcgan.demo.command import run_demo

__all__ = ["run_demo"]
