"""One refresh after its build: train, evaluate, decide, and record the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from repic import config
from repic.config import Settings
from repic.errors import TrainingStoppedError
from repic.evaluation import results
from repic.evaluation import run as evaluation
from repic.evaluation.results import EvaluationResult
from repic.objectives.rows import examples_of
from repic.pipeline.progress import NoProgress, Progress
from repic.refresh import guard_scores, history
from repic.refresh.decision import Decision, MetricComparison, decide, stopped
from repic.refresh.history import RecordedDecision
from repic.training import run as training
from storage.errors import StoreError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Run
from storage.store import Store

NEEDED = ("wrong", "mixed")
"""Protocols of the guards; `refresh.protocol` is evaluated as well."""


@dataclass(frozen=True)
class Request:
    """Settings and examples of a refresh; the same request is not decided twice."""

    settings: Settings
    examples: Manifest

    @property
    def fingerprint(self) -> str:
        """Of settings and examples; without the rollouts that `by_difficulty` selects."""
        return fingerprint(
            [
                _recorded(self.settings),
                self.examples.fingerprint,
                self.examples.content,
            ]
        )


def _recorded(settings: Settings) -> dict[str, Any]:
    """The settings that decide a refresh, as JSON."""
    return {
        "refresh": settings.refresh.model_dump(mode="json"),
        "train": settings.record(config.TRAIN),
        "evaluate": settings.record(config.EVALUATE),
    }


def refresh(
    settings: Settings,
    store: Store,
    dataset: str = "examples@latest",
    progress: Progress | None = None,
    run: Run | None = None,
) -> tuple[RecordedDecision, bool]:
    """Train on a dataset version and promote the checkpoint if it is better.

    The same call resumes an interrupted refresh, and returns the decision of a completed one.

    Returns:
        The decision, and whether it is new.

    Raises:
        errors of `repic.training.run.train` and `repic.evaluation.run.run`, except
            TrainingStoppedError: a stopped candidate is refused.
    """
    progress, run = progress or NoProgress(), run or Run.here()
    request = Request(settings, examples_of(store, dataset))
    if decision := known_decision(request, store):
        return decision, False
    candidate, why = train(request, store, progress, run)
    return decision_on(request, candidate, why, store, progress, run), True


def known_decision(request: Request, store: Store) -> RecordedDecision | None:
    """The recorded decision of this request, if any."""
    decisions = history.decisions(store)
    return next((d for d in reversed(decisions) if d.request == request.fingerprint), None)


def train(request: Request, store: Store, progress: Progress, run: Run) -> tuple[str, str | None]:
    """Train the candidate: its exact version, and the reason if a guard stopped its training."""
    settings = request.settings
    if request.settings.refresh.by_difficulty and settings.train.difficulty.rollouts is None:
        settings = _with_last_rollouts(settings, store)
    try:
        result = training.train(settings, store, str(request.examples.ref), progress, run)
    except TrainingStoppedError as error:
        return error.checkpoint, str(error)
    if result is None:
        raise StoreError("a refresh runs in one process; train alone with `accelerate launch`")
    return str(result.checkpoint.ref), None


def _with_last_rollouts(settings: Settings, store: Store) -> Settings:
    """The settings with difficulty measured by the rollouts of the last decided candidate.

    Not by the newest rollouts: after a kill before the decision, those are this candidate's own,
    and the resumed run would be a different one.
    """
    newest = history.rollouts_of_last(store)
    if newest is None:
        return settings
    changed = settings.train.difficulty.model_copy(update={"rollouts": newest})
    return settings.model_copy(
        update={"train": settings.train.model_copy(update={"difficulty": changed})}
    )


def evaluate(
    request: Request, model: str, store: Store, progress: Progress, run: Run
) -> EvaluationResult:
    """Evaluate a checkpoint on the protocols that the decision needs."""
    section = request.settings.evaluate
    wanted = dict.fromkeys((*NEEDED, request.settings.refresh.protocol))
    section = section.model_copy(update={"protocols": tuple(wanted)})
    settings = request.settings.model_copy(update={"evaluate": section})
    return evaluation.run(model, settings, store, progress, run)


def decision_on(
    request: Request, candidate: str, why: str | None, store: Store, progress: Progress, run: Run
) -> RecordedDecision:
    """Compare a candidate with the production checkpoint, decide, and record the decision.

    Args:
        why: Reason if a guard stopped the training.
    """
    settings = request.settings
    production = history.in_use(store, settings.refresh.tag)
    evaluated = None
    if why is not None:
        decision = stopped(why)
    else:
        decision, evaluated = _compared(request, candidate, production, store, progress, run)
    return history.record(
        store,
        request.fingerprint,
        candidate,
        production,
        decision,
        settings.refresh.tag,
        run,
        _recorded(settings),
        evaluated.manifest if evaluated else None,
    )


def _compared(
    request: Request,
    candidate: str,
    production: str | None,
    store: Store,
    progress: Progress,
    run: Run,
) -> tuple[Decision, EvaluationResult]:
    old = evaluate(request, production, store, progress, run) if production else None
    new = evaluate(request, candidate, store, progress, run)  # second, so that it is the latest
    settings = request.settings
    margins = settings.refresh.margins
    comparisons = [
        _caption_metric("f1", settings.refresh.protocol, old, new, None),
        _caption_metric("false_mention", "wrong", old, new, margins.false_mention),
        _caption_metric("binding", "mixed", old, new, margins.binding),
    ]
    split = settings.train.measure.split
    held_out = guard_scores.held_out_rows(
        store, request.examples, split, margins.of_objectives, settings.refresh.rows, progress
    )
    given = (settings.evaluate, store, held_out, settings.rewards.strip)
    after = guard_scores.rewards(candidate, *given)
    before = guard_scores.rewards(production, *given) if production else {}
    comparisons += [
        compared
        for objective, margin in margins.of_objectives.items()
        if (compared := guard_scores.compare(objective, before, after, margin))
    ]
    return decide(production is not None, comparisons), new


def _caption_metric(
    score: str,
    protocol: str,
    old: EvaluationResult | None,
    new: EvaluationResult,
    margin: float | None,
) -> MetricComparison:
    name = f"{score} ({protocol})"
    now = new.score(score, protocol)
    after = now.value
    is_good = score != "false_mention"
    if old is None:
        return MetricComparison(name, None, after, margin=margin, more_is_better=is_good, n=now.n)
    change = results.compare(old, new, protocol)[score]
    before = old.score(score, protocol).value
    return MetricComparison(
        *(name, before, after, change.value, change.low, change.high, margin),
        more_is_better=is_good,
        n=change.n,
    )
