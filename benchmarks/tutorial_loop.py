"""The tutorial's own way to train, as the baseline: one sample at a time, each read out of a DataFrame.

Prints one JSON line: seconds to read the CSV, seconds of each epoch, and the test accuracy.
"""

import argparse
import json
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn


class MnistDataset(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of the CSV as (label, pixels / 255, one-hot target)."""

    def __init__(self, path: Path) -> None:
        self.data = pd.read_csv(path, header=None)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        label = int(self.data.iloc[index, 0])  # type: ignore[arg-type]
        target = torch.zeros(10)
        target[label] = 1.0
        pixels = torch.FloatTensor(self.data.iloc[index, 1:].to_numpy(copy=True)) / 255.0
        return label, pixels, target


class Classifier(nn.Module):
    """784-200-10 with sigmoids, binary cross-entropy and SGD: the tutorial's step 1."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(784, 200), nn.Sigmoid(), nn.Linear(200, 10), nn.Sigmoid())
        self.loss_function = nn.BCELoss()
        self.optimiser = torch.optim.SGD(self.parameters(), lr=0.01)
        self.counter = 0
        self.progress: list[float] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.model(inputs)
        return outputs

    def train_on(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        outputs = self.forward(inputs)
        loss = self.loss_function(outputs, targets)
        self.counter += 1
        if self.counter % 10 == 0:
            self.progress.append(loss.item())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-csv", type=Path, required=True)
    parser.add_argument("--test-csv", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    torch.manual_seed(0)
    started = time.perf_counter()
    train = MnistDataset(args.train_csv)
    read_seconds = time.perf_counter() - started
    classifier = Classifier()
    epoch_seconds = []
    for _ in range(args.epochs):
        started = time.perf_counter()
        for index in range(len(train)):
            _, pixels, target = train[index]
            classifier.train_on(pixels, target)
        epoch_seconds.append(time.perf_counter() - started)

    test = MnistDataset(args.test_csv)
    correct = 0
    for index in range(len(test)):
        label, pixels, _ = test[index]
        correct += int(classifier.forward(pixels).detach().argmax() == label)
    print(
        json.dumps({"read_seconds": read_seconds, "epoch_seconds": epoch_seconds, "test_accuracy": correct / len(test)})
    )


if __name__ == "__main__":
    main()
