"""Run a stage or a command: flags in, one line per error out, and an exit status that DVC and shells understand."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError

INTERRUPTED = 130
"""Exit status after Ctrl-C, by the convention of shells: 128 + SIGINT."""


def parse_flags(description: str | None, flags: Mapping[str, str]) -> argparse.Namespace:
    """Parse the flags of a stage. Each is required and takes a path.

    Args:
        description: what the stage does, for ``--help``.
        flags: help text by name, such as {"train-csv": "in: training rows"} for ``--train-csv``; that of an input
            starts with "in:", that of an output with "out:".

    Returns:
        A ``Path`` for each name, with underscores for hyphens.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, text in flags.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    return parser.parse_args()


def run_stage(main: Callable[[], None]) -> None:
    """Run the script of a stage; see ``run_program``."""
    run_program(Path(sys.argv[0]).stem, main, "run `dvc repro` to continue")


def run_program(name: str, main: Callable[[], None], after_interrupt: str = "") -> None:
    """Run ``main`` and turn what stops it into a message and an exit status.

    A ``PipelineError`` or ``OSError`` gives "name: message" and status 1, Ctrl-C gives status 130, and a closed pipe
    (``mnist runs | head``) ends without a message. Any other exception is a bug and keeps its traceback.

    Args:
        name: of the stage or command.
        main: does the work.
        after_interrupt: what to do after Ctrl-C.
    """
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (PipelineError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted" + (f"; {after_interrupt}" if after_interrupt else ""), file=sys.stderr)
        sys.exit(INTERRUPTED)
