"""One condensation from beginning to end: data, method, loop, run folder, evaluation on the way, result."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from condensery import driver
from condensery.data import KNOWN_SETS, ClassPool, load
from condensery.errors import BadInput, CondenseryError
from condensery.evaluation import Protocol, evaluate, get_protocol
from condensery.method import Method, State, Task
from condensery.methods import get_method
from condensery.models.registry import resolve
from condensery.provenance import environment, pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.run_folder import Curve, RunFolder, RunSettings
from condensery.synthetic import Pixels
from condensery.training import default_chunk

_WORTH_ESTIMATING = 10  # steps; a shorter run is over before an estimate helps


def _silent(line: str) -> None:
    pass


class Interrupted(CondenseryError):
    """Ctrl-C or a termination signal stopped a run after a checkpoint; it can be resumed."""

    exit_code = 2


@dataclass(frozen=True)
class StepReport:
    """What a callback learns after every step.

    Attributes:
        step, steps: updates made so far and in all.
        loss: of this step.
        seconds: spent in this session.
        synthetic: the learnables themselves; clone what you keep.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    synthetic: Pixels


@dataclass(frozen=True)
class Options:
    """What changes how a run goes. Another device or number of threads rounds differently; nothing else here
    changes a bit of the result.

    Attributes:
        device: "auto", "cpu" or "cuda".
        checkpoint_every: seconds between checkpoints.
        time_limit: seconds after which the run stops cleanly, None for none.
        evaluate_at: numbers of updates after which the set is evaluated.
        protocol: of those evaluations.
        callback: called after every step.
        announce: called with lines of text for a person.
    """

    device: str = "auto"
    checkpoint_every: float = 60.0
    time_limit: float | None = None
    evaluate_at: Sequence[int] = ()
    protocol: str | Protocol = "quick"
    callback: Callable[[StepReport], None] | None = None
    announce: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        if self.checkpoint_every <= 0:
            raise BadInput(f"--checkpoint-every must be positive seconds, not {self.checkpoint_every}")
        if self.time_limit is not None and self.time_limit <= 0:
            raise BadInput(f"--time-limit must be positive, not {self.time_limit}")
        if any(step < 0 for step in self.evaluate_at):
            raise BadInput(f"--evaluate-at takes numbers of steps, not {min(self.evaluate_at)}")
        if isinstance(self.protocol, str):
            get_protocol(self.protocol)


def condense(
    data: str | Path | ImageData,
    method: str | Method = "dm",
    *,
    ipc: int = 1,
    network: str = "convnet",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_every: float = 60.0,
    time_limit: float | None = None,
    evaluate_at: Sequence[int] = (),
    protocol: str | Protocol = "quick",
    callback: Callable[[StepReport], None] | None = None,
    announce: Callable[[str], None] = _silent,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> SyntheticSet:
    """Condense labelled images into `ipc` synthetic images per class.

    Args:
        data: images as for `condensery.load_images`: a name, a folder, a file, a Hub id, or loaded images.
        method: a name in `METHODS`, or a configured method.
        ipc: synthetic images per class.
        network: the architecture whose random instances the method uses.
        steps: updates of the synthetic set; None makes as many as the publication.
        seed: decides every random draw.
        device: "auto", "cpu" or "cuda".
        out: a new folder for checkpoints and result; None keeps everything in memory.
        resume: go on if `out` holds this run already, to the same bits as if it had never stopped.
        checkpoint_every: seconds between checkpoints.
        time_limit: seconds after which the run stops cleanly with what it has.
        evaluate_at: numbers of updates after which the set is evaluated, by `protocol`.
        callback: called after every step.
        announce: called with lines of text for a person.
        size, channels: resize and convert the images, see `condensery.load_images`.
        data_options: more options of `condensery.load_images`.
        fields: of the method, if it is given by name.

    Returns:
        The set, with a record that says how it was made.

    Raises:
        BadInput: something asked for does not exist or does not fit.
        NonFinite: the loss or its gradient stopped being finite; the last good set is in `out`.
        Interrupted: Ctrl-C, after a checkpoint was written to `out`.
    """
    options = Options(device, checkpoint_every, time_limit, tuple(evaluate_at), protocol, callback, announce)
    if isinstance(method, str):
        method = get_method(method, **fields)
    elif fields:
        raise BadInput(f"set {', '.join(fields)} on the method itself: it is already configured")
    _require_count("ipc", ipc)
    wanted_steps = method.steps(ipc) if steps is None else steps
    _require_count("steps", wanted_steps)
    resolve(network)
    pick_device(device)
    how_to_load = {
        k: v for k, v in {"size": size, "channels": channels, **(data_options or {})}.items() if v is not None
    }
    going_on = resume and out is not None and RunFolder(Path(out)).exists
    if out is not None and not going_on:
        RunFolder(Path(out)).require_free()
    images = load(data, announce=announce, **how_to_load)
    settings = RunSettings(
        source=absolute_source(images.source),
        options=how_to_load,
        fingerprint=images.fingerprint,
        method=method.name,
        fields=asdict(method),  # type: ignore[call-overload]  # methods are dataclasses
        ipc=ipc,
        network=network,
        seed=seed,
        steps=wanted_steps,
    )
    if out is not None and going_on:
        about_data = ("source", "options", "fingerprint", "steps")
        asked = {k: v for k, v in asdict(settings).items() if k not in about_data}
        return resume_run(out, steps=steps, options=options, asked=asked, images=images)
    session = _Session(settings, method, images, options)
    session.prepare(None)
    if out is not None:  # only now, when nothing was refused
        session.folder = RunFolder.create(out, settings)
    return session.run()


def resume_run(
    out: str | Path,
    *,
    steps: int | None = None,
    options: Options | None = None,
    asked: Mapping[str, Any] | None = None,
    images: ImageData | None = None,
) -> SyntheticSet:
    """Go on with the run in folder `out`, to the same bits as if it had never stopped.

    Args:
        out: the run folder.
        steps: a new total; None keeps the run's.
        options: device, checkpoints, time limit, ...; they may differ from the first session's.
        asked: settings that the run must have been started with.
        images: the run's data, if they are loaded already.

    Raises:
        BadInput: there is no such run, it was started with other settings, or its data have changed.
    """
    options = options or Options()
    folder = RunFolder(Path(out))
    settings = folder.settings()
    _require_same(settings, asked or {}, folder)
    if steps is not None:
        _require_count("steps", steps)
        settings = replace(settings, steps=steps)
    if images is None:
        images = load(settings.source, announce=options.announce, **settings.options)
    if images.fingerprint != settings.fingerprint:
        raise BadInput(
            f"{settings.source} has changed since the run in {out} began: start a new run with another --out"
        )
    session = _Session(settings, get_method(settings.method, **settings.fields), images, options)
    session.prepare(folder)
    folder.write_settings(settings)
    return session.run()


def _require_same(settings: RunSettings, asked: Mapping[str, Any], folder: RunFolder) -> None:
    for key, value in asked.items():
        started_with = getattr(settings, key)
        if key == "fields":
            value = {**started_with, **value}
        if value != started_with:
            raise BadInput(
                f"the run in {folder.path} was started with {key} {started_with}, not {value}: "
                "leave that out to go on with it, or choose another --out"
            )


class _Session:
    """One sitting of a run."""

    def __init__(self, settings: RunSettings, method: Method, images: ImageData, options: Options) -> None:
        self.settings, self.method, self.images, self.options = settings, method, images, options
        device = pick_device(options.device)
        pool = ClassPool(images.train, images.spec, device)
        _require_enough(pool, settings.ipc)
        factory = resolve(settings.network)
        self.task = Task(pool, factory, settings.ipc, device, default_chunk(device))
        for note in method.check(self.task):
            options.announce(note)
        beyond = [step for step in options.evaluate_at if step > settings.steps]
        if beyond:
            raise BadInput(
                f"--evaluate-at {beyond[0]} is never reached: the run makes {settings.steps} steps"
            )
        self.rng = Rng(settings.seed).fork("condense")
        self.curve = Curve()
        self.folder: RunFolder | None = None
        self.state: State

    def prepare(self, folder: RunFolder | None) -> None:
        """Begin, or pick up the checkpoint in `folder`."""
        self.folder = folder
        self.state = driver.begin(self.method, self.task, self.rng)
        saved = folder.load() if folder else None
        if saved:
            tensors, step, self.curve = saved
            self.state = self.state.restored(tensors, step)
            self.options.announce(f"resuming after step {step} of {self.settings.steps}")

    def run(self) -> SyntheticSet:
        with _stop_signals(self.folder is not None) as signals:
            self._announce_estimate()
            stopped = self._loop(signals)
        result = self.result()
        self._save()
        if self.folder:
            self.folder.save_picture(result)
        if stopped == "interrupted":
            raise Interrupted(
                f"stopped after step {self.state.step} of {self.settings.steps}; nothing is lost: "
                f"continue with condense run --resume --out {self.folder.path if self.folder else '...'}"
            )
        if stopped:
            self.options.announce(
                f"time limit: stopped after step {self.state.step} of {self.settings.steps}; the result is usable, "
                "--resume goes on"
            )
        return result

    def _loop(self, signals: Sequence[int]) -> str:
        """Step until done. Returns why it stopped early: "interrupted", "time limit" or "" """
        started = saved = time.perf_counter()
        self._evaluate_if_due()
        steps = driver.trajectory(self.method, self.task, self.state, self.rng, self.settings.steps)
        step_began = time.perf_counter()
        for state, loss in self._kept_on_failure(steps):
            now = time.perf_counter()
            self.state = state
            self.curve.loss.append(loss)
            self.curve.seconds += now - step_began
            if self.options.callback:
                report = StepReport(state.step, self.settings.steps, loss, now - started, state.synthetic)
                self.options.callback(report)
            self._evaluate_if_due()
            if signals:
                return "interrupted"
            if state.step < self.settings.steps and self._out_of_time(now - started):
                return "time limit"
            if now - saved >= self.options.checkpoint_every:
                self._save()
                saved = time.perf_counter()
            step_began = time.perf_counter()
        return ""

    def _kept_on_failure(self, steps: Iterator[tuple[State, float]]) -> Iterator[tuple[State, float]]:
        """`steps`, with the last good set saved if one of them fails."""
        try:
            yield from steps
        except driver.NonFinite as error:
            self._save()
            where = (
                f"; the set after step {self.state.step} is kept in {self.folder.path}" if self.folder else ""
            )
            raise driver.NonFinite(f"{error}{where}") from error

    def _out_of_time(self, seconds: float) -> bool:
        return self.options.time_limit is not None and seconds >= self.options.time_limit

    def _announce_estimate(self) -> None:
        left = self.settings.steps - self.state.step
        if left < _WORTH_ESTIMATING:
            return
        try:
            cost = driver.estimate(self.method, self.task, self.rng, left)
        except driver.NonFinite:  # the run itself will say so, and keep what it has
            return
        self.options.announce(
            f"about {readable_seconds(cost.seconds)} for {left} steps ({cost.seconds / left:.3g} s each) and "
            f"{cost.bytes / 2**30:.1f} GiB on {self.task.device}"
        )

    def _evaluate_if_due(self) -> None:
        step = self.state.step
        if step not in self.options.evaluate_at or any(e["step"] == step for e in self.curve.accuracy):
            return
        evaluation = evaluate(
            self.result(),
            self.images,
            protocol=self.options.protocol,
            baselines=(),
            seed=self.settings.seed,
            device=str(self.task.device),
        )
        score = evaluation.scores[0]
        self.curve.accuracy.append(
            {"step": step, "protocol": evaluation.record["protocol"], **score.to_json()}
        )
        self.options.announce(
            f"step {step}: {100 * score.mean:.1f} % +- {100 * score.std:.1f} (n = {score.n}, "
            f"{evaluation.record['protocol']})"
        )

    def _save(self) -> None:
        if self.folder:
            self.folder.save(self.state.tensors(), self.state.step, self.curve, self.result())

    def result(self) -> SyntheticSet:
        """The set as it is now, on the CPU."""
        synthetic, settings = self.state.synthetic, self.settings
        record = {
            "method": settings.method,
            "fields": settings.fields,
            "ipc": settings.ipc,
            "network": settings.network,
            "seed": settings.seed,
            "step": self.state.step,
            "steps": settings.steps,
            "data": {
                "source": self.images.source,
                "options": settings.options,
                "fingerprint": settings.fingerprint,
            },
            "loss": self.curve.loss[-1] if self.curve.loss else None,
            "seconds": round(self.curve.seconds, 1),
            "accuracies": list(self.curve.accuracy),
            **environment(self.task.device),
        }
        images = synthetic.images.detach().cpu().clone()
        return SyntheticSet(images, synthetic.labels.cpu(), self.images.spec, record)


@contextmanager
def _stop_signals(wanted: bool) -> Iterator[list[int]]:
    """Collect the first Ctrl-C or termination signal instead of raising; the second one stops at once.

    Signals can only be caught in the main thread; elsewhere, and if not `wanted`, nothing changes.
    """
    received: list[int] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _require_count(name: str, value: int) -> None:
    if value < 1:
        raise BadInput(f"--{name} must be at least 1, not {value}")


def _require_enough(pool: ClassPool, ipc: int) -> None:
    smallest = min(pool.counts)
    if ipc > smallest:
        name = pool.spec.class_names[list(pool.counts).index(smallest)]
        raise BadInput(
            f"--ipc {ipc} is more than class {name!r} has training images ({smallest}): ask for fewer"
        )


def absolute_source(source: str) -> str:
    """A data source as a run records it: known sets and Hub ids by name, files and folders by absolute path.

    A known name means the known set even where a folder of that name lies in the current one, as for `load`.
    """
    return str(Path(source).resolve()) if source not in KNOWN_SETS and Path(source).exists() else source


def readable_seconds(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h"""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
