"""Settings of a refresh: when a new checkpoint replaces the one in use."""

from __future__ import annotations

from pydantic import Field, field_validator

from repic.config.build import Objective, Weight
from repic.config.evaluate import Protocol
from repic.config.section import Section, added


class MarginSettings(Section):
    """How much worse a guarded metric may be, as a share, before promotion is refused."""

    false_mention: float = Field(
        0.02, ge=0, description="Share of absent references that captions name."
    )
    binding: float = Field(
        0.02, ge=0, description="Share of right ones among the claims about named objects."
    )
    oct: float = Field(0.02, ge=0, description="Reward of held-out OCT rows.")
    vlt: float = Field(0.02, ge=0, description="Reward of held-out VLT rows (the IoU).")
    others: dict[Objective, Weight] = added(
        {}, description="Reward of held-out rows of objectives of plug-ins, as {howmany: 0.02}."
    )

    @property
    def of_objectives(self) -> dict[str, float]:
        """Margin of each objective that is guarded by its reward."""
        return {"oct": self.oct, "vlt": self.vlt, **self.others}


class RefreshSettings(Section):
    """When a new checkpoint is promoted."""

    tag: str = Field("production", description="Tag of the checkpoint in production.")
    protocol: Protocol = Field(
        "mixed", description="Evaluation protocol whose strict F1 must improve."
    )
    margins: MarginSettings = MarginSettings()
    rows: int = Field(
        64, ge=8, description="Held-out rows of OCT and of VLT to compare both models on."
    )
    by_difficulty: bool = Field(
        True, description="Use the newest rollouts to skip rows that are too easy or too hard."
    )

    @field_validator("tag")
    @classmethod
    def _can_be_a_tag(cls, tag: str) -> str:
        from storage.errors import StoreError
        from storage.refs import parse_tag

        try:
            return parse_tag(f"checkpoint@{tag}").selector
        except StoreError as error:
            raise ValueError(
                f"{tag!r} cannot be a tag: use letters, digits, ., _ and -, but not latest or v3"
            ) from error
