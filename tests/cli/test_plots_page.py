"""The page of `dvc plots show` needs no network, and is the one that plots_page.py writes."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mnist_pipeline.cli.plots_page import SECTIONS, element_id, plots_page
from tests.conftest import ROOT


def test_the_committed_page_is_what_the_code_writes() -> None:
    committed = (ROOT / ".dvc" / "plots.html").read_text("utf-8")
    assert committed == plots_page(), "make plots-page writes it anew"


def test_dvc_is_told_to_use_it() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    assert config["plots"]["html_template"] == "plots.html"
    assert config["core"]["analytics"] == "false"


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = plots_page()
    assert "{plot_divs}" in page
    assert "{scripts}" not in page  # where DVC would put the addresses of a CDN
    assert not re.search(r"""<(script|link)[^>]*(src|href)\s*=""", page)
    assert page.count("</script>") == 2  # none inside the code itself, which would end it early


def plots() -> set[str]:
    """Every plot of dvc.yaml, by the name that DVC's page knows it by."""
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
    entries = [plot for stage in content["stages"].values() for plot in stage.get("plots", [])] + content["plots"]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def test_every_plot_has_its_place() -> None:
    named = [plot for section in SECTIONS.values() for plot in section]
    assert sorted(named) == sorted(plots())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("command", ["show", "diff"])
def test_a_browser_without_a_network_shows_every_plot(command: str, tmp_path: Path) -> None:
    dvc = [sys.executable, "-m", "dvc", "plots", command, *(["HEAD"] if command == "diff" else [])]
    subprocess.run([*dvc, "--out", tmp_path / "page"], cwd=ROOT, check=True, capture_output=True)
    log = tmp_path / "requests.json"
    browser = (
        "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --virtual-time-budget=20000 --dump-dom"
    ).split()
    page = (tmp_path / "page" / "index.html").as_uri()
    ran = subprocess.run([*browser, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", page],
                         check=True, capture_output=True, text=True)  # fmt: skip

    body = ran.stdout[ran.stdout.rindex("<h1>") :]
    headings = re.findall(r"<h2>(\w+)</h2>", body)
    assert headings == list(SECTIONS)
    places = {plot: body.index(f'id="{element_id(plot)}"') for plot in plots()}
    assert sorted(places, key=lambda plot: places[plot]) == [plot for each in SECTIONS.values() for plot in each]
    ends = dict(zip(sorted(places.values()), [*sorted(places.values())[1:], len(body)], strict=True))
    for plot, start in places.items():
        part = body[start : ends[start]]
        if plot.endswith(".png"):
            images = re.findall(r'<img src="([^"]+)"', part)
            assert images, plot
            for image in images:
                assert (tmp_path / "page" / image).read_bytes().startswith(b"\x89PNG"), plot
        else:
            assert len(re.findall(r"<path [^>]*d=\"M", part)) > 3, f"{plot} is blank"
    requests = [event.get("params", {}) for event in json.loads(log.read_text("utf-8"))["events"]]
    of_browser = "not an origin"  # it asks for updates of its own
    asked = {each["url"] for each in requests if "url" in each and each.get("initiator", of_browser) != of_browser}
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()
