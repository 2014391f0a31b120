"""The command forget: photos and people that a store is to have no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from repic.pipeline.forget import Alike, Forgetting
    from repic.pipeline.remains import Remains
    from storage.gc import Garbage
    from storage.store import Store


ALIKE = 20
"""Photos that look like a forgotten one that are printed."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(forget)


def forget(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="URI|IDENTITY|IMAGE_ID", help="Address, path or id of a photo, or an identity."
        ),
    ] = None,
    meaning: Annotated[
        Literal["photo", "uri", "identity"] | None,
        typer.Option(
            "--as", help="Which of these it is, if it could be several or no version has it."
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why; kept in the table `forgotten`, so name nobody.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Search the store for what is left; exit code 1 if there is."),
    ] = False,
    delete_old: Annotated[
        bool,
        typer.Option(
            "--delete-old",
            help="List the versions and kept results that hold it, and delete them with --apply.",
        ),
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="With --delete-old: delete them; without it, list.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back the last `forget`; again: the one before.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Leave a photo, or all photos of an identity, out of every build from now on.

    The same file stays out wherever it is found again. Versions that exist keep it until
    `repic forget --delete-old --apply`, after the next build. Checkpoints that were trained on it
    are listed, and never deleted; files outside the store, such as the photo, exports and caches,
    are not touched. Photos that look like the same picture are named, and stay. `--undo` takes the
    last call back.

    Example: repic forget ~/photos/Ann/party.jpg --reason "asked to"
    """
    from repic.pipeline import forget as forgetting
    from repic.pipeline import remains

    if not (what or check or delete_old or undo):
        raise UserError("say what to forget, or --check, --delete-old or --undo")
    if undo and (what or check or delete_old):
        raise UserError("--undo stands alone: it takes back the last `forget`")
    if apply and not delete_old:
        raise UserError("--apply belongs to --delete-old")
    opened = open_store(store)
    if undo:
        _undo(opened, as_json)
        return
    done = forgetting.forget(opened, what, meaning, reason) if what else None
    left = remains.remains(opened)
    deleted = None
    if delete_old and apply:
        deleted = remains.delete(opened, left)
        left = remains.remains(opened)
    if as_json:
        print_json(_record(done, left, deleted))
    else:
        _print(done, left, deleted, apply)
    if check and left:
        raise typer.Exit(1)


def _undo(store: Store, as_json: bool) -> None:
    from repic.pipeline.forget import undo

    gone = undo(store)
    if as_json:
        print_json({"taken_back": gone})
        return
    when, reason = gone[0]["forgotten_at"], gone[0]["reason"]
    why = f', which was "{reason}"' if reason else ""
    out().print(
        f"Taken back: what was forgotten at {when}{why}. The next build reads it again, if the "
        "source still has it; deleted versions and dropped decisions do not come back.",
    )


def _print_alike(alike: tuple[Alike, ...]) -> None:
    if not alike:
        return
    err().print("These look like the same picture, and are not forgotten:")
    for photo in alike[:ALIKE]:
        err().print(f"  {photo.image_id}  {photo.uri}", soft_wrap=True)
    more = f" (and {len(alike) - ALIKE} more, which --json names)" if len(alike) > ALIKE else ""
    err().print(f"Look at them, and forget each copy with `repic forget IMAGE_ID`{more}.")


def _record(done: Forgetting | None, left: Remains, deleted: Garbage | None) -> dict[str, Any]:
    record: dict[str, Any] = {"left": left.as_json()}
    if done:
        record["forgotten"] = done.as_json()
    if deleted:
        record["deleted"] = len(deleted.files) if deleted.deleted else 0
        record["blocked_by"] = [str(lease) for lease in deleted.blocked_by]
    return record


def _print(done: Forgetting | None, left: Remains, deleted: Garbage | None, applied: bool) -> None:
    if done:
        out().print(
            f"Forgotten as {done.meaning}: {len(done.photos)} photos that the store knows, and "
            f"{done.decisions} decisions of reviewers. Builds leave them out from now on."
        )
        _print_alike(done.near_duplicates)
    if deleted:
        for lease in deleted.blocked_by:
            err().print(f"In use by {lease}: {lease.advice}.")
        if deleted.deleted:
            out().print(f"Deleted {len(deleted.files)} files.")
        else:
            err().print("So nothing is deleted; run this again when it is free.")
    rows = [
        *((ref, "part of the latest dataset: build again first") for ref in left.current),
        *((ref, "old version") for ref in left.versions if ref not in left.current),
        *((path, "no version names it") for path in left.kept),
        *((path, "none of the store's own: delete it yourself") for path in left.foreign),
        *((ref, "trained on it or shows it; never deleted here") for ref in left.checkpoints),
        *((path, "names it; stays, as others were made from it") for path in left.manifests),
        *((ref, "has the name in a text; perhaps of another: read it") for ref in left.mentions),
    ]
    if rows:
        print_rows(["holds what is to be forgotten", ""], rows)
    if not left:
        out().print("Nothing that can be deleted here has anything of what is to be forgotten.")
    elif left.current:
        err().print("Run `repic build` as always, then `repic forget --delete-old --apply`.")
    elif not applied and (left.versions or left.kept):
        err().print("`repic forget --delete-old --apply` deletes them.")
    if left.unread:
        names = ", ".join(left.unread[:5])
        more = f" and {len(left.unread) - 5} more" if len(left.unread) > 5 else ""
        err().print(f"Not searched, being neither table, text nor picture: {names}{more}.")
