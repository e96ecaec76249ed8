"""Draws docs/figures/view_page.jpg and view_space.jpg: the live view's page, showing the demo with nano's depth.

python benchmarks/view_figures.py

Needs the extras view and dev, and Debian's chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))  # the benchmarks run from a checkout, installed or not

from model.engine import Engine
from model.estimator import DepthProEstimator
from model.lab.demo import DemoLoop, DemoSource
from model.weights import load
from sinks.view.options import ViewOptions
from sinks.view.sink import ViewSink
from stream.pipeline import Pipeline, Stream

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
WANTED = 30  # frame of the demo, in its room
ARGUMENTS = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def save(page: Page, name: str) -> None:
    """The page as JPEG, sharp enough to read and less than 200 KB."""
    picture = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    target = FOLDER / name
    cv2.imwrite(str(target), picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{target}: {picture.shape[1]}x{picture.shape[0]}, {target.stat().st_size // 1024} KiB")


def main() -> None:
    sink = ViewSink("//127.0.0.1:0", ViewOptions(max=8.0))
    source = DemoLoop(DemoSource())
    pipeline = Pipeline(
        Stream(source=source, estimator=DepthProEstimator(engine=Engine(load("nano"))), sinks=[sink], name="demo")
    )
    pipeline.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 690}, device_scale_factor=1.25)
            page.goto(sink.link)
            page.click("[data-layout=side]")
            while int(page.get_attribute("#stage", "data-index") or 0) < WANTED:
                page.wait_for_timeout(20)
            page.click("#freeze")
            box = page.locator("#flat").bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 0.30 * box["width"], box["y"] + 0.57 * box["height"])
            page.wait_for_timeout(300)
            save(page, "view_page.jpg")
            page.click("[data-layout=picture]")
            page.click("[data-tool=cube]")
            page.fill("#cube-size", "0.3")
            page.mouse.click(box["x"] + 0.40 * box["width"], box["y"] + 0.66 * box["height"])
            page.click("[data-layout=space]")
            page.wait_for_timeout(1000)
            save(page, "view_space.jpg")
            browser.close()
    finally:
        pipeline.stop()
        pipeline.wait(10)


if __name__ == "__main__":
    main()
