"""One refresh after its build: train, evaluate, decide, and put down why."""

from __future__ import annotations

from dataclasses import dataclass

from repic.config.refresh import Refreshing
from repic.config.train import Training
from repic.errors import TrainingStoppedError
from repic.evaluate import results
from repic.evaluate import run as evaluation
from repic.evaluate.results import Evaluated
from repic.objectives.rows import examples_of
from repic.refresh import held_out, record
from repic.refresh.promotion import Comparison, Decision, decide, stopped
from repic.refresh.record import Recorded
from repic.train import run as training
from repic.train.plan import Silent, Watch
from storage.errors import StoreError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Run
from storage.store import Store

NEEDED = ("wrong", "mixed")
"""Protocols of the guards; the one that has to be better is asked as well."""


@dataclass(frozen=True)
class Request:
    """What a refresh is asked for: the same request again is nothing new."""

    asked: Refreshing
    examples: Manifest

    @property
    def fingerprint(self) -> str:
        """Of settings and examples; which rollouts thinned the rows does not count."""
        return fingerprint(
            [self.asked.model_dump(mode="json"), self.examples.fingerprint, self.examples.content]
        )


def refresh(
    asked: Refreshing,
    store: Store,
    dataset: str = "examples@latest",
    watch: Watch | None = None,
    run: Run | None = None,
) -> tuple[Recorded, bool]:
    """Train on a dataset version and promote what comes of it if it is better.

    Call it again after an interruption and it goes on; what is asked a second time is not done
    again.

    Returns:
        The decision, and whether it is new.

    Raises:
        what `repic.train.run.train` and `repic.evaluate.run.run` raise, but not for a run that a
        guard stopped: that is a reason to refuse.
    """
    watch, run = watch or Silent(), run or Run.here()
    request = Request(asked, examples_of(store, dataset))
    if known := known_decision(request, store):
        return known, False
    candidate, why = train(request, store, watch, run)
    return decision_on(request, candidate, why, store, watch, run), True


def known_decision(request: Request, store: Store) -> Recorded | None:
    """The decision that this request came to before."""
    made = record.decisions(store)
    return next((d for d in reversed(made) if d.request == request.fingerprint), None)


def train(request: Request, store: Store, watch: Watch, run: Run) -> tuple[str, str | None]:
    """The candidate's exact version, and why a guard stopped its training, if one did."""
    settings = thinned(request.asked.train, store) if _by_difficulty(request) else None
    try:
        outcome = training.train(
            settings or request.asked.train, store, str(request.examples.ref), watch, run
        )
    except TrainingStoppedError as error:
        return error.checkpoint, str(error)
    if outcome is None:
        raise StoreError("a refresh runs in one process; train alone with `accelerate launch`")
    return str(outcome.checkpoint.ref), None


def _by_difficulty(request: Request) -> bool:
    wanted = request.asked.refresh.by_difficulty
    return wanted and request.asked.train.train.difficulty.rollouts is None


def thinned(settings: Training, store: Store) -> Training:
    """The same with the rollouts of the last decided candidate as the measure of difficulty.

    Not the newest of all: those may be this candidate's own, of a run that was killed before its
    decision, and going on would be another training.
    """
    newest = record.rollouts_of_last(store)
    if newest is None:
        return settings
    changed = settings.train.difficulty.model_copy(update={"rollouts": newest})
    return settings.model_copy(
        update={"train": settings.train.model_copy(update={"difficulty": changed})}
    )


def evaluate(request: Request, model: str, store: Store, watch: Watch, run: Run) -> Evaluated:
    """Captions of a checkpoint, by the protocols that decide."""
    chosen = request.asked.evaluate.evaluate
    wanted = dict.fromkeys((*NEEDED, request.asked.refresh.protocol))
    section = chosen.model_copy(update={"protocols": tuple(wanted)})
    asked = request.asked.evaluate.model_copy(update={"evaluate": section})
    return evaluation.run(model, asked, store, watch, run)


def decision_on(
    request: Request, candidate: str, why: str | None, store: Store, watch: Watch, run: Run
) -> Recorded:
    """Compare a candidate with what is in production, decide, and put it down."""
    asked = request.asked
    production = record.in_use(store, asked.refresh.tag)
    evaluated = None
    if why is not None:
        decision = stopped(why)
    else:
        decision, evaluated = _compared(request, candidate, production, store, watch, run)
    settings = asked.model_dump(mode="json")
    return record.record(
        store,
        request.fingerprint,
        candidate,
        production,
        decision,
        asked.refresh.tag,
        run,
        settings,
        evaluated.manifest if evaluated else None,
    )


def _compared(
    request: Request,
    candidate: str,
    production: str | None,
    store: Store,
    watch: Watch,
    run: Run,
) -> tuple[Decision, Evaluated]:
    old = evaluate(request, production, store, watch, run) if production else None
    new = evaluate(request, candidate, store, watch, run)  # last, so that it is the latest
    asked = request.asked
    margins = asked.refresh.margins
    found = [
        _of_captions("f1", asked.refresh.protocol, old, new, None),
        _of_captions("false_mention", "wrong", old, new, margins.false_mention),
        _of_captions("binding", "mixed", old, new, margins.binding),
    ]
    split = asked.train.train.measure.split
    asked_rows = held_out.chosen(store, request.examples, split, asked.refresh.rows, watch)
    section = asked.evaluate.evaluate
    after = held_out.rewards(candidate, section, store, asked_rows)
    before = held_out.rewards(production, section, store, asked_rows) if production else {}
    guards = (("oct", margins.oct), ("vlt", margins.vlt))
    found += [
        compared
        for objective, margin in guards
        if (compared := held_out.compare(objective, before, after, margin))
    ]
    return decide(production is not None, found), new


def _of_captions(
    score: str, protocol: str, old: Evaluated | None, new: Evaluated, margin: float | None
) -> Comparison:
    name = f"{score} ({protocol})"
    now = new.score(score, protocol)
    after = now.value
    is_good = score != "false_mention"
    if old is None:
        return Comparison(name, None, after, margin=margin, more_is_better=is_good, n=now.n)
    found = results.compare(old, new, protocol)[score]
    before = old.score(score, protocol).value
    return Comparison(
        *(name, before, after, found.value, found.low, found.high, margin),
        more_is_better=is_good,
        n=found.n,
    )
