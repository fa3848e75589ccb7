"""A classifier: from the bytes of an image to the outputs of the network and the probability of each class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, cast

import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from torch import Tensor, nn

from mnist_pipeline.core.arrays import load_arrays, save_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.numerics import threads
from mnist_pipeline.models.deskew import deskewed
from mnist_pipeline.models.registry import Ensemble, build_network
from mnist_pipeline.params.base import PositiveFloat, Section
from mnist_pipeline.params.data import ClassNames
from mnist_pipeline.params.model import ModelParams, architectures
from mnist_pipeline.params.schema import problems_of

BATCH_SIZE = 1000
"""Images that are deskewed or predicted at once."""

MOST_WEIGHTS = 1 << 28  # 1 GB

_seeding = Lock()  # torch's own generator is that of all threads

DESCRIPTION = "classifier"
"""Name of the metadata of a model file: what the network is built from."""


@dataclass(frozen=True)
class Scaling:
    """How pixels become inputs: (pixel - mean) / std, with pixels of 0-255."""

    mean: float
    sd: float  # the name in model files


class ScalingDescription(Section):
    """How pixels become inputs, in a model file."""

    mean: float
    sd: PositiveFloat


class Description(Section):
    """What a model file says of its classifier."""

    image_side: Annotated[int, Field(ge=1, le=4096)]
    classes: ClassNames
    scaling: ScalingDescription
    deskew: bool
    model: ModelParams
    temperature: PositiveFloat = 1.0


UNIT = Scaling(mean=0.0, sd=255.0)
"""Pixels divided by 255."""


class Classifier(nn.Module):
    """A network with all that it needs to read an image and name its class.

    Attributes:
        image_side: height and width of an image, in pixels.
        classes: the name of each class.
        scaling: how pixels become inputs.
        params: what the network was built from.
        deskew: whether images are deskewed first.
        temperature: by which outputs are divided before the softmax; 1 unless it was fitted.
        network: from float32 (n, image_side²) to float32 (n, classes).
    """

    def __init__(
        self, image_side: int, classes: tuple[str, ...], scaling: Scaling, params: ModelParams, deskew: bool = False
    ) -> None:
        super().__init__()
        self.image_side = image_side
        self.classes = classes
        self.scaling = scaling
        self.params = params
        self.deskew = deskew
        self.temperature = 1.0
        self.network = build_network(image_side, len(classes), params)

    def members(self) -> list[Classifier]:
        """Return the networks of an ensemble, each in a classifier of its own that shares its weights; else this."""
        if self.params.members == 1:
            return [self]
        alone = self.params.model_copy(update={"members": 1})
        members = []
        for network in cast("Ensemble", self.network[0]).members:
            member = Classifier(self.image_side, self.classes, self.scaling, alone, self.deskew)
            member.network = cast("nn.Sequential", network)
            members.append(member)
        return members

    def forward(self, images: Tensor) -> Tensor:
        """Return outputs, float32 (n, classes), for images, uint8 (n, image_side, image_side)."""
        upright = self.upright(images)  # (n, side, side)
        inputs = self.inputs(upright)  # (n, side²)
        outputs: Tensor = self.network(inputs)  # (n, classes)
        return outputs

    def upright(self, images: Tensor) -> Tensor:
        """Return images, uint8 (n, image_side, image_side), deskewed if this classifier does so."""
        if not self.deskew:
            return images
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return deskewed(images)
        return torch.cat(threads.in_order(deskewed, torch.split(images, BATCH_SIZE)))

    def inputs(self, images: Tensor) -> Tensor:
        """Return the network's inputs, float32 (n, image_side²), for upright images, (n, image_side, image_side)."""
        pixels = images.flatten(1).to(torch.float32)  # (n, side²), 0-255
        return (pixels - self.scaling.mean).div_(self.scaling.sd)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the probability of each class, float64 (n, classes), each row with the sum 1.

        Outputs trained with cross-entropy are logits: a softmax, after division by the temperature. Outputs trained
        against one-hot targets (mse, bce) estimate each probability on its own: negative ones count as almost 0, in the
        order of the outputs, and each row is divided by its sum, so that the most likely class is always that of the
        largest output.
        """
        outputs = outputs.to(torch.float64)
        if self.temperature != 1:
            outputs = outputs / self.temperature
        softmax = outputs.softmax(dim=1)
        if self.params.loss == "cross_entropy":
            return softmax
        tiny = torch.finfo(torch.float32).tiny  # counts only in a row of negative outputs
        positive = outputs.clamp(min=0) + tiny * softmax
        return positive / positive.sum(dim=1, keepdim=True)

    def totals(self, outputs: Tensor) -> Tensor:
        """Return what each row was divided by to give probabilities, float64 (n,): 1 for a softmax.

        Where it is small, a rounding error of the outputs is a large one of the probabilities.
        """
        if self.params.loss == "cross_entropy":
            return torch.ones(len(outputs), dtype=torch.float64)
        return outputs.to(torch.float64).clamp(min=0).sum(dim=1)


def new_classifier(
    image_side: int,
    classes: tuple[str, ...],
    scaling: Scaling,
    params: ModelParams,
    seed: int,
    deskew: bool = False,
) -> Classifier:
    """Build an untrained classifier; ``seed`` determines its weights, and torch's own generator is left as it was.

    Raises:
        PipelineError: the network cannot be built for images of this side.
    """
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(image_side, classes, scaling, params, deskew)


def device_of(classifier: Classifier) -> torch.device:
    """Return the device of the classifier's weights."""
    return next(classifier.parameters()).device


def save_classifier(path: Path, classifier: Classifier) -> None:
    """Write a classifier into a file from which alone it can be loaded."""
    others = set(architectures()) - {classifier.params.architecture}
    others |= {"members"} if classifier.params.members == 1 else set()
    description = {
        "image_side": classifier.image_side,
        "classes": classifier.classes,
        "scaling": asdict(classifier.scaling),
        "deskew": classifier.deskew,
        "model": classifier.params.model_dump(mode="json", exclude=others),
    }
    if classifier.temperature != 1:
        description["temperature"] = classifier.temperature
    weights = {name: tensor.cpu().numpy() for name, tensor in classifier.state_dict().items()}
    save_arrays(path, weights, {DESCRIPTION: description})


def load_classifier(path: Path) -> Classifier:
    """Read a classifier, in evaluation mode.

    Raises:
        PipelineError: the file is missing, damaged, or does not describe a classifier.
    """
    file = load_arrays(path, "a model that the train stage wrote", [DESCRIPTION])
    try:
        description = Description.model_validate(file.metadata[DESCRIPTION])
        with torch.device("meta"):  # takes no memory, whatever the description says
            _check_weights(_described(description), file.arrays)
        classifier = _described(description)
        classifier.load_state_dict({name: torch.from_numpy(array) for name, array in file.arrays.items()})
    except ValidationError as error:
        raise PipelineError(f"{path}: its description is wrong: {'; '.join(problems_of(error, Description))}") from None
    except (PipelineError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise PipelineError(f"{path}: its description does not fit its weights; {error}") from None
    return classifier.eval()


def _described(description: Description) -> Classifier:
    scaling = Scaling(description.scaling.mean, description.scaling.sd)
    classifier = Classifier(description.image_side, description.classes, scaling, description.model, description.deskew)
    classifier.temperature = description.temperature
    return classifier


def _check_weights(classifier: Classifier, arrays: dict[str, NDArray[Any]]) -> None:
    """Raise a ``ValueError`` unless arrays are the weights of such a classifier: types, shapes, and finite numbers."""
    expected = classifier.state_dict()
    if (number := sum(tensor.numel() for tensor in expected.values())) > MOST_WEIGHTS:
        raise ValueError(f"it has {number:,} weights; at most {MOST_WEIGHTS:,} are read")
    if expected.keys() != arrays.keys():
        raise ValueError(f"weights must be {', '.join(expected)}, were {', '.join(arrays)}")
    for name, tensor in expected.items():
        found = torch.from_numpy(arrays[name])
        if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"{name} must be {tensor.dtype} {tuple(tensor.shape)}, was {found.dtype} {tuple(found.shape)}"
            )
        if not bool(torch.isfinite(found).all()):
            raise ValueError(f"{name} has numbers that are not finite")
