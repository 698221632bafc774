"""ZCA whitening: the authors' formulas, the file, and everything that is done with a set whose images are whitened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import condensery
from condensery import BadFile, BadInput, ImageData, Rng, artifact
from condensery.data import ClassPool
from condensery.export import export
from condensery.export.picture import eight_bit
from condensery.importing import import_sets
from condensery.presets import preset_whitening
from condensery.whitening import LARGEST, Whitening, fit, require_whitening

QUICK = {"network": "convnet+width=4+depth=1", "steps": 2}


@pytest.fixture(scope="module")
def white(tiny_file: Path) -> ImageData:
    return condensery.load_images(tiny_file, whitening="zca")


def images(count: int, numbers: tuple[int, ...] = (1, 3, 4)) -> torch.Tensor:
    """Correlated, so that whitening has something to do."""
    mixed = torch.randn(count, 12, generator=Rng(0).torch()) @ torch.randn(12, 12, generator=Rng(1).torch())
    return mixed.reshape(count, *numbers)


def test_zca_is_the_formula_of_frepo() -> None:
    x = images(50)
    flat = x.reshape(50, -1).double().numpy()
    mean = flat.mean(0)
    covariance = (flat - mean).T @ (flat - mean) / 50
    u, s, _ = np.linalg.svd(covariance + 0.1 * np.trace(covariance) / 12 * np.eye(12))
    expected = (flat - mean) @ np.einsum("ij,j,kj->ik", u, s**-0.5, u)
    found = fit("zca", [x], 12)(x).reshape(50, -1)
    assert np.allclose(found.numpy(), expected, atol=1e-4)


def test_zca_of_fewer_images_than_numbers_leaves_the_others_as_they_are() -> None:
    x = images(5)
    flat = x.reshape(5, -1).double().numpy()
    covariance = (flat - flat.mean(0)).T @ (flat - flat.mean(0)) / 5
    u, s, _ = np.linalg.svd(covariance + 0.1 * np.trace(covariance) / 12 * np.eye(12))
    inverse = s**-0.5
    inverse[5:] = 1
    expected = np.einsum("ij,j,kj->ik", u[:, :4], inverse[:4], u[:, :4])  # where the images are
    found = fit("zca", [x], 12)
    assert np.allclose(
        (flat - flat.mean(0)) @ found.matrix.numpy(), (flat - flat.mean(0)) @ expected, atol=1e-4
    )


def test_kornias_variant_adds_a_tenth_to_eigenvalues_of_the_unbiased_covariance() -> None:
    x = images(50)
    flat = x.reshape(50, -1).double().numpy()
    u, s, _ = np.linalg.svd(np.cov(flat.T))
    expected = (flat - flat.mean(0)) @ (u @ np.diag((s + 0.1) ** -0.5) @ u.T)
    assert np.allclose(fit("zca-kornia", [x], 12)(x).reshape(50, -1).numpy(), expected, atol=1e-4)


def test_batches_do_not_matter_and_it_can_be_undone() -> None:
    x = images(50)
    whole, parts = fit("zca", [x], 12), fit("zca", list(x.split(7)), 12)
    assert torch.allclose(whole.matrix, parts.matrix, atol=1e-5)
    assert torch.allclose(whole.undone(whole(x)), x, atol=1e-4)
    again = Whitening.from_tensors("zca", whole.tensors)
    assert again == whole and again.nbytes == sum(t.nbytes for t in whole.tensors.values())


def test_only_training_images_are_fitted_and_once(tiny_file: Path, white: ImageData) -> None:
    heard: list[str] = []
    again = condensery.load_images(tiny_file, whitening="zca", announce=heard.append)
    assert again.spec == white.spec and not any("fitting" in line for line in heard)
    plain = condensery.load_images(tiny_file)
    assert plain.spec.whitening is None and plain.fingerprint == white.fingerprint
    train = plain.spec.normalise(torch.from_numpy(white.train.pixels.copy()).permute(0, 3, 1, 2))
    assert fit("zca", [train], 64).digest == white.spec.whitening.digest  # type: ignore[union-attr]
    assert condensery.load_images(tiny_file, whitening="none").spec == plain.spec
    assert white.options == {"whitening": "zca"}


def test_a_pool_hands_out_whitened_images_and_is_told_apart(white: ImageData, tiny: ImageData) -> None:
    pools = [ClassPool(one.train, one.spec, torch.device("cpu")) for one in (white, tiny)]
    ours, plain = (pool.images_at(np.arange(5)) for pool in pools)
    assert torch.allclose(ours, white.spec.whitening(plain), atol=1e-5)  # type: ignore[misc]
    assert torch.allclose(white.spec.denormalise(ours), tiny.spec.denormalise(plain), atol=1e-4)
    assert pools[0].fingerprint() != pools[1].fingerprint()


def test_all_that_is_done_with_a_set(tiny_file: Path, white: ImageData, tmp_path: Path) -> None:
    """It is condensed, saved, drawn, exported, imported, labelled, evaluated and started from."""
    out = tmp_path / "run"
    made = condensery.condense(
        tiny_file, "dm", data_options={"whitening": "zca"}, image_lr=1e-6, real_batch=8, out=out, **QUICK
    )
    loaded = condensery.load(out)
    assert loaded.spec == white.spec and torch.equal(loaded.images, made.images)
    assert loaded.bytes == loaded.images.nbytes + loaded.labels.nbytes + white.spec.whitening.nbytes  # type: ignore[union-attr]
    real = {image.tobytes() for image in white.train.pixels}
    assert all(image.tobytes() in real for image in eight_bit(loaded))  # pictures are not whitened
    assert condensery.condense(tiny_file, "dm", out=out, resume=True, image_lr=1e-6, real_batch=8, **QUICK)

    exported = export(loaded, "npz", tmp_path / "set.npz").paths[0]
    (back,) = import_sets(exported, tiny_file, normalisation="data", data_options={"whitening": "zca"})
    assert torch.equal(back.images, loaded.images) and back.spec == loaded.spec
    with pytest.raises(BadInput, match="is whitened as zca, the data as none: give --whitening zca"):
        import_sets(exported, tiny_file, normalisation="data")
    compact = condensery.load(export(loaded, "safetensors", tmp_path / "compact").paths[0])
    assert torch.allclose(compact.images, loaded.images, atol=0.05) and compact.spec == loaded.spec

    heard: list[str] = []
    judged = condensery.evaluate(
        out, protocol="quick+epochs=1", repeats=1, whole_epochs=1, announce=heard.append
    )
    assert {score.subject for score in judged.scores} == {"dm", "random", "whole"}
    assert any("whitened as the set is (zca)" in line for line in heard)
    on_plain = condensery.condense(tiny_file, "dm", init=out, image_lr=1e-6, real_batch=8, **QUICK)
    assert torch.allclose(
        on_plain.spec.denormalise(on_plain.images), loaded.spec.denormalise(loaded.images), atol=1e-3
    )


def test_a_file_without_its_numbers_is_refused_and_one_without_whitening_says_nothing(
    white: ImageData, tmp_path: Path
) -> None:
    pixels = torch.from_numpy(white.train.pixels.copy()).permute(0, 3, 1, 2)
    synthetic = condensery.SyntheticSet(
        white.spec.normalise(pixels)[:3], torch.arange(3), white.spec, {"method": "x", "ipc": 1}
    )
    path = tmp_path / "set.safetensors"
    artifact.save(synthetic, path)
    tensors, header = artifact.read_tensors(path)
    del tensors["whitening.mean"], tensors["whitening.upper"]
    safetensors.torch.save_file(tensors, path, {"condensery": json.dumps(header)})
    with pytest.raises(BadFile, match="its images are whitened, but its whitening is missing"):
        artifact.load(path)
    assert "whitening" not in replace(white.spec, whitening=None).to_json()


def test_the_paper_preset_whitens_cifar_unless_somebody_chose(tiny: ImageData) -> None:
    assert preset_whitening("paper", "frepo", replace(tiny.spec, name="cifar10"), 1, "convnet") == "zca"
    assert preset_whitening("paper", "frepo", replace(tiny.spec, name="mnist"), 1, "convnet") is None
    assert preset_whitening("paper", "mtt", replace(tiny.spec, name="cifar10"), 10, "convnet") == "zca-kornia"
    assert preset_whitening("paper", "mtt", replace(tiny.spec, name="cifar10"), 50, "convnet") is None
    heard: list[str] = []
    cifar = replace(tiny, spec=replace(tiny.spec, name="cifar10"))
    made = condensery.condense(cifar, "kip", preset="paper", steps=1, announce=heard.append)
    assert made.spec.whitening is not None and made.record["data"]["options"] == {"whitening": "zca"}
    assert "images are whitened (zca), as published; --whitening none leaves that out" in heard
    plain = condensery.condense(cifar, "kip", preset="paper", steps=1, data_options={"whitening": "none"})
    assert plain.spec.whitening is None


def test_what_cannot_be_whitened_is_refused(tiny_file: Path) -> None:
    with pytest.raises(BadInput, match="unknown whitening 'pca'; choose none or one of zca, zca-kornia"):
        condensery.load_images(tiny_file, whitening="pca")
    with pytest.raises(BadInput, match="make them smaller with --size"):
        require_whitening("zca", LARGEST + 1)
    with pytest.raises(BadInput, match="not of"):
        fit("zca", [images(20)], 12)(torch.zeros(1, 1, 2, 2))
