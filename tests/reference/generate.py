"""Make authors.json: run the authors' own functions once on inputs that anyone can make again.

    python tests/reference/generate.py PATH_TO_A_CHECKOUT_OF_VICO-UoE/DatasetCondensation

Nothing of theirs is in here: their modules are imported, and only numbers are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import scipy.ndimage
import torch
from reference_inputs import (
    CHANNELS,
    CLASSES,
    DEPTH,
    IPC,
    NORMS,
    REAL,
    SIZE,
    WIDTH,
    fill,
    real_images,
    synthetic_images,
)
from torch import Tensor, nn

DISTANCES = {"rowwise": "ours", "euclidean": "mse", "cosine": "cos"}


def import_theirs(checkout: Path) -> tuple[Any, Any]:
    """Their `networks` and `utils`, with stand-ins for what the functions used here do not need."""
    stand_ins = {
        name: types.ModuleType(name) for name in ("torchvision", "datasets", "transforms", "rotation")
    }
    vision = stand_ins["torchvision"]
    vision.datasets, vision.transforms = stand_ins["datasets"], stand_ins["transforms"]  # type: ignore[attr-defined]
    stand_ins["rotation"].rotate = scipy.ndimage.rotate  # type: ignore[attr-defined]
    sys.modules |= {
        "torchvision": vision,
        "torchvision.datasets": stand_ins["datasets"],
        "torchvision.transforms": stand_ins["transforms"],
        "scipy.ndimage.interpolation": stand_ins["rotation"],
    }
    sys.path.insert(0, str(checkout))
    import networks  # type: ignore[import-not-found]
    import utils  # type: ignore[import-not-found]

    return networks, utils


def numbers(tensor: Tensor) -> list[float]:
    return [float(f"{x:.7g}") for x in tensor.detach().flatten().tolist()]


def gradient(network: nn.Module, images: Tensor, c: int, graph: bool) -> list[Tensor]:
    loss = nn.CrossEntropyLoss()(network(images), torch.full((len(images),), c))
    found = torch.autograd.grad(loss, list(network.parameters()), create_graph=graph)
    return list(found) if graph else [g.detach().clone() for g in found]


class Cases:
    def __init__(self, networks: Any, utils: Any) -> None:
        self.networks, self.utils = networks, utils
        self.settings = types.SimpleNamespace(device="cpu")

    def network(self, norm: str = "instancenorm") -> nn.Module:
        made = self.networks.ConvNet(
            CHANNELS, CLASSES, WIDTH, DEPTH, "relu", norm, "avgpooling", (SIZE, SIZE)
        )
        return fill(made)

    def distance(self, network: nn.Module, synthetic: Tensor, c: int, metric: str) -> Tensor:
        self.settings.dis_metric = metric
        real = gradient(network, real_images(c), c, graph=False)
        return self.utils.match_loss(gradient(network, synthetic, c, graph=True), real, self.settings)

    def distances(self) -> list[dict[str, Any]]:
        rows = []
        for ours, theirs in NORMS.items():
            for name, metric in DISTANCES.items():
                images = synthetic_images(1).requires_grad_()
                value = self.distance(self.network(theirs), images, 1, metric)
                (slope,) = torch.autograd.grad(value, images)
                kept = numbers(slope) if ours == "instance" else numbers(slope[:, :, 3, 3])
                rows.append({"norm": ours, "distance": name, "value": value.item(), "gradient": kept})
        return rows

    def dc_updates(self) -> dict[str, Any]:
        """Two image updates of DC with one network that is not trained in between."""
        network = self.network()
        images = torch.cat([synthetic_images(c) for c in range(CLASSES)]).requires_grad_()
        optimizer = torch.optim.SGD([images], lr=0.1, momentum=0.5)
        losses = []
        for _ in range(2):
            parts = [
                self.distance(network, images[c * IPC : (c + 1) * IPC], c, "ours") for c in range(CLASSES)
            ]
            loss = torch.stack(parts).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return {"losses": losses, "images": numbers(images)}

    def dm_loss(self, norm: str) -> dict[str, Any]:
        """Embeddings by their network; with batch norm all classes of a kind go through it at once."""
        network = self.network(norm)
        images = torch.cat([synthetic_images(c) for c in range(CLASSES)]).requires_grad_()
        real = torch.cat([real_images(c) for c in range(CLASSES)])
        embed = network.embed  # type: ignore[operator]
        gap = embed(real).view(CLASSES, REAL, -1).mean(1) - embed(images).view(CLASSES, IPC, -1).mean(1)
        value = gap.square().sum()
        (slope,) = torch.autograd.grad(value, images)
        return {"value": value.item(), "gradient": numbers(slope)}

    def training(self, epochs: int) -> dict[str, Any]:
        """Weights after `evaluate_synset`, all images in one batch so that their order does not matter."""
        images = torch.cat([synthetic_images(c) for c in range(CLASSES)])
        labels = torch.arange(CLASSES).repeat_interleave(IPC)
        args = types.SimpleNamespace(
            device="cpu", lr_net=0.01, epoch_eval_train=epochs, batch_train=256, dsa=False
        )
        args.dc_aug_param = {"strategy": "none"}
        test = torch.cat([real_images(c) for c in range(CLASSES)])
        answers = torch.arange(CLASSES).repeat_interleave(REAL)
        loader = torch.utils.data.DataLoader(self.utils.TensorDataset(test, answers), batch_size=4)
        network, _, accuracy = self.utils.evaluate_synset(0, self.network(), images, labels, loader, args)
        weights = {name: numbers(p) for name, p in enumerate(network.parameters())}
        return {"epochs": epochs, "accuracy": float(accuracy), "parameters": weights}

    def tables(self) -> dict[str, Any]:
        utils = self.utils
        sets = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "svhn": "SVHN", "cifar10": "CIFAR10"}
        nets = ("ConvNet", "ConvNetBN", "AlexNetBN", "VGG11")
        return {
            "loops": {ipc: utils.get_loops(ipc) for ipc in (1, 10, 20, 30, 40, 50)},
            "dc_augmentation": {
                ours: {net: utils.get_daparam(theirs, "ConvNet", net, 10)["strategy"] for net in nets}
                for ours, theirs in sets.items()
            },
            "own_network": {
                mode: {net: utils.get_eval_pool(mode, net, net)[0] for net in nets} for mode in ("S", "SS")
            },
        }


def main() -> None:
    checkout = Path(sys.argv[1])
    head = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    cases = Cases(*import_theirs(checkout))
    record = {
        "origin": {
            "repository": "https://github.com/VICO-UoE/DatasetCondensation",
            "commit": subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip(),
            "files": ["networks.py", "utils.py"],
            "torch": torch.__version__,
            "made_by": "tests/reference/generate.py",
        },
        "distances": cases.distances(),
        "dc_updates": cases.dc_updates(),
        "dm": {"instance": cases.dm_loss("instancenorm"), "batch": cases.dm_loss("batchnorm")},
        "training": cases.training(6),
        **cases.tables(),
    }
    path = Path(__file__).parent / "authors.json"
    path.write_text(
        json.dumps(record).replace('"distances"', '\n"distances"').replace('{"norm"', '\n{"norm"') + "\n"
    )


if __name__ == "__main__":
    main()
