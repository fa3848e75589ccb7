"""`mnist`: a message after Ctrl-C, a help that answers at once, completion."""

from __future__ import annotations

import subprocess
import sys
from unittest.mock import Mock

import pytest

from mnist_pipeline.cli import ladder
from mnist_pipeline.cli.main import COMMANDS, main


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ladder, "run", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(SystemExit) as ended:
        main(["ladder", "report"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\nmnist ladder: interrupted; run the command again to go on\n"


def test_help_lists_the_commands_and_imports_no_heavy_library() -> None:
    code = (
        "import sys\nfrom mnist_pipeline.cli.main import main\ntry:\n    main(['--help'])\n"
        "finally:\n    print({'numpy', 'torch', 'pandas', 'dvc', 'pydantic'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unfolded = " ".join(ran.stdout.split())
    assert all(f" {command} {summary}" in unfolded for command, summary in COMMANDS.items())
    assert ran.stdout.endswith("set()\n")


def test_completion_knows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--completion", "bash"])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
