"""One sitting of a run: steps, checkpoints, evaluations on the way, a clean stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from condensery import driver
from condensery.beginning import begin, within_memory
from condensery.data.sources import silent
from condensery.errors import BadInput, FailedWork, Interrupted
from condensery.evaluation import Protocol, evaluate, get_protocol
from condensery.memory import bytes_within
from condensery.method import Method
from condensery.provenance import environment, origin, peak_memory, pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.run_folder import Curve, RunFolder, RunSettings
from condensery.signals import noted
from condensery.synthetic import Learned, Start
from condensery.team import LostProcess, Team
from condensery.text import count, readable_seconds

_WORTH_ESTIMATING = 10  # steps; a shorter run is estimated by its first


class _Stop(Exception):
    """Why a session ends before its last step: the message is for a person."""


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
    synthetic: Learned


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
        memory: bytes, or text such as "3GiB", that the run may take, see `condensery.memory.at_most`; None for no
            bound. A step is tried before anything is written.
        processes: of this machine that share each step, see `condensery.together`; or a `team.launched` team.
    """

    device: str = "auto"
    checkpoint_every: float = 60.0
    time_limit: float | None = None
    evaluate_at: Sequence[int] = ()
    protocol: str | Protocol = "quick"
    callback: Callable[[StepReport], None] | None = None
    announce: Callable[[str], None] = silent
    memory: int | str | None = None
    processes: int | Team = 1

    def __post_init__(self) -> None:
        if self.memory is not None:
            bytes_within(self.memory)
        if self.checkpoint_every <= 0:
            raise BadInput(f"--checkpoint-every must be positive seconds, not {self.checkpoint_every}")
        if self.time_limit is not None and self.time_limit <= 0:
            raise BadInput(f"--time-limit must be positive, not {self.time_limit}")
        if any(step < 0 for step in self.evaluate_at):
            raise BadInput(f"--evaluate-at takes numbers of steps, not {min(self.evaluate_at)}")
        if isinstance(self.protocol, str):
            get_protocol(self.protocol)


class Session:
    """One sitting of a run."""

    def __init__(
        self,
        settings: RunSettings,
        method: Method,
        images: ImageData,
        options: Options,
        start: Start | None = None,
    ) -> None:
        for step in options.evaluate_at:
            if step > settings.steps:
                raise BadInput(f"--evaluate-at {step} is never reached: the run makes {settings.steps} steps")
        self.settings, self.method, self.images, self.options = settings, method, images, options
        self.task, self.state, before = begin(
            settings, method, images, start, pick_device(options.device), options.memory, options.announce
        )
        self.rng = driver.source(settings.seed)
        self.curve = Curve(seconds_before=before)
        self.folder: RunFolder | None = None
        # accuracies that `condense evaluate` wrote into the set's record
        self.noted: list[dict[str, Any]] = []
        self.signals: Sequence[int] = ()  # that ask to stop, for runs that have a folder

    def resume(self, folder: RunFolder) -> None:
        """Pick up the checkpoint in `folder`, if there is one already.

        Raises:
            BadInput: the run has made more steps than are asked for.
        """
        self.folder = folder
        saved = folder.load(self.options.announce)
        if saved is None:
            return
        tensors, step, self.curve = saved
        if step > self.settings.steps:
            raise BadInput(
                f"the run in {folder.path} is at step {step} already: ask for more than --steps {self.settings.steps}"
            )
        self.state = self.state.restored(tensors, step)
        self.noted = [entry for entry in folder.noted_accuracies() if entry not in self.curve.accuracy]
        self.options.announce(f"resuming after step {step} of {self.settings.steps}")

    def run(self) -> SyntheticSet:
        """Step until done or stopped. Returns the set.

        Raises:
            FailedWork: a step failed, such as by a loss that is no longer finite; the last good set is saved.
            Interrupted: by a signal; everything is saved.
        """
        with within_memory(self.options.memory, self.task.device, self.method):
            return self._run()

    def _run(self) -> SyntheticSet:
        stopped: BaseException | None = None
        if self.folder and self.state.step == 0:
            self.folder.save_initial(self.result())
        with noted() if self.folder else nullcontext(()) as self.signals:
            try:
                self._loop()
            except LostProcess as reason:  # perhaps by the same Ctrl-C
                stopped = self._interrupted() if self.signals else reason
            except (_Stop, Interrupted, FailedWork) as reason:
                stopped = reason
            if not isinstance(stopped, FailedWork):
                self.task.team.leave()
            self._save(stopped)
            if self.folder:
                self.folder.save_picture(self.result(), self.options.announce)
        if isinstance(stopped, FailedWork):
            kept = (
                f"; the set after step {self.state.step} is kept in {self.folder.path}" if self.folder else ""
            )
            raise type(stopped)(f"{stopped}{kept}") from stopped
        if isinstance(stopped, Interrupted):
            raise stopped
        if stopped:
            self.options.announce(str(stopped))
        return self.result()

    def _loop(self) -> None:
        """Step until done. Raises _Stop at the time limit and Interrupted after a signal."""
        started = saved = time.perf_counter()
        left = self.settings.steps - self.state.step
        self._evaluate_if_due()
        step_began = time.perf_counter()
        steps = driver.trajectory(self.method, self.task, self.state, self.rng, self.settings.steps)
        for state, loss in steps:
            now = time.perf_counter()
            self.state = state
            self.curve.loss.append(loss)
            self.curve.seconds += now - step_began
            self._announce_time(now - step_began, left)
            if self.options.callback:
                report = StepReport(state.step, self.settings.steps, loss, now - started, state.synthetic)
                self.options.callback(report)
            self._stop_if_asked()
            self._evaluate_if_due()
            now = time.perf_counter()
            self._stop_if_out_of_time(now - started)
            if now - saved >= self.options.checkpoint_every:
                self._save()
                saved = time.perf_counter()
            step_began = time.perf_counter()

    def _stop_if_asked(self) -> None:
        if self.signals:
            raise self._interrupted()

    def _interrupted(self) -> Interrupted:
        place = self.folder.path if self.folder else ""
        done = f"stopped after step {self.state.step} of {self.settings.steps}"
        return Interrupted(f"{done}; nothing is lost: continue with condense run --resume --out {place}")

    def _stop_if_out_of_time(self, seconds: float) -> None:
        limit = self.options.time_limit
        if limit is not None and seconds >= limit and self.state.step < self.settings.steps:
            raise _Stop(
                f"time limit: stopped after step {self.state.step} of {self.settings.steps}; the result is usable, "
                "--resume goes on"
            )

    def _announce_time(self, seconds: float, steps: int) -> None:
        """How long the `steps` of this session take: by the first of a few, by the second, a warm one, of many."""
        device, left, few = self.task.device, self.settings.steps - self.state.step, steps < _WORTH_ESTIMATING
        if not left or steps - left != (1 if few else 2):
            return
        each = f"({seconds:.3g} s each)"
        if few:
            line = f"about {readable_seconds(seconds * left)} for {count(left, 'more step')} {each}"
        else:
            memory = f"{peak_memory(device) / 2**30:.1f} GiB on {device}"
            line = f"about {readable_seconds(seconds * steps)} for {count(steps, 'step')} {each} and {memory}"
        self.options.announce(line)

    def _evaluate_if_due(self) -> None:
        """Evaluate at the chosen steps. An evaluation that is interrupted is made anew when the run is resumed."""
        step = self.state.step
        if step not in self.options.evaluate_at or any(e["step"] == step for e in self.curve.accuracy):
            return
        self._save()  # an evaluation can take longer than many steps
        protocol = self.options.protocol
        protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
        evaluation = evaluate(
            self.result(),
            self.images,
            protocol=protocol,
            networks=[protocol.network(self.task.network).name],
            baselines=(),
            seed=self.settings.seed,
            device=str(self.task.device),
            every_epoch=lambda epoch: self._stop_if_asked(),
        )
        score = evaluation.scores[0]
        self.curve.accuracy.append({"step": step, "protocol": protocol.name, **score.to_json()})
        found = f"{100 * score.mean:.1f} ± {100 * score.std:.1f} % (n = {score.n}, {protocol.name})"
        self.options.announce(f"step {step}: {found}")

    def _save(self, stopped: BaseException | None = None) -> None:
        if not self.folder:
            return
        try:
            self.folder.save(self.state.tensors(), self.state.step, self.curve, self.result())
        except BadInput as error:
            if isinstance(stopped, FailedWork):  # which says why, such as images that overflow
                raise type(stopped)(f"{stopped}; the set after step {self.state.step}: {error}") from error
            raise BadInput(
                f"{error}; condense run --resume --out {self.folder.path} goes on from what is there"
            ) from error

    def result(self) -> SyntheticSet:
        """The set as it is now, on the CPU."""
        found = driver.content(self.method, self.task, self.state)
        spec, record = self.images.spec, self._record()
        return SyntheticSet(
            found.images, found.labels, spec, record, found.targets, found.stored, found.training
        )

    def _record(self) -> dict[str, Any]:
        """How the set was made, and what was measured on the way."""
        settings, curve = self.settings, self.curve
        return {
            "method": settings.method,
            "fields": settings.fields,
            "ipc": settings.ipc,
            "network": settings.network,
            "precision": settings.precision,
            **({"start": settings.start} if settings.start else {}),
            "seed": settings.seed,
            "step": self.state.step,
            "steps": settings.steps,
            "data": origin(self.images, settings.options),
            "loss": curve.loss[-1] if curve.loss else None,
            "seconds": round(curve.seconds, 3),
            **({"seconds_before": round(curve.seconds_before, 3)} if curve.seconds_before else {}),
            "memory": peak_memory(self.task.device),
            "accuracies": [*curve.accuracy, *self.noted],
            **({"processes": self.task.team.size} if self.task.team.size > 1 else {}),
            **environment(self.task.device),
        }
