"""Damaged files of weights raise UserError, or are read completely.

`DCGAN_FUZZ=5000 pytest tests/importing/test_fuzz_import.py` tries more of them than the suite does.
"""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from dcgan.errors import UserError
from dcgan.importing.recognition import recognize
from dcgan.importing.state_dict import open_state_dict
from tests import fuzzing
from tests.fuzzing import damage
from tests.pytorch_example import Discriminator, save


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A discriminator of 16x16 pixels, whose file is short."""
    path = tmp_path_factory.mktemp("fuzz") / "netD.safetensors"
    return save(path, Discriminator(ndf=2, factors=(1, 2))).read_bytes()


@fuzzing.fuzz_settings(300)
@given(damaged=damage(near=(16, 256, 1024)))
def test_damaged_files_are_refused_in_one_line(whole, damaged):
    content = damaged(whole)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "netD.safetensors"
        path.write_bytes(content)
        try:
            file = open_state_dict(path)
            network = recognize(file)
            tensors = file.read()
        except UserError as error:
            message = str(error)
        else:
            message = ""
    if message:
        assert str(path) in message and "\n" not in message
        return
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert {*network.names.values()} >= set(header) - {"__metadata__"}
    assert all(tensors[name].isfinite().all() for name in network.names.values())
