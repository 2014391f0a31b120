"""What every page shares: the store, the version in the address, the reviewer, the templates."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BeforeValidator

from repic import config
from repic.errors import PictureError, RepicError
from repic.report.pictures import PagePicture
from repic.studio.decisions import DecisionLog
from repic.studio.model_process import ModelProcess
from repic.studio.pictures import SIDES, Thumbnails, frame
from repic.studio.versions import Versions, VersionTables
from repic.web.templates import page_templates
from storage.store import Store

COOKIE = "repic-reviewer"
LONGEST_NAME = 80
"""Characters of a reviewer's name."""

MOST_FIELDS = 40

EMPTY_IS_NONE = BeforeValidator(lambda text: None if text == "" else text)
"""Of a value in the address: forms send those that nobody filled in as empty texts."""

FOR_EVER = "private, max-age=31536000, immutable"
"""Of a picture: its id stands for its content."""


class PageNotFoundError(RepicError):
    """An address with an id that the version does not have."""


class NotAllowedError(RepicError):
    """A change that this studio was not started for."""


class Studio:
    """The store and what pages need of it. Threads share one."""

    def __init__(self, store: Store, *, allow_review: bool = False, reviewer: str = "") -> None:
        """
        Args:
            allow_review: Whether decisions may be written.
            reviewer: Name of those who do not give another one; default: the user.
        """
        self.store = store
        self.allow_review = allow_review
        self.versions = Versions(store)
        self.thumbnails = Thumbnails()
        self.decisions = DecisionLog(store)
        self.models = ModelProcess(store.location)
        self._reviewer = reviewer_name(reviewer) or reviewer_name(getpass.getuser()) or "reviewer"
        self._templates = _environment()
        self.navigation: tuple[tuple[str, str, str], ...] = ()
        """Name, address and key of each page; `app` fills it."""

    def version(self, request: Request) -> VersionTables:
        """The version that `?v=3` names, or the latest.

        Raises:
            PageNotFoundError: the number is malformed.
            storage.errors.NotFoundError: there is no such version.
        """
        return self.versions.find(asked_version(request))

    def seen_version(self, request: Request) -> VersionTables:
        """The version on the page that a form came from, `of` in its address; else as `version`."""
        return self.versions.find(asked_version(request, "of") or asked_version(request))

    def version_or_none(self, request: Request) -> VersionTables | None:
        """As `version`; None before anything is published."""
        if asked_version(request) is None and not self.store.current().of("dataset").latest:
            return None
        return self.version(request)

    def reviewer(self, request: Request) -> str:
        """Who looks at the page: the name in the cookie, or that of the studio."""
        return reviewer_name(unquote(request.cookies.get(COOKIE, ""))) or self._reviewer

    def check_may_review(self) -> None:
        """Raises: NotAllowedError: the studio is read-only."""
        if not self.allow_review:
            raise NotAllowedError(
                "This studio only reads: start it with `repic studio --allow-review` to decide."
            )

    def photo_url(self, image_id: str, side: int, number: int) -> str:
        """Address of a small copy of a photo of a version."""
        return f"/pictures/{quote(image_id, safe='')}/{side}.jpg?v={number}"

    def crop_url(self, object_id: str, side: int, number: int) -> str:
        """Address of a picture of the box of an object."""
        return f"/crops/{quote(object_id, safe='')}/{side}.jpg?v={number}"

    def picture(self, picture: PagePicture, side: int) -> Response:
        """A picture as JPEG, or a frame with the reason why there is none.

        Raises:
            PageNotFoundError: pages ask for no such size.
        """
        if side not in SIDES:
            raise PageNotFoundError(f"A picture has {', '.join(map(str, SIDES))} pixels.")
        try:
            made = self.thumbnails.jpeg(picture, side)
        except PictureError as error:  # no error for the browser: photos may be gone
            return Response(frame(str(error)), media_type="image/svg+xml")
        return Response(made, media_type="image/jpeg", headers={"cache-control": FOR_EVER})

    def page(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """A page of a template; `context` are its variables beside those of every page."""
        text = self._templates.get_template(template).render(
            studio=self,
            request=request,
            reviewer=self.reviewer(request),
            path=request.url.path,
            here=lambda **changes: address(request.url.path, request.query_params, **changes),
            asked_version=request.query_params.get("v", ""),
            engine=config.version(),
            **context,
        )
        return HTMLResponse(text, status)


def asked_version(request: Request, name: str = "v") -> int | None:
    """The number in `?v=3`. Raises: PageNotFoundError: it is none."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,14}", text):
        raise PageNotFoundError("A version is a number: leave out `v` for the latest.")
    return int(text)


def address(path: str, query: Mapping[str, str], **changes: Any) -> str:
    """An address with some parameters changed; an empty one is left out."""
    merged = {**query, **{name: str(value) for name, value in changes.items()}}
    kept = {name: value for name, value in merged.items() if value not in ("", "None")}
    return f"{path}?{urlencode(kept)}" if kept else path


def reviewer_name(text: str) -> str:
    """A name as it is stored: one line of printable characters; empty for one that has none."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:LONGEST_NAME]


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form.

    Raises:
        PageNotFoundError: the body is not a form.
    """
    return dict(await form(request))


async def form(request: Request, most: int = MOST_FIELDS) -> list[tuple[str, str]]:
    """The fields of a form, at most `most`, of which several may have one name.

    Raises:
        PageNotFoundError: the body is not a form.
    """
    try:
        text = (await request.body()).decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=most)
    except ValueError as error:
        raise PageNotFoundError(f"The form is broken ({error}): load the page again.") from None


def is_part(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def _environment() -> jinja2.Environment:
    environment = page_templates("repic.studio")
    environment.filters |= {"short": _short, "place": place, "listed": _listed}
    environment.globals |= {"address": address}
    return environment


def _short(id_: str) -> str:
    """The first digits of an id."""
    return id_[:8]


def _listed(names: Sequence[str]) -> str:
    """`Ann, Bob and Cy`; empty if there are none."""
    *most, last = names or [""]
    return f"{', '.join(most)} and {last}" if most else last


def place(uri: str) -> str:
    """Folder and file name of an address in readable form, with its fragment."""
    return PagePicture("", uri).name
