"""The public names of `dcgan`, and what importing it loads."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import dcgan
from dcgan import cli, config


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def type_checking_imports(package: ModuleType) -> dict[str, str]:
    """The names that a package's __init__.py imports for type checkers: {name: module}."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {alias.name: node.module for node in imports for alias in node.names}


@pytest.mark.parametrize("package", [dcgan, config])
def test_type_checkers_see_the_names_that_are_imported_at_run_time(package):
    lazy = {name: f"{package.__name__}.{module}" for name, module in package._MODULES.items()}
    assert type_checking_imports(package) == lazy
    eager = set(package.__all__) & set(vars(package))
    assert set(package.__all__) == set(lazy) | eager
    assert not set(lazy) & eager


@pytest.mark.parametrize("name", dcgan.__all__)
def test_every_public_name_can_be_imported(name):
    value = getattr(dcgan, name)
    module = sys.modules[f"dcgan.{dcgan._MODULES[name]}"]
    assert value is getattr(module, name)
    assert name in dir(dcgan)


def test_completion_offers_the_public_names_alone():
    assert [name for name in dir(dcgan) if not name.startswith("_")] == sorted(dcgan.__all__)


def test_the_version_is_that_of_the_installed_package(capsys):
    assert dcgan.__version__ == version("dcgan")
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dcgan {version('dcgan')}\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dcgan' has no attribute 'Gnerator'"):
        dcgan.Gnerator  # noqa: B018


def test_importing_dcgan_loads_little_else():
    loaded = loaded_by("import dcgan")
    own = {name for name in loaded if name.startswith("dcgan")}
    assert own == {"dcgan"}
    assert not {"torch", "numpy", "tyro"} & loaded


def test_sampling_loads_neither_trainer_nor_command_line_nor_its_options():
    loaded = loaded_by("import dcgan.sampling")
    assert "dcgan.networks" in loaded
    assert not {"tyro", "tensorboard"} & loaded
    others = ("cli", "data", "evaluation", "reports", "training")
    packages = tuple(f"dcgan.{name}" for name in others)
    assert not {name for name in loaded if name.startswith(packages)}
    assert not {f"dcgan.config.{name}" for name in ("sampling", "evaluation", "reports")} & loaded
