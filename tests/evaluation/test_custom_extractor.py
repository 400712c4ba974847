"""Feature extractors of users: found, compared, and their errors reported in one line."""

import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch

import dcgan
from dcgan import cli, sampling
from dcgan.errors import UserError
from dcgan.evaluation import fit_gaussian, frechet_distance
from dcgan.evaluation.custom_extractor import load_extractor
from dcgan.runs import load_generator
from tests.evaluation.commands import evaluate_command, stored_evaluations


def test_a_module_class_is_compared_beside_the_random_features(
    copied, packed, tmp_path, monkeypatch
):
    (tmp_path / "my_features.py").write_text(
        "import torch\n"
        "class Colour(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        assert images.dtype == torch.uint8 and images.shape[1] == 3\n"
        "        assert not self.training\n"
        "        return images.float().mean((2, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(evaluate_command(copied, packed, "--extractor", "my_features:Colour")) == 0
    (found,) = stored_evaluations(copied.parent)
    fake = np.concatenate(list(sampling.sample(load_generator(copied), range(50))))
    gaussians = [
        fit_gaussian(torch.from_numpy(images.astype(np.float64).mean((1, 2))))
        for images in (np.asarray(packed.images), fake)
    ]
    scores = found["results"]["my_features:Colour"]
    assert scores["frechet"] == pytest.approx(frechet_distance(*gaussians), rel=1e-4)
    assert set(scores) == {"frechet", "kernel", "precision", "recall", "density", "coverage"}


def test_an_extractor_is_tried_on_images_of_the_size_it_is_for(copied, packed, tmp_path):
    text = "def flat(x):\n    return x.reshape(-1, 3 * 16 * 16)[:, :5]\n"
    (tmp_path / "of_16.py").write_text(text)
    with chdir(tmp_path):
        assert cli.main(evaluate_command(copied, packed, "--extractor", "of_16:flat")) == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("torch.zeros(2, 4)", "does not make features"),
        ("torch.zeros(len(x), len(x))", "does not make features"),
        ("torch.zeros(len(x), 0)", "does not make features"),
        ("x.flatten(1)[:, :5] * 1j", "does not make features"),
        ("torch.full((len(x), 4), torch.nan)", "real and finite"),
        ("x.flatten(1)[:, : 4 if len(x) == 2 else 1 // 0]", "ZeroDivisionError"),
    ],
)
def test_wrong_features_are_one_line(copied, packed, tmp_path, capsys, body, words):
    """Of the first images or of later ones, where it would be a traceback or a wrong score."""
    module = tmp_path / f"{tmp_path.name}.py"
    module.write_text(f"import torch\ndef features(x):\n    return {body}\n")
    with chdir(tmp_path):
        flags = ["--extractor", f"{module.stem}:features"]
        assert cli.main(evaluate_command(copied, packed, *flags)) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sys:exit", "SystemExit"),
        ("no_such_module:Class", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("math:no_such", "AttributeError: .* 'no_such'"),
        ("math:sqrt", "Error: only one element"),
        ("torch:sum", "does not make features"),
    ],
)
def test_what_is_no_extractor_is_refused(name, words):
    with pytest.raises(UserError, match=f"^--extractor {name}.*{words}"):
        load_extractor(name, 16, torch.device("cpu"))


def test_files_of_the_current_folder_replace_no_module(tmp_path):
    """Neither one that the extractor imports, nor the extractor's own."""
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('from the current folder')\n")
    (tmp_path / "helper_of_mine.py").write_text("count = 5\n")
    text = (
        "import colorsys, helper_of_mine\n"
        "def features(x):\n    return x.flatten(1)[:, : helper_of_mine.count].float()\n"
    )
    (tmp_path / "my_own.py").write_text(text)
    sys.modules.pop("colorsys", None)
    with chdir(tmp_path):
        extractor = load_extractor("my_own:features", 16, torch.device("cpu"))
        sys.modules.pop("colorsys", None)
        with pytest.raises(UserError, match="AttributeError: module 'colorsys'"):
            load_extractor("colorsys:features", 16, torch.device("cpu"))
    assert extractor(torch.ones(3, 3, 16, 16, dtype=torch.uint8)).shape == (3, 5)


def test_what_a_module_lacks_is_not_blamed_on_the_module(tmp_path):
    (tmp_path / "needs_more.py").write_text("import no_such_library\n")
    with chdir(tmp_path), pytest.raises(UserError, match="No module named 'no_such_library'"):
        load_extractor("needs_more:features", 16, torch.device("cpu"))


def test_python_m_dcgan_takes_no_modules_from_the_current_folder(tmp_path):
    (tmp_path / "safetensors.py").write_text("raise RuntimeError('from the current folder')\n")
    (tmp_path / "types.py").write_text("raise RuntimeError('from the current folder')\n")
    command = [sys.executable, "-m", "dcgan", "sample", "no-such-run"]
    # An empty entry would be the current folder.
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    folders = os.pathsep.join([str(Path(dcgan.__file__).parents[1]), *others])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": folders},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "no-such-run" in done.stderr, done.stderr


def test_a_module_that_changes_folder_leaves_sys_path_as_it_was(tmp_path):
    text = "import os\nos.chdir(os.sep)\ndef features(x):\n    return x.flatten(1)[:, :5].float()\n"
    (tmp_path / "wanderer.py").write_text(text)
    path = [*sys.path]
    with chdir(tmp_path):
        extractor = load_extractor("wanderer:features", 16, torch.device("cpu"))
    assert sys.path == path
    assert extractor(torch.ones(3, 3, 16, 16, dtype=torch.uint8)).equal(torch.ones(3, 5))
