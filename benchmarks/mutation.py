"""Mutants: one place of a module is changed at a time, and its tests have to notice.

python benchmarks/mutation.py windows scaler reader metrics artifact --sample 150

Changed are comparisons, arithmetic, numbers, and/or, not, conditions, statements without a value, and what is returned;
neither text nor annotations. A copy of the checkout is mutated, and tested by a fork of a process that has imported all
libraries already, up to the first failure; one that takes too long counts as noticed. Those that were not are printed.
(mutmut 3.8 leaves out what is decorated - properties, caches, managers - and module's constants; cosmic-ray begins a
process a mutant, which would take ten times as long: most of it is importing torch.)
"""

import argparse
import ast
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from shutil import copytree, ignore_patterns

import hypothesis
import pytest
import yaml
from hypothesis import Phase

HERE = Path(__file__).resolve().parents[1]
FOLDERS, FILES = ("forecast", "conf", "datasets", "tests"), ("pyproject.toml",)
EQUIVALENT = HERE / "benchmarks" / "equivalent.yaml"  # mutants that nothing can notice, and why
LIBRARIES = ("torch", "lightning", "pandas", "pyarrow", "hydra", "sklearn.preprocessing", "scipy.stats", "onnxruntime")
LIBRARIES += ("hypothesis.extra.numpy", "schemathesis", "utilsforecast.losses", "safetensors")
IMPORTED = "ignore::pytest.PytestAssertRewriteWarning"
DATA, EVALUATION = "tests/data/test_", "tests/evaluation/test_"
MODULES = {  # files of the package, and the tests that hold them, the quickest first
    "windows": (
        ["data/windows.py"],
        [f"{DATA}{x}.py" for x in ("windows", "module", "known", "vintage")],
    ),
    "scaler": (["data/scaler.py"], [f"{DATA}{x}.py" for x in ("scaler", "panel", "known")]),
    "reader": (
        ["data/reader.py", "data/lines.py", "data/manner.py"],
        [f"{DATA}{x}.py" for x in ("corpus", "reader", "table")],
    ),
    "metrics": (
        ["evaluation/metrics.py", "evaluation/arithmetic.py"],
        [f"{EVALUATION}{x}.py" for x in ("metrics", "group", "classes")],
    ),
    "artifact": (["artifact.py"], ["tests/test_artifact.py", "tests/test_hostile.py"]),
}
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
}  # fmt: skip
LATE = 5  # times as long as without a change the tests of a mutant may take

for name in LIBRARIES:
    import_module(name)
hypothesis.settings.register_profile("first", phases=[Phase.explicit, Phase.reuse, Phase.generate], deadline=None)
hypothesis.settings.load_profile("first")  # a failure is enough, it need not be the smallest


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


def survives(folder: Path, tests: list[str], seconds: float) -> bool:
    """Whether all tests pass in a folder, in time; in a fork, which forgets what it imported."""
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(quiet, stream)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        options = ["-n", "0", "-x", "--ff", f"--basetemp={folder / 'scratch'}", "-W", IMPORTED]
        os._exit(pytest.main([*options, *tests]))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run(module: str, sample: int | None, seed: int, folder: Path) -> None:
    """Tries the mutants of a module in a copy of the checkout."""
    files, tests = MODULES[module]
    codes = {file: (HERE / "forecast" / file).read_text() for file in files}
    every = [(file, *mutant) for file, code in codes.items() for mutant in mutants(code)]
    chosen = every if sample is None else sorted(random.Random(seed).sample(every, min(sample, len(every))))
    same = {(x["file"], x["line"], x["was"], x["now"]) for x in yaml.safe_load(EQUIVALENT.read_text())[module]}
    began, sys.dont_write_bytecode = time.monotonic(), False
    if not survives(folder, tests, math.inf):
        raise SystemExit(f"{module}: the tests fail as it is\n{(folder / 'said.txt').read_text()[-3000:]}")
    whole = time.monotonic() - began
    print(f"{module}: {len(chosen)} of {len(every)} mutants, all tests take {whole:.0f} s", flush=True)
    sys.dont_write_bytecode = True
    killed = equivalent = 0
    for file, number, was, now, code in chosen:
        path, line = folder / "forecast" / file, codes[file].splitlines()[number - 1].strip()
        if (file, line, was, now) in same:
            equivalent += 1
            continue
        for cache in path.parent.glob(f"__pycache__/{path.stem}.*"):
            cache.unlink()
        path.write_text(code)
        if survives(folder, tests, LATE * whole):
            print(f"  forecast/{file}:{number}: {line}\n    {was}  ->  {now}", flush=True)
        else:
            killed += 1
        path.write_text(codes[file])
    tried, seconds = len(chosen) - equivalent, time.monotonic() - began
    score = f"{killed} of {tried} noticed ({killed / tried:.1%})"
    print(f"{module}: {score}, {equivalent} equivalent, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(MODULES))
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for each in given.modules:
        with tempfile.TemporaryDirectory() as made:
            for name in FOLDERS:
                copytree(HERE / name, Path(made) / name, ignore=ignore_patterns("__pycache__"))
            for name in FILES:
                (Path(made) / name).write_bytes((HERE / name).read_bytes())
            os.environ["PYTHONPATH"] = made
            run(each, given.sample, given.seed, Path(made))
