"""How a package's network is trained: the schema of ``training.toml``.

Light: it loads neither torch nor MONAI, so that an appliance without them can read a recipe.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clic_edge.config.toml import Strict, read_toml

RECIPE = "training.toml"

Share = Annotated[float, Field(ge=0, le=1)]
"""0 to 1: a part of a whole, or how often a step is taken."""
NotNegative = Annotated[float, Field(ge=0)]
_Item = TypeVar("_Item")
Array = Annotated[tuple[_Item, ...], Field(strict=False)]
Three = Annotated[tuple[_Item, _Item, _Item], Field(strict=False)]


class Network(Strict):
    """What learns."""

    name: str
    """``small-unet``, or a class of ``monai.networks.nets``, e.g. ``SegResNet``."""
    arguments: Annotated[
        Mapping[str, JsonValue], AfterValidator(MappingProxyType), PlainSerializer(dict)
    ] = Field(default_factory=dict)
    """Its own, e.g. ``filters``; how many dimensions, inputs and classes is known."""
    logarithm: NotNegative = 0
    """The network sees log(1 + this times the input): for values that differ by factors, as SUV."""
    mirrored: Array[Literal["x", "y", "z"]] = ()
    """Axes over whose mirror images the exported network takes the mean; it is as much slower."""


class Loss(Strict):
    """What is made small."""

    kind: Literal["dice", "dice-ce", "dice-focal"] = "dice-ce"
    background: bool = False
    """Whether Dice counts the background as a class."""
    batch: bool = False
    """Whether Dice is taken over a batch as a whole; for structures that a patch may lack."""


class AdamW(Strict):
    """AdamW."""

    kind: Literal["adamw"]
    rate: PositiveFloat = 1e-3
    weight_decay: NotNegative = 0.01
    clip: NotNegative = 0
    """Greatest norm of all gradients together; 0 for any."""


class Sgd(Strict):
    """Stochastic gradient descent with Nesterov's momentum."""

    kind: Literal["sgd"]
    rate: PositiveFloat = 1e-2
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.99
    weight_decay: NotNegative = 3e-5
    clip: NotNegative = 0


class Schedule(Strict):
    """How the learning rate goes."""

    kind: Literal["constant", "cosine"] = "cosine"
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training in which the rate rises."""


class Patch(Strict):
    """What is learned from at a time."""

    shape: Three[PositiveInt] | None = None
    """Voxels; by default the package's window."""
    batch: PositiveInt = 4
    foreground: Share = 0
    """Share of patches with a labelled voxel in their middle; the others lie anywhere."""


class Split(Strict):
    """Which cases are not learned from; those of a subject stay together."""

    held_out: Share = 0.2
    """Share of subjects whose cases measure the new package, and decide nothing before that."""
    stopping: Share = 0.1
    """Share of the other subjects whose cases say when to stop."""


class Stopping(Strict):
    """When enough is learned."""

    every: PositiveInt = 5
    """Epochs from one look at the stopping cases to the next."""
    patience: PositiveInt = 4
    """Looks in a row without a better mean Dice, after which training stops."""


class Retraining(Strict):
    """How a package learns more from what readers said."""

    epochs: PositiveInt = 20
    rate: PositiveFloat = 2e-4
    """Peak of the learning rate: less than at first, or what was learned is lost."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the examples of an epoch that come from the original data."""
    least_cases: PositiveInt = 20
    """Fewer new cases teach chance."""
    margin: NotNegative = 0.01
    """Mean Dice that a segment may lose against the parent on the held-out cases."""


class Described(Strict):
    """Where the examples come from, for the card; ``dataset.toml`` beside them goes before this."""

    name: str = ""
    licence: str = ""
    source: str = ""


class Mirror(Strict):
    """Turn round along an axis, each by itself."""

    kind: Literal["mirror"]
    axes: Array[Literal["x", "y", "z"]]
    probability: Share = 0.5


class Deform(Strict):
    """Turn, scale, move and bend, in one interpolation."""

    kind: Literal["deform"]
    rotation_deg: Three[NotNegative] = (0, 0, 0)
    """Greatest angle about each axis."""
    scale: Share = 0
    shift: Share = 0
    """Greatest way along an axis, in halves of the patch."""
    bend: NotNegative = 0
    """Standard deviation at the coarse nodes, in halves of the patch; in every second patch."""


class BiasField(Strict):
    """Make one side brighter than the other, smoothly, as a coil does."""

    kind: Literal["bias-field"]
    deviation: NotNegative
    around: float = 0
    """The value that stays as it is."""
    probability: Share = 0.3


class Gamma(Strict):
    """Bend the scale of values between a patch's least and greatest."""

    kind: Literal["gamma"]
    log_range: NotNegative
    """Greatest logarithm of the exponent, either way."""
    probability: Share = 0.5


class Smooth(Strict):
    """Mix with the mean of the 27 neighbours; a negative share sharpens."""

    kind: Literal["smooth"]
    low: float = 0
    high: float = 1
    probability: Share = 0.3


class Noise(Strict):
    """Add noise."""

    kind: Literal["noise"]
    deviation: NotNegative
    """Greatest standard deviation."""
    counts: bool = False
    """Whether it grows with the square root of the value, as counts do."""
    probability: Share = 0.4


class Gain(Strict):
    """Multiply and add."""

    kind: Literal["gain"]
    factor: Share = 0
    """Greatest change of 1."""
    offset: NotNegative = 0


AugmentStep = Annotated[
    Mirror | Deform | BiasField | Gamma | Smooth | Noise | Gain, Field(discriminator="kind")
]


class Recipe(Strict):
    """The content of ``training.toml``."""

    material: Literal["volumes"] = "volumes"
    """What is learned from."""
    epochs: PositiveInt = 100
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the forward pass in training; what is exported is float32."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0
    """Share of the old weights that a step leaves in the averaged ones, which are exported; 0: none."""
    network: Network
    loss: Loss = Field(default_factory=Loss)
    optimiser: Annotated[AdamW | Sgd, Field(discriminator="kind")]
    schedule: Schedule = Field(default_factory=Schedule)
    patch: Patch = Field(default_factory=Patch)
    split: Split = Field(default_factory=Split)
    stopping: Stopping = Field(default_factory=Stopping)
    retraining: Retraining = Field(default_factory=Retraining)
    data: Described = Field(default_factory=Described)
    augmentation: Array[AugmentStep] = ()
    """Random changes, in this order."""

    @model_validator(mode="after")
    def _leaves_something_to_learn_from(self) -> Self:
        if self.split.held_out + self.split.stopping >= 1:
            raise PydanticCustomError("split", "'held_out' and 'stopping' leave nothing to learn")
        return self


def read_recipe(package: Path) -> Recipe:
    """Return the recipe of a package. Raises ConfigError as `read_toml`."""
    return read_toml(Recipe, package / RECIPE)
