"""Put the first network of an ensemble in its place.

python -m benchmarks.first_network models/classifier.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

from mnist_pipeline.core import numerics


def main() -> None:
    """Write the first network of a file's ensemble into that file."""
    path = Path(sys.argv[1])
    numerics.configure("portable")  # before NumPy and torch are imported
    from mnist_pipeline.models.classifier import load_classifier, save_classifier

    save_classifier(path, load_classifier(path).members()[0])


if __name__ == "__main__":
    main()
