"""Attacks that are texts: the groups of attacks.yaml, filled with the fields of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import Any

import yaml

from repic.captions.claims import check_claims
from repic.captions.mentions import read_caption
from repic.objectives.general_caption import reference_names
from repic.objectives.identify import KIND as WHICH
from repic.objectives.identify import NONE
from repic.objectives.query_view import QueryView, box_in_view
from repic.rewards.attacks.base import Attack, Target, Task
from repic.rewards.gold import location_phrase, scene_objects

_ESSAY = (
    "The thing that was asked about can be seen quite clearly in this picture, and it is here. "
)


@cache
def load_corpus(file: str) -> Any:
    """The content of a YAML file of this package."""
    return yaml.safe_load(resources.files(__package__).joinpath(file).read_text("utf-8"))


@cache
def template_attacks() -> tuple[Attack, ...]:
    """The attacks of attacks.yaml, in the order of the file."""
    corpus: dict[Task, list[dict[str, Any]]] = load_corpus("attacks.yaml")
    return tuple(
        Attack(task, group["family"], group["rule"], name, partial(form.fill, text))
        for task, groups in corpus.items()
        for group in groups
        for form in [_FORMS[group.get("form", "text")]]
        for name, text in _named_texts(group, form)
    )


def _named_texts(group: Mapping[str, Any], form: _Form) -> list[tuple[str, str]]:
    if isinstance(group["texts"], dict):
        return list(group["texts"].items())
    around = group.get("prefix", ""), group.get("suffix", "")
    texts = [f"{around[0]}{text}{around[1]}" for text in group["texts"]]
    return [(form.name(text), text) for text in texts]


# Fields of a row.


def prompt_names(target: Target) -> list[str]:
    """The names of the references, present or not."""
    return [reference["name"] for reference in target.row["references"]]


def _prompt_text(target: Target) -> str:
    """The text blocks of the prompt, one per line."""
    return "\n".join(block["text"] for block in target.row["prompt"] if block["text"])


def tag_list(names: Sequence[str]) -> str:
    """`<A>`, `<A> and <B>`, `<A>, <B> and <C>`."""
    tags = [f"<{name}>" for name in names]
    return " and ".join([", ".join(tags[:-1]), tags[-1]] if tags[1:] else tags)


def box_in_thousandths(target: Target) -> tuple[int, int, int, int]:
    """The true box in thousandths of the photo, at least 1 wide and high."""
    view = QueryView.of(target.row)
    share = box_in_view(target.row).scale(1 / view.width, 1 / view.height)
    left, top, right, bottom = (round(1000 * edge) for edge in share.as_list())
    return left, top, max(right, left + 1), max(bottom, top + 1)


def right_name(target: Target) -> str | None:
    """The name that a `which` row asks for; None where the answer is `none`."""
    return None if target.gold == NONE else target.gold[1:-1]


def _oct_fields(target: Target) -> dict[str, Any]:
    wrong = "no" if target.gold == "yes" else "yes"
    return {"wrong": wrong, "Wrong": wrong.title(), "prompt": _prompt_text(target)}


def _vlt_fields(target: Target) -> dict[str, Any]:
    edges = dict(zip("abcd", box_in_thousandths(target), strict=True))
    return {**edges, "request": target.row["prompt"][-1]["text"], "essay": _ESSAY}


def _caption_fields(target: Target) -> dict[str, Any]:
    names, references = prompt_names(target), target.row["references"]
    return {
        "names": tag_list(names),
        "name": f"<{names[0]}>",
        "prompt": _prompt_text(target),
        "request": target.row["prompt"][-1]["text"],
        "infos": " ".join(f"<{r['name']}>: {r['info']}" for r in references),
        "breaks": "\n " * 2_000,
        "marks": "!" * 5_000,
    }


def _which_fields(target: Target) -> dict[str, Any]:
    names = prompt_names(target)
    others = [name for name in names if f"<{name}>" != target.gold]
    return {
        "other": f"<{others[0]}>",
        "names": " ".join(names),
        "tags": "".join(f"<{name}>" for name in names),
    }


def _text(text: str, target: Target) -> str:
    """A whole answer; {right} is the gold answer, the other fields depend on the task."""
    if target.row["objective"] == "oct":
        fields = _oct_fields(target)
    elif target.row["objective"] == "vlt":
        fields = _vlt_fields(target)
    elif target.row["kind"] == WHICH:
        fields = _which_fields(target)
    else:
        fields = _caption_fields(target)
    return text.format(right=target.gold, **fields)


# Forms of captions.


def rewrite_tags(target: Target, change: Callable[[str], str]) -> str | None:
    """The true caption with each `<Name>` changed; None where that changes nothing but tags."""
    if not reference_names(target.row, present=True):
        return None
    text = re.sub("<([^<>]+)>", lambda match: change(match[1]), target.gold)
    return None if text in (target.gold, re.sub("[<>]", "", target.gold)) else text


def _spell(text: str, name: str) -> str:
    """A way to write a name: {0} is the name; {first}, {rest} and {short} are parts of it."""
    return text.format(name, first=name[:1], rest=name[1:], short=name[:-1])


def _renamed(text: str, target: Target) -> str | None:
    """The true caption with another text for each `<Name>`; {0} is the name."""
    return rewrite_tags(target, partial(_spell, text))


def _doubted(text: str, target: Target) -> str | None:
    """The same, but not before a predicate: `perhaps Ann is left of Bob` doubts only the place."""
    return None if "> is " in target.gold else _renamed(text, target)


def _renamed_tag(text: str, target: Target) -> str | None:
    """The same; {0} is the tag."""
    return rewrite_tags(target, lambda name: text.format(f"<{name}>"))


def _with_name(text: str, target: Target, present: bool) -> str | None:
    """The true caption and a sentence; {0} and {name} are the first tag, {names} all of them."""
    names = reference_names(target.row, present)
    if not names:
        return None
    tag = f"<{names[0]}>"
    return f"{target.gold} {text.format(tag, name=tag, names=tag_list(names))}"


def _unnamed(text: str, target: Target) -> str | None:
    """The true caption with a description for each name, and a sentence with all of them."""
    phrases = {thing.name: thing.with_article for thing in scene_objects(target.row)}
    names = reference_names(target.row, present=True)
    if not names or not phrases.keys() >= set(names):
        return None
    caption = re.sub("<([^<>]+)>", lambda match: phrases[match[1]], target.gold)
    return f"{caption} {text.format(names=tag_list(names))}"


def with_present(text: str, target: Target) -> str | None:
    """The true caption and a sentence about a name that is present."""
    return _with_name(text, target, present=True)


def _present_beside_absent(text: str, target: Target) -> str | None:
    """The true caption and a sentence about a present name {0} and an absent one {1}."""
    present = reference_names(target.row, present=True)
    absent = reference_names(target.row, present=False)
    if not present or not absent:
        return None
    return f"{target.gold} {text.format(present[0], absent[0])}"


def _word_list(text: str, target: Target) -> str:
    return f"{tag_list(prompt_names(target))}: {text}"


def _every_name(text: str, target: Target) -> str:
    """All names of the prompt, as {0}: A/B, {1}: A, B, {2}: the first and {3}: the last."""
    names = prompt_names(target)
    return text.format("/".join(names), ", ".join(names), names[0], names[-1])


def _swap(text: str, target: Target) -> str | None:
    """Two named objects described as each other; the rest of the caption is true.

    {n0} and {n1} are tags; {d0} and {d1} are phrases of the other object, {a0} and {a1} the same
    with an article.
    """
    named = [thing for thing in scene_objects(target.row) if thing.name]
    if len(named) < 2:
        return None
    first, second = named[:2]
    swapped = text.format(
        n0=f"<{first.name}>",
        n1=f"<{second.name}>",
        d0=second.phrase,
        d1=first.phrase,
        a0=second.with_article,
        a1=first.with_article,
    )
    rest = "".join(f" <{thing.name}>." for thing in named[2:])
    unnamed = [thing for thing in scene_objects(target.row) if not thing.name]
    others = "".join(f" There is {thing.with_article} too." for thing in unnamed)
    caption = f"{swapped} It is all {location_phrase(target.row)}.{rest}{others}"
    is_swap = first.phrase != second.phrase and _has_claims(caption, target)
    return caption if is_swap else None


def _has_claims(text: str, target: Target) -> bool:
    """Whether the row tells the named objects apart; of two that look alike no swap is wrong."""
    result = check_claims(read_caption(text, prompt_names(target)).tokens, target.row)
    return result is not None and result.score is not None


def _described_swap(text: str, target: Target) -> str | None:
    """Like `_swap`, for two objects that differ in two words or more; {n0}, {n1}, {d0}, {d1}."""
    named = [thing for thing in scene_objects(target.row) if thing.name]
    if len(named) < 2 or not _differ(named[0].phrase, named[1].phrase):
        return None
    first, second = named[:2]
    swapped = text.format(
        n0=f"<{first.name}>", n1=f"<{second.name}>", d0=second.phrase, d1=first.phrase
    )
    others = " ".join(
        f"There is {f'<{thing.name}>' if thing.name else thing.with_article}."
        for thing in scene_objects(target.row)
        if thing not in (first, second)
    )
    return f"{swapped} {others} All of it is {location_phrase(target.row)}."


def _differ(first: str, second: str) -> bool:
    """Whether each phrase has two words that the other lacks, so that it fits its object only."""
    words = set(first.split()), set(second.split())
    return len(words[0] - words[1]) >= 2 and len(words[1] - words[0]) >= 2


def _sides(text: str, target: Target) -> str | None:
    """The true caption and two named objects on each other's side."""
    named = [entry for entry in target.row["scene"] if entry["name"]]
    if len(named) < 2:
        return None
    left, right = sorted(named[:2], key=lambda entry: entry["box"][0] + entry["box"][2])
    if left["box"][0] + left["box"][2] == right["box"][0] + right["box"][2]:
        return None
    sentence = text.format(left=f"<{right['name']}>", right=f"<{left['name']}>")
    return f"{target.gold} {sentence}"


def _respelled(text: str, target: Target) -> str | None:
    """The right name of a `which` row, written in another way."""
    name = right_name(target)
    if name is None:
        return None
    return None if (spelled := _spell(text, name)) == name else spelled


@dataclass(frozen=True)
class _Form:
    """How a text becomes an answer, and how its attack is named."""

    fill: Callable[[str, Target], str | None]
    name: Callable[[str], str] = repr


_FORMS: dict[str, _Form] = {
    "text": _Form(_text),
    "renamed": _Form(_renamed, str),
    "doubted": _Form(_doubted, str),
    "renamed_tag": _Form(_renamed_tag, str),
    "unnamed": _Form(_unnamed),
    "with_present": _Form(with_present, "{!r} of a present name".format),
    "with_absent": _Form(partial(_with_name, present=False), "{!r} of an absent name".format),
    "present_beside_absent": _Form(_present_beside_absent),
    "word_list": _Form(_word_list, str),
    "every_name": _Form(_every_name),
    "swap": _Form(_swap),
    "described_swap": _Form(_described_swap),
    "sides": _Form(_sides),
    "respelled": _Form(_respelled),
}
