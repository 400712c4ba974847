"""What the design promises and the source tree can show."""

import ast
import re
from pathlib import Path

import pytest

import dcgan

PACKAGE = Path(dcgan.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    [
        "errors",
        "files",
        "threads",
        "checks",
        "options",
        "config",
        "drawing",
        "judging",
        "data.packed",
    ],
    ["linear"],
    ["winograd"],
    [
        "convolution",
        "images",
        "conditions",
        "distances",
        "pyramid",
        "similarity",
        "features",
        "fidelity",
    ],
    ["models", "folding", "losses", "penalties", "augment", "smoothing", "ema", "latents"],
    ["vitals", "health"],
    ["distributed", "device", "finite", "cuda_graph", "signals", "events", "snapshot", "writer"],
    ["data.traits", "data.portrait", "data.faces"],
    ["data.jpeg", "data.resample", "data.rows", "data.order"],
    ["data.decode"],
    ["data.raw"],
    ["data.mdb"],
    ["data.folder", "data.celeba", "data.lsun", "data.arrays", "data.drawn", "data.subset"],
    ["data.sources", "data.parallel"],
    ["data.pack", "data.batches", "data.survey"],
    ["checkpoint", "log", "sampling", "latent", "optimisation", "metrics"],
    ["evaluator", "evaluation"],
    ["recorder", "compare", "timelapse", "neighbours"],
    ["resuming"],
    ["step"],
    ["trainer"],
    ["rehearsal"],
    ["doctor"],
    ["flags"],
    ["cli"],
    ["__main__"],
]
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {m.removeprefix("dcgan.") for m in found if m.startswith("dcgan.")} & set(LAYER)


def test_every_file_has_a_layer():
    assert {name_of(f) for f in FILES if f.name != "__init__.py"} == set(LAYER)


@pytest.mark.parametrize("path", [f for f in FILES if f.name != "__init__.py"], ids=name_of)
def test_a_file_imports_only_from_lower_layers_or_its_own(path):
    for module in imports(path):
        assert LAYER[module] <= LAYER[name_of(path)], f"{path.name} imports {module}"


def test_only_what_trains_imports_the_trainer():
    assert {name_of(f) for f in FILES if "trainer" in imports(f)} == {
        "cli",
        "doctor",
        "rehearsal",
    }


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


def test_readme_names_every_file():
    readme = (ROOT / "README.md").read_text()
    for path in FILES:
        if path.name != "__init__.py":
            assert path.name in readme, f"README's file tree lacks {path.relative_to(ROOT)}"


def test_every_default_of_an_option_has_one_home():
    """No function elsewhere has a number of its own as the default of an argument so named."""
    from dcgan.config import TrainConfig

    numbers = {
        name: value
        for name, value in vars(TrainConfig()).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value not in (0, 1)
    }
    for path in FILES:
        if path.name == "config.py":
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
    lengths = {name_of(f): len(re.findall("\n", f.read_text())) for f in FILES}
    assert {name: n for name, n in lengths.items() if n > 320} == {}
