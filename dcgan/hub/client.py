"""The client of the Hub, huggingface_hub, and its errors in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dcgan.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


def open_hub(why: str) -> "HfApi":
    """The client; it reads HF_ENDPOINT, HF_TOKEN and the other variables of huggingface_hub.

    `why`: it is needed. Raises UserError where huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError(f'{why} needs huggingface_hub: pip install "dcgan[hub]"') from None
    return HfApi(library_name="dcgan")


def check_can_upload(repository: str) -> None:
    """Raise UserError where huggingface_hub or a token is missing, before any work is done."""
    open_hub("dcgan push")

    from huggingface_hub import get_token

    if not get_token():
        raise UserError(f"{repository}: the Hub wants a token to upload: {_LOGIN}")


@contextmanager
def calling_hub(name: object) -> Iterator[None]:
    """Turn errors of the client in the block into UserError, which begin with `name`.

    Its warnings of retries are hidden, and its progress bars where stderr is no terminal.
    """
    with _quiet_client():
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # the client raises those of several libraries
            raise UserError(f"{name}: {describe_hub_error(error)}") from error


@contextmanager
def _quiet_client() -> Iterator[None]:
    from huggingface_hub import constants, logging, utils

    verbosity = logging.get_verbosity()
    shows_bars = not utils.are_progress_bars_disabled()
    hides_bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not sys.stderr.isatty()
    logging.set_verbosity_error()
    if hides_bars and shows_bars:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if hides_bars and shows_bars:
            utils.enable_progress_bars()


def is_unreachable(error: Exception) -> bool:
    """Whether the Hub has not answered, or says that it is out of order."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return status_of(error) >= 500
    return isinstance(error, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError)


def is_missing_file(error: Exception) -> bool:
    """Whether the Hub has answered that there is no such file, in a repository that may exist."""
    from huggingface_hub import errors

    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        return False
    is_entry = isinstance(error, errors.EntryNotFoundError)
    return status_of(error) == 404 or (
        is_entry and not isinstance(error, errors.LocalEntryNotFoundError)
    )


def status_of(error: BaseException) -> int:
    """The HTTP status in an error of the client; 0 where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", 0)


def describe_hub_error(error: BaseException) -> str:
    """What went wrong, and what to do, in one line."""
    from huggingface_hub import errors, get_token

    status, endpoint = status_of(error), open_hub("the Hub").endpoint
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "it is not in the cache, and HF_HUB_OFFLINE forbids to download it"
    if isinstance(error, errors.GatedRepoError):
        return f"access is restricted ({status}): ask for it on its page, then {_LOGIN}"
    if status == 401 and get_token():
        return f"the Hub refuses the token (401): {_LOGIN}"
    if status == 401:
        return f"the Hub has no such repository, or it is private (401): {_LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision (404)"
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        return "the repository has no such file (404)"
    if status == 404:
        return f"the Hub has no such repository, or hides it from you (404): if private, {_LOGIN}"
    if status == 403:
        return f"the Hub forbids it (403), with this token or without one: {_LOGIN}"
    if status:
        return f"the Hub answers with status {status}: try again later"
    # An error that wraps another, such as that of a thread that uploads, says less.
    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    if status_of(cause):
        return describe_hub_error(cause)
    text = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError):
        return f"the connection to {endpoint} fails: {text[:300]}"
    return text[:300]
