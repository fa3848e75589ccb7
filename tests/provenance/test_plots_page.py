"""The page of `dvc plots show` needs no network, and is the one that plots_page.py writes."""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest
import vl_convert
import yaml

from mnist_pipeline.provenance.plots_page import HIDDEN, SECTIONS, VEGA_LITE, plots_page
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def page() -> str:
    return plots_page()


@pytest.mark.repository
def test_the_committed_page_is_what_the_code_writes_and_dvc_uses(page: str) -> None:
    assert (ROOT / ".dvc" / "plots.html").read_text("utf-8") == page, "run make plots-page"
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    assert config["plots"]["html_template"] == "plots.html"
    assert config["core"]["analytics"] == "false"


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert "{plot_divs}" in page
    assert "{scripts}" not in page  # where DVC would put the addresses of a CDN
    assert not re.search(r"""<(script|link)[^>]*(src|href)\s*=""", page)
    assert page.count("</script>") == 2  # none inside the code itself, which would end it early


def plots() -> set[str]:
    """Every plot of dvc.yaml, by the name that DVC's page knows it by."""
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
    entries = [plot for stage in content["stages"].values() for plot in stage.get("plots", [])] + content["plots"]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def test_every_plot_has_its_place_once() -> None:
    placed = [plot for section in SECTIONS.values() for plot in section] + HIDDEN
    assert sorted(placed) == sorted(plots())
    assert placed[0].endswith("headline.svg")


def test_pictures_have_captions_and_charts_their_titles() -> None:
    captioned = {plot for section in SECTIONS.values() for plot, caption in section.items() if caption}
    assert captioned == {plot for plot in plots() if plot.endswith(".png")} - {*HIDDEN}


def test_links_lead_to_pages(page: str) -> None:
    links = re.findall(r'<a href="([^"]+)"', page)
    assert len(links) >= 3
    assert all((ROOT / "dvc_plots" / link).resolve().is_file() for link in links)


NAMES = [f"rhododendron-{place:02}" for place in range(20)]
ROWS = {  # as DVC reads them from CSV: text
    "lines": [{"epoch": str(epoch), "loss": f"{1 / epoch}", "rev": "workspace"} for epoch in range(1, 6)],
    "class_bars": [{"train": str(place), "class": name, "rev": "workspace"} for place, name in enumerate(NAMES)],
    "class_points": [{"f1": f"0.97{place:02}", "class": name, "rev": "workspace"} for place, name in enumerate(NAMES)],
    "mistakes": [
        {"actual": actual, "predicted": predicted, "rev": revision}
        for revision in ("HEAD", "workspace")
        for actual in NAMES
        for predicted in (actual, NAMES[-1])
    ],
    "reliability": [
        {"count": "7", "confidence": "0.4", "accuracy": "0.5", "accuracy_low": "0.2", "accuracy_high": "0.8"},
        {"count": "0", "confidence": "", "accuracy": "", "accuracy_low": "", "accuracy_high": ""},
    ],
}
AXES = {
    "lines": ("epoch", "loss"),
    "class_bars": ("train", "class"),
    "class_points": ("f1", "class"),
    "mistakes": ("predicted", "actual"),
    "reliability": ("confidence", "accuracy"),
}


def drawn(name: str) -> list[str]:
    """The texts of a chart that is drawn with a template, filled as DVC fills it."""
    x, y = AXES[name]
    values: dict[str, Any] = {
        "DATA": ROWS[name],
        "TITLE": "A title",
        "X": x,
        "Y": y,
        "X_LABEL": x,
        "Y_LABEL": y,
        "TOOLTIP": [],
    }
    values |= {"PLOT_WIDTH": 300, "PLOT_HEIGHT": 300, "COLOR": {"field": "rev"}, "STROKE_DASH": {}}
    text = (ROOT / ".dvc" / "plots" / f"{name}.json").read_text("utf-8")
    for anchor, value in values.items():
        text = text.replace(f'"<DVC_METRIC_{anchor}>"', json.dumps(value)).replace(f"<DVC_METRIC_{anchor}>", str(value))
    assert "DVC_METRIC" not in text
    return re.findall(r"<text[^>]*>([^<]*)</text>", vl_convert.vegalite_to_svg(text, vl_version=VEGA_LITE))


def test_every_template_is_used_and_there() -> None:
    used = set(re.findall(r"template: (\w+)", (ROOT / "dvc.yaml").read_text("utf-8")))
    used -= {"scatter"}  # of DVC, for a table that the page does not show
    assert used == {path.stem for path in (ROOT / ".dvc" / "plots").glob("*.json")} == set(AXES)


@pytest.mark.parametrize("name", AXES)
def test_a_template_draws_its_chart(name: str) -> None:
    texts = drawn(name)
    assert {"A title", *AXES[name]} <= {*texts}
    if name in ("class_bars", "class_points", "mistakes"):
        assert {*NAMES} <= {*texts}, "a name of a class is cut off or left out"


def test_confusion_shows_the_number_of_each_cell_for_each_revision() -> None:
    texts = drawn("mistakes")
    assert {"HEAD", "workspace"} <= {*texts}
    assert texts.count("1") >= 2 * 19 * 2  # right and wrong, but not in the last row
    assert texts.count("2") >= 2


def test_f1_is_drawn_on_a_scale_that_fits() -> None:
    ticks = [float(text) for text in drawn("class_points") if re.fullmatch(r"0\.\d+", text)]
    assert min(ticks) > 0.96
