"""The best job as an experiment: it composes to what the job was trained with."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from forecast import config
from forecast.sweep.best import experiment, path
from forecast.sweep.job import Job

GROUPS = {x.name for x in config.CONF.iterdir() if x.is_dir()}
TOLD = {
    "values": ["context=48", "optimizer.lr=0.00012", "trainer.max_epochs=2", "data.calendar=[hour,weekday]", "seed=3"],
    "groups": ["backbone=gru", "backbone.hidden_size=8", "head=point", "model=seq2seq", "scheduler=none"],
    "list": ["normalizer=[standard,season]", "horizon=12"],
    "text": ["data=csv", "data.path='my data/it\\'s Größe.csv'", "anchor='00:00'", "data.series=['1','b: c']"],
    "null": ["callbacks.early_stopping=null", "loss.series={north: 2.0}", "issue=null"],
    "experiment": ["experiment=etth1_96", "backbone=gru", "head=quantile", "optimizer.lr=0.01", "normalizer=[last]"],
}


def composed(overrides: list[str]) -> dict:
    with initialize_config_dir(str(config.CONF), version_base="1.3"):
        return config.plain(compose("train", overrides=overrides))


@pytest.mark.parametrize("case", TOLD)
def test_the_experiment_composes_to_what_the_job_was_told(tmp_path, case):
    text = experiment(Job(tmp_path / "7", TOLD[case]), GROUPS, "The best of 8 jobs.")
    file = path(tmp_path)
    file.parent.mkdir()
    file.write_text(text)
    wanted = composed(TOLD[case])
    assert composed([f"hydra.searchpath=[file://{tmp_path}]", "experiment=best"]) == wanted
    assert wanted != composed([])


def test_it_opens_with_the_command_that_runs_it(tmp_path):
    lines = experiment(Job(Path("outputs/sweep/x/7"), ["seed=2"]), GROUPS, "The best of 8 jobs.").split("\n")
    assert lines[:3] == [
        "# @package _global_",
        "# forecast train --config-dir outputs/sweep/x experiment=best",
        "# The best of 8 jobs.",
    ]
    assert yaml.safe_load("\n".join(lines)) == {"defaults": ["_self_"], "seed": 2}
