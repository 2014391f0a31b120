"""The web application: the guard around it, headers of every reply, pages, pictures, errors."""

from __future__ import annotations

import mimetypes
from collections.abc import Collection, Iterable, Sequence
from importlib import resources
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from repic import config
from repic.errors import FIXABLE
from repic.pipeline.reviews import parse_box_id
from repic.report.pictures import PagePicture, box_of
from repic.studio import chat, uploads
from repic.studio.decisions import Change
from repic.studio.pages import PAGES
from repic.studio.site import (
    COOKIE,
    NotAllowedError,
    PageNotFoundError,
    Studio,
    fields,
    is_part,
    reviewer_name,
)
from repic.web.guard import LOOPBACK, Guard, GuardRules
from storage.errors import NotFoundError

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Pages load and send nothing but here, and run no script that stands in them."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # no-referrer would make the Origin of forms null, which the guard refuses.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
BODY = 1 << 20
"""Bytes of a form without pictures."""

WITH_PICTURES = ("/playground", chat.PATH)
"""Addresses that pictures are sent to."""


class SafeHeaders:
    """Adds `HEADERS` to every reply, also to those of the guard."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, with_headers)


def create_app(
    studio: Studio, token: str | None = None, hosts: Collection[str] | None = LOOPBACK
) -> FastAPI:
    """The application.

    Args:
        token: Required of every request, as the password of Basic or as Bearer.
        hosts: Names under which browsers may call it; None: any, which requires a token.
    """
    app = FastAPI(
        title="RePIC studio",
        version=config.version(),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=studio.models.lifespan,
    )
    studio.navigation = with_keys((page.NAME, page.PATH) for page in PAGES)
    for page in PAGES:
        app.include_router(page.routes(studio))
    app.include_router(chat.routes(studio))
    app.include_router(_shared_routes(studio))
    app.include_router(_picture_routes(studio))
    _explain_errors(app, studio)
    rules = GuardRules(
        token=token,
        hosts=hosts,
        body=BODY,
        larger=dict.fromkeys(WITH_PICTURES, uploads.BODY),
        challenge='Basic realm="RePIC studio"',
        content=chat.refusal_content,
    )
    app.add_middleware(Guard, rules=rules)
    app.add_middleware(SafeHeaders)
    return app


def with_keys(pages: Iterable[tuple[str, str]]) -> tuple[tuple[str, str, str], ...]:
    """Name, address and key of each page: the first letter of its name that no other page has."""
    found: dict[str, tuple[str, str]] = {}
    for name, path in pages:
        key = next(letter for letter in name.lower() if letter not in found)
        found[key] = name, path
    return tuple((*page, key) for key, page in found.items())


def _shared_routes(studio: Studio) -> APIRouter:
    routes = APIRouter()
    folder = resources.files("repic.studio") / "static"
    served = {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}

    @routes.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in served:
            raise HTTPException(404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(served[name], media_type=kind, headers={"cache-control": "max-age=60"})

    @routes.get("/favicon.ico")
    def favicon() -> Response:
        return Response(status_code=204)

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok", "version": config.version()}

    @routes.post("/undo")
    async def undo(request: Request) -> Response:
        studio.check_may_review()
        back = await _back(request)
        changes = await run_in_threadpool(studio.decisions.undo, studio.reviewer(request))
        return JSONResponse(_undone(changes)) if is_part(request) else RedirectResponse(back, 303)

    @routes.post("/reviewer")
    async def call_me(request: Request) -> Response:
        given = await fields(request)
        response = RedirectResponse(await _back(request), 303)
        name = quote(reviewer_name(given.get("name", "")))
        response.set_cookie(COOKIE, name, 31_536_000, httponly=True, samesite="strict")
        return response

    return routes


async def _back(request: Request) -> str:
    """The page that a form came from."""
    back = (await fields(request)).get("back", "/")
    return back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"


def _undone(changes: Sequence[Change]) -> dict[str, str]:
    """What a page is told that took a step back: a sentence, and which of its elements changed.

    `path` has the element; without one, the page itself has it.
    """
    if not changes:
        return {"said": "There is nothing to take back."}
    subject, subject_id = changes[0]["subject"], changes[0]["subject_id"]
    if subject == "pair":
        said = f"Took back the decision on pair {subject_id[:8]}."
        return {"said": said, "element": f"pair-{subject_id}", "path": f"/pairs/{subject_id}"}
    if subject == "box":
        path = f"/photos/{quote(parse_box_id(subject_id)[0], safe='')}"
        return {"said": "Took back the decision on a box.", "element": "boxes", "path": path}
    said = "Took back the decision on a group."
    return {"said": said, "element": "groups", "path": ""}


def _picture_routes(studio: Studio) -> APIRouter:
    routes = APIRouter()

    @routes.get("/pictures/{image_id}/{side}.jpg")
    def photo(request: Request, image_id: str, side: int) -> Response:
        version = studio.version(request)
        row = version.photo_ids.row(image_id)
        if row is None:
            raise PageNotFoundError(f"dataset@v{version.number} has no photo {image_id}.")
        found = version.photo(row)
        return studio.picture(PagePicture(image_id, found["uri"]), side)

    @routes.get("/crops/{object_id}/{side}.jpg")
    def crop(request: Request, object_id: str, side: int) -> Response:
        version = studio.version(request)
        row = version.object_ids.row(object_id)
        (found,) = version.objects_at([-1 if row is None else row])
        if found is None or found["photo"] < 0:
            raise PageNotFoundError(f"dataset@v{version.number} has no object {object_id}.")
        shown = version.photo(found["photo"])
        picture = PagePicture(shown["image_id"], shown["uri"], box_of(found))
        return studio.picture(picture, side)

    return routes


def _explain_errors(app: FastAPI, studio: Studio) -> None:
    """Errors that a person can mend are pages with a sentence."""

    def explained(request: Request, status: int, sentence: str) -> Response:
        if request.url.path.startswith(chat.ROOT):
            return chat.error_response(status, sentence)
        if request.method != "GET":
            return PlainTextResponse(sentence, status)
        return studio.page(request, "error.html", status=status, sentence=sentence)

    def fixable(request: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, PageNotFoundError | NotFoundError) else 409
        status = 403 if isinstance(error, NotAllowedError) else status
        return explained(request, status, str(error))

    def invalid(request: Request, error: Exception) -> Response:
        named = error.errors() if isinstance(error, RequestValidationError) else []
        names = ", ".join(sorted({str(e["loc"][-1]) for e in named})) or "a value"
        return explained(request, 422, f"The address has a wrong value: {names}.")

    def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        sentence = {404: "There is no such page.", 405: "That is not possible here."}
        return explained(request, status, sentence.get(status, "That did not work."))

    for kind in FIXABLE:
        app.add_exception_handler(kind, fixable)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
