"""The page of the service in a real headless Chromium: python -m pytest -m slow -n 0 tests/serving/test_page.py

It needs Debian's chromium (`apt-get install chromium`) or CHROMIUM=/path/to/one, and the package playwright.
"""

import csv
import os
from pathlib import Path

import pandas as pd
import pytest
from test_abuse import Running
from test_app import FORMULA, HORIZON, alone, columns, fitted, tail

from forecast import Forecaster

pytestmark = pytest.mark.slow
EVIL = FORMULA + "<img src=x onerror=alert(1)>"
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
TOKEN = "sesame-123"


def rows() -> pd.DataFrame:
    made = columns()[["unique_id", "ds", "y"]].dropna()
    return made.assign(unique_id=made["unique_id"].replace(FORMULA, EVIL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("shown")
    fitted(alone()).save(root / "alone")
    fitted(rows()).save(root / "several")
    tail(rows()).to_csv(root / "several.csv", index=False)
    alone().tail(60).to_csv(root / "alone.csv", index=False)
    (root / "bad.csv").write_text("unique_id,ds,y\nnorth,2024-01-01 00:00,<b>abc</b>\n")
    return root


@pytest.fixture(scope="module")
def running(folder):
    started = Running(folder, FORECAST_TOKEN=TOKEN)
    yield started
    assert "Traceback" not in started.stop()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids="{0[0]}-{0[1]}".format)
def tab(request, chromium, running):
    """The page with its token told; nothing may have run that is not its own, nor another address been asked."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    complaints, asked, opened = [], [], context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(running.url)
    opened.wait_for_selector("#entry:not([hidden])")
    assert "token" in opened.inner_text("#wrong")
    opened.fill("#token", TOKEN)
    opened.click("#entry button")
    opened.wait_for_selector("#names:not([hidden])")
    yield opened
    context.close()
    fine = (
        "Failed to load resource: the server responded with a status of 4",
        "Executing inline event handler violates",
    )
    assert all(text.startswith(fine) for text in complaints), complaints
    assert all(url.startswith((running.url, "blob:", "data:")) for url in asked)


def dropped(tab, path: Path) -> None:
    """Drops a file on the page, as a mouse does."""
    script = """([name, text]) => {
        const data = new DataTransfer();
        data.items.add(new File([text], name, {type: "text/csv"}));
        for (const type of ["dragenter", "drop"])
            document.getElementById("drop").dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true}));
    }"""
    tab.evaluate(script, [path.name, path.read_text()])


def test_a_csv_is_dropped_and_its_forecast_drawn(tab, folder, tmp_path):
    tab.select_option("#name", "several")
    dropped(tab, folder / "several.csv")
    tab.wait_for_selector("#result:not([hidden]) svg")
    expected = Forecaster.load(folder / "several").predict(tail(rows()))
    ids = tab.eval_on_selector_all("#series option", "all => all.map(x => x.text)")
    assert ids == list(dict.fromkeys(expected["unique_id"].str.strip())) and EVIL in ids
    tab.select_option("#series", label=EVIL)
    points = tab.get_attribute("polyline.point", "points").split()
    heights = [float(x.split(",")[1]) for x in points]
    own = expected.loc[expected["unique_id"] == EVIL, "point"]
    assert len(points) == HORIZON and (pd.Series(heights).rank() == (-own).reset_index(drop=True).rank()).all()
    assert tab.locator("polygon.band").count() == 4 and tab.locator("polyline.actual").count() == 1
    assert tab.locator("img").count() == 0 and tab.locator("tbody tr").count() == HORIZON
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.hover("#chart svg")
    assert "actual" in tab.inner_text("#reading") or "forecast" in tab.inner_text("#reading")
    with tab.expect_download() as coming:
        tab.click("#download")
    coming.value.save_as(tmp_path / "forecast.csv")
    with (tmp_path / "forecast.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(x["point"]) for x in lines] == expected["point"].tolist()
    assert f"'{EVIL}" in {x["unique_id"] for x in lines}
    if os.environ.get("SHOTS"):
        size = tab.viewport_size["width"]
        tab.screenshot(path=f"{os.environ['SHOTS']}/page-{size}.png", full_page=True)


def test_a_refusal_is_read(tab, folder):
    tab.select_option("#name", "several")
    dropped(tab, folder / "bad.csv")
    tab.wait_for_selector("#wrong:not([hidden])")
    assert "'<b>abc</b>' is not a number" in tab.inner_text("#wrong") and tab.locator("b").count() == 0
    tab.select_option("#name", "alone")
    tab.set_input_files("#file", str(folder / "alone.csv"))
    tab.wait_for_selector("#result:not([hidden]) svg")
    assert tab.is_hidden("#wrong") and tab.is_hidden("#choice")


def test_an_injected_script_would_not_run(tab):
    """The policy, not only the page's own care: a planted element is not executed."""
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.ran = 1\">')")
    tab.wait_for_timeout(500)
    assert tab.evaluate("window.ran === undefined")
