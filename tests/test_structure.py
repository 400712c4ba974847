"""What the design promises and the source tree can show."""

import ast
from pathlib import Path

import pytest

import dcgan

PACKAGE = Path(dcgan.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A folder of dcgan/, or a file beside them, and the others that it may import.
MAY_IMPORT = {
    "errors": "",
    "runtime": "errors",
    "config": "errors",
    "images": "errors runtime",
    "networks": "config",
    "latent": "errors",
    "data": "config errors runtime",
    "runs": "config errors images latent networks runtime",
    "sampling": "data errors images latent networks runs runtime",
    "evaluation": "config data errors images networks runs runtime sampling",
    "training": "config data errors evaluation images latent networks runs runtime sampling",
    "reports": "config data errors evaluation images runs runtime sampling training",
    "cli": "config data errors evaluation images latent reports runs runtime sampling training",
    "__main__": "cli",
}


def folder_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def without_type_checking(tree: ast.Module) -> ast.Module:
    """The module without its top-level blocks `if TYPE_CHECKING:`."""
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return ast.Module(body, tree.type_ignores)


def imports(path: Path) -> set[str]:
    """Folders of the package that a file imports from at run time, anywhere in it."""
    found = set()
    for node in ast.walk(without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("dcgan.")}


def test_every_folder_has_a_row():
    assert {folder_of(file) for file in FILES} - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_its_row_allows(folder):
    allowed = {folder, *MAY_IMPORT[folder].split()}
    taken = {file.name: imports(file) for file in FILES if folder_of(file) == folder}
    assert {name: found - allowed for name, found in taken.items() if found - allowed} == {}
    assert set().union(*taken.values()) >= allowed - {folder}, "a row allows more than is taken"


def test_no_folders_import_each_other():
    rows = {folder: set(others.split()) for folder, others in MAY_IMPORT.items()}
    assert not [(a, b) for a in rows for b in rows[a] if a in rows[b]]


@pytest.mark.parametrize("path", [*FILES, ROOT / "train.py", ROOT / "sample.py"], ids=str)
def test_nothing_executes_what_it_reads(path):
    forbidden = {"pickle", "dill", "joblib", "shelve", "marshal"}
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & forbidden
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] not in forbidden
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "os.system", "yaml.load"}, called
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                assert (keyword.arg, value) not in {("shell", "True"), ("allow_pickle", "True")}


def test_every_default_of_an_option_has_one_home():
    """No function elsewhere has a number of its own as the default of an argument so named."""
    from dcgan.config import TrainConfig

    numbers = {
        name: value
        for name, value in vars(TrainConfig()).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value not in (0, 1)
    }
    for path in FILES:
        if folder_of(path) == "config":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg | ast.FunctionDef):
                arguments = getattr(node, "args", None)
                if arguments is None:
                    continue
                named = (arguments.posonlyargs + arguments.args)[-len(arguments.defaults) :]
                pairs = list(zip(named, arguments.defaults, strict=False))
                pairs += list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
                for argument, default in pairs:
                    if argument.arg in numbers and isinstance(default, ast.Constant):
                        assert default.value is None, f"{path.name}: {argument.arg}"


def test_modules_are_small():
    lengths = {str(f.relative_to(PACKAGE)): f.read_text().count("\n") for f in FILES}
    assert {name: n for name, n in lengths.items() if n > 320} == {}
