"""The page around the charts of ``dvc plots show``, with Vega inside, so that it opens without a network.

DVC's own page loads Vega from the web and is blank without a network. ``make plots-page`` writes this one from the Vega
of the package vl-convert-python; ``.dvc/config`` names it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import vl_convert

from mnist_pipeline.core.files import write_text

VEGA_LITE = "v5.21"  # DVC's templates are written for Vega-Lite 5

# As SVG: sharp when enlarged or printed. DVC's calls are kept for the script at the end of the page, which draws them.
SNIPPET = (
    "window.vegaLite = vegaLite; window.vega = vega; window.charts = [];"
    "window.vegaEmbed = (place, chart) => window.charts.push([place, chart]);"
    'window.drawChart = (place, chart) => vegaEmbed(place, chart, {renderer: "svg", actions: false});'
)

SECTIONS = {
    "": {"metrics/figures/headline.svg": ""},
    "Results": {
        "metrics/predictions.csv": "",
        "metrics/classes.csv": "",
        "metrics/calibration.csv": "",
        "metrics/figures/record.png": "One test image",
        "metrics/figures/mistakes.png": "Mistakes",
    },
    "Training": {
        "Accuracy by epoch": "",
        "Loss by epoch": "",
        "metrics/history.csv": "",
        "metrics/figures/loss.png": "Loss of single batches",
        "metrics/figures/weights.png": "Weights of the first layer",
    },
    "Data": {
        "metrics/balance.csv": "",
        "metrics/figures/preview.png": "Training images",
        "metrics/figures/augmentation.png": "Augmentation",
        "metrics/figures/audit.png": "Suspect data",
    },
    "All experiments of the ladder": {"metrics/figures/ladder.png": "Test error of each improvement, by seed"},
}
"""The plots of dvc.yaml in the order in which a person would look at them, and the captions of pictures. DVC has an
order of its own, so that the page sorts them when it is opened; any other plot comes last."""

HIDDEN = [
    "metrics/figures/confusion.png", "metrics/figures/reliability.png",
    "metrics/audit.csv", "metrics/audit.json", "metrics/data.json",
    "metrics/test_details.json", "metrics/train_details.json",
]  # fmt: skip
"""Pictures for README.md and docs/ of what the page shows as charts, and files that are no charts."""


def element_id(plot: str) -> str:
    """The id that DVC gives to a plot's part of the page."""
    return re.sub(r"\W", "_", plot)


def plots_page() -> str:
    """The page, with DVC's place holders for the charts; nothing in it refers to another server."""
    vega = vl_convert.javascript_bundle(SNIPPET, VEGA_LITE).replace("</script", "<\\/script")
    sections = [
        [title, [[element_id(plot), caption] for plot, caption in plots.items()]] for title, plots in SECTIONS.items()
    ]
    page = Path(__file__).with_name("plots_page.html").read_text("utf-8")
    page = page.replace("@HIDDEN@", json.dumps([element_id(plot) for plot in HIDDEN]))
    return page.replace("@SECTIONS@", json.dumps(sections)).replace("@VEGA@", vega)


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), plots_page())
