"""Run a program, and end it if this process is ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 20
"""Seconds that a program has to clean up before it is killed."""


def run_child(
    command: Sequence[str],
    folder: Path,
    *,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    shown: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end. If this process is ended meanwhile, the program and all that it started end first.

    They get Ctrl-C, which git and dvc clean up after, and are killed after ``PATIENCE``; ``subprocess.run`` kills at
    once.

    Args:
        command: the program and its arguments.
        folder: in which it runs.
        given: its standard input.
        environment: by default that of this process.
        shown: whether it prints to the terminal; else its output is returned.
    """
    output = None if shown else subprocess.PIPE
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
    ) as process:
        try:
            printed, errors = process.communicate(given)
        except BaseException:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGINT)
                process.wait(PATIENCE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, printed, errors)
