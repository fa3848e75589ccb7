"""Write a data set of many times the rows, by distorting images: as CSV files and as the pipeline's arrays.

python benchmarks/enlarge.py TRAIN TEST FOLDER TIMES
"""

import sys
from pathlib import Path

import numpy as np
import torch

from mnist_pipeline.training.augmentation import Augmentation
from mnist_pipeline.data.csv import Block, write_rows
from mnist_pipeline.params.schema import AugmentationParams
from mnist_pipeline.data.dataset import load_dataset, save_dataset

STRENGTH = AugmentationParams(rotation=10, scale=0.1, shear=0.1, shift=1.25, elastic_alpha=18, elastic_sigma=4)


def main() -> None:
    folder, times = Path(sys.argv[3]), int(sys.argv[4])
    folder.mkdir(parents=True)
    for name, path in zip(("train", "test"), sys.argv[1:3], strict=True):
        split = load_dataset(Path(path))
        augment = Augmentation(split.images.shape[1], STRENGTH, torch.device("cpu"))
        blocks = [Block(split.labels, split.images)]
        for seed in range(1, times):
            distorted = augment(torch.from_numpy(split.images), seed).round().to(torch.uint8).numpy()
            blocks.append(Block(split.labels, distorted))
        save_dataset(folder / f"{name}.safetensors", blocks, split.images.shape[1], split.classes)
        with (folder / f"{name}.csv").open("wb") as file:
            write_rows(file, np.concatenate([each.labels for each in blocks]),
                       np.concatenate([each.images for each in blocks]))  # fmt: skip


if __name__ == "__main__":
    main()
