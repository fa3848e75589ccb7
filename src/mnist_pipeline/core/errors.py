"""The errors that a user can fix.

::

    PipelineError                 every message says where, what is required, what was found, and what to do
    ├── SourceError               one source of the data failed; ``fetch`` tries the next (``ingest/``)
    │   └── TransientError        a download failed, and another attempt may succeed (``ingest/``)
    └── RevisionError             a name stands for no commit, or a commit lacks a file (``provenance/git.py``)

Everything else that goes wrong is a bug, and keeps its traceback.
"""

from __future__ import annotations


class PipelineError(Exception):
    """A problem with the input, the settings or the machine. ``core/program.py`` turns it into a message.

    Its text may quote a file or a server, and is printable: control characters could rewrite the terminal.
    """

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


class SourceError(PipelineError):
    """One source of the data failed."""


class TransientError(SourceError):
    """A download failed in a way that another attempt may not."""


class RevisionError(PipelineError):
    """A name stands for no commit, or a commit has no such file."""


def printable(text: str) -> str:
    """Return a text with control characters and bytes that are no text escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
