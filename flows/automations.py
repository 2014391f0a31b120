"""Automations of Prefect's server: what it does by itself when something happened.

They are kept by the server, so they outlast the command that made them. Each has the name of what
it reacts to; making it again replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from flows import parameters
from flows.local import api
from repic.errors import ConfigError, PrefectServerError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.actions import ActionTypes
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

PUBLISHED = "repic.dataset.published"
REFUSED_FILES = "repic.quarantine.over-budget"
NOT_PROMOTED = "repic.promotion.refused"
"""Events of `flows.events`."""

PREFIX = "repic "
WATCHED = ("build-datasets", "train-grpo", "evaluate", "refresh")
"""Deployments whose runs end by themselves."""
TRAINING = "train-grpo/train-grpo"

ENDED = (
    "{{ flow.name }}/{{ flow_run.name }} ended as {{ flow_run.state.name }}: "
    "{{ flow_run.state.message }}"
)


@dataclass(frozen=True)
class Options:
    """What an automation is made with.

    Attributes:
        url: Receives a POST with the JSON `{"text": ...}`, as Slack, Mattermost and Teams take it.
        params: `key=value` of the training run.
    """

    url: str | None = None
    params: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Kind:
    """One automation that we offer.

    Attributes:
        does: What happens when, as a sentence.
        text: Message that is posted; None: none is.
    """

    does: str
    trigger: Callable[[Options], EventTrigger]
    text: str | None = None
    actions: Callable[[SyncPrefectClient, Options], list[ActionTypes]] = lambda *_: []


@dataclass(frozen=True)
class Listed:
    """An automation that we offer, and whether the server has it."""

    name: str
    does: str
    state: str


def _on(event: str) -> Callable[[Options], EventTrigger]:
    """A trigger for an event of flows."""

    def trigger(_: Options) -> EventTrigger:
        from prefect.events.schemas.automations import EventTrigger, Posture

        return EventTrigger(posture=Posture.Reactive, expect={event}, threshold=1)

    return trigger


def _failed(_: Options) -> EventTrigger:
    """A run of a deployment failed; of flows within it, only the outermost has a deployment."""
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(
        posture=Posture.Reactive,
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        threshold=1,
        **_of_deployments(),
    )


def _of_deployments() -> dict[str, Any]:
    return {
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": {
            "prefect.resource.role": "deployment",
            "prefect.resource.name": list(WATCHED),
        },
    }


def _train(client: SyncPrefectClient, options: Options) -> list[ActionTypes]:
    from prefect.events.actions import RunDeployment
    from prefect.exceptions import ObjectNotFound

    try:
        deployment = client.read_deployment_by_name(TRAINING)
    except ObjectNotFound:
        raise PrefectServerError(
            f"the server has no deployment {TRAINING}: start it with `repic up`, or deploy "
            "prefect.yaml"
        ) from None
    given = parameters.read(options.params, deployment.parameter_openapi_schema or {})
    told = {
        name: {"__prefect_kind": "jinja", "template": f"{{{{ event.payload.{source} }}}}"}
        for name, source in (("dataset", "examples"), ("store", "store"))
    }
    values = {**told, **given}
    return [RunDeployment(source="selected", deployment_id=deployment.id, parameters=values)]


KINDS: Mapping[str, Kind] = {
    "train": Kind(
        "runs train-grpo on each dataset version that build-datasets publishes",
        _on(PUBLISHED),
        actions=_train,
    ),
    "failed": Kind("posts why a run of a deployment failed or crashed", _failed, ENDED),
    "quarantine": Kind(
        "posts why a build published nothing because it refused too many files",
        _on(REFUSED_FILES),
        "{{ event.payload.store }}: {{ event.payload.why }}",
    ),
    "refused": Kind(
        "posts why a refresh did not promote its checkpoint",
        _on(NOT_PROMOTED),
        "{{ event.payload.candidate }} is not promoted: {{ event.payload.why }}",
    ),
}


def apply(names: Sequence[str], options: Options) -> None:
    """Create automations on the configured server, or change them; one that fails stays as it was.

    Raises:
        ConfigError: an unknown name, or an option that is missing or wrong.
        PrefectServerError: no server answers, or it refuses.
    """
    for name in names:
        _check(name, options)
    with api.connected() as client:
        for name in names:
            core = _made(client, name, options)
            old = client.read_automations_by_name(core.name)
            if old:
                client.update_automation(old[0].id, core)
            else:
                client.create_automation(core)
            for other in old[1:]:
                client.delete_automation(other.id)


def remove(names: Sequence[str]) -> None:
    """Delete automations; one that is not there is none.

    Raises:
        ConfigError, PrefectServerError: as `apply`.
    """
    for name in names:
        _known(name)
    with api.connected() as client:
        for name in names:
            _remove(client, name)


def listed() -> list[Listed]:
    """Every automation that we offer.

    Raises:
        PrefectServerError: no server answers.
    """
    with api.connected() as client:
        found = {
            name: automation
            for name in KINDS
            for automation in client.read_automations_by_name(PREFIX + name)
        }
    states = {name: "on" if automation.enabled else "paused" for name, automation in found.items()}
    return [Listed(name, kind.does, states.get(name, "off")) for name, kind in KINDS.items()]


def _known(name: str) -> Kind:
    if name not in KINDS:
        raise ConfigError(f"there is no automation {name}; choose of: {', '.join(KINDS)}")
    return KINDS[name]


def _check(name: str, options: Options) -> None:
    kind = _known(name)
    if kind.text and options.url is None:
        raise ConfigError(f"the automation {name} posts a message: give --notify URL")
    if options.url is not None and not _is_web_address(options.url):
        raise ConfigError("--notify takes an address that begins with http:// or https://")
    if options.params and name != "train":
        raise ConfigError(f"--param is for the automation train, not for {name}")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # such as http://[
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _made(client: SyncPrefectClient, name: str, options: Options) -> AutomationCore:
    from prefect.events.schemas.automations import AutomationCore

    kind = KINDS[name]
    actions = kind.actions(client, options)
    if kind.text and options.url:
        actions.append(_post(name, kind.text, options.url))
    return AutomationCore(
        name=PREFIX + name,
        description=f"{kind.does[0].upper()}{kind.does[1:]}.",
        tags=["repic"],
        trigger=kind.trigger(options),
        actions=actions,
    )


def _post(name: str, text: str, url: str) -> ActionTypes:
    """Post a message; the address is kept in a block of the server."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.events.actions import SendNotification

    block = CustomWebhookNotificationBlock(
        name=PREFIX + name, url=url, json_data={"text": "{{subject}}\n{{body}}"}
    )
    block_id = cast("UUID", block.save(name=f"repic-{name}", overwrite=True))
    return SendNotification(block_document_id=block_id, subject=PREFIX + name, body=text)


def _remove(client: SyncPrefectClient, name: str) -> None:
    for old in client.read_automations_by_name(PREFIX + name):
        client.delete_automation(old.id)
