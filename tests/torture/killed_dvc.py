"""Run dvc, and kill it right after one of its calls that change files, or that use git.

python -m tests.torture.killed_dvc NUMBER exp run ...
"""

from __future__ import annotations

import builtins
import inspect
import io
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from dvc.cli import main
from scmrepo.git.backend.base import BaseGitBackend
from scmrepo.git.backend.dulwich import DulwichBackend
from scmrepo.git.backend.gitpython import GitPythonBackend
from scmrepo.git.backend.pygit2 import Pygit2Backend

CALLS = count(1)


def killed(call: Callable[..., Any], number: int, counts: Callable[..., bool] = lambda *_, **__: True) -> Any:
    """Return a function that kills this process after the call with this number, of those that count."""

    def killing(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        if counts(*args, **kwargs) and next(CALLS) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return killing


def here(path: Any, *_: Any, **__: Any) -> bool:
    """Whether a path is in the repository, which is the current folder."""
    return not isinstance(path, int) and Path(os.fsdecode(path)).absolute().is_relative_to(Path.cwd())


def opens_to_write(path: Any, mode: Any = "r", *_: Any, **__: Any) -> bool:
    """Whether a file of the repository is opened to be written; it may be empty then."""
    writes = mode & (os.O_WRONLY | os.O_RDWR) if isinstance(mode, int) else set(mode) & set("wxa+")
    return bool(writes) and here(path)


if __name__ == "__main__":
    number = int(sys.argv[1])
    for backend in (DulwichBackend, Pygit2Backend, GitPythonBackend):
        for name in sorted(BaseGitBackend.__abstractmethods__ & set(vars(backend))):
            if inspect.isfunction(call := vars(backend)[name]) and not inspect.isgeneratorfunction(call):
                setattr(backend, name, killed(call, number))
    builtins.open = io.open = killed(open, number, opens_to_write)
    os.open = killed(os.open, number, opens_to_write)
    for name in ("link", "mkdir", "remove", "rename", "replace", "rmdir", "symlink", "unlink"):
        setattr(os, name, killed(getattr(os, name), number, here))
    sys.exit(main(sys.argv[2:]))
