"""From a repository to results: check that its runs can go to workers, run them, and fetch the results."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from mnist_pipeline.cluster.data import BackgroundPull, data_of
from mnist_pipeline.cluster.jobs import LOCAL, Job, JobState, Locations, Result, is_portable
from mnist_pipeline.cluster.origin import Origin, origin_of, set_environment, tree_of
from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.provenance.dvc import cached_file, run_dvc
from mnist_pipeline.provenance.git import changed_files, git_text, list_experiments, read_file, run_git
from mnist_pipeline.provenance.paths import PARAMS
from mnist_pipeline.provenance.recovery import CLONES, DVC_FILES, exclusive

CHECKPOINTS = Path(".scratch/checkpoints")
RUNS = Path(DVC_FILES, "mnist-runs.lock")
SUMMARY = Path(".scratch/summary.json")


@dataclass(frozen=True)
class Options:
    """How runs are to be done.

    Attributes:
        scheduler: address of Dask's scheduler, or LOCAL.
        jobs: how many runs at once, if LOCAL.
        repeat: the share of runs to do twice.
        locations: what the user wants of it; an empty origin: that of git's remote ``origin``.
    """

    scheduler: str
    jobs: int
    repeat: float
    locations: Locations


class Session:
    """Workers for the runs of one commit.

    Attributes:
        repository: that dispatches.
        commit: its HEAD.
        locations: where everything is, for the workers.
        origin: where results are published, from here.
    """

    def __init__(self, repository: Path, options: Options) -> None:
        set_environment()
        self.repository, self._options = repository, options
        self.commit = git_text(repository, "rev-parse", "HEAD")
        self.locations = _locations(repository, options, self.commit)
        self.origin = Origin(repository, self.locations.origin)
        if self.is_remote:
            self.fetch_results()

    @property
    def is_remote(self) -> bool:
        """Whether results arrive at another repository than this one."""
        return self._options.scheduler != LOCAL

    def job(self, name: str, settings: Iterable[str], targets: Iterable[str] = (), message: str = "") -> Job:
        """Return a run of this commit.

        Raises:
            PipelineError: its bits would depend on the worker, and nobody asked for that.
        """
        words = tuple(settings)
        params = parse_yaml(read_file(self.repository, self.commit, PARAMS), PARAMS)
        if self.is_remote and not self.locations.any_numerics and not is_portable(params, words):
            raise PipelineError(
                f"{name}: runtime.numerics must be portable and runtime.device cpu on several machines, since the bits "
                "would depend on the machine; --any-numerics runs it all the same, and records the machine"
            )
        return Job(name, self.commit, words, tuple(targets), message)

    def run(
        self, jobs: list[Job], done: Collection[str], describe: Callable[[str], str], *, with_data: bool = False
    ) -> list[JobState]:
        """Run jobs on the workers, with their progress on the screen; results are in this repository afterwards.

        Args:
            jobs: all runs that are wanted.
            done: names of those that are done, which run again if their worker turns out to give wrong bits.
            describe: says in a few words what the commit of a result, which is here, has.
            with_data: fetch the outputs of the results from DVC's remote, too.

        Returns:
            What happened to those that were not done.

        Raises:
            PipelineError: there is no scheduler, or it is gone, or somebody runs another commit there.
        """
        from mnist_pipeline.cluster.dispatch import Dispatcher
        from mnist_pipeline.cluster.screen import Screen, print_trust, write_summary
        from mnist_pipeline.cluster.workers import TOPIC, check_alone, connected, dashboard_of

        data = BackgroundPull(self.repository, self.locations.origin)

        def fetched(result: Result) -> str:
            if self.is_remote:
                self.origin.fetch([job.ref for job in jobs if job.name == result.name])
                data.add(result.name)
            return describe(result.commit or "")

        left = [job for job in jobs if job.name not in done]
        if not left:
            return []
        only = nullcontext() if self.is_remote else exclusive(self.repository / RUNS, "another command with runs")
        with only, connected(self._options.scheduler, self._options.jobs) as client:
            check_alone(client, self.commit)
            with Screen(len(left), fetched, dashboard_of(client)) as screen:
                client.subscribe_topic(TOPIC, screen.on_event)
                repeat = self._options.repeat

                def tick(running: Collection[str]) -> None:
                    screen.tick(running)
                    if with_data:
                        data.start()

                dispatcher = Dispatcher(client, self.origin, self.locations, repeat, screen.result, tick)
                try:
                    here = self._here()
                    states = dispatcher.run(left, [job for job in jobs if job.name in done and job.ref in here])
                finally:
                    data.wait()
                    workers = {"distrusted": dispatcher.distrusted, "refusing": dispatcher.refusing}
                    write_summary(self.repository / SUMMARY, dispatcher.states.values(), workers)
        print_trust(states, dispatcher.distrusted, dispatcher.refusing)
        if with_data:
            data.pull_rest()
        return states

    def _here(self) -> dict[str, str]:
        """Return the commits of the experiments of this commit that are here, by ref."""
        return {each.ref: each.commit for each in list_experiments(self.repository) if each.base == self.commit}

    def fetch_results(self) -> None:
        """Fetch the results of this commit that are at the origin.

        Raises:
            PipelineError: an experiment here has the name of one there, and other results.
        """
        there, here = self.origin.refs(f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/*"), self._here()
        for ref in [ref for ref, commit in there.items() if here.get(ref, commit) != commit]:
            run_git(self.repository, "fetch", "--quiet", "--no-tags", self.locations.origin, ref)
            if tree_of(self.repository, there[ref]) != tree_of(self.repository, here[ref]):
                name = ref.split("/")[-1]
                raise PipelineError(f"experiment {name} here differs from that at the origin; dvc exp remove {name}")
        self.origin.fetch(ref for ref, commit in there.items() if here.get(ref) != commit)


def _locations(repository: Path, options: Options, commit: str) -> Locations:
    """Check that workers find the commit and its data, and say where all is.

    Raises:
        PipelineError: they would not; the message says what to do.
    """
    locations = options.locations
    if options.repeat and locations.any_numerics:
        raise PipelineError("--repeat compares bits, and --any-numerics allows others: leave one of them out")
    if changed := changed_files(repository):
        raise PipelineError(f"an experiment would lack uncommitted changes; commit or stash {', '.join(changed)}")
    if options.scheduler == LOCAL:
        cache = str(repository / run_dvc(repository, "cache", "dir").strip())
        if missing := [path for path, md5 in data_of(repository, commit) if not cached_file(repository, md5).exists()]:
            raise PipelineError(f"DVC's cache lacks {', '.join(missing[:5])}, which runs read; run dvc repro")
        clones = locations.clones or str(repository / CLONES)
        checkpoints = locations.checkpoints or str(repository / CHECKPOINTS)
        return replace(locations, origin=str(repository), clones=clones, store=cache, checkpoints=checkpoints)
    origin = locations.origin or origin_of(repository)
    tips = Origin(repository, origin).refs("HEAD", "refs/heads/*").values()
    if commit not in tips and not _contained(repository, commit, origin):
        raise PipelineError(f"HEAD ({commit[:10]}) is not at {origin}; git push origin HEAD")
    try:
        run_git(repository, "grep", "-q", "url *=", commit, "--", ".dvc/config")
    except RevisionError:
        raise PipelineError(
            "the committed .dvc/config has no remote, through which data reach the workers; dvc remote add --default, "
            "and commit .dvc/config"
        ) from None
    missing = json.loads(run_dvc(repository, "data", "status", "--not-in-remote", "--json")).get("not_in_remote", [])
    if missing:
        raise PipelineError(f"DVC's remote lacks {', '.join(sorted(missing)[:5])}; dvc push")
    return replace(locations, origin=origin)


def _contained(repository: Path, commit: str, origin: str) -> bool:
    """Whether a branch of the origin has a commit below its tip."""
    run_git(repository, "fetch", "--quiet", "--no-tags", origin, "+refs/heads/*:refs/remotes/origin/*")
    return bool(run_git(repository, "for-each-ref", "--contains", commit, "refs/remotes/origin"))
