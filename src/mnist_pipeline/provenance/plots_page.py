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

# As SVG: sharp when enlarged or printed.
SNIPPET = (
    "window.vegaLite = vegaLite; window.vega = vega;"
    'window.vegaEmbed = (place, chart, options) => vegaEmbed(place, chart, {renderer: "svg", ...options});'
)

SECTIONS = {
    "Data": [
        "metrics/balance.csv",
        "metrics/figures/preview.png",
        "metrics/figures/audit.png",
        "metrics/audit.csv",
        "metrics/figures/augmentation.png",
    ],
    "Training": [
        "Accuracy by epoch",
        "Loss by epoch",
        "metrics/history.csv",
        "metrics/figures/loss.png",
        "metrics/figures/weights.png",
    ],
    "Results": [
        "metrics/figures/mistakes.png",
        "metrics/predictions.csv",
        "metrics/figures/confusion.png",
        "metrics/classes.csv",
        "metrics/calibration.csv",
        "metrics/figures/reliability.png",
        "metrics/figures/record.png",
        "metrics/figures/ladder.png",
    ],
}
"""The plots of dvc.yaml in the order in which a person would look at them. DVC has an order of its own, so that the
page sorts them when it is opened; any other plot comes last."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>MNIST pipeline: plots</title>
<style>
h2 { border-bottom: 1px solid #999; margin-top: 2.5rem; }
body { font-family: system-ui, sans-serif; margin: 2rem; }
h1 { font-size: 1.4rem; }
img { max-width: 100%; }
</style>
<script>@VEGA@</script>
</head>
<body>
<h1>MNIST pipeline: plots</h1>
{plot_divs}
<script>
const sections = @SECTIONS@;
for (const [title, plots] of Object.entries(sections)) {
  const there = plots.map(id => document.getElementById(id)).filter(plot => plot !== null);
  if (there.length === 0) continue;
  const section = document.createElement("section");
  section.appendChild(document.createElement("h2")).textContent = title;
  there.forEach(plot => section.appendChild(plot));
  document.body.insertBefore(section, document.currentScript);
}
const others = [...document.body.children].filter(each => each.tagName === "DIV");
others.forEach(plot => document.body.appendChild(plot));
</script>
</body>
</html>
"""


def element_id(plot: str) -> str:
    """The id that DVC gives to a plot's part of the page."""
    return re.sub(r"\W", "_", plot)


def plots_page() -> str:
    """The page, with DVC's place holders for the charts; nothing in it refers to another server."""
    vega = vl_convert.javascript_bundle(SNIPPET, VEGA_LITE).replace("</script", "<\\/script")
    sections = {title: [element_id(plot) for plot in plots] for title, plots in SECTIONS.items()}
    return PAGE.replace("@SECTIONS@", json.dumps(sections)).replace("@VEGA@", vega)


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), plots_page())
