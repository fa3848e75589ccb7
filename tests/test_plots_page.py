"""The page of `dvc plots show` needs no network, and is the one that plots_page.py writes."""

from __future__ import annotations

import configparser
import re

from mnist_pipeline.plots_page import plots_page
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
    assert page.count("</script>") == 1  # none inside the code itself, which would end it early
