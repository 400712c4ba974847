"""Networks in repositories of the Hub, fetched one file at a time into huggingface_hub's cache.

Only files of names that end in .safetensors are fetched, and lists of files as JSON: nothing that
could hold code.
"""

import hashlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.config.hub_names import HubName
from dcgan.errors import UserError
from dcgan.hub.client import (
    calling_hub,
    describe_hub_error,
    is_missing_file,
    is_unreachable,
    open_hub,
)
from dcgan.runtime.hashing import file_sha256
from dcgan.runtime.terminal import print_lines

if TYPE_CHECKING:
    from huggingface_hub import HfApi

GENERATOR, DISCRIMINATOR = "generator.safetensors", "discriminator.safetensors"
_MAX_BYTES = 2**32  # of a file: that of the largest networks has 2 GiB
_PICKLES = (".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")
_MAX_NAMES = 5  # in a message


def fetch_networks(name: HubName) -> list[Path]:
    """The checkpoint files that a name stands for: its file; or generator.safetensors, and after it
    discriminator.safetensors if the repository has one; or else the only .safetensors file.

    They are in the cache, from where they are taken if the Hub cannot be reached, with a note on
    stderr unless HF_HUB_OFFLINE is set. Raises UserError for files that are missing, too large,
    incomplete or have another hash than the Hub says, and all that the Hub refuses.
    """
    api = open_hub(str(name))

    from huggingface_hub import errors

    with calling_hub(name):
        try:
            return _download(api, name)
        except Exception as error:
            if not (is_unreachable(error) and (cached := _find_in_cache(name))):
                raise
            if not isinstance(error, errors.OfflineModeIsEnabled):
                note = f"{name}: {describe_hub_error(error)}; using the copy in the cache"
                print_lines(note, file=sys.stderr)
            return cached


def _download(api: "HfApi", name: HubName) -> list[Path]:
    if name.file:
        return [_download_file(api, name, name.file)]
    # The discriminator first: where the generator is in the cache, all of the repository is.
    found = {file: _download_if_there(api, name, file) for file in (DISCRIMINATOR, GENERATOR)}
    if found[GENERATOR]:
        return [path for file in (GENERATOR, DISCRIMINATOR) if (path := found[file])]
    info = api.model_info(name.repository, revision=name.revision)
    files = [sibling.rfilename for sibling in info.siblings or ()]
    return [_download_file(api, name, _only_network(name, files))]


def _download_if_there(api: "HfApi", name: HubName, file: str) -> Path | None:
    try:
        return _download_file(api, name, file)
    except Exception as error:
        if is_missing_file(error):
            return None
        raise


def _download_file(api: "HfApi", name: HubName, file: str) -> Path:
    """Fetch a file unless the cache has it, and check its size before and its hash afterwards."""
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(name.repository, file, revision=name.revision, endpoint=api.endpoint)
    expected = api.get_hf_file_metadata(url=url)
    if expected.size is None or expected.size > _MAX_BYTES:
        size = "an unknown size" if expected.size is None else f"{expected.size:,} bytes"
        raise UserError(f"{name}: {file} has {size}, and at most {_MAX_BYTES:,} bytes are fetched")
    path = Path(api.hf_hub_download(name.repository, file, revision=name.revision))
    if _hash(path, str(expected.etag)) != expected.etag:
        path.resolve().unlink(missing_ok=True)  # the cache keeps it under the hash that it lacks
        path.unlink(missing_ok=True)
        raise UserError(
            f"{name}: {file} has another hash than the Hub says: it is damaged, or has changed "
            "meanwhile; try again"
        )
    return path


def _hash(path: Path, like: str) -> str | None:
    """The hash of a file of the kind that the Hub gives in the ETag of a file: SHA-256, or that of
    Git for small files; None for others.
    """
    if not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", like):
        return None
    if len(like) == 64:
        return file_sha256(path)
    with open(path, "rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _only_network(name: HubName, files: list[str]) -> str:
    """The one file of a list that may be a checkpoint. Raises UserError where there are others."""
    networks = sorted(file for file in files if file.endswith(".safetensors"))
    if len(networks) == 1:
        return networks[0]
    if networks:
        one = HubName(name.repository, "FILE", name.revision)
        raise UserError(f"{name} has several checkpoints: name {one}, one of {_list(networks)}")
    if pickles := sorted(file for file in files if file.endswith(_PICKLES)):
        raise UserError(
            f"{name} has only pickles ({_list(pickles)}), which can run code and are not fetched; "
            "dcgan reads .safetensors"
        )
    raise UserError(f"{name} has no .safetensors file")


def _list(files: list[str]) -> str:
    more = ", ..." if len(files) > _MAX_NAMES else ""
    return ", ".join(file[:60] for file in files[:_MAX_NAMES]) + more


def _find_in_cache(name: HubName) -> list[Path]:
    """What `_download` has fetched earlier of a name; nothing where that is not in the cache."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir, try_to_load_from_cache

    def find(file: str) -> Path | None:
        path = try_to_load_from_cache(name.repository, file, revision=name.revision)
        return Path(path) if isinstance(path, str) else None

    wanted = [name.file] if name.file else [GENERATOR, DISCRIMINATOR]
    found = [path for file in wanted if (path := find(file))]
    if name.file or find(GENERATOR):
        return found
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    for repository in repositories:
        if (repository.repo_type, repository.repo_id) == ("model", name.repository):
            for revision in repository.revisions:
                if name.revision in (revision.commit_hash, *revision.refs):
                    base = revision.snapshot_path
                    paths = [file.file_path for file in revision.files]
                    names = [path.relative_to(base).as_posix() for path in paths]
                    return [base / _only_network(name, names)] if names else []
    return []
