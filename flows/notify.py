"""Create a Prefect automation that posts a message when a run fails.

    python -m flows.notify https://hooks.slack.com/services/...
    python -m flows.notify https://example.org/alarm --flow build-datasets

The URL receives a POST with the JSON `{"text": ...}`, which Slack, Mattermost and Teams accept. Run
it again to change the URL. The active Prefect profile must name a running server, as it does during
`repic up`.
"""

from __future__ import annotations

import argparse
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

TEXT = (
    "{{ flow.name }}/{{ flow_run.name }} ended as {{ flow_run.state.name }}: "
    "{{ flow_run.state.message }}"
)


def create_automation(url: str, flow: str = "refresh") -> str:
    """Create or replace the automation for the failures of a flow; its name.

    Raises:
        prefect.exceptions.PrefectHTTPStatusError: the server rejects it.
    """
    name = f"{flow} failed"
    block = CustomWebhookNotificationBlock(
        name=name, url=url, json_data={"text": "{{subject}}\n{{body}}"}
    )
    block_id = cast(UUID, block.save(name=name.replace(" ", "-"), overwrite=True))
    automation = AutomationCore(
        name=name,
        description=f"Posts to {urlsplit(url).hostname} when {flow} fails.",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": flow}
            ),
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=block_id, subject=name, body=TEXT)],
    )
    with get_client(sync_client=True) as client:
        for old in client.read_automations_by_name(name):
            client.delete_automation(old.id)
        client.create_automation(automation)
    return name


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="address that receives the message")
    parser.add_argument(
        "--flow", default="refresh", help="flow to report failures of (default: %(default)s)"
    )
    options = parser.parse_args()
    print(f"Created the automation {create_automation(options.url, options.flow)!r}.")


if __name__ == "__main__":
    main()
