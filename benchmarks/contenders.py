"""Baselines: scikit-learn's MLPClassifier and PyTorch's MNIST example. Prints one line of JSON.

    python benchmarks/contenders.py sklearn --train … --test … --epochs 10
    python benchmarks/contenders.py pytorch --train … --test … --until 0.99

After each epoch: the training time so far, without scoring, and the test accuracy. The data are the pipeline's arrays,
so that no time goes into reading CSV files.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its customary name
from torch.utils.data import DataLoader, Dataset

from mnist_pipeline.data import dataset
from mnist_pipeline.data.dataset import load_dataset

Course = list[dict[str, float]]


def sklearn(train: dataset.Dataset, test: dataset.Dataset, epochs: int, seed: int) -> Course:
    """Train 784-200-10 in batches of 128 with Adam, the default of ``MLPClassifier``."""
    inputs, unseen = (each.images.reshape(len(each.images), -1).astype(np.float32) / 255 for each in (train, test))
    course: Course = []
    network = MLPClassifier((200,), batch_size=128, random_state=seed)
    seconds = 0.0
    for _ in range(epochs):
        started = time.perf_counter()
        network.partial_fit(inputs, train.labels, classes=np.unique(train.labels))  # one epoch
        seconds += time.perf_counter() - started
        course.append({"seconds": seconds, "accuracy": float(network.score(unseen, test.labels))})
    return course


class Images(Dataset[Any]):
    """Images, scaled when they are accessed."""

    def __init__(self, data: dataset.Dataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.data.images[index]).unsqueeze(0).to(torch.float32).div(255)
        return (image - 0.1307) / 0.3081, int(self.data.labels[index])


class Net(nn.Module):
    """The network of PyTorch's MNIST example."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(inputs)))), 2)
        hidden = F.relu(self.fc1(torch.flatten(self.dropout1(hidden), 1)))
        return F.log_softmax(self.fc2(self.dropout2(hidden)), dim=1)


def pytorch(train: dataset.Dataset, test: dataset.Dataset, epochs: int, until: float, seed: int) -> Course:
    """Train as PyTorch's MNIST example does (batches of 64, Adadelta, StepLR), up to a test accuracy."""
    torch.manual_seed(seed)
    loader = DataLoader(Images(train), batch_size=64, shuffle=True)
    unseen = DataLoader(Images(test), batch_size=1000)
    network = Net()
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    course: Course = []
    seconds = 0.0
    while len(course) < epochs and (not course or course[-1]["accuracy"] < until):
        started = time.perf_counter()
        network.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            F.nll_loss(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        seconds += time.perf_counter() - started
        network.eval()
        with torch.no_grad():
            correct = sum(int((network(inputs).argmax(dim=1) == labels).sum()) for inputs, labels in unseen)
        course.append({"seconds": seconds, "accuracy": correct / len(test.labels)})
    return course


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", choices=["sklearn", "pytorch"])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--until", type=float, default=1.0, help="stop after the epoch that reaches this accuracy")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    train, test = load_dataset(args.train), load_dataset(args.test)
    if args.contender == "sklearn":
        course = sklearn(train, test, args.epochs, args.seed)
    else:
        course = pytorch(train, test, args.epochs, args.until, args.seed)
    print(json.dumps(course))


if __name__ == "__main__":
    main()
