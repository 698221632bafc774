"""Trained networks at many stages: which are kept, what their accuracy is, and that the cache changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import condensery
from condensery import BadInput, Rng, Task, driver
from condensery.data import PoolImages
from condensery.methods import get_method
from condensery.models.registry import NetworkFactory
from condensery.pretraining import KeptNetwork, NetworkPool, Stage, kept_network, trained_networks
from condensery.pretraining import pool as pretraining
from condensery.session import Interrupted
from condensery.training import fit
from condensery.training_recipe import Recipe

RNG = Rng(5)
NOWHERE = Path("nowhere.npy")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def weights(pool: NetworkPool, task: Task) -> list[np.ndarray]:
    found = []
    for stage in pool.stages:
        network = task.new_network(Rng(99))
        stage.load_into(network)
        found.append(torch.cat([p.detach().flatten() for p in network.parameters()]).numpy())
    return found


def test_stages_are_powers_of_two_and_the_ends_of_epochs(make_task, monkeypatch) -> None:
    """33 training images (12 - 1 of each of 3 classes) in batches of 4 are 9 updates an epoch."""
    monkeypatch.setattr(pretraining, "RECIPE", pretraining.Recipe(epochs=1, batch_size=4))
    task = make_task()
    training, validation = pretraining._split(task, RNG)
    assert (len(training), len(validation)) == (33, 3)
    assert not set(training.indices) & set(validation.indices)
    assert training.labels.tolist() == [0] * 11 + [1] * 11 + [2] * 11
    assert validation.labels.tolist() == [0, 1, 2]
    kept = list(pretraining._stages(task, task.new_network(RNG), training, 3, RNG))
    assert kept == [0, 1, 2, 4, 8, 9, 18, 27]


def test_the_first_stage_is_untrained_and_the_others_differ(make_task) -> None:
    task = make_task()
    pool = trained_networks(task, 1, 3, RNG)
    kept = weights(pool, task)
    fresh = task.new_network(RNG.fork(0).fork("network"))
    assert np.array_equal(kept[0], torch.cat([p.detach().flatten() for p in fresh.parameters()]).numpy())
    assert len({w.tobytes() for w in kept}) == len(kept) == 4  # one update an epoch


def test_networks_learn_and_their_accuracy_is_that_of_the_validation_images(make_task, digits) -> None:
    task = make_task("convnet+width=8+depth=1", data=digits)
    pool = trained_networks(task, 1, 8, RNG)
    assert pool.stages[-1].accuracy > 0.5 > pool.stages[0].accuracy
    _, validation = pretraining._split(task, RNG.fork(0).fork("validation"))
    network = task.new_network(RNG)
    pool.stages[-1].load_into(network)
    right = network.eval()(task.pool.images_at(validation.indices)).argmax(1) == validation.labels
    assert pool.stages[-1].accuracy == pytest.approx(float(right.float().mean()))


@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", "convnet+width=8+depth=2+norm=batch"])
def test_the_cache_changes_no_bit(network: str, make_task, cache: Path, monkeypatch) -> None:
    task = make_task(network)
    once = weights(trained_networks(task, 2, 2, RNG), task)
    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "_train", None)  # nothing is trained again
        assert all(map(np.array_equal, once, weights(trained_networks(task, 2, 2, RNG), task)))
        fewer = weights(trained_networks(task, 1, 2, RNG), task)  # shares the first
        assert all(map(np.array_equal, once[:3], fewer)) and len(fewer) == 3
    shutil.rmtree(cache)
    assert all(map(np.array_equal, once, weights(trained_networks(task, 2, 2, RNG), task)))


def test_buffers_are_kept_too(make_task) -> None:
    task = make_task("convnet+width=8+depth=2+norm=batch")
    network = task.new_network(RNG)
    trained_networks(task, 1, 3, RNG).stages[-1].load_into(network)
    state = network.state_dict()
    assert state["features.1.running_mean"].any()
    assert int(state["features.1.num_batches_tracked"]) == 3


def test_an_interrupted_pool_goes_on_where_it_stopped(make_task, cache: Path, monkeypatch) -> None:
    task = make_task()
    trained_networks(task, 3, 1, RNG)
    (noted,) = cache.glob("networks/*/00001.accuracies.npy")
    noted.unlink()
    trained, real = [], pretraining._train
    monkeypatch.setattr(
        pretraining, "_train", lambda t, e, rng, s: trained.append(rng.path) or real(t, e, rng, s)
    )
    trained_networks(task, 3, 1, RNG)
    assert trained == [RNG.fork(1).path]


def test_ends_alone(make_task, cache: Path) -> None:
    task = make_task()
    ends = trained_networks(task, 2, 3, RNG, stages_between=False)
    every = trained_networks(task, 2, 3, RNG)
    assert (len(ends.stages), len(every.stages)) == (4, 8)
    assert all(map(np.array_equal, weights(ends, task), [weights(every, task)[i] for i in (0, 3, 4, 7)]))
    assert [s.row for s in every.finished().stages] == [3, 3]
    assert all(map(np.array_equal, weights(every.finished(), task), weights(ends.finished(), task)))


def test_other_data_networks_epochs_or_seeds_share_nothing(make_task, digits, cache: Path) -> None:
    task = make_task()
    trained_networks(task, 1, 1, RNG)
    trained_networks(task, 1, 2, RNG)
    trained_networks(task, 1, 1, Rng(6))
    trained_networks(make_task("convnet+width=8+depth=1"), 1, 1, RNG)
    trained_networks(make_task(data=digits), 1, 1, RNG)
    assert len(list(cache.glob("networks/*"))) == 5
    trained_networks(make_task(ipc=3), 1, 1, RNG)  # budgets share
    assert len(list(cache.glob("networks/*"))) == 5


def test_between_takes_trained_stages_of_a_half_open_range() -> None:
    accuracies = (0.15, 0.1, 0.2, 0.3, 1.0)  # the first is untrained
    pool = NetworkPool(tuple(Stage(NOWHERE, row, value) for row, value in enumerate(accuracies)))
    assert [s.row for s in pool.between(0.1, 0.2).stages] == [1]
    assert [s.row for s in pool.between(0.2, 0.3).stages] == [2]
    assert [s.row for s in pool.between(0.3, 1.0).stages] == [3, 4]
    with pytest.raises(
        BadInput, match=r"accuracy of 40 to 50 %, the best has 100\.0 %: choose another range"
    ):
        pool.between(0.4, 0.5)


def test_stages_are_drawn_uniformly_and_by_name(make_task) -> None:
    task = make_task()
    pool = trained_networks(task, 2, 1, RNG)
    known = [w.tobytes() for w in weights(pool, task)]
    drawn = []
    for k in range(60):
        network = pool.draw(task, RNG.fork(k))
        assert network.training
        drawn.append(torch.cat([p.detach().flatten() for p in network.parameters()]).numpy().tobytes())
    assert set(drawn) == set(known)
    again = pool.draw(task, RNG.fork(3))
    assert torch.cat([p.detach().flatten() for p in again.parameters()]).numpy().tobytes() == drawn[3]


def test_networks_that_are_gone_or_damaged(make_task, cache: Path) -> None:
    task = make_task()
    (stage, *_) = trained_networks(task, 1, 1, RNG).stages
    with pytest.raises(BadInput, match="gone or damaged: remove that folder and start the run again"):
        stage.load_into(make_task("convnet+width=8+depth=1").new_network(RNG))
    shutil.rmtree(cache)
    with pytest.raises(BadInput, match="gone or damaged"):
        stage.load_into(task.new_network(RNG))


# ---- single networks


def kept_weights(kept: KeptNetwork, task: Task, calls: list[int]) -> list[torch.Tensor]:
    network = task.new_network(RNG.fork("network"))

    def train() -> None:
        calls.append(1)
        fit(network, PoolImages(task.pool), Recipe(2), RNG.fork("training"))

    kept.trained(network, train)
    return [tensor.clone() for tensor in network.state_dict().values()]


def test_a_single_network_is_trained_once(make_task, cache: Path) -> None:
    task, calls = make_task("convnet+width=8+depth=1+norm=batch"), []
    kept = kept_network(task.pool.fingerprint(), task.network, Recipe(2), RNG, task.device)
    assert not kept.is_there
    first = kept_weights(kept, task, calls)
    assert kept.is_there and all(map(torch.equal, first, kept_weights(kept, task, calls))) and len(calls) == 1
    (file,) = cache.glob("trained/*")
    for damaged in (file.read_bytes()[:200], b""):
        file.write_bytes(damaged)
        assert all(map(torch.equal, first, kept_weights(kept, task, calls)))
    assert len(calls) == 3


def test_what_decides_a_network_decides_its_place(make_task, digits, monkeypatch) -> None:
    task = make_task()

    def place(**changed: object) -> KeptNetwork:
        words = {
            "fingerprint": "a",
            "network": task.network,
            "recipe": Recipe(2),
            "rng": RNG,
            "device": task.device,
        }
        return kept_network(**{**words, **changed})  # type: ignore[arg-type]

    others = [
        place(fingerprint="b"),
        place(network=make_task("mlp").network),
        place(recipe=Recipe(3)),
        place(recipe=Recipe(2, decay_after=(1,))),
        place(rng=RNG.fork(0)),
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    others.append(place())
    torch.set_num_threads(threads)
    assert place() == place() and place() not in others and len({kept.file for kept in others}) == len(others)


def test_networks_of_the_user_are_never_kept(make_task, cache: Path) -> None:
    task, calls = make_task(), []
    own = NetworkFactory("package.module:factory", "package.module:factory", torch.nn.Linear)
    kept = kept_network("a", own, Recipe(2), RNG, task.device)
    assert kept.file is None and not kept.is_there
    kept_weights(kept, task, calls)
    kept_weights(kept, task, calls)
    assert len(calls) == 2 and not cache.exists()


def test_preparation_names_what_is_missing(make_task, cache: Path) -> None:
    task, method = make_task(), get_method("dm", weights="all", trained_networks=3, trained_epochs=2)
    assert driver.preparation(get_method("dm"), task, RNG) is None
    needed = driver.preparation(method, task, RNG)
    assert needed and len(needed.missing) == 3 and not cache.exists()
    # 36 images, of which 33 are trained on twice and 3 pass at about 2 + log2(1 + 1) stages
    assert needed.work == pytest.approx(36 * (2 * 0.9 + 3 / 10 / 3))
    needed.make(1)
    rest = driver.preparation(method, task, RNG)
    assert rest and rest.missing == (needed.missing[0], needed.missing[2])
    assert driver.begin(needed.without, task, RNG).prepared.pool is None
    driver.begin(method, task, RNG)
    assert driver.preparation(method, task, RNG).missing == ()


def test_a_run_tells_how_far_its_networks_are_and_keeps_them(
    tiny_file: Path, cache: Path, monkeypatch
) -> None:
    settings = {
        "weights": "all",
        "trained_networks": 3,
        "trained_epochs": 1,
        "real_batch": 8,
        "device": "cpu",
    }
    lines: list[str] = []
    real, calls = pretraining._train, []

    def stopping(*words: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(pretraining, "_train", stopping)
    with pytest.raises(
        Interrupted, match="before the first step; every finished network is kept: the same command"
    ):
        condensery.condense(
            tiny_file, "dm", steps=1, out=cache.parent / "run", announce=lines.append, **settings
        )
    assert not (cache.parent / "run").exists()
    condensery.condense(tiny_file, "dm", steps=1, out=cache.parent / "run", announce=lines.append, **settings)
    assert [line.partition(", about")[0] for line in lines if line.startswith("trained ")] == [
        "trained 1 of 3 networks that are needed first",
        "trained 1 of 2 networks that are needed first",
        "trained 2 of 2 networks that are needed first",
    ]
    assert len(calls) == 4
