"""The published details of evaluation, one test each (authors' main.py, main_DM.py and utils.py)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import PROTOCOLS, BadInput, ImageSpec, Rng
from condensery.augment import PerImageAugmentation, SiameseAugmentation
from condensery.evaluation import Protocol, get_protocol
from condensery.models.registry import resolve
from condensery.training import TensorImages, fit
from condensery.training_recipe import Recipe

RNG = Rng(0)
CONVNET, CONVNET_BN = resolve("convnet"), resolve("ConvNetBN")
PUBLISHED = ("dc-2021", "dsa-2021", "dm-2023")


def spec(name: str = "cifar10", flip: bool = True) -> ImageSpec:
    return ImageSpec(3, 32, 32, tuple("abcdefghij"), (0.5,) * 3, (0.2,) * 3, name=name, flip=flip)


MNIST = replace(spec("mnist", flip=False), channels=1, height=28, width=28, mean=(0.1307,), std=(0.3081,))


@pytest.mark.parametrize("name", PUBLISHED)
def test_sgd_with_momentum_and_weight_decay_in_batches_of_256(name: str) -> None:
    recipe = PROTOCOLS[name].recipe(spec(), CONVNET)
    assert (recipe.lr, recipe.momentum, recipe.weight_decay, recipe.batch_size) == (0.01, 0.9, 5e-4, 256)
    optimizer = recipe.make_optimizer(nn.Linear(2, 2), 0.01)
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.defaults["nesterov"], optimizer.defaults["dampening"]) == (False, 0)


def test_301_epochs_without_augmentation() -> None:
    assert PROTOCOLS["dc-2021"].recipe(spec(), CONVNET).epochs == 301


@pytest.mark.parametrize(
    ("name", "data", "network"),
    [
        ("dc-2021", MNIST, CONVNET),
        ("dc-2021", spec(), CONVNET_BN),
        ("dsa-2021", spec(), CONVNET),
        ("dsa-2021", MNIST, CONVNET),
        ("dm-2023", spec(), CONVNET),
    ],
)
def test_1001_epochs_with_augmentation(name: str, data: ImageSpec, network) -> None:
    assert PROTOCOLS[name].recipe(data, network).epochs == 1001


@dataclass(frozen=True)
class Spied(Recipe):
    """A recipe that remembers the optimisers it made."""

    made: list[tuple[int, torch.optim.SGD]] = field(default_factory=list)
    epochs_done: list[int] = field(default_factory=list)

    def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        made = super().make_optimizer(network, lr)
        self.made.append((len(self.epochs_done), made))  # type: ignore[arg-type]
        return made


def small_images() -> TensorImages:
    images = torch.randn(6, 3, 8, 8, generator=RNG.torch())
    return TensorImages(images, torch.arange(6) % 3)


def mlp() -> nn.Module:
    small = ImageSpec(3, 8, 8, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
    return resolve("mlp").build(small, RNG)


def spied(epochs: int) -> Spied:
    network = CONVNET if epochs == 301 else CONVNET_BN
    recipe = PROTOCOLS["dc-2021"].recipe(spec(), network)
    assert recipe.epochs == epochs
    spy = Spied(recipe.epochs, decay_after=recipe.decay_after)
    fit(mlp(), small_images(), spy, RNG, on_epoch=spy.epochs_done.append)
    return spy


@pytest.mark.parametrize(("epochs", "first", "second"), [(301, 152, 149), (1001, 502, 499)])
def test_a_new_optimiser_with_a_tenth_of_the_rate_after_index_half_plus_one(
    epochs: int, first: int, second: int
) -> None:
    """The call comes after epoch index Epoch // 2 + 1, before that epoch is announced."""
    spy = spied(epochs)
    assert [lr for lr in (o.param_groups[0]["lr"] for _, o in spy.made)] == pytest.approx([0.01, 0.001])
    assert [done for done, _ in spy.made] == [0, first - 1]
    assert len(spy.epochs_done) == first + second


def test_the_whole_schedule_equals_one_typed_in_by_hand() -> None:
    """Epoch 10: indices 0..10, a new optimiser without momentum after index 6."""
    protocol = replace(PROTOCOLS["dc-2021"], plain_epochs=10)
    ours, images = mlp(), small_images()
    fit(ours, images, protocol.recipe(spec(), CONVNET), RNG)
    by_hand, lr = mlp(), 0.01
    optimizer = torch.optim.SGD(by_hand.parameters(), lr, momentum=0.9, weight_decay=0.0005)
    for index in range(10 + 1):
        optimizer.zero_grad()
        F.cross_entropy(by_hand(images.images), images.labels).backward()
        optimizer.step()
        if index == 10 // 2 + 1:
            lr *= 0.1
            optimizer = torch.optim.SGD(by_hand.parameters(), lr, momentum=0.9, weight_decay=0.0005)
    for a, b in zip(ours.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_dc_augments_nothing_but_mnist_and_convnet_with_batch_norm() -> None:
    augment = PROTOCOLS["dc-2021"].augment
    assert augment(spec(), CONVNET) is None
    assert augment(spec("svhn"), CONVNET) is None
    assert augment(spec("fashion-mnist"), CONVNET) is None
    assert augment(spec(), resolve("alexnet+norm=batch")) is None
    assert augment(MNIST, CONVNET) == PerImageAugmentation("crop_scale_rotate")
    for data in (spec(), MNIST):
        assert augment(data, CONVNET_BN) == PerImageAugmentation("crop_noise")


def test_strengths_of_dc_augmentation() -> None:
    augmentation = PROTOCOLS["dc-2021"].augment(MNIST, CONVNET)
    assert isinstance(augmentation, PerImageAugmentation)
    assert (augmentation.crop, augmentation.scale, augmentation.rotate, augmentation.noise) == (
        4,
        0.2,
        45,
        0.001,
    )


@pytest.mark.parametrize("name", ["dsa-2021", "dm-2023", "quick"])
def test_dsa_strategy_flips_only_what_may_be_flipped(name: str) -> None:
    natural = PROTOCOLS[name].augment(spec(), CONVNET)
    digits = PROTOCOLS[name].augment(MNIST, CONVNET)
    assert isinstance(natural, SiameseAugmentation) and isinstance(digits, SiameseAugmentation)
    assert natural.groups == ("color", "crop", "cutout", "flip", "scale", "rotate")
    assert digits.groups == ("color", "crop", "cutout", "scale", "rotate")


@pytest.mark.parametrize("name", ["dsa-2021", "dm-2023", "quick"])
def test_dsa_parameters_differ_from_image_to_image(name: str) -> None:
    augment = PROTOCOLS[name].augment(spec(), CONVNET)
    assert augment is not None
    same = torch.randn(1, 3, 32, 32, generator=RNG.torch()).expand(8, -1, -1, -1)
    for k in range(10):
        transformed = augment(same, RNG.fork(k))
        assert len({t.numpy().tobytes() for t in transformed}) > 1


@pytest.mark.parametrize("name", ["dc-2021", "dsa-2021"])
def test_s_mode_replaces_batch_norm(name: str) -> None:
    assert PROTOCOLS[name].network(CONVNET_BN).canonical == "convnet"
    assert PROTOCOLS[name].network(resolve("VGG11BN")).canonical == "vgg11"
    assert PROTOCOLS[name].network(CONVNET) == CONVNET


@pytest.mark.parametrize("name", ["dm-2023", "quick"])
def test_ss_mode_keeps_batch_norm(name: str) -> None:
    assert PROTOCOLS[name].network(CONVNET_BN) == CONVNET_BN


@pytest.mark.parametrize("name", PUBLISHED)
def test_twenty_networks_per_set(name: str) -> None:
    assert PROTOCOLS[name].repeats == 20


@pytest.mark.parametrize("size", [1, 10, 256, 257, 600])
def test_last_partial_batch_is_kept(size: int) -> None:
    seen: list[int] = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network.register_forward_hook(lambda m, inputs, output: seen.append(len(inputs[0])))
    images: Tensor = torch.zeros(size, 1, 2, 2)
    recipe = replace(PROTOCOLS["dm-2023"].recipe(spec(), CONVNET), epochs=1)
    fit(network, TensorImages(images, torch.zeros(size, dtype=torch.long)), recipe, RNG)
    full, rest = divmod(size, 256)
    assert seen == [256] * full + [rest] * (rest > 0)


def test_unknown_protocol() -> None:
    with pytest.raises(
        BadInput, match="unknown protocol 'dc'; choose one of dc-2021, dsa-2021, dm-2023, quick"
    ):
        get_protocol("dc")


@pytest.mark.parametrize(
    ("strategy", "groups", "epochs"),
    [("crop", ("crop",), 1001), ("color_flip", ("color", "flip"), 1001), ("none", (), 301)],
)
def test_a_protocol_with_other_augmentation(strategy: str, groups: tuple[str, ...], epochs: int) -> None:
    protocol = get_protocol(f"dsa-2021+augmentation={strategy}")
    augment = protocol.augment(spec(), CONVNET)
    assert (augment.groups if isinstance(augment, SiameseAugmentation) else ()) == groups
    assert protocol.recipe(spec(), CONVNET).epochs == epochs
    assert protocol.name == f"dsa-2021+augmentation={strategy}"
    assert protocol.repeats == PROTOCOLS["dsa-2021"].repeats
    assert protocol == get_protocol(protocol.name), "plain values: the same in every process"


def test_auto_leaves_out_flip_for_digits_here_too() -> None:
    augment = get_protocol("dc-2021+augmentation=auto").augment
    for data, flip in ((spec(), True), (MNIST, False)):
        augmentation = augment(data, CONVNET)
        assert isinstance(augmentation, SiameseAugmentation)
        assert ("flip" in augmentation.groups) is flip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "dsa-2021+steps=3",
            "'steps=3' is no option of the protocol dsa-2021; write dsa-2021.augmentation=crop",
        ),
        ("dsa-2021+augmentation=", "is no option of the protocol dsa-2021"),
        ("dsa-2021+augmentation=crob", "no augmentation is called 'crob'; .*did you mean 'crop'"),
        ("dsa+augmentation=crop", "unknown protocol 'dsa'"),
    ],
)
def test_bad_options_of_a_protocol(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        get_protocol(name)


def test_epochs_of_a_protocol_are_part_of_its_name() -> None:
    found = get_protocol("quick+epochs=7")
    assert (found.name, found.epochs, found.plain_epochs) == ("quick+epochs=7", 7, 7)
    both = get_protocol("dm-2023+augmentation=crop+epochs=5")
    assert both.epochs == 5 and both.augmenter == get_protocol("dm-2023+augmentation=crop").augmenter
    with pytest.raises(BadInput, match="epochs of a protocol must be at least 1, not 0"):
        get_protocol("quick+epochs=0")


def test_precision_of_a_protocol_is_part_of_its_name() -> None:
    low = get_protocol("quick+epochs=4").with_precision("bfloat16")
    assert low == get_protocol("quick+epochs=4+precision=bfloat16")
    assert (low.name, low.precision, low.epochs) == ("quick+epochs=4+precision=bfloat16", "bfloat16", 4)
    assert replace(Protocol.from_json(low.to_json()), summary=low.summary) == low
    plain = PROTOCOLS["quick"]
    assert plain.with_precision("float32") is plain
    assert "precision" not in plain.to_json()  # as in records from before there was a choice
    with pytest.raises(BadInput, match="unknown precision 'half'"):
        get_protocol("quick+precision=half")
