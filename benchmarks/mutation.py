"""Mutants: one place of a module is changed at a time, and its tests have to notice.

python benchmarks/mutation.py windows scaler reader metrics artifact --sample 100

Changed are comparisons, arithmetic, numbers, and/or, not, conditions, statements without a value, and what is returned;
neither text nor annotations nor what is only logged. pytest collects the tests of a module once. Each mutant is a fork
of that process, in which functions get the changed code; it runs the tests up to the first failure, those that noticed
others first. One that takes too long counts as noticed. Those that nothing noticed are printed.
(mutmut 3.8 leaves out what is decorated - properties, managers - and constants of modules, and had not begun with its
first mutant here after four minutes; cosmic-ray begins a process for each mutant, most of whose time is imports.)
"""

import argparse
import ast
import inspect
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import FunctionType
from typing import Any

import hypothesis
import jaxtyping
import pytest
import yaml
from hypothesis import Phase

HERE = Path(__file__).resolve().parents[1]
FOLDERS = ("forecast", "conf", "datasets", "tests")
EQUIVALENT = HERE / "benchmarks" / "equivalent.yaml"  # mutants that nothing can notice, and why
DATA, EVALUATION = "tests/data/test_", "tests/evaluation/test_"
MODULES = {  # files of the package, and the tests that hold them
    "windows": (
        ["data.windows", "data.interpolation", "data.fill"],
        [f"{DATA}{x}.py" for x in ("windows", "panel", "module", "known", "vintage")],
    ),
    "scaler": (["data.scaler"], [f"{DATA}{x}.py" for x in ("scaler", "panel", "known")]),
    "reader": (
        ["data.reader", "data.lines", "data.manner"],
        [f"{DATA}{x}.py" for x in ("corpus", "reader", "table")] + ["tests/test_classification.py"],
    ),
    "metrics": (
        ["evaluation.metrics", "evaluation.arithmetic"],
        [f"{EVALUATION}{x}.py" for x in ("metrics", "group", "classes")],
    ),
    "artifact": (["artifact", "atomic"], ["tests/test_artifact.py"]),
}
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
}  # fmt: skip
LATE = 5  # times as long as without a change the tests of a mutant may take
QUICK = 5.0  # seconds of a test that is run; those that train would take too long for so many mutants

hypothesis.settings.register_profile("first", phases=[Phase.explicit, Phase.generate], deadline=None, database=None)
hypothesis.settings.load_profile("first")  # a failure is enough, it need not be the smallest
jaxtyping.install_import_hook = lambda *_: None  # checked annotations would hide the functions


def changed(node: ast.AST) -> Iterator[str]:
    """What may stand in the place of a node."""

    def swapped(part: ast.AST, **fields: object) -> str:
        return ast.unparse(type(part)(**{**dict(ast.iter_fields(part)), **fields}))

    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield f"({swapped(node, ops=[*ops[:i], SWAPS[type(op)](), *ops[i + 1 :]])})"
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in SWAPS:
            yield f"({swapped(node, op=SWAPS[type(op)]())})"
        case ast.UnaryOp(operand=operand):
            yield f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield f"({value + 1})"
        case ast.IfExp(test=test):
            yield f"({swapped(node, test=ast.UnaryOp(ast.Not(), test))})"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return None"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise():
            yield "pass"


def places(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The nodes below one that may be changed: no annotations, no text, nothing of what is only said."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or name in ("annotation", "returns", "decorator_list"):
                continue
            if isinstance(child, ast.JoinedStr) or ast.unparse(child).startswith("log."):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            yield from places(child)


def mutants(code: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, what stood there, what stands there now, and the whole changed code."""
    raw = code.encode()
    starts = [0, *(i + 1 for i, byte in enumerate(raw) if byte == 10)]
    for node in places(ast.parse(code)):
        place, texts = node, list(changed(node))
        if isinstance(node, ast.If):
            place, texts = node.test, [f"(not ({ast.unparse(node.test)}))"]
        begin = starts[place.lineno - 1] + place.col_offset
        end = starts[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0)
        for text in texts:
            made = (raw[:begin] + text.encode() + raw[end:]).decode()
            yield place.lineno, raw[begin:end].decode(), text, made


def functions(names: Mapping[str, Any], module: str) -> Iterator[tuple[str, FunctionType]]:
    """The functions that a module defines, also in classes, whatever they are wrapped in."""
    for x in names.values():
        inner = getattr(x, "fget", None) or getattr(x, "func", None) or getattr(x, "__func__", x)
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(inner, FunctionType) and inner.__module__ == module:
            yield inner.__qualname__, inner
        elif isinstance(x, type) and x.__module__ == module:
            yield from functions(vars(x), module)


def mutate(module: str, code: str) -> None:
    """Gives the functions and constants of a module that was imported those of changed code."""
    was = vars(sys.modules[module])
    now = {key: was[key] for key in ("__name__", "__file__", "__package__", "__spec__")}
    exec(compile(code, was["__file__"], "exec"), now)
    fresh = dict(functions(now, module))
    for name, function in functions(was, module):
        function.__code__ = fresh[name].__code__
        function.__defaults__, function.__kwdefaults__ = fresh[name].__defaults__, fresh[name].__kwdefaults__
    for name, value in list(was.items()):
        if name.isupper() and repr(now[name]) != repr(value):
            for other in list(sys.modules.values()):
                if getattr(other, "__dict__", {}).get(name) is value:
                    setattr(other, name, now[name])


class Trial:
    """A plugin of pytest that tries mutants instead of running the tests once."""

    def __init__(self, module: str, sample: int | None, seed: int, lines: list[int], folder: Path):
        self.module, self.folder = module, folder
        files = {f"forecast.{x}": f"forecast/{x.replace('.', '/')}.py" for x in MODULES[module][0]}
        self.codes = {name: (HERE / file).read_text() for name, file in files.items()}
        every = [(name, file, *x) for name, file in files.items() for x in mutants(self.codes[name])]
        self.count = len(every)
        chosen = every if sample is None else sorted(random.Random(seed).sample(every, min(sample, len(every))))
        self.chosen = [x for x in chosen if not lines or x[2] in lines]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        same = {(x["file"], x["line"], x["was"], x["now"]) for x in yaml.safe_load(EQUIVALENT.read_text())[self.module]}
        items, began = list(session.items), time.monotonic()
        whole = self.run(session, items, math.inf, self.codes)  # what changes functions has to leave them whole
        if len(whole) < len(items):
            raise SystemExit(f"{self.module}: {items[len(whole)].nodeid} fails as it is")
        late = LATE * (time.monotonic() - began)
        order = sorted((i for i in range(len(items)) if whole[i] < QUICK), key=whole.__getitem__)
        said = f"{len(self.chosen)} of {self.count} mutants, {len(order)} tests of {sum(whole[i] for i in order):.0f} s"
        print(f"\n{self.module}: {said}", flush=True)
        killed = equivalent = 0
        for name, file, number, was, now, code in self.chosen:
            line = self.codes[name].splitlines()[number - 1].strip()
            if (file, line, was, now) in same:
                equivalent += 1
                continue
            (self.folder / file).write_text(code)  # for processes that tests begin
            passed = self.run(session, [items[i] for i in order], late, {name: code})
            (self.folder / file).write_text(self.codes[name])
            if len(passed) == len(order):
                print(f"  {file}:{number}: {line}\n    {was}  ->  {now}", flush=True)
            else:
                killed += 1
                order.insert(0, order.pop(len(passed)))
        tried, seconds = len(self.chosen) - equivalent, time.monotonic() - began
        score = f"{killed} of {tried} noticed ({killed / tried:.1%})"
        print(f"{self.module}: {score}, {equivalent} equivalent, {seconds:.0f} s", flush=True)
        return True

    def run(self, session: pytest.Session, items: list[Any], seconds: float, codes: Mapping[str, str]) -> list[float]:
        """How long each test took in a fork, up to the first that failed."""
        given, taken = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            nothing = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(nothing, stream)
            try:
                for module, code in codes.items():
                    mutate(module, code)
                for item, following in zip(items, [*items[1:], None], strict=True):
                    began = time.process_time()
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if session.testsfailed:
                        break
                    os.write(taken, f"{time.process_time() - began}\n".encode())
            finally:
                os._exit(0)
        os.close(taken)
        end = time.monotonic() + seconds
        while not os.waitpid(child, os.WNOHANG)[0]:
            time.sleep(0.02)
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
        with os.fdopen(given) as passed:
            return [float(x) for x in passed]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(MODULES))
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", type=int, nargs="*", default=[], help="only the mutants of these lines")
    asked = parser.parse_args()
    if len(asked.modules) > 1:
        for each in asked.modules:  # in a process each: what was imported is of one copy
            os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, each, *sys.argv[1 + len(asked.modules) :]])
        raise SystemExit
    with tempfile.TemporaryDirectory() as made:
        copy, (module,) = Path(made), asked.modules
        for name in FOLDERS:
            copytree(HERE / name, copy / name, ignore=ignore_patterns("__pycache__"))
        (copy / "pyproject.toml").write_text((HERE / "pyproject.toml").read_text())
        os.environ |= {"PYTHONPATH": made, "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        os.chdir(copy)
        sys.path[0] = made
        options = ["-n", "0", "-s", "-p", "no:cacheprovider", f"--basetemp={copy / 'scratch'}"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        trial = Trial(module, asked.sample, asked.seed, asked.lines, copy)
        pytest.main([*options, *MODULES[module][1]], plugins=[trial])
