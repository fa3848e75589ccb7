"""The page around the charts of ``dvc plots show``, with Vega inside, so that it opens without a network.

DVC's own page loads Vega from the web and is blank where there is none. ``make plots-page`` writes this one anew
from the Vega that the package vl-convert-python carries; ``.dvc/config`` names it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import vl_convert

from mnist_pipeline.files import replacing

VEGA_LITE = "v5.21"  # DVC's templates are written for Vega-Lite 5

SNIPPET = "window.vegaEmbed = vegaEmbed; window.vegaLite = vegaLite; window.vega = vega;"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>MNIST pipeline: plots</title>
<style>
body { font-family: system-ui, sans-serif; margin: 2rem; }
h1 { font-size: 1.4rem; }
img { max-width: 100%; }
</style>
<script>@VEGA@</script>
</head>
<body>
<h1>MNIST pipeline: plots</h1>
{plot_divs}
</body>
</html>
"""


def plots_page() -> str:
    """The page, with DVC's place holders for the charts; nothing in it refers to another server."""
    vega = vl_convert.javascript_bundle(SNIPPET, VEGA_LITE).replace("</script", "<\\/script")
    return PAGE.replace("@VEGA@", vega)


if __name__ == "__main__":
    with replacing(Path(sys.argv[1])) as target:
        target.write_text(plots_page(), "utf-8")
