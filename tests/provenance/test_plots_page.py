"""The page of `dvc plots show` needs no network, and is the one that plots_page.py writes."""

from __future__ import annotations

import configparser
import re

import pytest
import yaml

from mnist_pipeline.provenance.plots_page import SECTIONS, plots_page
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


def test_every_plot_has_its_place() -> None:
    assert sorted(plot for section in SECTIONS.values() for plot in section) == sorted(plots())
