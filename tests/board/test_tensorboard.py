"""TensorBoard: what is written is read back by TensorBoard's own reader."""

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from forecast.board.sheet import singles
from forecast.board.tensorboard import LAYOUT, conclude, flat, listed, logger, quoted

CONFIG = {
    "horizon": 24,
    "anchor": None,
    "backbone": {"name": "lstm", "hidden_size": 64, "dropout": 0.5, "bidirectional": False},
    "normalizer": {"last": {}},
    "data": {"split": [0.7, 0.1, 0.2], "target": None},
}
FINAL = {"test/mae": 12.5, "test/mase": float("nan"), "score/val/loss": 0.25}
CARD = {"source": "load.csv", "rows": 17712, "frequency": "h"}


TEXTS = {"data": listed(CARD), "config": quoted("horizon: 24\nbackbone:\n  name: lstm\n")}
CURVE = pd.Series([1.0, 2.5, 4.0], index=[1, 2, 3])


def tables() -> dict[str, pd.DataFrame]:
    ds = pd.date_range("2024-01-01", periods=48, freq="h")
    table = pd.DataFrame({"unique_id": "a", "ds": ds, "cutoff": (ds[0] - pd.Timedelta("1h"), ds[23]) * 24})
    table["cutoff"] = table["cutoff"].sort_values().to_numpy()
    table = table.assign(y=np.arange(48.0), point=np.arange(48.0) + 1, **{"q0.1": 0.0, "q0.9": 40.0})
    return {"mine": table, "seasonal_naive": table.iloc[:, :5]}


FIGURES = (
    "forecast/fan",
    "error/by_step",
    "error/by_calendar",
    "error/residuals",
    "error/autocorrelation",
    "calibration/reliability",
    "calibration/pit",
    "attention/weights",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that trained for three epochs and was concluded as `forecast train` does it."""
    folder = tmp_path_factory.mktemp("run")
    training = logger(folder)
    for epoch in range(3):
        training.log_metrics({"train/loss": 1 / (epoch + 1), "val/loss": 2 / (epoch + 1)}, epoch)
    training.finalize("success")
    figures = singles(tables(), "a title", np.full((24, 48), 1 / 48))
    conclude(logger(folder), CONFIG, FINAL, TEXTS, figures, {"by_step/model": CURVE}, 120)
    return folder


@pytest.fixture(scope="module")
def events(run) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "tensors": 0}).Reload()


def test_all_is_written_into_the_folder_of_the_run(run):
    assert [path.name for path in run.iterdir()] == ["tensorboard"]
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))


def test_curves_have_a_layout_of_their_own(events):
    layout = Layout.FromString(events.Tensors(metadata.CONFIG_SUMMARY_TAG)[0].tensor_proto.string_val[0])
    shown = {x.title: {y.title: list(y.multiline.tag) for y in x.chart} for x in layout.category}
    assert shown == {title: {name: tags for name, (_, tags) in part.items()} for title, part in LAYOUT.items()}
    assert "train/loss" in shown["training"]["loss"]


def test_curves_of_training_are_kept(events):
    assert [x.value for x in events.Scalars("val/loss")] == pytest.approx([2, 1, 2 / 3])
    assert [x.step for x in events.Scalars("train/loss")] == [0, 1, 2]


def test_the_data_card_is_a_table_in_markdown(events):
    (event,) = events.Tensors("data/text_summary")
    lines = event.tensor_proto.string_val[0].decode().split("\n")
    assert event.step == 120 and lines[1] == "|---|---|"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2:] == [[key, str(value)] for key, value in CARD.items()]


def test_the_configuration_is_a_block_of_code(events):
    """Markdown shows lines after four blanks as they are."""
    (event,) = events.Tensors("config/text_summary")
    lines = event.tensor_proto.string_val[0].decode().split("\n")
    assert [line.removeprefix("    ") for line in lines] == ["horizon: 24", "backbone:", "  name: lstm"]
    assert all(line.startswith("    ") for line in lines)


def test_every_figure_is_an_image_under_its_tag(events):
    assert sorted(events.Tags()["images"]) == sorted(FIGURES)
    for tag in FIGURES:
        (image,) = events.Images(tag)
        assert image.encoded_image_string.startswith(b"\x89PNG") and image.step == 120
        assert image.width > 700 and image.height > 300


def test_a_curve_is_drawn_over_the_steps_of_the_horizon(events):
    found = events.Scalars("by_step/model")
    assert [x.step for x in found] == [1, 2, 3] and [x.value for x in found] == CURVE.tolist()


def test_final_scores_are_scalars_of_the_last_step(events):
    for name, value in FINAL.items():
        (found,) = events.Scalars(name)
        assert found.value == pytest.approx(value, nan_ok=True) and found.step == 120


def test_hyper_parameters_stand_beside_the_final_scores(events):
    found = {tag: HParamsPluginData.FromString(data) for tag, data in hparams(events).items()}
    start = found["_hparams_/session_start_info"].session_start_info.hparams
    values = {name: getattr(x, x.WhichOneof("kind")) for name, x in start.items()}
    assert values == flat(CONFIG)
    experiment = found["_hparams_/experiment"].experiment
    assert {x.name.tag for x in experiment.metric_infos} == set(FINAL)
    assert {x.name for x in experiment.hparam_infos} == set(values)
    assert "_hparams_/session_end_info" in found


def hparams(events: EventAccumulator) -> dict[str, bytes]:
    return events.PluginTagToContent("hparams")


def test_no_picture_stays_open(run):
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_nested_settings_become_one_level_of_plain_types():
    found = flat(CONFIG)
    assert found["backbone/hidden_size"] == 64 and found["backbone/bidirectional"] is False
    assert found["data/split"] == "[0.7, 0.1, 0.2]" and found["anchor"] == "None"
    assert all(isinstance(x, bool | int | float | str) for x in found.values())
    assert flat({}) == {} and flat({"a": {"b": {"c": 1}}}) == {"a/b/c": 1}


def test_a_part_without_settings_is_a_hyper_parameter_too():
    """conf/normalizer/last.yaml is `last: {}`: which normalizer a run had must be seen."""
    assert flat({"normalizer": {"last": {}}}) != flat({"normalizer": {"none": {}}})
