"""The networks: condensery's own, and the registry that finds one by name."""

from condensery.models.classic import MLP, VGG11, AlexCifarNet, AlexNet, LeNet
from condensery.models.convnet import ConvNet
from condensery.models.registry import (
    NetworkFactory,
    NetworkInfo,
    list_networks,
    resolve,
)
from condensery.models.resnet import ResNet18, ResNet18AP

__all__ = [
    "MLP",
    "VGG11",
    "AlexCifarNet",
    "AlexNet",
    "ConvNet",
    "LeNet",
    "NetworkFactory",
    "NetworkInfo",
    "ResNet18",
    "ResNet18AP",
    "list_networks",
    "resolve",
]
