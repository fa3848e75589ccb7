"""Write a data set with many times the rows, by augmentation: as CSV files and as the pipeline's arrays.

python benchmarks/enlarge.py TRAIN TEST FOLDER TIMES
"""

import sys
from pathlib import Path

import numpy as np
import torch

from mnist_pipeline.data.csv import Block, write_rows
from mnist_pipeline.data.dataset import load_dataset, save_dataset
from mnist_pipeline.params.run import AugmentationParams
from mnist_pipeline.training.augmentation import Augmentation

STRENGTH = AugmentationParams(rotation=10, scale=0.1, shear=0.1, shift=1.25, elastic_alpha=18, elastic_sigma=4)


def main() -> None:
    folder, times = Path(sys.argv[3]), int(sys.argv[4])
    folder.mkdir(parents=True)
    for name, path in zip(("train", "test"), sys.argv[1:3], strict=True):
        dataset = load_dataset(Path(path))
        augment = Augmentation(dataset.images.shape[1], STRENGTH, torch.device("cpu"))
        blocks = [Block(dataset.labels, dataset.images, dataset.rows)]
        for seed in range(1, times):
            augmented = augment(torch.from_numpy(dataset.images), seed).round().to(torch.uint8).numpy()
            blocks.append(Block(dataset.labels, augmented, dataset.rows + np.int32(seed * len(dataset.rows))))
        save_dataset(folder / f"{name}.safetensors", blocks, dataset.classes)
        with (folder / f"{name}.csv").open("wb") as file:
            write_rows(file, np.concatenate([each.labels for each in blocks]),
                       np.concatenate([each.images for each in blocks]))  # fmt: skip


if __name__ == "__main__":
    main()
