"""`mnist ladder run` on workers, with git, DVC and Dask as they are; and what it refuses before anything runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
import trustme
from distributed import Client, LocalCluster, Security

from mnist_pipeline.cli.main import main
from mnist_pipeline.cluster.workers import KEYS, connected
from mnist_pipeline.core.errors import PipelineError
from tests.ladder.runs import make_ladder
from tests.repository import Repository, git, make_quick_repository

RUNGS = {
    "base": {"overrides": {"train.epochs": 1}},
    "longer": {"builds_on": "base", "overrides": {"train.epochs": 3}},
    "unlucky": {"builds_on": "base", "overrides": {"train.epochs": 13}},
    "fast": {"overrides": {"runtime.numerics": "fast"}},
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with a ladder, a bare origin and a folder as DVC's remote, all of it pushed."""
    folder = tmp_path_factory.mktemp("original")
    store = tmp_path_factory.mktemp("store")
    repository = make_quick_repository(folder / "mine")
    make_ladder(repository.path, RUNGS, seeds=2)
    with (repository.path / ".dvc" / "config").open("a") as config:
        config.write(f"    remote = store\n['remote \"store\"']\n    url = {store}\n")
    repository.commit("A ladder")
    git(folder, "init", "-q", "--bare", "-b", "main", "origin")
    git(repository.path, "remote", "add", "origin", "../origin")
    git(repository.path, "push", "-q", "origin", "main")
    repository.run("dvc push -q")
    return folder


@pytest.fixture
def repository(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A copy, in which commands run in this process."""
    shutil.copytree(original, tmp_path, symlinks=True, dirs_exist_ok=True)
    repository = Repository(tmp_path / "mine")
    repository.enter(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return repository


@pytest.fixture
def scheduler() -> Iterator[str]:
    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, protocol="tcp", host="127.0.0.1", **options) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
@pytest.mark.parametrize("many", [1, 16], ids=["data while a run goes on", "data at the end"])
def test_a_ladder_on_workers_is_published_and_its_results_are_here(
    repository: Repository,
    scheduler: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    many: int,
) -> None:
    monkeypatch.setattr("mnist_pipeline.cluster.data.BATCH", many)
    origin = repository.path.parent / "origin"
    command = ["ladder", "run", "longer", "--seeds", "1", "--scheduler", scheduler, "--origin", str(origin)]
    main([*command, "--repeat", "0.01"])
    printed = capsys.readouterr().out
    assert printed.startswith(f"1 runs, 0 of them done, on the workers of {scheduler}\n")
    assert "longer-0                 test accuracy 0.1500\n" in printed
    assert "longer-0                 confirmed by" in printed
    assert printed.endswith("1 made twice, by different workers, with equal hashes: longer-0\n")
    summary = json.loads((repository.path / ".scratch" / "summary.json").read_text())
    assert [len(run["confirmed_by"]) for run in summary["runs"].values()] == [1]
    listed = "--format=%(objectname)", "refs/exps/*/*/longer-0"
    assert git(repository.path, "for-each-ref", *listed) == git(origin, "for-each-ref", *listed)
    repository.run("dvc exp apply longer-0")  # with its data
    repository.run("git checkout -q .")
    main(command)
    assert capsys.readouterr().out == f"1 runs, 1 of them done, on the workers of {scheduler}\n"


@pytest.mark.slow
def test_a_ladder_runs_here_in_a_shallow_clone_at_a_path_beyond_ascii(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = Repository(tmp_path / "Geräte 1")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{original / 'mine'}", str(repository.path))
    repository.enter(monkeypatch)
    repository.run("git checkout -q --detach && dvc pull -q")
    main(["ladder", "run", "longer", "--seeds", "1", "--jobs", "1"])
    assert "longer-0                 test accuracy 0.1500\n" in capsys.readouterr().out
    repository.run("dvc exp apply longer-0")


COMMIT = "git commit -qam x && git push -q origin main"
REMOTE = ["--scheduler", "tcp://127.0.0.1:1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("echo >> params.yaml", REMOTE, "commit or stash params.yaml"),
        ("git remote remove origin", REMOTE, "there is no git remote origin"),
        ("git commit -q --allow-empty -m later", REMOTE, r"HEAD \(.*\) is not at ../origin; git push origin HEAD"),
        (f"git mv -f .gitignore .dvc/config && {COMMIT}", REMOTE, "config has no remote"),
        (
            f"dvc remote modify store url ../none && {COMMIT}",
            REMOTE,
            "DVC's remote lacks data/prepared/train.txt, .*dvc push",
        ),
        ("true", [*REMOTE, "absent"], "there is no rung 'absent'"),
        ("true", [*REMOTE, "fast"], "fast-0: runtime.numerics must be portable.*--any-numerics"),
        ("true", [*REMOTE, "base", "--repeat=1", "--any-numerics"], "leave one of them out"),
        ("true", REMOTE, "no scheduler answers at tcp://127.0.0.1:1"),
        (
            "rm -r .dvc/cache",
            [],
            "DVC's cache lacks data/prepared/train.txt, models/steps.csv, which runs read; run dvc repro",
        ),
    ],
)
def test_what_cannot_go_well_is_refused_before_anything_runs(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, command: str, words: list[str], message: str
) -> None:
    monkeypatch.setattr("mnist_pipeline.cluster.workers.CONNECT_SECONDS", 1)
    repository.run(command)
    with pytest.raises(SystemExit, match=f"mnist ladder: (.*\n)*.*{message}"):
        main(["ladder", "run", *words, *(["base"] if words in (REMOTE, []) else [])])
    assert not (repository.path / ".scratch").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
def test_workers_that_run_another_commit_are_left_alone(scheduler: str) -> None:
    with Client(scheduler) as other:
        future = other.submit(sum, [1], key=f"{KEYS}:{'f' * 40}:adam-0:0")
        with pytest.raises(SystemExit, match="runs of commit ffffffffff are on these workers now"):
            main(["ladder", "run", "base", "--scheduler", scheduler])
        assert future.result() == 1


def test_a_scheduler_with_other_certificates_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_pipeline.cluster.workers.CONNECT_SECONDS", 3)
    settings: dict[str, dict[str, str]] = {}
    for name in ("ours", "theirs"):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}-ca.pem"))
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
        settings[name] = {"distributed.comm.tls.ca-file": str(tmp_path / f"{name}-ca.pem")}
        for role in ("scheduler", "worker", "client"):
            settings[name] |= {
                f"distributed.comm.tls.{role}.{what}": str(tmp_path / f"{name}.pem") for what in ("cert", "key")
            }
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "protocol": "tls"}
    with dask.config.set(settings["ours"]), LocalCluster(n_workers=1, security=Security(), **options) as cluster:
        with connected(cluster.scheduler_address, 1) as client:
            assert client.scheduler_info()["workers"]
        with (
            dask.config.set(settings["theirs"]),
            pytest.raises(PipelineError, match="certificates that both sides accept"),
            connected(cluster.scheduler_address, 1),
        ):
            pass
