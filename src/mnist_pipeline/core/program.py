"""Run a stage or a command: flags in, one line per error out, and an exit status that DVC and shells understand."""

from __future__ import annotations

import argparse
import atexit
import gc
import io
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import md5_of
from mnist_pipeline.core.progress import reported

_watched: dict[Path, object] = {}
"""What this process reads, and its state when the process began."""

SMALL = 1 << 16
"""Bytes of a file that is compared by its content."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, by the convention of shells: 128 + SIGINT."""


def parse_flags(description: str | None, flags: Mapping[str, str]) -> argparse.Namespace:
    """Parse the flags of a stage. Each is required and takes a path.

    Args:
        description: what the stage does, for ``--help``.
        flags: help text by name, such as {"train-csv": "in: training rows"} for ``--train-csv``; that of an input
            starts with "in:", that of an output with "out:".

    Returns:
        A ``Path`` for each name, with underscores for hyphens.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, text in flags.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    args = parser.parse_args()
    inputs = [name for name, text in flags.items() if name == "params" or text.startswith("in:")]
    _watched.update({path: _state(path) for name in inputs for path in [getattr(args, name.replace("-", "_"))]})
    if "DVC_STAGE" in os.environ:
        _check_against_lock(Path("dvc.lock"))
    return args


def _check_against_lock(lock: Path) -> None:
    """Check what this stage reads against the hashes of the stages that made it: DVC goes by a file's size and time.

    Arrays and models are left to their reader, which checks the SHA-256 inside.

    Raises:
        PipelineError: a file has other content than the stage before wrote.
    """
    from mnist_pipeline.core.yaml import read_yaml

    known = defaultdict[Path, set[str]](set)  # several: DVC keeps the entry of a stage that was renamed
    for stage in read_yaml(lock).get("stages", {}).values() if lock.exists() else ():
        for out in stage.get("outs", []):
            known[Path(out["path"])].add(out["md5"])
    for path in (path for path in known if path in _watched and path.suffix != ".safetensors" and path.is_file()):
        if md5_of(path) not in known[path]:
            raise PipelineError(f"{path} is not what {lock} records: damaged, or edited; mnist doctor says which")


def run_stage(main: Callable[[], None]) -> None:
    """Run the script of a stage, and report its progress; see ``run_program``.

    If its code or an input changes meanwhile, the stage fails at its end: DVC would record the new hashes with the
    results of the old content (https://github.com/treeverse/dvc/issues/11058). Below DVC, this is the last thing that
    the process does, so that DVC hashes its inputs a moment later.
    """
    script, package = Path(sys.argv[0]), Path(__file__).parents[1]
    _watched.clear()
    _watched.update({path: _state(path) for path in (script, *sorted(package.glob("*/*.py")))})

    def checked() -> None:
        with reported(script.stem):
            main()
            sys.stdout.flush()
            if "DVC_STAGE" in os.environ:
                atexit._run_exitfuncs()
            if changed := [str(path) for path, before in _watched.items() if _state(path) != before]:
                raise PipelineError(
                    f"{', '.join(changed[:5])} changed while the stage ran, so that its results belong to neither "
                    "version; run `dvc repro` again"
                )
        if "DVC_STAGE" in os.environ:
            os._exit(0)  # libraries take up to a second to go away

    try:
        run_program(script.stem, checked, "run `dvc repro` to continue")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # at once: Python would wait until every thread has finished its piece of work
        raise


def _state(path: Path) -> object:
    """What changes when a file or a folder does: the content of what is small, the size and time of what is large."""
    if path.is_dir():
        return [(each, _state(each)) for each in sorted(path.rglob("*"))]
    try:
        status = path.stat()
        return path.read_bytes() if status.st_size < SMALL else (status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError:
        return None


def run_program(name: str, main: Callable[[], None], after_interrupt: str = "") -> None:
    """Run ``main`` and turn what stops it into a message and an exit status.

    A ``PipelineError`` or ``OSError`` gives "name: message" and status 1, Ctrl-C gives status 130, and a closed pipe
    (``mnist runs | head``) ends without a message. SIGTERM and SIGHUP count as Ctrl-C, for what cleans up. What the
    terminal's encoding lacks is escaped. Any other exception is a bug and keeps its traceback.

    Args:
        name: of the stage or command.
        main: does the work.
        after_interrupt: what to do after Ctrl-C.
    """
    gc.set_threshold(700, 10, 1000)  # fewer full collections: with PyTorch, they and the last one take a second
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, signal.default_int_handler)
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (PipelineError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except (Exception, KeyboardInterrupt) as error:
        if not _is_interrupt(error):
            raise
        print(f"\n{name}: interrupted" + (f"; {after_interrupt}" if after_interrupt else ""), file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        gc.freeze()  # nothing is left for the last one


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an exception is Ctrl-C, or comes from it: a library that is being loaded gives an ImportError instead."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
