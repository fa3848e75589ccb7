"""`mnist`: errors as messages and exit statuses, a help that answers at once, completion."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnist_pipeline.cli import ladder
from mnist_pipeline.cli.main import COMMANDS, main
from mnist_pipeline.core.errors import PipelineError


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (PipelineError("no such thing"), "mnist ladder: no such thing", ""),  # a text: printed, with status 1
        (OSError("no such thing"), "mnist ladder: no such thing", ""),
        (KeyboardInterrupt(), 130, "\nmnist ladder: interrupted; run the command again to go on"),
    ],
)
def test_what_stops_a_command_is_a_message_and_a_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: str | int,
    message: str,
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(ladder, "run", fail)
    with pytest.raises(SystemExit) as ended:
        main(["ladder", "report"])
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(message)


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
