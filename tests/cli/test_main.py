"""`mnist`: errors as messages and exit statuses, a help that answers at once, completion in a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from mnist_pipeline.cli import ladder, preset
from mnist_pipeline.cli.main import COMMANDS, main
from mnist_pipeline.core.errors import PipelineError


@pytest.mark.parametrize("error", [PipelineError("no such thing"), OSError("no such thing")])
def test_an_error_of_a_command_is_a_message_and_status_1(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(preset, "run", fail)
    with pytest.raises(SystemExit) as ended:
        main(["preset"])
    assert ended.value.code == "mnist preset: no such thing"  # which Python prints before it ends with status 1


def test_ctrl_c_ends_with_status_130_and_says_what_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ladder, "run", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["ladder", "report"])
    assert ended.value.code == 130
    assert "mnist ladder: interrupted; queued runs continue in DVC's queue" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["ladder"], ["ladder", "run", "--jobs", "0"]])
def test_wrong_arguments_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mnist")


def test_help_lists_the_commands_and_imports_no_heavy_library() -> None:
    code = (
        "import sys\nfrom mnist_pipeline.cli.main import main\ntry:\n    main(['--help'])\n"
        "finally:\n    print({'numpy', 'torch', 'pandas', 'dvc', 'pydantic'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unfolded = " ".join(ran.stdout.split())
    assert all(f" {command} {summary}" in unfolded for command, summary in COMMANDS.items())
    assert ran.stdout.endswith("set()\n")


def completed(script: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = " ".join(f"'{word}'" for word in line.split(" "))
    code = f"""{script}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_mnist; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    assert set(completed(script, "mnist ")) >= set(COMMANDS)
    assert completed(script, "mnist lad") == ["ladder"]
    assert "--json" in completed(script, "mnist predict --")
    assert completed(script, "mnist completion z") == ["zsh"]
