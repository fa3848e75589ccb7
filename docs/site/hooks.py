"""Hooks of the documentation site: the repository's pages under their own paths, and docstrings as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PATTERNS = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "benchmarks/README.md",
    "benchmarks/results/*.png",
    "docs/**/*.css",
    "docs/**/*.js",
    "docs/**/*.md",
    "docs/*.jpg",
    "docs/digits.py",
    "metrics/figures/*.png",
    "models/README.md",
)
"""The files of the site. Each keeps its path, so that a relative link works on the site and in the repository."""

WIDE = ("benchmarks/README.md", "docs/ladder.md")
"""Pages with wide tables: without a table of contents beside them."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the extension below."""
    config.markdown_extensions.append(LiteralBlocks())  # type: ignore[arg-type]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ with those of the repository."""
    generated = [file for file in files if not str(file.abs_src_path or "").startswith(config.docs_dir)]
    paths = sorted({path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern)})
    return Files([*generated, *(File(path, str(ROOT), config.site_dir, use_directory_urls=False) for path in paths)])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Remove comments, such as marks of generated sections, which would end a list in Python-Markdown."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    return re.sub(r"(?<!`)<!--.*?-->", "", markdown)


class LiteralBlocks(Extension):
    """Convert the ``::`` before a literal block of a docstring, which Markdown does not know."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 -- its name in Markdown
        """Register the preprocessor."""
        md.preprocessors.register(_LiteralBlocks(md), "literal_blocks", 100)


class _LiteralBlocks(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return [re.sub(r"(\S?)::$", lambda found: found[1] and f"{found[1]}:", line) for line in lines]
