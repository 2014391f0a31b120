"""docs/formats.md, written from the targets."""

from __future__ import annotations

from collections.abc import Iterator

from repic.export import registry

_HEAD = """\
# Formats

`repic export DATASET OUT --to TARGET` writes a data set for another program; `repic import` reads
two of the targets back. This page is printed by `repic export --list --markdown`.

    repic export dataset@latest out --to trl --model Qwen/Qwen3-VL-4B-Instruct
    repic import out --from hf --store other

- **Completeness.** A folder is written completely or not at all. It has a card (`README.md`:
  counts, licences, version and content hash) and `export.json`, the same for programs. Rows with a
  picture that cannot be read, or that the target cannot hold, are left out, counted and named.
- **Pictures** are what a model is trained on: cropped, changed as `images[].augmentation` says,
  upright. They are *embedded* in the rows, or *copied* to `images/` (paths are relative, so you can
  move the folder); by *reference*, whole photos stay where they are and only crops are copied. A
  whole JPEG is copied without its metadata but otherwise byte for byte; everything else is a PNG of
  exactly the pixels. EXIF and GPS are kept only with `--keep-exif`, in whole photos.
- **Boxes** in prompts and answers follow `--convention` or `--model`. Each edge is off by at most
  half a unit of that convention; the label, from which rewards are computed, has the exact box. For
  rows that a reward worker scores, the command prints its `REPIC_REWARD_CONVENTION`; see
  [reward workers](reward-workers.md).
- **What is exported.** `--split` and `--objective` choose rows. `--push ORG/NAME` uploads the
  folder to the Hugging Face Hub, private unless `--public`. It first says how many photos,
  identities and people it uploads, and asks (not with `--yes`). Uploaded rows do not reveal where
  the photos were.
- **Import** checks that each photo is where the rows say, with the content that its id says. If
  not, `--pictures FOLDER` takes the exported pictures. `--from repic-json` also reads RePIC's
  released training records.

*Tested* by `make peers`, in a clone of the source, means that the program itself was run.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_table(), "", *_uses(), ""])


def _table() -> Iterator[str]:
    heads = ("target", "for", "pictures", "kept", "lost", "tested")
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
    for target in registry.targets():
        facts = target.facts
        cells = (
            *(f"`{target.name}`", facts.program, ", ".join(facts.pictures)),
            *(facts.keeps, facts.loses, facts.tested),
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _uses() -> Iterator[str]:
    yield "## How each is written and used\n\n`F` is the folder.\n"
    for target in registry.targets():
        yield f"    repic export dataset@latest F --to {target.name}"
        yield f"    {target.facts.use}\n"
    yield "## Checkpoints\n"
    yield "An exported checkpoint has a card that names its base model, the version it was trained"
    yield "on and its held-out rewards, and can be pushed as well.\n"
    yield "    repic export checkpoint@latest adapter"
    yield "    repic export checkpoint@latest adapter --push ORG/NAME"
