"""The page of every setting, from the models that read them."""

from __future__ import annotations

from repic import config
from repic.config.section import described
from tools.site.markdown import code, prose, table

BEGINNING = """# All settings

One tree holds the settings of every command, and each command ignores the sections that it does
not read. A profile is a YAML file of them (`--profile FILE`), and `--set KEY=VALUE` changes one.
`repic build --show-settings` (also of `train`, `evaluate run` and `refresh run`) prints those of a
command. An unknown key is an error that names the nearest one.

`sources` is a list; with one source, its settings are written `source.KEY`. `trainer` takes any
field of TRL's `GRPOConfig` or `SFTConfig`. The defaults here are those without a profile.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [BEGINNING]
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for key, default, help_ in described(config.Settings):
        sections.setdefault(key.partition(".")[0], []).append((key, default, help_))
    for name, rows in sections.items():
        cells = [(code(key), code(default), prose(help_)) for key, default, help_ in rows]
        lines += [f"## {name}", "", *table(["key", "default", "meaning"], cells), ""]
    return "\n".join(lines)
