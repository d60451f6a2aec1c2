"""What every fitted forecaster promises, held against rows: real ones, or some that are made up in its layout.

A promise takes a forecaster and the rows; it returns the evidence, or raises AssertionError with it if it is broken.
Differences of forecasts are told in standard deviations of their series in training, and at the step where they are
largest. The newest windows of the test part are looked at.
"""

import tempfile
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from forecast import build
from forecast.data import reader
from forecast.data.grid import Grid
from forecast.data.lines import find
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.evaluation.table import levels_of
from forecast.fitted import Fitted
from forecast.forecaster import Forecaster

COUNT = 256  # windows looked at
CLOSE = 1e-4  # standard deviations by which another unit may move a forecast: a float32 network is between
KEYS = ["unique_id", "ds", "cutoff", "y"]
UNITS = ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e6), (1e3, -1e9))  # factor and offset, which counts in standard deviations
SHIFTED = ("standard", "robust", "minmax", "asinh")  # scalers that take a shift out; capacity scales only


def rows(forecaster: Forecaster, source: str | None) -> tuple[pd.DataFrame, str]:
    """The rows of a file (default: the training file), or made-up ones where that is gone, and what they are."""
    fitted = forecaster.fitted
    try:
        path = find(str(source or fitted.config["data"]["path"]))
    except Refusal:
        if source is not None:
            raise
        return invented(fitted), "made-up rows in the layout of the training data"
    return reader.read(path, fitted.reading), str(path)


def invented(fitted: Fitted, seed: int = 1) -> pd.DataFrame:
    """Rows around the end of the validation part: values around those of training, covariates as they usually are."""
    layout, statistics, settings = fitted.layout, fitted.statistics, fitted.config
    if layout.issued or settings["data"]["label"]:
        raise Refusal("rows of vintages, or of labels, can't be made up: name a file by rows=", "no-data")
    rng, draws = np.random.default_rng(seed), []
    before = max(settings["context"], statistics.season) + settings["gap"] + 2
    steps = np.arange(-before, settings["gap"] + 6 * settings["horizon"])
    ends = np.broadcast_to(np.asarray(fitted.borders[1]), len(statistics.names))
    for slot, (name, end) in enumerate(zip(statistics.names[:3], ends, strict=False), 1):
        wave = np.sin(2 * np.pi * steps / statistics.season)[:, None] + rng.normal(size=(len(steps), 1))
        y = np.abs(statistics.middle[slot] + wave * statistics.deviation[slot])
        y = np.round(y) if fitted.model.head.support == "count" else y
        made = pd.DataFrame({layout.time: layout.clock.stamps(end + steps)})
        for key, column in zip(layout.target, np.broadcast_to(y, (len(y), len(layout.target))).T, strict=True):
            made[key] = column
        for key in (*layout.past, *layout.future, *layout.static):
            static, (level, scale) = key in layout.static, statistics.columns.get(key, (0.0, 1.0))
            size = 1 if static else len(steps)
            if key in statistics.categories:
                drawn = rng.choice(statistics.categories[key], size)
            else:
                drawn = level + scale * np.abs(rng.normal(size=size))
            made[key] = drawn[0] if static else drawn
        if layout.id is not None:
            made[layout.id] = name
        draws.append(made)
        if layout.id is None:
            break
    return pd.concat(draws, ignore_index=True)


def newer(forecaster: Forecaster, grid: Grid) -> Windows:
    """The newest windows of the test part."""
    panel = forecaster.panel(grid)
    windows = forecaster.origins(panel, None)
    if len(windows.cutoffs.unique()) < 3:
        windows = forecaster.origins(panel, 1)
    return windows.recent(COUNT)


def issued(forecaster: Forecaster, grid: Grid) -> pd.DataFrame:
    """The forecasts of the newest windows of the test part, calibrated after what came before them."""
    return forecaster.fitted.issued(newer(forecaster, grid))


def network(forecaster: Forecaster, grid: Grid) -> torch.Tensor:
    """The numbers of the head for these windows: quantiles that are whole numbers hide a small change of them."""
    model = forecaster.fitted.model.eval()
    with torch.inference_mode():
        batches = newer(forecaster, grid).seeing(model.shape.context).to(model.device).batches(COUNT)
        return torch.cat([model(batch).params for batch in batches])


def moved(forecaster: Forecaster, before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
    """By how much each row of a forecast table is another one, in standard deviations; of classes in probability."""
    fitted, columns = forecaster.fitted, before.columns.difference(KEYS)
    off = np.abs(before[columns].to_numpy("float64") - after[columns].to_numpy("float64")).max(1)
    if not fitted.model.head.classes:
        layout, statistics = fitted.layout, fitted.statistics
        labels = [layout.label(name, x) for name in statistics.names for x in layout.channels]
        unit = dict(zip(labels, statistics.deviation[1:].ravel(), strict=True))
        off = off / before["unique_id"].map(unit).fillna(statistics.deviation[0].max()).to_numpy()
    return np.where(np.isnan(off), np.inf, off)


def where(table: pd.DataFrame, off: np.ndarray, unit: str = "sd") -> str:
    """The largest of these differences, and which step of which forecast it is."""
    worst = table.iloc[int(off.argmax())]
    one = (table["unique_id"] == worst["unique_id"]) & (table["cutoff"] == worst["cutoff"])
    step = int((table.loc[one, "ds"] <= worst["ds"]).sum())
    return f"{off.max():.2g} {unit} at step {step} after {worst['cutoff']} of series '{worst['unique_id']}'"


def at(grid: Grid, stamp: pd.Timestamp) -> int:
    """The clock's number of a stamp."""
    return int(grid.layout.clock.ordinals(pd.DatetimeIndex([stamp]))[0])


def look_ahead(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """A forecast sees nothing that came after its cutoff: other values there leave it the same to the last bit."""
    grid = forecaster.grid(frame)
    before = issued(forecaster, grid)
    cutoff = np.sort(before["cutoff"].unique())[before["cutoff"].nunique() // 2]
    cutoff = before.loc[before["cutoff"] == cutoff, "cutoff"].iloc[0]
    later = grid.ordinals > at(grid, cutoff)
    past = [i for i, name in enumerate(grid.layout.past) if grid.layout.lag.get(name, 0) >= 0]
    other = grid.past.copy()
    other[later[:, None] & np.isin(np.arange(other.shape[1]), past)] = np.nan
    after = issued(forecaster, replace(grid, y=np.where(later[:, None], grid.y * 3, grid.y), past=other))
    off, until = moved(forecaster, before, after), (before["cutoff"] <= cutoff).to_numpy()
    assert not off[until].any(), f"{int(later.sum())} later rows were changed: {where(before[until], off[until])}"
    beyond = off[~until].max() if (~until).any() else 0.0
    return f"{until.sum()} forecast steps up to {cutoff} are bit-identical; later ones move by up to {beyond:.2g} sd"


def newest(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """The last row is used: another newest observation changes the forecast made there, and the first step is next."""
    grid = forecaster.grid(frame)
    before = issued(forecaster, grid)
    cutoff = before["cutoff"].max()
    last, clock = at(grid, cutoff), grid.layout.clock
    hidden = max((grid.layout.lag.get(name, 0) for name in grid.layout.target), default=0)
    row = (grid.ordinals <= last) & (grid.ordinals >= last - max(0, hidden))
    now = (before["cutoff"] == cutoff).to_numpy()
    other = replace(grid, y=np.where(row[:, None], grid.y * 2 + 1, grid.y))
    off = moved(forecaster, before, issued(forecaster, other))
    assert not off[~now].any(), f"it changes forecasts that were made before: {where(before[~now], off[~now])}"
    same = not off[now].any() and torch.equal(network(forecaster, grid), network(forecaster, other))
    assert not same, f"another value at {cutoff} changes no step of the forecast made there"
    first = before[now].groupby("unique_id")["ds"].min()
    steps = clock.ordinals(pd.DatetimeIndex(first)) - last - forecaster.fitted.config["gap"]
    assert (steps == 1).all(), f"the first step is {int(steps.max())} steps after the cutoff and its gap"
    return f"another value at {cutoff} moves the forecast made there by {where(before[now], off[now])}"


def units(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """In another unit, and from another zero, the forecast is the same, as far as scaler and head allow it."""
    fitted, most, tried = forecaster.fitted, 0.0, []
    statistics, data = fitted.statistics, fitted.config["data"]
    kind, free = statistics.kind, data["fill"] != "zero" and fitted.model.head.support == "real"
    if kind not in (*SHIFTED, "capacity"):
        return f"not promised: data.scaler={kind} keeps the unit of the data"
    grid = forecaster.grid(frame)
    before = issued(forecaster, grid)
    for factor, sd in UNITS:
        offset = sd * float(statistics.deviation[0].max())
        if offset and not (free and kind in SHIFTED):
            continue
        scaled = replace(statistics, loc=factor * statistics.loc + offset, scale=factor * statistics.scale,
                         deviation=factor * statistics.deviation)  # fmt: skip
        bounds = {key: x if (x := data[key]) is None else factor * x + offset for key in ("min", "max")}
        config = {**fitted.config, "data": {**data, **bounds}}
        other = Forecaster.of(config)
        model = build.model(config, fitted.model.shape, scaled.scaling)
        model.load_state_dict(fitted.model.state_dict())
        other.fitted_ = replace(fitted, config=config, statistics=scaled, model=model)
        after = issued(other, replace(grid, y=factor * grid.y + offset))
        if not fitted.model.head.classes:
            columns = after.columns.difference(KEYS)
            after[columns] = (after[columns] - offset) / factor
        off = moved(forecaster, before, after)
        assert off.max() <= CLOSE, f"values x {factor:g} {sd:+g} sd: {where(before, off)}"
        most, tried = max(most, off.max()), [*tried, f"x {factor:g} {sd:+g} sd"]
    return f"{', '.join(tried)}: {most:.1g} sd at most"


def order(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """The order of rows, and of series among them, does not matter."""
    before = issued(forecaster, forecaster.grid(frame))
    after = issued(forecaster, forecaster.grid(frame.sample(frac=1.0, random_state=1)))
    off = moved(forecaster, before, after)
    assert before[KEYS].equals(after[KEYS]) and not off.any(), f"shuffled rows: {where(before, off)}"
    return f"{len(frame)} rows shuffled: {len(before)} forecast steps are bit-identical"


def finite(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """Forecasts are finite, also where values are missing or never move."""
    grid, rng, said = forecaster.grid(frame), np.random.default_rng(1), []
    cases = {
        "as they are": grid.y,
        "three in ten missing": np.where(rng.random(grid.y.shape) < 0.3, np.nan, grid.y),
        "constant": np.where(np.isnan(grid.y), np.nan, np.nanmax(np.abs(grid.y), 0)),
    }
    for name, y in cases.items():
        table = issued(forecaster, replace(grid, y=y))
        wrong = ~np.isfinite(table[table.columns.difference(KEYS)].to_numpy("float64")).all(1)
        assert not wrong.any(), f"values {name}: {int(wrong.sum())} of {len(table)} steps are not finite"
        said.append(f"{len(table)} steps of values {name}")
    return ", ".join(said)


def ordered(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """Quantiles don't cross, after calibration either, and keep to the bounds of the data; probabilities sum to 1."""
    table, data = issued(forecaster, forecaster.grid(frame)), forecaster.fitted.config["data"]
    if forecaster.fitted.model.head.classes:
        total = table.filter(regex="^p_").sum(axis=1).to_numpy()
        assert np.abs(total - 1).max() < 1e-6, f"probabilities sum to {total[np.abs(total - 1).argmax()]}"
        return f"{len(table)} steps"
    levels = levels_of(table)
    values = table[["point", *(levels[x] for x in sorted(levels))]].to_numpy("float64")
    crossed = (np.diff(values[:, 1:], axis=1) < 0).any(1)
    assert not crossed.any(), f"{int(crossed.sum())} of {len(table)} steps cross, such as {values[crossed][0, 1:]}"
    for name, low, high in (("min", data["min"], values.min()), ("max", values.max(), data["max"])):
        assert low is None or high is None or low <= high, f"data.{name}={data[name]}, a forecast is beyond"
    calibrated = "calibrated" if forecaster.fitted.calibration else "not calibrated"
    return f"{len(levels)} levels over {len(table)} steps, {calibrated}"


def saving(forecaster: Forecaster, frame: pd.DataFrame) -> str:
    """What is saved and loaded forecasts the same to the last bit."""
    grid = forecaster.grid(frame)
    before = issued(forecaster, grid)
    with tempfile.TemporaryDirectory() as folder:
        forecaster.save(folder)
        after = issued(Forecaster.load(folder), grid)
    off = moved(forecaster, before, after)
    assert not off.any(), where(before, off)
    return f"{len(before)} forecast steps are bit-identical"


PROMISES = (look_ahead, newest, units, order, finite, ordered, saving)
