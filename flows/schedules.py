"""When a deployment runs by itself, and with which parameters.

Prefect's server keeps schedules. Ours has a slug of its own, so deploying prefect.yaml again, as
each `repic up` does, leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows import parameters
from flows.local import api
from repic.errors import ConfigError, PrefectServerError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import DeploymentSchedule
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.client.schemas.schedules import SCHEDULE_TYPES

SLUG = "repic-schedule"
"""Of the one schedule that each deployment may have from here."""

NIGHTLY = "0 3 * * *"


@dataclass(frozen=True)
class Scheduled:
    """A schedule of a deployment.

    Attributes:
        cron: Minute, hour, day, month, weekday; the text of another kind of schedule.
        parameters: Those that differ from the deployment's.
        state: on, or off.
    """

    deployment: str
    cron: str
    timezone: str
    state: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> str:
        """The parameters, as `key=value` each."""
        return " ".join(f"{name}={value}" for name, value in self.parameters.items())


def put(name: str, params: Sequence[str], cron: str = NIGHTLY, timezone: str = "UTC") -> None:
    """Create the schedule of a deployment, or change it; if that fails, the old one stays.

    Args:
        name: Of the deployment, such as build-datasets.
        params: Flow parameters as `key=value`; see `flows.parameters`.
        timezone: IANA name in which `cron` is meant.

    Raises:
        ConfigError: a time, a time zone or a parameter that cannot be.
        PrefectServerError: no server answers, or it has no such deployment.
    """
    schedule = _cron(cron, timezone)
    with api.connected() as client:
        deployment = _deployment(client, name)
        values = parameters.read(params, deployment.parameter_openapi_schema or {})
        if old := _of(deployment):
            client.update_deployment_schedule(
                deployment.id, old, active=True, schedule=schedule, parameters=values
            )
        else:
            client.create_deployment_schedules(
                deployment.id, [(schedule, True)], parameters=values, slug=SLUG
            )


def remove(name: str) -> None:
    """Delete the schedule of a deployment, if it has one.

    Raises:
        PrefectServerError: as `put`.
    """
    with api.connected() as client:
        deployment = _deployment(client, name)
        if old := _of(deployment):
            client.delete_deployment_schedule(deployment.id, old)


def listed() -> list[Scheduled]:
    """Every schedule of every deployment, those of prefect.yaml too.

    Raises:
        PrefectServerError: no server answers.
    """
    with api.connected() as client:
        return [
            _described(deployment, schedule)
            for deployment in sorted(client.read_deployments(), key=lambda each: each.name)
            for schedule in deployment.schedules
        ]


def _cron(cron: str, timezone: str) -> SCHEDULE_TYPES:
    from prefect.client.schemas.schedules import CronSchedule

    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValueError as error:
        raise ConfigError(
            f"--cron {cron!r} with --timezone {timezone!r} is no time: give minute, hour, day, "
            'month and weekday, as in "0 3 * * *", and a name such as Europe/Berlin'
        ) from error


def _deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(name if "/" in name else f"{name}/{name}")
    except ObjectNotFound:
        names = ", ".join(sorted(each.name for each in client.read_deployments())) or "none"
        raise PrefectServerError(f"no deployment {name}; choose one of: {names}") from None


def _of(deployment: DeploymentResponse) -> UUID | None:
    """Which schedule of a deployment is ours; a slug is unique within a deployment."""
    return next((each.id for each in deployment.schedules if each.slug == SLUG), None)


def _described(deployment: DeploymentResponse, schedule: DeploymentSchedule) -> Scheduled:
    when = schedule.schedule
    return Scheduled(
        deployment.name,
        getattr(when, "cron", None) or str(when),
        getattr(when, "timezone", None) or "UTC",
        "on" if schedule.active and not deployment.paused else "off",
        dict(schedule.parameters or {}),
    )
