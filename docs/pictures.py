"""Makes the pictures of README and docs again, from runs of its own: python docs/pictures.py [folder for the runs]

Three networks learn the bundled load series, minutes on two cores; what is in the folder is not learnt again. Pages are
taken by a headless Chromium (apt-get install chromium, or CHROMIUM=/path/to/one) and playwright (extra `dev`).
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from forecast.data.lines import BUNDLED

HERE = Path(__file__).resolve().parent
PORT = 6116
URL = f"http://localhost:{PORT}"
DRAWING = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # curves are WebGL
RUNS = {
    "segment-gru": [],
    "segment-lstm": ["backbone=lstm"],
    "segment-rnn": ["backbone=rnn"],
}


def trained(folder: Path) -> None:
    for name, words in RUNS.items():
        if not (folder / "outputs" / name / "manifest.json").is_file():
            subprocess.run(["forecast", "train", f"folder=outputs/{name}", *words], cwd=folder, check=True)
    subprocess.run(["forecast", "report", "outputs"], cwd=folder, check=True)


def kept(name: str, content: bytes) -> None:
    """A picture with few colours, which is a third as large."""
    image = Image.open(io.BytesIO(content)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(HERE / f"{name}.png", optimize=True)
    print(f"docs/{name}.png: {image.size[0]} x {image.size[1]}, {(HERE / f'{name}.png').stat().st_size // 1000} kB")


@contextmanager
def running(*command: str) -> Iterator[None]:
    """A server at URL, which answers already."""
    server = subprocess.Popen(command)
    try:
        for _ in range(60):
            try:
                with urlopen(URL):
                    break
            except URLError:
                time.sleep(1)
        else:
            raise SystemExit(f"{command[0]} did not start")
        yield
    finally:
        server.terminate()
        server.wait()


def board(tab: Page) -> None:
    """Curves and fan charts side by side, in wide cards, without the settings."""
    tab.goto(f"{URL}/?darkMode=false#timeseries")
    tab.get_by_role("combobox", name="Filter tags (regex)").fill("^(train/loss|val/loss|val/mae|forecast/fan)")
    tab.get_by_role("button", name="Settings").first.click()
    tab.wait_for_timeout(40_000)  # without a GPU curves take their time
    kept("tensorboard", tab.screenshot())


def page(tab: Page) -> None:
    """A CSV dropped on the service's page."""
    tab.goto(URL)
    tab.set_input_files("#file", str(BUNDLED / "load.csv"))
    tab.wait_for_selector("#result:not([hidden]) svg")
    kept("serve", tab.screenshot())


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else None
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(given or scratch)
        trained(folder)
        kept("load", (folder / "outputs" / "segment-gru" / "forecast.png").read_bytes())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *DRAWING])
        tab = browser.new_page(viewport={"width": 1400, "height": 860}, color_scheme="light")
        tab.goto((folder / "outputs" / "report.html").resolve().as_uri())
        tab.get_by_role("link", name="segment-gru").first.click()
        tab.wait_for_timeout(3000)
        kept("report", tab.screenshot())
        with running("forecast", "serve", f"run={folder / 'outputs' / 'segment-gru'}", f"port={PORT}"):
            page(tab)
        with running("tensorboard", f"--logdir={folder / 'outputs'}", f"--port={PORT}"):
            board(tab)
        browser.close()


if __name__ == "__main__":
    main()
