"""`mnist audit`: the findings as a table, and as corrections to edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnist_pipeline.audit.findings import Finding, write_findings
from mnist_pipeline.cli.main import main
from mnist_pipeline.data.corrections import read_corrections

CLASSES = ("ant", "bee", "7")
LABELS = [Finding("train", row, "label", row / 1000, "ant", "bee") for row in range(2, 30)]
FINDINGS = [
    *LABELS,
    Finding("test", 5, "label", 0.25, "7", "ant"),
    Finding("test", 12, "duplicate", 2, "bee", "", "train", 102),
    Finding("train", 61, "contradiction", 4, "7", "bee", "train", 62),
    Finding("train", 2, "near_duplicate", 0.05, "ant", "", "train", 3),
    Finding("test", 32, "outlier", 3.14159, "ant"),
    Finding("test", None, "drift", 0.2, "bee"),
]


@pytest.fixture(autouse=True)
def findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an audit, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_findings(tmp_path / "metrics" / "audit.csv", FINDINGS)
    (tmp_path / "data" / "corrections").mkdir(parents=True)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main(["audit", *arguments])
    return capsys.readouterr().out.splitlines()


def refusal(*arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    return str(ended.value)


def test_the_most_suspect_rows_of_each_kind_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    *table, _, last = printed(capsys, "--worst", "3")
    words = [line.split() for line in table if line.split()[0] in ("label", "duplicate", "contradiction", "drift")]
    assert ["label", "train", "2", "ant", "→", "bee", "0.002"] in words
    assert ["contradiction", "train", "61", "7", "→", "bee", "4", "train", "62"] in words
    assert ["drift", "test", "bee", "0.2"] in words
    assert sum(line[0] == "label" for line in words) == 3
    assert last == "26 more in metrics/audit.csv."
    *table, _, last = printed(capsys, "--kind", "label", "--kind", "outlier", "--file", "test")
    assert [line.split()[:3] for line in table[-2:]] == [["label", "test", "5"], ["outlier", "test", "32"]]
    assert last == "All of metrics/audit.csv."
    assert printed(capsys, "--kind", "order") == ["metrics/audit.csv has no such findings."]


def test_corrections_are_written_one_for_each_row_and_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys, "--write", "mine.csv", "--worst", "40")
    path = Path("data/corrections/mine.csv")
    assert said[0].startswith(f"{path} has 32 corrections.")
    assert said[1].strip() == "dvc exp run -n corrected -S data.corrections=mine.csv"
    found = read_corrections(path, CLASSES)
    changes = {(name, row): (each.given, each.label) for name in found for row, each in found[name].items()}
    assert changes == {("train", row): (0, 1) for row in range(2, 30)} | {
        ("train", 2): (0, None),  # nearly identical to another one, which comes first
        ("train", 61): (2, 1),
        ("test", 5): (2, 0),
        ("test", 12): (1, None),
        ("test", 32): (0, None),
    }
    assert '"audit: outlier, score 3.14"' in path.read_text("utf-8")


def test_nothing_is_overwritten_or_written_elsewhere() -> None:
    path = Path("data/corrections/mine.csv")
    path.write_text("by hand")
    assert refusal("--write", "mine.csv") == f"mnist audit: {path} exists; edit it, or choose another name"
    for name in ("../mine.csv", "mine.txt", "/tmp/mine.csv", "sub/mine.csv"):
        assert "--write must be the name of a CSV file, such as mine.csv" in refusal("--write", name)
    assert "no rows to correct" in refusal("--write", "other.csv", "--kind", "drift")
    assert [each.name for each in path.parent.iterdir()] == ["mine.csv"]
    assert path.read_text() == "by hand"


def test_a_missing_audit_is_named() -> None:
    Path("metrics/audit.csv").unlink()
    assert refusal() == "mnist audit: metrics/audit.csv: no such file; run dvc repro audit"
