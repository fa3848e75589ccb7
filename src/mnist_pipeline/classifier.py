"""A classifier: from the bytes of an image to the outputs of the network and the probability of each class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.deskew import deskewed
from mnist_pipeline.modelfile import ModelFile, ModelFileError, load_model, save_model
from mnist_pipeline.models.registry import build_network
from mnist_pipeline.params import ModelParams, architectures

SCORED_AT_ONCE = 1000


@dataclass(frozen=True)
class Scaling:
    """How pixels become inputs: (pixel - mean) / sd, with pixels of 0-255."""

    mean: float
    sd: float


UNIT = Scaling(mean=0.0, sd=255.0)
"""Pixels divided by 255."""


class Classifier(nn.Module):
    """A network with all that it needs to read an image and name its class.

    Attributes:
        image_side: height and width of an image, in pixels.
        classes: the name of each class.
        scaling: how pixels become inputs.
        params: what the network was built from.
        deskew: whether images are brought upright first.
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
        self.network = build_network(image_side, len(classes), params)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs, float32 (n, classes), for images, uint8 (n, image_side, image_side).

        With a ``test_time_shift``, the mean of those for an image and for it moved so many pixels in each of the four
        directions: test-time augmentation (Krizhevsky et al. 2012). Training does not come this way.
        """
        upright = self.upright(images)
        outputs: Tensor = self.network(self.inputs(upright))
        if (pixels := self.params.test_time_shift) == 0:
            return outputs
        for view in _shifted(upright, pixels):
            outputs = outputs + self.network(self.inputs(view))
        return outputs / self.passes

    @property
    def passes(self) -> int:
        """How often the network runs for one prediction."""
        return 5 if self.params.test_time_shift else 1

    def upright(self, images: Tensor) -> Tensor:
        """Images, uint8 (n, image_side, image_side), deskewed if this classifier does so."""
        if not self.deskew:
            return images
        if torch.compiler.is_exporting():
            return deskewed(images)
        return torch.cat([deskewed(some) for some in torch.split(images, SCORED_AT_ONCE)])

    def inputs(self, images: Tensor) -> Tensor:
        """What the network sees, float32 (n, image_side²), of upright images, (n, image_side, image_side) of 0-255."""
        pixels = images.flatten(1).to(torch.float32)
        return (pixels - self.scaling.mean).div_(self.scaling.sd)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """The probability of each class, float64 (n, classes), each row with the sum 1.

        Outputs trained with cross-entropy are logits, and a softmax gives the probabilities. Outputs trained
        against one-hot targets (mse, bce) estimate each probability on its own: negative ones count as almost 0,
        in the order of the outputs, and each row is divided by its sum. So the likeliest class is always that of
        the largest output.
        """
        outputs = outputs.to(torch.float64)
        softmax = outputs.softmax(dim=1)
        if self.params.loss == "cross_entropy":
            return softmax
        tiny = torch.finfo(torch.float32).tiny  # counts only in a row of negative outputs
        positive = outputs.clamp(min=0) + tiny * softmax
        return positive / positive.sum(dim=1, keepdim=True)


def _shifted(images: Tensor, pixels: int) -> list[Tensor]:
    """The images moved up, down, to the left and to the right; background comes in, what leaves is lost."""
    side = images.shape[2]
    padded = F.pad(images, (pixels, pixels, pixels, pixels))
    corners = ((2 * pixels, pixels), (0, pixels), (pixels, 2 * pixels), (pixels, 0))
    return [padded[:, top : top + side, left : left + side] for top, left in corners]


def new_classifier(
    image_side: int,
    classes: tuple[str, ...],
    scaling: Scaling,
    params: ModelParams,
    seed: int,
    deskew: bool = False,
) -> Classifier:
    """An untrained classifier whose weights are determined by ``seed``; torch's own generator is left as it was.

    Raises:
        ArchitectureError: the network cannot be built for images of this side.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(image_side, classes, scaling, params, deskew)


def predict(classifier: Classifier, images: Tensor) -> Tensor:
    """Outputs, float32 (n, classes), for images, uint8 (n, side, side); none is left out.

    The images may be on another device than the classifier; the outputs are on the classifier's.
    """
    classifier.eval()
    device = device_of(classifier)
    with torch.inference_mode():
        return torch.cat([classifier(batch.to(device)) for batch in torch.split(images, SCORED_AT_ONCE)])


def device_of(classifier: Classifier) -> torch.device:
    """Where the classifier's weights are."""
    return next(classifier.parameters()).device


def save_classifier(path: Path, classifier: Classifier) -> None:
    """Write a classifier into a file from which alone it can be loaded."""
    others = set(architectures()) - {classifier.params.architecture}
    description = {
        "image_side": classifier.image_side,
        "classes": classifier.classes,
        "scaling": asdict(classifier.scaling),
        "deskew": classifier.deskew,
        "model": classifier.params.model_dump(mode="json", exclude=others),
    }
    tensors = {name: tensor.cpu().numpy() for name, tensor in classifier.state_dict().items()}
    save_model(path, ModelFile(description, tensors))


def load_classifier(path: Path) -> Classifier:
    """Read a classifier, in evaluation mode.

    Raises:
        ModelFileError: the file is missing, damaged, or does not describe a classifier.
    """
    model = load_model(path)
    try:
        classifier = Classifier(
            image_side=model.description["image_side"],
            classes=tuple(model.description["classes"]),
            scaling=Scaling(**model.description["scaling"]),
            params=ModelParams.model_validate({"test_time_shift": 0} | model.description["model"]),
            deskew=model.description.get("deskew", False),  # the files of before there was deskewing do not say
        )
        classifier.load_state_dict({name: torch.from_numpy(array) for name, array in model.tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: its description does not fit its weights; {error}") from None
    return classifier.eval()
