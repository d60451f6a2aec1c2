"""Imports go down only, and what a folder may use: the rules of pyproject.toml and of design.md, read from the code."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import forecast

ROOT = Path(forecast.__file__).parents[1]
FILES = sorted(path for path in (ROOT / "forecast").rglob("*.py"))
RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(rule for rule in RULES if rule["type"] == "layers")
ROWS = [{name.strip() for name in row.split("|")} for row in LAYERS["layers"]]

HYDRA = ("run", "command", "config", "build", "sweep", "forecaster")
LIGHTNING = ("model", "data.module", "build", "forecaster", "sweep", "board", "command")
TENSORS = ("model", "backbone", "head", "normalizer", "contract")


def module(path: Path) -> str:
    """`forecast/head/base.py` -> `head.base`; a package by its folder."""
    return ".".join(path.relative_to(ROOT / "forecast").with_suffix("").parts).removesuffix(".__init__")


def imports(code: str) -> list[str]:
    """The dotted names that a file imports, wherever in it; `from a import b` counts as a.b."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def within(name: str, *folders: str) -> bool:
    return any(name == folder or name.startswith(f"{folder}.") for folder in folders)


every = pytest.mark.parametrize("path", FILES, ids=module)


def row(name: str) -> int | None:
    """Which layer a module of ours is in, counted from the top."""
    return next((i for i, names in enumerate(ROWS) if name.split(".")[0] in names), None)


def upward(name: str, code: str) -> list[str]:
    """Imports of a module that go up, or sideways to a sibling."""
    ours = [x.removeprefix("forecast.") for x in imports(code) if x.startswith("forecast.")]
    below = [(x, row(x)) for x in ours if x.split(".")[0] != name.split(".")[0]]
    return [x for x, depth in below if depth is not None and depth <= (row(name) or 0) and row(name) is not None]


@every
def test_imports_go_down_only(path):
    assert upward(module(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("contract", "from forecast.model.base import Model"),
        ("head.point", "def f():\n    from forecast import build"),
        ("data.table", "import forecast.model.base"),
        ("error", "from forecast import contract"),
    ],
)
def test_the_check_of_layers_catches(name, code):
    assert upward(name, code)


def test_every_module_has_its_layer():
    names = {path.relative_to(ROOT / "forecast").parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert names == {*set().union(*ROWS), *LAYERS["exhaustive_ignores"]} - {"conf", "datasets"}


@every
def test_a_file_of_a_backbone_needs_torch_and_the_contract_only(path):
    if within(module(path), "backbone"):
        allowed = ("torch", "jaxtyping", "forecast.contract")
        assert [name for name in imports(path.read_text()) if not within(name, *allowed)] == []


@every
def test_a_library_is_used_in_its_places_only(path):
    name = module(path)
    places = {"pandas": not within(name, *TENSORS), "lightning": within(name, *LIGHTNING)}
    places |= {"hydra": within(name, *HYDRA), "omegaconf": within(name, *HYDRA)}
    forbidden = [library for library, here in places.items() if not here]
    assert [x for x in imports(path.read_text()) if within(x, *forbidden)] == []


def test_the_command_line_and_the_package_import_the_standard_library_only():
    for name in ("cli", "__init__", "__main__"):
        tree = ast.parse((ROOT / "forecast" / f"{name}.py").read_text())
        top = [
            x for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for x in imports(ast.unparse(node))
        ]
        assert [x for x in top if within(x, "torch", "lightning", "hydra", "pandas", "numpy", "omegaconf")] == []


@pytest.mark.parametrize("group", ["backbone", "normalizer", "command"])
def test_parts_of_one_kind_do_not_import_each_other(group):
    for path in (ROOT / "forecast" / group).glob("*.py"):
        assert not [x for x in imports(path.read_text()) if within(x, f"forecast.{group}")]


def dangers(code: str) -> Iterator[str]:
    """What could run code from a file or a string, or a shell."""
    for name in imports(code):
        if within(name, "pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"):
            yield name
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name, keys = ast.unparse(node.func), {key.arg: ast.unparse(key.value) for key in node.keywords}
        if name in ("eval", "exec", "compile", "__import__") or name.endswith((".eval", ".read_pickle", ".to_pickle")):
            if not (name.endswith(".eval") and not node.args and not keys):  # model.eval() is torch's
                yield name
        if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "hydra.utils.instantiate", "instantiate"):
            yield name
        if name in ("os.system", "os.popen"):
            yield name
        if name in ("torch.load",) and keys.get("weights_only") != "True":
            yield name
        if name.endswith("np.load") and keys.get("allow_pickle", "False") != "False":
            yield name
        if keys.get("shell", "False") != "False":
            yield f"{name}(shell)"


@every
def test_no_code_is_run_from_files_strings_or_shells(path):
    assert list(dangers(path.read_text())) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "eval('1')",
        "exec(text)",
        "frame.eval('a')",
        "__import__(name)",
        "yaml.load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "subprocess.run(text, shell=True)",
        "pd.read_pickle(path)",
        "np.load(path, allow_pickle=True)",
        "hydra.utils.instantiate(config)",
        "os.system(text)",
    ],
)
def test_the_check_of_dangers_catches(code):
    assert list(dangers(code))


def test_the_check_of_dangers_lets_sound_code_pass():
    assert not list(
        dangers("model.eval()\ntorch.load(path, weights_only=True)\nyaml.safe_load(text)\nre.compile(text)")
    )


@pytest.mark.parametrize("group", ["model", "backbone", "head", "normalizer"])
def test_a_part_takes_keyword_only_settings_without_kwargs(group):
    for path in (ROOT / "forecast" / group).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.args.kwarg is None, f"{path.name}: **{node.args.kwarg.arg}"


def test_no_top_level_name_of_ours_is_one_of_the_standard_library():
    import sys

    assert not {path.stem for path in FILES} & (set(sys.stdlib_module_names) - {"__main__"})
