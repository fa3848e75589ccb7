"""The tutorial's training loop, as the baseline: one sample at a time, each read from a DataFrame.

The default is its step 1 (sigmoids, binary cross-entropy, SGD); flags select the others. Prints one line of JSON:
seconds to read the CSV, seconds of each epoch without scoring, the test accuracy after each, and the last of these.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import torch
from torch import nn


class MnistDataset(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of the CSV as (label, pixels / 255, one-hot target)."""

    def __init__(self, path: Path, normalise: bool) -> None:
        self.data = pd.read_csv(path, header=None)
        self.normalise = normalise

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        label = int(self.data.iloc[index, 0])  # type: ignore[arg-type]
        target = torch.zeros(10)
        target[label] = 1.0
        pixels = torch.FloatTensor(self.data.iloc[index, 1:].to_numpy(copy=True)) / 255.0
        if self.normalise:
            pixels = (pixels - 0.1307) / 0.3081  # mean and std of the training pixels
        return label, pixels, target


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "leaky_relu": lambda: nn.LeakyReLU(0.02),
}
LOSSES: dict[str, Callable[[], nn.Module]] = {"mse": nn.MSELoss, "bce": nn.BCELoss}
OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    "adam": torch.optim.Adam,
}


class Classifier(nn.Module):
    """784-200-10, as in the steps of the tutorial."""

    def __init__(self, hidden: str, layer_norm: bool, output: str, loss: str, optimiser: str) -> None:
        super().__init__()
        norm = [nn.LayerNorm(200)] if layer_norm else []
        self.model = nn.Sequential(
            nn.Linear(784, 200), ACTIVATIONS[hidden](), *norm, nn.Linear(200, 10), ACTIVATIONS[output]()
        )
        self.loss_function = LOSSES[loss]()
        self.optimiser = OPTIMISERS[optimiser](self.parameters())
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


def accuracy(classifier: Classifier, test: MnistDataset) -> float:
    correct = 0
    for index in range(len(test)):
        label, pixels, _ = test[index]
        correct += int(classifier.forward(pixels).detach().argmax() == label)
    return correct / len(test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-csv", type=Path, required=True)
    parser.add_argument("--test-csv", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, help="train on the first N rows only (default: all)", metavar="N")
    parser.add_argument("--hidden", choices=ACTIVATIONS, default="sigmoid")
    parser.add_argument("--layer-norm", action="store_true")
    parser.add_argument("--normalise", action="store_true", help="inputs with mean 0 and std 1")
    parser.add_argument("--output", choices=ACTIVATIONS, default="sigmoid")
    parser.add_argument("--loss", choices=LOSSES, default="bce")
    parser.add_argument("--optimiser", choices=OPTIMISERS, default="sgd")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial weights")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    started = time.perf_counter()
    train = MnistDataset(args.train_csv, args.normalise)
    read_seconds = time.perf_counter() - started
    classifier = Classifier(args.hidden, args.layer_norm, args.output, args.loss, args.optimiser)
    test = MnistDataset(args.test_csv, args.normalise)
    epoch_seconds, accuracies = [], []
    for _ in range(args.epochs):
        started = time.perf_counter()
        for index in range(args.rows or len(train)):
            _, pixels, target = train[index]
            classifier.train_on(pixels, target)
        epoch_seconds.append(time.perf_counter() - started)
        accuracies.append(accuracy(classifier, test))
    figures = {"read_seconds": read_seconds, "epoch_seconds": epoch_seconds, "accuracies": accuracies}
    print(json.dumps({**figures, "test_accuracy": accuracies[-1]}))


if __name__ == "__main__":
    main()
