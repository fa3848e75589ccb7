"""What stops a stage or command becomes a message and an exit status; a bug keeps its traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.core.program import parse_flags

SCRIPT = """
from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.core.program import run_program, run_stage

def main():
    print("begun")
    {body}

{run}
"""

THREAD = "from mnist_pipeline.core.numerics import threads as t; t.number = 2; t.start(__import__('time').sleep, 999)"
STOPPED = "\ntrain: interrupted; run `dvc repro` to continue\n"


def run(tmp_path: Path, body: str, how: str = "run_stage(main)", stdout: int = subprocess.PIPE) -> Any:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(body=body, run=how), "utf-8")
    env = os.environ | {"PYTHONUNBUFFERED": ""}
    return subprocess.run(
        [sys.executable, script], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=env, timeout=60
    )


@pytest.mark.parametrize(
    ("body", "how", "status", "message"),
    [
        ("pass", "run_program('mnist', main)", 0, ""),
        ("raise SourceError('a.csv: no')", "run_program('mnist', main)", 1, "mnist: a.csv: no\n"),
        ("raise SourceError('a.csv: no')", "run_stage(main)", 1, "train: a.csv: no\n"),
        ("open('/no/file')", "run_stage(main)", 1, "train: [Errno 2] No such file or directory: '/no/file'\n"),
        (r"raise SourceError('\033[2J\udcff')", "run_program('mnist', main)", 1, "mnist: \\x1b[2J\\udcff\n"),
        ("raise KeyboardInterrupt", "run_program('mnist', main)", 130, "\nmnist: interrupted\n"),
        ("raise ImportError from KeyboardInterrupt()", "run_program('mnist', main)", 130, "\nmnist: interrupted\n"),
        ("raise KeyboardInterrupt", "run_stage(main)", 130, STOPPED),
        (f"{THREAD}; raise KeyboardInterrupt", "run_stage(main)", 130, STOPPED),
    ],
    ids=[
        "success",
        "error",
        "error of a stage",
        "OSError",
        "control characters",
        "Ctrl-C",
        "Ctrl-C while a library is loaded",
        "Ctrl-C in a stage",
        "Ctrl-C, a thread at work",
    ],
)
def test_an_error_is_a_message_and_a_status(tmp_path: Path, body: str, how: str, status: int, message: str) -> None:
    ended = run(tmp_path, body, how)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "begun\n", message)


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    ended = run(tmp_path, "{}['x']")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("KeyError: 'x'\n")


@pytest.mark.parametrize("body", ["pass", "print('x' * 10**6)"], ids=["at the end", "in between"])
def test_a_closed_pipe_ends_it_without_a_message(tmp_path: Path, body: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = run(tmp_path, body, stdout=writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_flags_are_required_paths(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"params": "in: settings, YAML", "train-csv": "out: rows"}
    monkeypatch.setattr(sys, "argv", ["train.py", "--train-csv", "a/b.csv", "--params", "p.yaml"])
    assert vars(parse_flags("Train.", flags)) == {"params": Path("p.yaml"), "train_csv": Path("a/b.csv")}
    for argument, words in (("--params=p.yaml", ["--train-csv"]), ("--help", ["Train.", *flags.values()])):
        monkeypatch.setattr(sys, "argv", ["train.py", argument])
        with pytest.raises(SystemExit):
            parse_flags("Train.", flags)
        said = capsys.readouterr()
        assert all(word in said.out + said.err for word in words)


CHANGING = """
import sys
from pathlib import Path
from mnist_pipeline.core.program import parse_flags, run_stage

def main():
    args = parse_flags("", {"params": "settings", "table": "in: rows", "folder": "in: a folder", "out": "out: a file"})
    args.out.write_text("written")
    CHANGE

run_stage(main)
"""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("pass", None),
        ("args.params.write_text('b: 2')", "params"),
        ("args.table.write_bytes(bytes(100_001))", "table"),
        ("Path(args.folder, 'new').touch()", "folder"),
        ("args.table.unlink()", "table"),
        ("args.params.write_text(args.params.read_text())", None),
        ("Path(sys.argv[0]).write_text('')", "train.py"),
    ],
    ids=["nothing", "params", "large input", "file of a folder", "input removed", "written again", "script"],
)
def test_a_stage_fails_if_what_it_reads_changes_meanwhile(tmp_path: Path, change: str, named: str | None) -> None:
    script = tmp_path / "train.py"
    script.write_text(CHANGING.replace("CHANGE", change), "utf-8")
    (tmp_path / "params").write_text("a: 1")
    (tmp_path / "table").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    flags = [word for name in ("params", "table", "folder", "out") for word in (f"--{name}", str(tmp_path / name))]
    ended = subprocess.run([sys.executable, script, *flags], capture_output=True, text=True, check=False)
    if named is None:
        assert (ended.returncode, ended.stderr) == (0, "")
    else:
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"train: {tmp_path / named} changed while the stage ran, ")


READING = """
import atexit
from mnist_pipeline.core.program import parse_flags, run_stage

def main():
    parse_flags("", {"table": "in: rows", "model": "in: the model", "out": "out: a file"})
    atexit.register(print, "at exit")

run_stage(main)
"""


@pytest.mark.parametrize(
    ("recorded", "below_dvc", "message"),
    [
        ({"table": "900150983cd24fb0d6963f7d28e17f72"}, True, ""),
        (
            {"table": "0" * 32},
            True,
            "train: table is not what dvc.lock records: damaged, or edited; mnist doctor says which\n",
        ),
        ({"table": "0" * 32}, False, ""),
        ({"model.safetensors": "0" * 32, "other": "0" * 32}, True, ""),
    ],
    ids=["right", "damaged", "by hand", "checked by its reader"],
)
def test_a_stage_checks_what_the_stages_before_it_wrote(
    tmp_path: Path, recorded: dict[str, str], below_dvc: bool, message: str
) -> None:
    (tmp_path / "train.py").write_text(READING)
    outs = [{"path": path, "md5": md5} for path, md5 in recorded.items()]
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"validate": {"outs": outs}, "check": {}}}))
    for name in ("table", "model.safetensors"):
        (tmp_path / name).write_text("abc")
    command = [sys.executable, "train.py", "--table", "table", "--model", "model.safetensors", "--out", "x"]
    environment = os.environ | ({"DVC_STAGE": "train"} if below_dvc else {})
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (bool(message), message)
    assert ended.stdout == ("" if message else "at exit\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_lets_it_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    body = (
        "import time\n    try:\n        print(flush=True)\n        time.sleep(60)\n    finally:\n        print('clean')"
    )
    (tmp_path / "program.py").write_text(SCRIPT.format(body=body, run="run_program('mnist', main)"))
    process = subprocess.Popen([sys.executable, tmp_path / "program.py"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "\n"]
    process.send_signal(number)
    assert process.communicate()[0].endswith("clean\n")
    assert process.returncode == 130


def test_what_the_encoding_of_the_terminal_lacks_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SCRIPT.format(body="print('±')", run="run_program('mnist', main)"))
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, tmp_path / "program.py"], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "begun\n\\xb1\n"
