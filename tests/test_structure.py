"""What the design promises and the source tree can show."""

import ast
import dataclasses
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
    "animation": "errors images runtime",
    "sizes": "errors",
    "networks": "config errors sizes",
    "latent": "config errors networks runtime",
    "pretrained": "",
    "hub": "config errors runtime",
    "data": "config errors runtime",
    "runs": "config errors hub images latent networks pretrained runtime",
    "sampling": "config errors images latent networks runs runtime",
    "evaluation": "config data errors images networks runs runtime sampling",
    "explore": "animation config data errors images latent networks pretrained runs runtime "
    "sampling",
    "deconv": "config data errors explore export images latent networks runs runtime sampling "
    "sizes training",
    "export": "config errors explore hub images latent networks pretrained runs runtime sampling",
    "demo": "animation config data errors explore export images latent networks runtime sampling",
    "importing": "config errors export images networks runs runtime sampling",
    "training": "config data errors evaluation images latent networks runs runtime sampling",
    "reports": "config data errors evaluation images runs runtime sampling training",
    "cli": "animation config data deconv demo errors evaluation explore export images importing "
    "reports runs runtime sampling sizes training",
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


def imported_modules(path: Path) -> set[str]:
    """Dotted names of what a file imports at run time, anywhere in it."""
    found = set()
    for node in ast.walk(without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imports(path: Path) -> set[str]:
    """Folders of the package that a file imports from, anywhere in it."""
    return {name.split(".")[1] for name in imported_modules(path) if name.startswith("dcgan.")}


def test_every_folder_has_a_row():
    assert {folder_of(file) for file in FILES} - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_its_row_allows(folder):
    allowed = {folder, *MAY_IMPORT[folder].split()}
    taken = {str(file): imports(file) for file in FILES if folder_of(file) == folder}
    assert {name: found - allowed for name, found in taken.items() if found - allowed} == {}
    assert set().union(*taken.values()) >= allowed - {folder}, "a row allows more than is taken"


def test_only_the_command_line_imports_tyro():
    roots = {file: {name.split(".")[0] for name in imported_modules(file)} for file in FILES}
    assert {folder_of(file) for file in FILES if "tyro" in roots[file]} == {"cli"}


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
            if path == PACKAGE / "evaluation" / "efficientnet.py" and called == "torch.load":
                continue  # a file known by its hash, which is checked before
            assert called not in {"eval", "exec", "torch.load", "os.system", "yaml.load"}, called
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                assert (keyword.arg, value) not in {("shell", "True"), ("allow_pickle", "True")}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_text_reaches_the_terminal_in_one_place(path):
    """Which makes it printable: names in files of others may command terminals."""
    if path == PACKAGE / "runtime" / "terminal.py":
        return
    nodes = ast.walk(ast.parse(path.read_text()))
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    assert not called & {"print", "sys.stdout.write", "sys.stderr.write", "warnings.warn"}
    assert "logging" not in imported_modules(path)


# Arguments that share their name with an option of training and mean something else: the seed of
# a set of drawn faces or of projections, the device that a network is loaded to.
OTHER_MEANINGS = {"seed", "device"}


def own_defaults(source: str) -> dict[str, object]:
    """The defaults written as numbers, bools or strings, of arguments and of fields of classes."""
    pairs: list[tuple[str, ast.expr | None]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arguments):
            positional = [arg.arg for arg in (*node.posonlyargs, *node.args)]
            pairs += zip(reversed(positional), reversed(node.defaults), strict=False)
            pairs += zip([arg.arg for arg in node.kwonlyargs], node.kw_defaults, strict=True)
        elif isinstance(node, ast.ClassDef):
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            pairs += [(ast.unparse(field.target), field.value) for field in fields]
    constants = {}
    for name, default in pairs:
        if isinstance(default, ast.UnaryOp):
            default = default.operand
        if isinstance(default, ast.Constant) and default.value is not None:
            constants[name] = default.value
    return constants


def test_own_defaults_finds_constants_of_any_type_and_place():
    source = """
def f(a, /, b=1, *, c=False, d=x.d, e=None): ...
class C:
    g: float = -0.5
    h: int = TrainConfig.h
    async def i(self, j=0, k="normal"): ...
"""
    assert own_defaults(source) == {"b": 1, "c": False, "g": 0.5, "j": 0, "k": "normal"}
    assert own_defaults("def f(bias_D: bool = False): ...") == {"bias_D": False}


@pytest.mark.parametrize("path", [f for f in FILES if folder_of(f) != "config"], ids=str)
def test_every_default_of_an_option_has_one_home(path):
    """Arguments named like an option of training take its default from the configuration."""
    from dcgan.config import TrainConfig

    options = {field.name for field in dataclasses.fields(TrainConfig)} - OTHER_MEANINGS
    copies = {k: v for k, v in own_defaults(path.read_text()).items() if k in options}
    assert copies == {}


def test_modules_are_small():
    lengths = {str(f.relative_to(PACKAGE)): f.read_text().count("\n") for f in FILES}
    assert {name: n for name, n in lengths.items() if n > 320} == {}
