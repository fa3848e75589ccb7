"""Bitwise-reproducible arithmetic: threads and instruction sets, set before anything computes.

``portable`` restricts every library to code paths that give the same bits on any x86-64 CPU with AVX2:

- one thread in every library, because the rounding of a matrix product depends on how it is divided. The cores compute
  whole pieces of the work instead, such as the shards of a batch: see ``Threads``;
- AVX2 in PyTorch's own kernels and in oneDNN, even where the CPU has more;
- MKL's COMPATIBLE mode, the only one that Intel promises to agree across vendors;
- no AVX-512 in NumPy and OpenBLAS.

``fast`` leaves the choice to every library: the same bits on the same machine only. Threads that wait for each other
sleep soon instead of spinning, so that a busy neighbour does not stop them. Libraries get one thread here, too, where
the caller has pieces of work for the other cores. ``mixed`` does as ``fast``, and trains in mixed precision where the
CPU has instructions for bfloat16 (Micikevicius et al. 2018): matrix products in bfloat16, summed in float32, take a
fraction of the time. Weights and predictions stay float32.

The libraries read these variables once, when they load. So ``configure`` must run before NumPy or torch is imported
in this process; the stages import both after it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.hardware import has_bfloat16, supports_portable, usable_cores

if TYPE_CHECKING:
    import torch

R = TypeVar("R")

ONE_THREAD = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PORTABLE_ENVIRONMENT = ONE_THREAD | {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}

# Of malloc.h: M_TRIM_THRESHOLD, how much freed memory is kept; M_MMAP_THRESHOLD, the largest piece, at its limit.
MEMORY_OPTIONS = {-1: 1 << 30, -3: 1 << 25}

WAITING = {"GOMP_SPINCOUNT": "3000"}
"""How often threads of GNU OpenMP, which PyTorch's wheels use, look before they sleep; 300,000 times by default.

A small CNN on two cores of a Xeon, with 1,000, 3,000 and 10,000: 9.7, 8.0 and 7.1 s alone, 21, 28 and 39 s beside a
process that keeps a core busy.
"""


class Threads:
    """Threads that compute independent pieces of work. Results come in order: the number of threads changes no bit.

    Attributes:
        number: how many, the one that asks included. 1 unless ``configure`` gives every library one thread.
    """

    number = 1

    def start(self, function: Callable[..., R], *arguments: object) -> Callable[[], R]:
        """Have another thread compute something, if there is one; return a function that returns the result, once.

        What no thread has begun by then is computed by the one that asks, so that none waits for work that is not done.
        """
        compute = partial(function, *arguments)
        if self.number == 1:
            return compute
        future = _pool(self.number - 1).submit(compute)
        return lambda: compute() if future.cancel() else future.result()

    def in_order(self, function: Callable[..., R], *pieces: Sequence[object]) -> list[R]:
        """Return what ``map`` would: the results of all pieces. The last one is always computed by the one that asks.

        So a single piece occupies no other thread, and may divide its own work among them.
        """
        every = list(zip(*pieces, strict=True))
        others = [self.start(function, *each) for each in every[:-1]]
        own = [function(*each) for each in every[-1:]]
        return [result() for result in reversed(others)][::-1] + own  # the others begin with the first piece

    def one_ahead(self, function: Callable[..., R], *pieces: Iterable[object]) -> Iterator[R]:
        """Yield what ``map`` would; the next result is computed while one is used."""
        results: list[Callable[[], R]] = []
        for each in zip(*pieces, strict=True):
            results.append(self.start(function, *each))
            if len(results) == 2:
                yield results.pop(0)()
        yield from (result() for result in results)


threads = Threads()
"""Those of this process."""


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers)


def configure(numerics: str, *, library_threads: bool = True) -> None:
    """Set the environment of this process for "portable", "fast" or "mixed" numerics.

    With portable numerics, and without ``library_threads``, every library gets one thread, and ``threads`` are as
    many as OMP_NUM_THREADS says, or as there are cores.

    Raises:
        ValueError: ``numerics`` is none of them.
        RuntimeError: NumPy or torch was imported already, so that the settings would come too late.
    """
    if numerics not in ("portable", "fast", "mixed"):
        raise ValueError(f"numerics must be 'portable', 'fast' or 'mixed', was {numerics!r}")
    _keep_freed_memory()
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    if numerics != "portable" and library_threads:
        return
    if too_early := [name for name in ("numpy", "torch") if name in sys.modules]:
        raise RuntimeError(f"{' and '.join(too_early)} imported before numerics.configure")
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    threads.number = int(wanted) if wanted.isdecimal() and int(wanted) else usable_cores()
    os.environ.update(ONE_THREAD)
    if numerics == "portable":
        if not supports_portable():
            print("numerics: not x86-64 Linux with AVX2; results may differ in their last digits", file=sys.stderr)
        os.environ.update(PORTABLE_ENVIRONMENT)


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next step.

    It would return some to the system, which then fills every page with zeros before it is used again.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, size in MEMORY_OPTIONS.items():
            library.mallopt(option, size)


def uses_mixed_precision(numerics: str, device: str) -> bool:
    """Whether to train in mixed precision: with "mixed" numerics, where the device supports bfloat16."""
    if numerics == "mixed" and device == "cpu" and not has_bfloat16():
        print("train: this CPU has no instructions for bfloat16; training in float32", file=sys.stderr)
        return False
    return numerics == "mixed"


def device(name: str) -> torch.device:
    """Return the device for "cpu" or "cuda"; on a GPU, PyTorch is restricted to deterministic algorithms.

    Raises:
        PipelineError: a GPU is asked for, and PyTorch finds none.
    """
    if name == "cuda":
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the first product is computed
        threads.number = 1  # the GPU computes one thing after the other
    import torch

    if name == "cuda":
        if not torch.cuda.is_available():
            raise PipelineError(
                f"runtime.device is cuda, and PyTorch {torch.__version__} finds no GPU; use -S runtime.device=cpu, or "
                "install PyTorch's CUDA build"
            )
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False  # a convolution in 10 bits is not what onnxruntime computes
    return torch.device(name)
