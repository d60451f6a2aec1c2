"""The report in a real headless Chromium, from disk: python -m pytest -m slow -n 0 tests/board/test_report_browser.py

It needs Debian's chromium (`apt-get install chromium`) or CHROMIUM=/path/to/one, and the package playwright.
"""

import pytest
from test_report import EVIL, directions, forecasts, made

from forecast.board import leaderboard, report, runs

pytestmark = pytest.mark.slow
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """A report of runs on two data sets, one of classes, a foreign table, a damaged run, and awkward names."""
    root = tmp_path_factory.mktemp("reported")
    series = ("north", EVIL, "south")
    for i, noise in enumerate((2.0, 1.0, 3.0)):
        table = forecasts(series=series, seed=i, noise=noise, levels=() if i == 2 else (0.1, 0.3, 0.5, 0.7, 0.9))
        made(root / "outputs" / f"run{i}", table, overrides={"backbone.hidden_size": "64", "x" * 60: "y" * 200})
    made(root / "outputs" / "classes", directions(), model="direct-gru")
    made(root / "outputs" / "single", forecasts(horizon=1, stride=1, cutoffs=40), data="steps")
    made(root / "outputs" / "zoned", forecasts(tz="Europe/Berlin", begin="2024-10-25"), data="zoned")
    (root / "outputs" / "zoned" / "scores.csv").rename(root / "outputs" / "zoned" / "scores")
    forecasts(series=series, seed=9).to_csv(root / "theirs.csv", index=False)
    found, left_out = runs.found(root / "outputs")
    groups, _ = leaderboard.groups(found, runs.foreign(root / "theirs.csv"))
    (root / "report.html").write_text(report.page(groups, left_out, "Forecast report"))
    return (root / "report.html").as_uri()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids="{0[0]}-{0[1]}".format)
def tab(request, chromium):
    """A tab of a phone or a desktop; at its end nothing may have been complained of, or asked of the network."""
    width, scheme = request.param
    phone = width < 500
    context = chromium.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, is_mobile=phone, has_touch=phone
    )
    complaints, asked = [], []
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    context.close()
    assert complaints == []
    assert all(url.startswith(("file://", "data:", "blob:")) for url in asked)


def fits(tab) -> bool:
    return tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def range_of(tab, page: str) -> list:
    """What the axis of the shown forecast spans."""
    return tab.evaluate(f"document.querySelector('#{page} [data-chart=forecast]').layout.xaxis.range")


def points(tab, page: str, name: str) -> list:
    """The values of a line of the shown forecast."""
    return tab.evaluate(
        f"document.querySelector('#{page} [data-chart=forecast]').data.find(x => x.name === '{name}').y"
    )


def test_the_board_and_every_run_fit_their_screen(tab, page):
    tab.goto(page)
    assert tab.title() == "Forecast report" and fits(tab)
    links = tab.eval_on_selector_all("table.board a", "links => links.map(x => x.hash)")
    assert len(links) == 6
    for link in links:
        tab.click(f"a[href='{link}']")
        tab.wait_for_selector(f"{link} [data-chart=forecast] .main-svg")
        assert fits(tab) and tab.is_hidden("#board")
        assert tab.evaluate("document.activeElement.tagName") == "H1"
        shown = tab.eval_on_selector_all(f"{link} .chart", "all => all.filter(x => x.offsetParent).map(x => !!x.data)")
        assert len(shown) >= 3 and all(shown)
        tab.click(f"{link} summary") if tab.query_selector(f"{link} summary") else None
        assert fits(tab)
        tab.click(f"{link} a[href='#board']")
        assert tab.is_visible("#board")


def test_a_heading_sorts_and_a_key_as_well(tab, page):
    tab.goto(page)
    board = tab.query_selector("table.board:has(a[href='#run-0-1'])")

    def shown(name: str) -> list[float]:
        cells = board.query_selector_all(f"td[data-name={name}]")
        return [float(x.get_attribute("data-value")) for x in cells if x.get_attribute("data-value")]

    assert shown("mae") == sorted(shown("mae")) and len(shown("mae")) == 5
    head = board.query_selector("th:has(button:text-is('MAE'))")
    assert head.get_attribute("aria-sort") == "ascending"
    head.query_selector("button").click()
    assert shown("mae") == sorted(shown("mae"), reverse=True) and head.get_attribute("aria-sort") == "descending"
    skill = board.query_selector("button:text-is('skill')")
    skill.focus()
    tab.keyboard.press("Enter")
    assert shown("skill") == sorted(shown("skill")) and head.get_attribute("aria-sort") is None
    board.query_selector("button:text-is('WQL')").click()
    cells = [x.get_attribute("data-value") for x in board.query_selector_all("td[data-name=wql]")]
    assert cells[-1] == "" and cells[0] != ""
    board.query_selector("button:text-is('run')").click()
    names = [x.get_attribute("data-value") for x in board.query_selector_all("tbody th")]
    assert names == sorted(names)


def test_series_are_switched_and_runs_laid_beside(tab, page):
    tab.goto(f"{page}#run-0-1")
    before = points(tab, "run-0-1", "actual")
    select = "#run-0-1 [data-choice=series]"
    assert tab.eval_on_selector_all(f"{select} option", "all => all.map(x => x.text)") == [EVIL, "north", "south"]
    tab.select_option(select, label="south")
    after = points(tab, "run-0-1", "actual")
    assert len(after) == len(before) and after != before and tab.query_selector("b") is None
    tab.select_option("#run-0-1 [data-choice=beside]", index=1)
    assert points(tab, "run-0-1", "beside") != points(tab, "run-0-1", "forecast")


def test_a_chart_is_zoomed(tab, page):
    tab.goto(f"{page}#run-0-0")
    tab.wait_for_selector("#run-0-0 [data-chart=forecast] .main-svg")
    whole = range_of(tab, "run-0-0")
    tab.click("#run-0-0 [data-chart=forecast] .rangeselector .button:first-child")
    day = range_of(tab, "run-0-0")
    assert whole[0] < day[0] and day[1] == whole[1]
    tab.click("#run-0-0 [data-chart=forecast] .rangeselector .button:last-child")
    assert range_of(tab, "run-0-0")[0] < day[0]
    if tab.viewport_size["width"] > 500:  # a finger scrolls the page instead
        box = tab.query_selector("#run-0-0 [data-chart=forecast] .nsewdrag").bounding_box()
        middle = box["y"] + box["height"] / 2
        tab.mouse.move(box["x"] + 0.3 * box["width"], middle)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=5)
        tab.mouse.up()
        begin, end = range_of(tab, "run-0-0")
        assert whole[0] < begin < end < whole[1]
        tab.select_option("#run-0-0 [data-choice=beside]", index=1)
        assert range_of(tab, "run-0-0") == [begin, end]  # what is laid beside leaves the view where it was


def test_colours_follow_the_scheme(tab, page):
    tab.goto(f"{page}#run-0-0")
    ground = "getComputedStyle(document.body).backgroundColor"
    chart = "document.querySelector('#run-0-0 [data-chart=forecast]').layout.paper_bgcolor"
    before = tab.evaluate(ground), tab.evaluate(chart)
    dark = tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    tab.emulate_media(color_scheme="light" if dark else "dark")
    tab.wait_for_function(f"{chart} !== '{before[1]}'")  # plotly draws again when the event comes
    after = tab.evaluate(ground), tab.evaluate(chart)
    assert before[0] != after[0] and before[1] != after[1]
    assert ("#ffffff" in after) == dark


def test_what_is_left_out_is_listed(tab, page):
    tab.goto(page)
    assert "scores.csv is missing" in tab.inner_text("section:has(#left-out)")
