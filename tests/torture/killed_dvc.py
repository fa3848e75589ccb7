"""Run dvc, and kill it right after one of the calls with which it changes git, or reads what it may change.

python -m tests.torture.killed_dvc NUMBER exp run ...
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from dvc.cli import main
from scmrepo.git.backend.base import BaseGitBackend
from scmrepo.git.backend.dulwich import DulwichBackend
from scmrepo.git.backend.gitpython import GitPythonBackend
from scmrepo.git.backend.pygit2 import Pygit2Backend

CALLS = count(1)
"""More than an experiment makes is harmless: DVC ends first."""


def killed(call: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Return a call after which this process is killed if it is the one with this number."""

    def killing(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        if next(CALLS) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return killing


if __name__ == "__main__":
    for backend in (DulwichBackend, Pygit2Backend, GitPythonBackend):
        for name in sorted(BaseGitBackend.__abstractmethods__ & set(vars(backend))):
            if inspect.isfunction(call := vars(backend)[name]) and not inspect.isgeneratorfunction(call):
                setattr(backend, name, killed(call, int(sys.argv[1])))
    sys.exit(main(sys.argv[2:]))
