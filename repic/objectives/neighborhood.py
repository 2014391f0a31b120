"""A photo with its objects and what pairs link to them: all that its rows are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate, chain, pairwise, repeat, starmap
from typing import Any, Literal, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from repic.captions.tokens import plain_words
from repic.captions.vocabulary import STOP_WORDS
from repic.images.coordinates import Box

T = TypeVar("T")
Origin = Literal["two_photos", "same_photo"]

SAME_OBJECT = 0.5
"""Minimum IoU at which a box counts as that of an object that the source describes."""


class Described(NamedTuple):
    """An object as the source describes it; see `annotations` in the images table."""

    box: Box
    label: str
    expressions: tuple[str, ...]


class Photo(NamedTuple):
    """A photo; see the images table. The photo of a partner has no texts."""

    image_id: str
    uri: str
    width: int
    height: int
    source: str = ""
    caption: str | None = None
    described: tuple[Described, ...] = ()
    """Objects that the source describes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the objects that the source describes."""
        return tuple(one.label for one in self.described)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Expressions of the objects that the source describes."""
        return tuple(phrase for one in self.described for phrase in one.expressions)


class Object(NamedTuple):
    """An object of a photo; see the objects table. `box` is xyxy in pixels within the photo."""

    object_id: str
    image_id: str
    box: tuple[float, float, float, float]
    label: str
    """The detector's best guess or the owner's word; no text may use it."""
    spoken: str | None
    """What texts call it; None if nothing is sure enough."""
    area_share: float
    same_label_count: int
    cut: bool
    """Whether it is known to be truncated or occluded."""
    expressions: tuple[str, ...]
    phrases: tuple[str, ...]
    """Its expressions, or else those of the described object at its box.

    A detector's box has no expressions, so no prompt uses any; but answers are checked by the
    phrases of the source.
    """
    group: int = -1
    """Equal for objects that may be the same; see `repic.objectives.corpus`."""


class Pair(NamedTuple):
    """Two objects in two photos; see the pairs table."""

    pair_id: str
    kind: str
    band: str
    anchor_id: str
    other_id: str
    similarity: float
    absent: bool
    """Whether the end in another photo is certainly absent from the query."""

    @property
    def row_columns(self) -> tuple[str, str, str, float]:
        """All that a row about it is made from, besides the two objects."""
        return self.pair_id, self.kind, self.band, self.similarity


class OctQuestion(NamedTuple):
    """A question of OCT: whether the object that is shown is in the query.

    Attributes:
        target: An object of the query: the same one if the answer is yes.
        pair_id: The pair that links the two, if one does.
    """

    shown: str
    target: str
    present: bool
    origin: Origin
    pair_id: str | None


class VltQuestion(NamedTuple):
    """An object that VLT asks for, and the crop that the question shows; None is the photo."""

    object_id: str
    crop: Box | None


@dataclass(frozen=True)
class Neighborhood:
    """A query photo and its surroundings.

    Attributes:
        photo: The query.
        split: Its split.
        own: Its objects, by id.
        objects: object_id -> its objects, and those that pairs and questions link to them.
        photos: image_id -> the photos of these.
        pairs: Usable pairs with an object of the query, by id.
        questions: Of OCT.
        references: Its objects whose crops are references of the query itself, of ICT.
        targets: Of VLT.
        fact_words: `distinctive_words` and `distractor_words`.
        has_negatives: Whether the build has any negative pair that ICT can use.
    """

    photo: Photo
    split: str
    own: tuple[Object, ...]
    objects: Mapping[str, Object]
    photos: Mapping[str, Photo]
    pairs: tuple[Pair, ...] = ()
    questions: tuple[OctQuestion, ...] = ()
    references: tuple[str, ...] = ()
    targets: tuple[VltQuestion, ...] = ()
    fact_words: tuple[list[str], list[str]] = ([], [])
    has_negatives: bool = False

    def without(self, sources: Collection[str]) -> Neighborhood:
        """The same without pairs to photos of these sources."""
        if not sources:
            return self
        kept = (
            pair
            for pair in self.pairs
            if all(
                self.photos[self.objects[end].image_id].source not in sources
                for end in (pair.anchor_id, pair.other_id)
            )
        )
        return replace(self, pairs=tuple(kept))

    @property
    def is_described(self) -> bool:
        """Whether the photo has a caption and a description of an object.

        A caption alone is one of many true descriptions, so it cannot tell which words are false.
        """
        if not self.photo.caption:
            return False
        return bool(self.photo.phrases) or any(obj.expressions for obj in self.own)

    @property
    def words(self) -> list[str]:
        """Distinct words of the photo's caption, labels and expressions, in order."""
        texts = [self.photo.caption or "", *self.photo.labels, *self.photo.phrases]
        for obj in self.own:
            texts += [obj.spoken or "", *obj.expressions]
        words = plain_words("\n".join(texts))
        return list(dict.fromkeys(word for word in words if word not in STOP_WORDS))

    @cached_property
    def known(self) -> int:
        """Hash of the query and its objects, without their groups, whose numbers other photos
        change."""
        own = tuple(obj._replace(group=-1) for obj in self.own)
        return digest(self.photo, self.split, own)

    def known_of(self, object_id: str) -> int:
        """Hash of an object and its photo, likewise."""
        if object_id not in self._known_of:
            obj = self.objects[object_id]
            self._known_of[object_id] = digest(obj._replace(group=-1), self.photos[obj.image_id])
        return self._known_of[object_id]

    @cached_property
    def _known_of(self) -> dict[str, int]:
        return {}

    @cached_property
    def texts(self) -> list[str]:
        """Caption, labels and expressions of the query; no name may occur in them."""
        return [self.photo.caption or "", *self.photo.labels, *texts_of(self.own)]


def digest(*values: Any) -> int:
    """Hash of tuples, texts and numbers, 64 bits with a sign."""
    text = repr(values).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little", signed=True)


def texts_of(objects: Iterable[Object]) -> list[str]:
    """Labels and expressions of some objects; no name may occur in them."""
    return [text for o in objects for text in (o.label, o.spoken or "", *o.expressions)]


def read(table: pa.Table) -> Iterator[Neighborhood]:
    """The neighborhoods in a table of `repic.objectives.inputs`, in order."""
    photos, own = _photos(table), _Lists.of(table["objects"])
    described = [photo.described for photo in photos]
    objects = own.split(_objects(own, own.each(described)))
    partners = _Lists.of(table["partners"])
    partner_objects = partners.split(_objects(partners, repeat(())))
    partner_photos = partners.split(
        list(map(Photo, *partners.columns("image_id", "uri", "width", "height", "source")))
    )
    linked = _Lists.of(table["pairs"])
    pairs = linked.split(list(map(Pair, *linked.columns(*Pair._fields))))
    asked = _Lists.of(table["questions"])
    questions = asked.split(list(map(OctQuestion, *asked.columns(*OctQuestion._fields))))
    aimed = _Lists.of(table["targets"])
    crops = (Box.of(crop) if crop else None for crop in aimed.fields["crop"])
    targets = aimed.split(list(map(VltQuestion, aimed.fields["object_id"], crops)))
    plain = ("split", "references", "distinctive", "distractors", "has_negatives")
    rest = zip(*(table[name].to_pylist() for name in plain), strict=True)
    for i, (split, references, distinctive, distractors, has_negatives) in enumerate(rest):
        photo = photos[i]
        around = {one.image_id: one for one in partner_photos[i]}
        around[photo.image_id] = photo
        yield Neighborhood(
            photo,
            split,
            tuple(objects[i]),
            {obj.object_id: obj for obj in (*objects[i], *partner_objects[i])},
            around,
            tuple(pairs[i]),
            tuple(questions[i]),
            tuple(references),
            tuple(targets[i]),
            (distinctive, distractors),
            has_negatives,
        )


def read_alone(table: pa.Table) -> Iterator[Neighborhood]:
    """Photos and their objects, without what is around them."""
    photos, own = _photos(table), _Lists.of(table["objects"])
    objects = own.split(_objects(own, own.each([photo.described for photo in photos])))
    for photo, of_photo in zip(photos, objects, strict=True):
        known = {obj.object_id: obj for obj in of_photo}
        yield Neighborhood(photo, "", tuple(of_photo), known, {photo.image_id: photo})


@dataclass(frozen=True)
class _Lists:
    """A column of lists of structs: where the lists begin, and the fields of all structs."""

    starts: list[int]
    fields: Mapping[str, list[Any]]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Lists:
        array = column.combine_chunks()
        structs = array.flatten()
        names = (field.name for field in structs.type)
        fields = {name: a.to_pylist() for name, a in zip(names, structs.flatten(), strict=True)}
        return cls([0, *accumulate(pc.list_value_length(array).to_pylist())], fields)

    def columns(self, *names: str) -> Iterator[list[Any]]:
        """Fields by name."""
        return (self.fields[name] for name in names)

    def split(self, items: list[T]) -> list[list[T]]:
        """What was made of the structs, list by list."""
        return [items[start:stop] for start, stop in pairwise(self.starts)]

    def each(self, values: Iterable[T]) -> Iterator[T]:
        """The value of a list for each of its structs."""
        lengths = (stop - start for start, stop in pairwise(self.starts))
        return chain.from_iterable(starmap(repeat, zip(values, lengths, strict=True)))


def _photos(table: pa.Table) -> list[Photo]:
    names = ("image_id", "uri", "width", "height", "source", "caption", "annotations")
    columns = [table[name].to_pylist() for name in names]
    columns[-1] = [
        tuple(Described(Box.of(e["box"]), e["label"], tuple(e["expressions"])) for e in entries)
        for entries in columns[-1]
    ]
    return list(map(Photo, *columns))


def _objects(lists: _Lists, described: Iterable[tuple[Described, ...]]) -> list[Object]:
    """Objects of structs; those without expressions get the phrases of what is described."""
    fields = lists.fields
    boxes = list(zip(*lists.columns("x1", "y1", "x2", "y2"), strict=True))
    expressions = list(map(tuple, fields["expressions"]))
    phrases = (
        own or (_expressions_at(Box(*box), entries) if entries else ())
        for own, box, entries in zip(expressions, boxes, described, strict=False)
    )
    between = ("label", "spoken", "area_share", "same_label_count", "cut")
    ids = lists.columns("object_id", "image_id")
    return list(
        map(Object, *ids, boxes, *lists.columns(*between), expressions, phrases, fields["group"])
    )


def _expressions_at(box: Box, described: Iterable[Described]) -> tuple[str, ...]:
    """Expressions of the described object at this box; none if no box overlaps enough."""
    candidates = [one for one in described if one.expressions]
    best = max(candidates, key=lambda one: box.iou(one.box), default=None)
    return best.expressions if best and box.iou(best.box) >= SAME_OBJECT else ()
