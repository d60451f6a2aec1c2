"""Imports go down only, and what a folder may use: the rules of pyproject.toml and of design.md, read from the code."""

import ast
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import forecast

PACKAGE = Path(forecast.__file__).parent
CODE = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
    for path in sorted(PACKAGE.rglob("*.py"))
}  # "head.base": what stands in forecast/head/base.py
RULES = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(rule for rule in RULES if rule["type"] == "layers")
ROWS = [{name.strip() for name in row.split("|")} for row in LAYERS["layers"]]

HYDRA = ("run", "command", "config", "continuation", "build", "sweep", "forecaster")
LIGHTNING = (
    "model",
    "data.module",
    "training",
    "schedule",
    "settling",
    "setting",
    "checkpoint",
    "interruption",
    "device",
    "ranks",
    "learning",
    "sweep",
    "board",
    "command",
)
STANDARD = sorted(sys.stdlib_module_names)
TENSORS = ("model", "backbone", "head", "normalizer", "contract")


def broken(rule: Callable[[str, str], Iterable[str]]) -> dict[str, list[str]]:
    """The modules that break a rule, each with what breaks it."""
    found = {name: list(rule(name, code)) for name, code in CODE.items()}
    return {name: breaks for name, breaks in found.items() if breaks}


def imports(code: str) -> list[str]:
    """The dotted names that a file imports, wherever in it; `from a import b` counts as a.b."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def within(name: str, *folders: str) -> bool:
    return any(name == folder or name.startswith(f"{folder}.") for folder in folders)


def depth(name: str) -> int:
    """The layer of a module of ours, counted from the top; below all of them where it has none."""
    return next((i for i, names in enumerate(ROWS) if name.split(".")[0] in names), len(ROWS))


def upward(name: str, code: str) -> list[str]:
    """Imports of a module that go up, or sideways to a sibling."""
    ours = [x.removeprefix("forecast.") for x in imports(code) if x.startswith("forecast.")]
    return [x for x in ours if x.split(".")[0] != name.split(".")[0] and depth(x) <= depth(name) < len(ROWS)]


def misplaced(name: str, code: str) -> list[str]:
    """Libraries that a module may not use."""
    places = {"pandas": not within(name, *TENSORS), "lightning": within(name, *LIGHTNING)}
    places |= {"hydra": within(name, *HYDRA), "omegaconf": within(name, *HYDRA)}
    forbidden = [library for library, here in places.items() if not here]
    if within(name, "backbone"):
        allowed = ("torch", "jaxtyping", "forecast.contract", "forecast.backbone._scan", *STANDARD)
        return [x for x in imports(code) if not within(x, *allowed)]
    return [x for x in imports(code) if within(x, *forbidden)]


def siblings(name: str, code: str) -> list[str]:
    """Imports of a part by another of its kind; what several share has a name that begins with _."""
    groups = [group for group in ("backbone", "normalizer", "command") if within(name, group)]
    found = [x for x in imports(code) if within(x, *(f"forecast.{group}" for group in groups))]
    return [x for x in found if "._" not in x]


PICKLES = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "copyreg", "joblib.load", "joblib.dump")
PICKLES += ("joblib.Memory", "shelve", "marshal", "torch.package", "torch.hub", "torch.jit.load", "torch.export.load")
CODE_RUNNERS = (
    "runpy",
    "code",
    "codeop",
    "pty",
    "imp",
    "importlib.util",
    "importlib.machinery",
    "zipimport",
    "hydra.utils",
)
CALLS = ("eval", "exec", "compile", "__import__", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load")
CALLS += ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "joblib.load")
CALLS += ("instantiate", "get_class", "get_method", "get_object", "OmegaConf.register_new_resolver")
PREFIXES = ("os.exec", "os.spawn", "os.posix_spawn", "hydra.utils.", "torch.hub.", "torch.jit.load", "torch.package.")
METHODS = ("read_pickle", "to_pickle", "extractall", "unsafe_load", "find_class", "spec_from_file_location")
LOADERS = {  # where a module is imported by a name, which is one of ours: the word before it is what the name says
    "__init__": "a public name, looked up in the list of these",
    "run": "a command, which cli has found among the files of its folder",
    "build": "a part, which is a file of its folder",
}


def dangers(name: str, code: str) -> Iterator[str]:
    """What could run code from a file or a string, or a shell."""
    yield from (x for x in imports(code) if within(x, *PICKLES, *CODE_RUNNERS, *CALLS, *PREFIXES, "torch.load"))
    if name not in LOADERS:
        yield from (x for x in imports(code) if x in ("importlib.import_module", "importlib.metadata.entry_points"))
    for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
        called, keys = ast.unparse(call.func), {key.arg: ast.unparse(key.value) for key in call.keywords}
        if (
            called in CALLS
            or called.startswith(PREFIXES)
            or called.endswith(METHODS)
            or (called.endswith(".eval") and call.args)  # a DataFrame's; a module's takes none
            or (called.endswith("torch.load") and keys.get("weights_only") != "True")
            or (called.endswith("import_module") and not ours(call))
            or keys.get("allow_pickle", "False") != "False"
            or keys.get("shell", "False") != "False"
        ):
            yield called


def ours(call: ast.Call) -> bool:
    """Whether what is imported by name begins with the name of this package."""
    name = call.args[0] if call.args else None
    first = name.values[0] if isinstance(name, ast.JoinedStr) else name
    return isinstance(first, ast.Constant) and str(first.value).startswith("forecast.")


def loose(name: str, code: str) -> list[str]:
    """Functions of parts that swallow any keyword."""
    functions = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)]
    return [x.name for x in functions if x.args.kwarg is not None and within(name, *TENSORS)]


@pytest.mark.parametrize("rule", [upward, misplaced, siblings, dangers, loose])
def test_every_module_keeps_the_rule(rule):
    assert broken(rule) == {}


BREACHES = {
    upward: [
        ("contract", "from forecast.model.base import Model"),
        ("head.point", "def f():\n    from forecast import build"),
        ("data.table", "import forecast.model.base"),
        ("error", "from forecast import contract"),
    ],
    misplaced: [
        ("contract", "import pandas as pd"),
        ("model.direct", "def f():\n    from pandas import DataFrame"),
        ("data.table", "from omegaconf import OmegaConf"),
        ("artifact", "import hydra.utils"),
        ("head.point", "import lightning"),
        ("data.panel", "from lightning import Trainer"),
        ("backbone.lstm", "import numpy as np"),
        ("backbone.lstm", "from forecast.error import Refusal"),
        ("backbone.base", "from forecast.backbone.lstm import Lstm"),
    ],
    siblings: [
        ("backbone.lstm", "from forecast.backbone.gru import Gru"),
        ("command.train", "import forecast.command.score"),
    ],
    dangers: [
        ("data.table", code)
        for code in (
            "import pickle",
            "def f():\n    from pickle import loads",
            "from torch import load",
            "from importlib import import_module",
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
            "os.execv(path, words)",
            "import _pickle",
            "import dill as d",
            "from joblib import load",
            "import shelve",
            "import marshal",
            "from torch import hub",
            "torch.jit.load(path)",
            "torch.hub.load(path)",
            "torch.package.PackageImporter(path)",
            "from torch.export import load",
            "from torch.jit import load",
            "from hydra.utils import get_class",
            "from hydra.utils import instantiate as make",
            "yaml.load_all(text)",
            "compile(text, name, 'exec')",
            "import runpy",
            "from importlib.util import spec_from_file_location",
            "from importlib.metadata import entry_points",
            "archive.extractall(folder)",
            "OmegaConf.register_new_resolver('run', run)",
            "subprocess.getoutput(text)",
        )
    ]
    + [
        (name, f"import_module({argument})")
        for name in LOADERS
        for argument in ("name", "f'{group}.{name}'", "config['name']", "'os'", "f'other.{name}'")
    ],
    loose: [("head.point", "class A:\n    def f(self, **settings): ...")],
}


@pytest.mark.parametrize(("rule", "breach"), [(rule, breach) for rule in BREACHES for breach in BREACHES[rule]])
def test_the_check_catches_a_breach(rule, breach):
    assert list(rule(*breach))


def test_the_check_of_dangers_lets_sound_code_pass():
    for code in ("model.eval()", "torch.load(path, weights_only=True)", "yaml.safe_load(text)", "re.compile(text)"):
        assert not list(dangers("data.table", code))


def test_every_module_has_its_layer():
    names = {name.split(".")[0] for name in CODE} - {"__init__"}
    assert names == {*set().union(*ROWS), *LAYERS["exhaustive_ignores"]} - {"conf", "datasets"}


def test_the_command_line_and_the_package_import_the_standard_library_only():
    """At their top: so that help and `import forecast` answer at once."""
    for name in ("cli", "__init__"):
        nodes = [node for node in ast.parse(CODE[name]).body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = imports("\n".join(ast.unparse(node) for node in nodes))
        assert [x for x in found if x.split(".")[0] not in sys.stdlib_module_names] == []


def test_no_module_is_named_like_one_of_the_standard_library():
    assert not {name.split(".")[-1] for name in CODE} & (set(sys.stdlib_module_names) - {"__main__"})
