"""Completion: the script that is printed, in a real bash."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from mnist_pipeline.cli.main import COMMANDS, main


def completed(script: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = " ".join(f"'{word}'" for word in line.split(" "))
    code = f"""{script}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_mnist; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    assert set(completed(script, "mnist ")) >= set(COMMANDS)
    assert completed(script, "mnist lad") == ["ladder"]
    assert "--json" in completed(script, "mnist predict --")
    assert completed(script, "mnist completion z") == ["zsh"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", shell])
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "fish"])
    assert "invalid choice: 'fish'" in capsys.readouterr().err
