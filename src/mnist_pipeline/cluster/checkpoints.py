"""Checkpoints that travel: a run whose worker died goes on elsewhere, from its last checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mnist_pipeline.cluster.jobs import Job
from mnist_pipeline.provenance.dvc import run_dvc

FOLDER = Path(".scratch/train")
"""Where a run keeps its checkpoints, below its clone."""

SECONDS_BETWEEN = 5.0


class Checkpoints:
    """The checkpoints of one run, here and where all workers find them.

    Files are copied whole and renamed at their destination. A checkpoint is verified when it is read.

    Args:
        clone: of the worker.
        job: the run.
        where: a folder, or the name of a DVC remote; None: nothing travels.
    """

    def __init__(self, clone: Path, job: Job, where: str | None) -> None:
        self._here = clone / FOLDER
        self._sent: dict[str, float] = {}
        self._last = self._began = time.time()
        self._there: str | None = None
        if where is not None:
            self._files, root = _open(clone, where)
            self._there = f"{root}/checkpoints/{job.where}"

    def fetch(self) -> None:
        """Fetch those that another worker left."""
        if self._there is not None and self._files.exists(self._there):
            self._here.mkdir(parents=True, exist_ok=True)
            for path in self._files.ls(self._there, detail=False):
                if not path.endswith(".part"):
                    self._files.get_file(path, str(self._here / Path(path).name))

    def send(self) -> None:
        """Send those that are new, at most every few seconds. What cannot be sent is left to the next time."""
        if self._there is None or time.time() - self._last < SECONDS_BETWEEN:
            return
        self._last = time.time()
        try:
            for path in self._here.glob("*.safetensors"):
                written = path.stat().st_mtime
                if written > max(self._began, self._sent.get(path.name, 0.0)):
                    self._files.makedirs(self._there, exist_ok=True)
                    self._files.put_file(str(path), f"{self._there}/{path.name}.part")
                    self._files.mv(f"{self._there}/{path.name}.part", f"{self._there}/{path.name}")
                    self._sent[path.name] = written
        except OSError as error:
            print(f"checkpoints: {error}", flush=True)

    def discard(self) -> None:
        """Remove them, once the result is published."""
        if self._there is not None and self._files.exists(self._there):
            self._files.rm(self._there, recursive=True)


def _open(clone: Path, where: str) -> tuple[Any, str]:
    """Return a file system and a path in it, for a folder or the name of a DVC remote."""
    import fsspec

    settings = dict(line.split("=", 1) for line in run_dvc(clone, "config", "--list").splitlines() if "=" in line)
    prefix = f"remote.{where}."
    remote = {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}
    if not remote:
        return fsspec.filesystem("file"), str(Path(where).expanduser().resolve())
    url = urlsplit(remote["url"])
    if url.scheme not in ("ssh", "sftp"):
        files, root = fsspec.core.url_to_fs(remote["url"])
        return files, root
    from sshfs import SSHFileSystem

    keys = {"client_keys": [remote["keyfile"]]} if "keyfile" in remote else {}
    port = int(remote.get("port") or url.port or 22)
    user = remote.get("user") or url.username
    return SSHFileSystem(url.hostname, port=port, username=user, known_hosts=None, **keys), url.path
