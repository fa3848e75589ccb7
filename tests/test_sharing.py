"""Two clones share data, models and an experiment through real servers; test_documented_commands.py uses a folder."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.repository import Repository, make_repository

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str | Path], port: int) -> Iterator[None]:
    """A server in a process of its own, from when it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command} ended"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ssh_remote(here: Path) -> Iterator[list[str]]:
    """OpenSSH on loopback, with keys of its own."""
    if not Path(SSHD).exists():
        pytest.skip("needs OpenSSH's server")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", here / name], check=True)
    shutil.copy(here / "user.pub", here / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd confines itself
    port = free_port()
    (here / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {here / 'host'}\nAuthorizedKeysFile {here / 'authorized'}\n"
        f"PidFile none\nStrictModes no\nPasswordAuthentication no\nUsePAM no\nSubsystem sftp internal-sftp\n"
    )
    with serving([SSHD, "-D", "-e", "-f", here / "sshd_config"], port):
        yield [
            f"dvc remote add --default storage ssh://{getpass.getuser()}@127.0.0.1:{port}{here / 'storage'}",
            f"dvc remote modify --local storage keyfile {here / 'user'}",
        ]


@contextmanager
def webdav_remote(here: Path) -> Iterator[list[str]]:
    """A WebDAV server on loopback."""
    (here / "served").mkdir()
    port = free_port()
    script = Path(sys.executable).with_name("wsgidav")
    with serving([script, "--host=127.0.0.1", f"--port={port}", f"--root={here / 'served'}", "--auth=anonymous"], port):
        yield [f"dvc remote add --default storage webdav://127.0.0.1:{port}/"]


@pytest.mark.parametrize("remote", [ssh_remote, webdav_remote])
def test_two_clones_share_an_experiment(remote: object, tmp_path: Path) -> None:
    for name in ("mine", "server"):
        (tmp_path / name).mkdir()
    mine = make_repository(tmp_path / "mine", tmp_path / "data", epochs=2)
    mine.run(f"git init -q --bare {tmp_path / 'origin'} && git remote add origin {tmp_path / 'origin'}")
    with remote(tmp_path / "server") as commands:  # type: ignore[operator]
        mine.run(commands[0])
        mine.run("git commit -q -am 'A place to share data' && git push -q origin main")
        for command in commands[1:]:
            mine.run(command)
        mine.run("dvc push")
        mine.run("dvc exp run -n adam -S model.optimizer=adam")
        mine.run("dvc exp push origin adam")

        subprocess.run(["git", "clone", "-q", "-b", "main", tmp_path / "origin", tmp_path / "theirs"], check=True)
        theirs = Repository(tmp_path / "theirs")
        for command in commands[1:]:
            theirs.run(command)
        theirs.run("dvc pull")
        assert theirs.run("dvc status").strip() == "Data and pipelines are up to date."
        assert "adam" in theirs.run("dvc exp list origin")
        theirs.run("dvc exp pull origin adam")
        theirs.run("dvc exp apply adam")
        for path in ("metrics/test.json", "models/classifier.safetensors"):
            assert (theirs.path / path).read_bytes() == (mine.path / path).read_bytes()
