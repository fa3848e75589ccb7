"""Bitwise-reproducible arithmetic: threads and instruction sets, set before anything computes.

``portable`` restricts every library to code paths that give the same bits on any x86-64 CPU with AVX2:

- one thread, because the rounding of a matrix product depends on how it is divided;
- AVX2 in PyTorch's own kernels and in oneDNN, even where the CPU has more;
- MKL's COMPATIBLE mode, the only one that Intel promises to agree across vendors;
- no AVX-512 in NumPy and OpenBLAS.

``fast`` leaves the choice to every library: the same bits on the same machine only. Threads that wait for each other
sleep soon instead of spinning, so that a busy neighbour does not stop them. ``mixed`` does so, too, and trains
in mixed precision where the CPU has instructions for bfloat16 (Micikevicius et al. 2018): matrix products in bfloat16,
summed in float32, take a fraction of the time. Weights and predictions stay float32.

The libraries read these variables once, when they load. So ``configure`` must run before NumPy or torch is imported
in this process; the stages import both after it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.hardware import has_bfloat16, supports_portable

if TYPE_CHECKING:
    import torch

PORTABLE_ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
}

WAITING = {"GOMP_SPINCOUNT": "1000"}
"""How often threads of GNU OpenMP, which PyTorch's wheels use, look before they sleep; 300,000 times by default."""


def configure(numerics: str) -> None:
    """Set the environment of this process for "portable", "fast" or "mixed" numerics.

    Raises:
        ValueError: ``numerics`` is none of them.
        RuntimeError: NumPy or torch was imported already, so that the settings would come too late.
    """
    if numerics not in ("portable", "fast", "mixed"):
        raise ValueError(f"numerics must be 'portable', 'fast' or 'mixed', was {numerics!r}")
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    too_early = [name for name in ("numpy", "torch") if name in sys.modules]
    if numerics == "portable":
        if too_early:
            raise RuntimeError(f"{' and '.join(too_early)} imported before numerics.configure")
        if not supports_portable():
            print("numerics: not x86-64 Linux with AVX2; results may differ in their last digits", file=sys.stderr)
        os.environ.update(PORTABLE_ENVIRONMENT)


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
