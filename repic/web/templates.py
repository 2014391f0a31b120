"""Templates of pages: everything is escaped, and a variable that is missing is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def page_templates(package: str) -> jinja2.Environment:
    """The templates in the folder `templates` of a package."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": "{:,}".format, "of": counted}
    return environment


def counted(count: int, noun: str) -> str:
    """`1 pair`, `2,000 pairs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
