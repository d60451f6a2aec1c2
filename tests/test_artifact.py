"""What is written is whole or not there, and what is loaded is what was saved."""

import hashlib
import json
import math
import os
import stat
import struct
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save as safetensors

from forecast import artifact
from forecast.artifact import DOCUMENT, FORMAT, WEIGHTS, git_state, plain, save
from forecast.atomic import write
from forecast.error import CannotWrite, Refusal

TENSORS = {
    "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(1)),
    "double": torch.tensor([1e300, -0.0, 5e-324], dtype=torch.float64),
    "whole": torch.tensor([[2**62, -(2**63)], [0, 1]]),
    "empty": torch.zeros(5, 0),
    "scalar": torch.tensor(7.5),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "flags": torch.tensor([True, False]),
}
PLAN = {
    "config": {"horizon": 24, "name": "Größe", "none": None},
    "numbers": [1, 2.5, float("nan")],
    "deep": {"a": [[]]},
}

FAULTS = {
    "killed before the file is whole": "os.fsync = lambda _: os.kill(os.getpid(), 9)",
    "killed before it takes the name": "Path.replace = lambda *_: os.kill(os.getpid(), 9)",
    "an error while writing": "os.fsync = lambda _: (_ for _ in ()).throw(OSError(5, 'Input/output error'))",
    "a fault of ours": "os.fsync = lambda _: 1 / 0",
    "the disk is full": "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))",
}


def load(folder: Path, wanted=TENSORS):
    document = artifact.document(folder)
    return artifact.weights(folder, document, wanted), document


BARE = """
import os, resource, sys
from pathlib import Path
from forecast.atomic import write
"""


def process(code: str, path: Path) -> subprocess.Popen:
    """A process of its own that may be killed or limited."""
    return subprocess.Popen([sys.executable, "-c", BARE + code, str(path)], stderr=subprocess.PIPE, text=True)


def failed(fault: str, path: Path) -> tuple[int, str]:
    """Exit code and stderr of a process that fails at writing."""
    with process(f"{FAULTS[fault]}\nwrite(Path(sys.argv[1]), 'new' * 1000)", path) as run:
        return run.wait(), run.stderr.read()


@pytest.mark.parametrize("content", ["text, also ä and \n\r\n lines", b"\x00\xff bytes", "", b"x" * 100_000])
def test_a_file_holds_what_was_written_and_nothing_lies_beside_it(tmp_path, content):
    write(tmp_path / "new" / "folders" / "file", "what was there before and is longer")
    write(tmp_path / "new" / "folders" / "file", content)
    expected = content.encode() if isinstance(content, str) else content
    assert (tmp_path / "new" / "folders" / "file").read_bytes() == expected
    assert [path.name for path in (tmp_path / "new" / "folders").iterdir()] == ["file"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_that_fails_leaves_the_old_file(tmp_path, fault):
    write(tmp_path / "file", "old")
    assert failed(fault, tmp_path / "file")[0] == (-9 if "killed" in fault else 1)
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("fault", [name for name in FAULTS if "killed" not in name])
def test_a_write_that_fails_leaves_nothing_beside_the_old_file(tmp_path, fault):
    write(tmp_path / "file", "old")
    assert failed(fault, tmp_path / "file")[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_said(tmp_path):
    said = failed("the disk is full", tmp_path / "file")[1]
    assert "CannotWrite" in said and "could not be written: File too large" in said
    assert not (tmp_path / "file").exists()


def test_an_interruption_leaves_the_old_file_alone(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    write(tmp_path / "file", "old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "file", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def test_the_file_and_then_its_name_are_on_the_disk(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def noted(file):
        synced.append((stat.S_ISDIR(os.fstat(file).st_mode), (tmp_path / "file").exists()))
        sync(file)

    monkeypatch.setattr(os, "fsync", noted)
    write(tmp_path / "file", "new")
    assert synced == [(False, False), (True, True)]


def test_a_place_that_can_not_be_written_is_refused(tmp_path):
    """Below a file, and where a folder stands: impossible for root as well."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    for place in ("file/below", "file/far/below", "folder"):
        with pytest.raises(CannotWrite, match=place) as error:
            write(tmp_path / place, "new")
        assert error.value.code == "cannot-write" and error.value.exit == 4 and isinstance(error.value, OSError)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_what_the_system_says_is_passed_on(tmp_path, monkeypatch, error):
    def denied(*_):
        raise error

    monkeypatch.setattr(Path, "replace", denied)
    with pytest.raises(CannotWrite, match=error.strerror):
        write(tmp_path / "file", "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000, 0o027])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write(tmp_path / "file", "x")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask  # and the mask stays as it was
    finally:
        os.umask(before)


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "file"
    write(path, "0" * 50_000)
    seen = set()
    with process("for i in range(200): write(sys.argv[1], str(i % 10) * 50_000)", path) as writer:
        while writer.poll() is None:
            text = path.read_text()
            assert len(text) == 50_000 and len(set(text)) == 1
            seen.add(text[0])
        assert writer.returncode == 0, writer.stderr.read()
    assert len(seen) > 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3) | st.tuples(inside),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(VALUES)
@example([math.nan, {"a": math.inf}, (-math.inf, 1.5)])
def test_json_has_neither_nan_nor_infinity_and_loses_nothing_else(document):
    def refuse(name):
        raise AssertionError(name)

    def expected(x):
        if isinstance(x, dict):
            return {key: expected(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return [expected(value) for value in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    assert json.loads(plain(document), parse_constant=refuse) == expected(document)


def test_a_forecaster_comes_back_to_the_last_bit(tmp_path):
    save(tmp_path / "saved", TENSORS, PLAN)
    weights, document = load(tmp_path / "saved")
    assert set(weights) == set(TENSORS)
    for name, tensor in TENSORS.items():
        found = weights[name]
        assert found.dtype == tensor.dtype and found.shape == tensor.shape
        assert found.contiguous().numpy().tobytes() == tensor.contiguous().numpy().tobytes()
    assert document["config"] == PLAN["config"] and document["numbers"] == [1, 2.5, None]
    assert document["format"] == FORMAT


def test_saving_twice_writes_the_same_bytes(tmp_path):
    for name in ("one", "two", "two"):
        save(tmp_path / name, TENSORS, PLAN)
    for file in (WEIGHTS, DOCUMENT):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_run_folder_stands_for_its_forecaster(tmp_path):
    save(tmp_path / "run" / "forecaster", TENSORS, PLAN)
    assert load(tmp_path / "run")[1] == load(tmp_path / "run" / "forecaster")[1] == load(str(tmp_path / "run"))[1]


def test_weights_are_safetensors_and_the_rest_is_json(tmp_path):
    """By the formats themselves: a header of JSON behind its length, then the numbers; no pickle, no zip."""
    save(tmp_path, TENSORS, PLAN)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, DOCUMENT} == {"model.safetensors", "forecaster.json"}
    content = (tmp_path / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert set(header) - {"__metadata__"} == set(TENSORS) and header["double"]["dtype"] == "F64"
    assert len(content) == 8 + length + max(x["data_offsets"][1] for x in header.values())
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        assert set(file.keys()) == set(TENSORS)
    document = json.loads((tmp_path / DOCUMENT).read_text())
    assert document["sha256"][WEIGHTS] == hashlib.sha256(content).hexdigest()


def test_no_pickle_is_read(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    save(tmp_path, TENSORS, PLAN)
    for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    assert load(tmp_path)[1]["config"] == PLAN["config"]


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_changed_bit_of_the_weights_is_refused(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("saved")
    save(folder, TENSORS, PLAN)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (folder / WEIGHTS).write_bytes(content)
    refused(folder, "damaged")


def test_a_changed_number_of_the_document_is_refused(tmp_path):
    """What was learnt on train rows stands there: another mean is another forecast."""
    save(tmp_path, TENSORS, {"statistics": {"loc": [[1017.25]]}})
    text = (tmp_path / DOCUMENT).read_text()
    (tmp_path / DOCUMENT).write_text(text.replace("1017.25", "1077.25"))
    assert text != (tmp_path / DOCUMENT).read_text()
    refused(tmp_path, "damaged")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("file", [WEIGHTS, DOCUMENT])
def test_a_cut_file_is_refused(tmp_path, file, share):
    save(tmp_path, TENSORS, PLAN)
    content = (tmp_path / file).read_bytes().rstrip()
    (tmp_path / file).write_bytes(content[: int(share * len(content))])
    refused(tmp_path, "damaged")


def test_weights_that_are_missing_are_refused(tmp_path):
    save(tmp_path, TENSORS, PLAN)
    (tmp_path / WEIGHTS).unlink()
    refused(tmp_path, "damaged")


@pytest.mark.parametrize(
    "wanted",
    [
        {**TENSORS, "scalar": torch.tensor(7)},
        {**TENSORS, "scalar": torch.tensor([7.5])},
        {**TENSORS, "more": torch.zeros(1)},
        {name: x for name, x in TENSORS.items() if name != "empty"},
    ],
    ids=["type", "shape", "one less", "one more"],
)
def test_weights_of_another_model_are_refused(tmp_path, wanted):
    save(tmp_path, TENSORS, PLAN)
    with pytest.raises(Refusal, match="is not what was saved") as refusal:
        load(tmp_path, wanted)
    assert refusal.value.code == "damaged"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    tensors = {"weight": torch.tensor([1.0, value])}
    save(tmp_path, tensors, PLAN)
    with pytest.raises(Refusal, match="'weight' has numbers"):
        load(tmp_path, tensors)


def test_weights_that_say_more_than_numbers_are_refused(tmp_path):
    save(tmp_path, TENSORS, PLAN)
    content = safetensors({name: x.contiguous() for name, x in TENSORS.items()}, metadata={"a": "b"})
    (tmp_path / WEIGHTS).write_bytes(content)
    document = json.loads((tmp_path / DOCUMENT).read_text())
    document["sha256"][WEIGHTS] = hashlib.sha256(content).hexdigest()
    (tmp_path / DOCUMENT).write_text(json.dumps(document))
    assert "metadata" in refused(tmp_path, "damaged")


def test_weights_of_which_one_is_there_twice_are_refused(tmp_path):
    """A reader takes the first, another the last."""
    save(tmp_path, {"weight": torch.zeros(1)}, PLAN)
    content = (tmp_path / WEIGHTS).read_bytes()
    entry = content[8:-4].strip()[1:-1]
    header = b"{" + entry + b"," + entry + b"}"
    content = struct.pack("<Q", len(header)) + header + content[-4:]
    (tmp_path / WEIGHTS).write_bytes(content)
    document = json.loads((tmp_path / DOCUMENT).read_text())
    document["sha256"][WEIGHTS] = hashlib.sha256(content).hexdigest()
    (tmp_path / DOCUMENT).write_text(json.dumps(document))
    with pytest.raises(Refusal) as refusal:
        load(tmp_path, {"weight": torch.zeros(1)})
    assert refusal.value.code == "damaged"


def test_a_document_beyond_all_size_is_not_read(tmp_path, monkeypatch):
    save(tmp_path, TENSORS, PLAN)
    monkeypatch.setattr(artifact, "LARGEST", (tmp_path / DOCUMENT).stat().st_size)
    load(tmp_path)
    monkeypatch.setattr(artifact, "LARGEST", artifact.LARGEST - 1)
    assert "bytes" in refused(tmp_path, "damaged")


def test_what_a_result_may_depend_on_is_told():
    found = artifact.environment()
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0] and found["threads"] > 0
    assert ("cores," in found["machine"]) == torch.cuda.is_available()


@pytest.mark.parametrize("name", [WEIGHTS, DOCUMENT])
def test_files_that_lie_elsewhere_or_are_none_are_refused(tmp_path, name):
    for change in (lambda path: path.symlink_to(tmp_path / name), os.mkfifo):
        folder = tmp_path / change.__name__
        save(folder, TENSORS, PLAN)
        (folder / name).rename(tmp_path / name)
        change(folder / name)
        if change is os.mkfifo and name == DOCUMENT:  # which is looked for first
            refused(folder, "no-forecaster")
        else:
            refused(folder, "damaged")


NUMBERS = [2**63 - 1, -(2**63), 0, 1.5, -0.0, 5e-324, 1.7976931348623157e308]


def test_json_that_is_read_has_each_key_once_and_numbers_of_64_bits():
    assert artifact.parsed(json.dumps({"a": NUMBERS, "b": {"a": True}}).encode()) == {"a": NUMBERS, "b": {"a": True}}
    for text in (2**63, -(2**63) - 1, "9" * 5000, "1e400", "-1e400", "NaN", "Infinity", "-Infinity", '{"a":1,"a":1}'):
        with pytest.raises(ValueError, match=r"is no number|twice"):
            artifact.parsed(f"[{text}]".encode())


@pytest.mark.parametrize("place", ["", "nowhere", "forecaster.json"])
def test_a_folder_that_is_no_forecaster_is_refused(tmp_path, place):
    (tmp_path / "other.json").write_text("{}")
    refused(tmp_path / place, "no-forecaster")


@pytest.mark.parametrize("text", ["[]", "1", "null", "{}", '{"format": 1}', '{"format": 1, "sha256": []}', "\udcff"])
def test_a_document_of_another_kind_is_refused(tmp_path, text):
    save(tmp_path, TENSORS, PLAN)
    (tmp_path / DOCUMENT).write_bytes(text.encode(errors="surrogateescape"))
    refused(tmp_path, "damaged")


@pytest.mark.parametrize("newer", [{"format": FORMAT + 1}, {"format": FORMAT + 1, "sha256": {"other": ""}}])
def test_another_format_is_refused_by_its_number(tmp_path, newer):
    """Also one that keeps its hashes, or its weights, in another way."""
    save(tmp_path, TENSORS, PLAN)
    (tmp_path / DOCUMENT).write_text(json.dumps(newer))
    assert f"format {FORMAT + 1}" in refused(tmp_path, "format")


def test_weights_of_another_forecaster_are_refused(tmp_path):
    save(tmp_path / "one", TENSORS, PLAN)
    save(tmp_path / "two", {**TENSORS, "scalar": torch.tensor(7.0)}, PLAN)
    (tmp_path / "one" / WEIGHTS).write_bytes((tmp_path / "two" / WEIGHTS).read_bytes())
    refused(tmp_path / "one", "damaged")


def refused(folder: Path, code: str) -> str:
    with pytest.raises(Refusal) as refusal:
        load(folder)
    assert refusal.value.code == code and str(folder) in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_save_that_is_cut_short_is_refused_or_the_old_one(tmp_path, monkeypatch, writes):
    """Never old weights with new numbers."""
    save(tmp_path, {"weight": torch.zeros(2)}, {"config": "old"})
    done = []

    def failing(path, content):
        if len(done) == writes:
            raise CannotWrite("full", "cannot-write")
        done.append(write(path, content))

    monkeypatch.setattr(artifact, "write", failing)
    with pytest.raises(CannotWrite):
        save(tmp_path, {"weight": torch.ones(2)}, {"config": "new"})
    with suppress(Refusal) if writes else nullcontext():
        weights, document = load(tmp_path, {"weight": torch.ones(2)})
        assert document["config"] == "old" and weights["weight"].tolist() == [0, 0]


def test_the_state_of_the_code_is_the_commit_and_whether_it_changed(tmp_path):
    assert git_state() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_state() == commit and len(commit) >= 40
    (tmp_path / "new").write_text("x")
    assert git_state() == f"{commit}+"


def in_place(path: Path, content: bytes | str) -> None:
    """The fault that atomic writing prevents."""
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def test_the_tests_of_writing_catch_one_in_place(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_place(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() != "old"


def test_the_tests_of_loading_catch_weights_that_are_not_verified(tmp_path, monkeypatch):
    monkeypatch.setattr(artifact.hashlib, "sha256", lambda _: hashlib.new("md5", b"always the same"))
    with pytest.raises(BaseException, match="DID NOT RAISE"):
        test_weights_of_another_forecaster_are_refused(tmp_path)
