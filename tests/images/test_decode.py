from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from repic import config, sources
from repic.images import decode, fetch, formats, uris
from repic.images.coordinates import Box
from repic.images.decode import open_image, probe
from repic.images.fetch import ImageRefused, read_bytes
from repic.images.perceptual_hash import perceptual_hash
from tests.odd_images import (
    HEIC,
    ODD,
    SIZE,
    Odd,
    encode,
    palette_with_hole,
    picture,
    rotated_by_exif,
    sixteen_bits,
    translucent,
)
from tests.timing import cpu


def _put(folder: Path, data: bytes, name: str = "photo.jpg") -> str:
    (folder / name).write_bytes(data)
    return uris.file_uri(folder / name)


def _refused(action: Any, *args: Any) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        action(*args)
    return caught.value


def _distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def _mean_error(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def test_a_folder_of_odd_files_is_accounted_for_completely(tmp_path: Path) -> None:
    for odd in ODD:
        odd.write(tmp_path / odd.name)
    (tmp_path / "notes.txt").write_text("no photo")
    listed = {
        photo.uri
        for photo in sources.photos(
            config.SourceSettings(path=str(tmp_path)), config.SplitSettings()
        )
    }
    assert listed == {uris.file_uri(tmp_path / odd.name) for odd in ODD}
    reasons = {}
    for uri in listed:
        try:
            probe(read_bytes(uri))
            reasons[uri] = None
        except ImageRefused as error:
            reasons[uri] = error.reason
    assert reasons == {uris.file_uri(tmp_path / odd.name): odd.reason for odd in ODD}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd.name))
def test_every_odd_file_is_used_or_refused_for_its_reason(odd: Odd, tmp_path: Path) -> None:
    path = tmp_path / odd.name
    odd.write(path)
    uri = uris.file_uri(path)
    if odd.reason is None:
        facts = probe(read_bytes(uri))
        opened = open_image(uri)
        assert opened.mode == "RGB"
        assert opened.size == (facts.width, facts.height)
        assert len(bytes.fromhex(facts.phash)) == 8
        assert not opened.info
    else:
        error = _refused(open_image, uri)
        assert error.reason == odd.reason
        assert error.message
        assert str(tmp_path) not in error.message


def test_the_odd_files_are_many_and_reasons_are_of_the_list() -> None:
    assert len(ODD) >= 50
    assert {odd.reason for odd in ODD} - {None} <= set(get_args(fetch.Reason))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_a_picture_stored_turned_comes_out_upright(orientation: int, kind: str) -> None:
    upright = picture()
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(decode._UPRIGHT[undo]) if undo > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
    data = encode(stored, kind, exif=exif, **options)
    opened = decode.decode(data)
    assert opened.size == upright.size
    assert _mean_error(opened, upright) < 4
    facts = probe(data)
    assert (facts.width, facts.height, facts.orientation) == (*SIZE, orientation)
    assert _distance(facts.phash, perceptual_hash(upright)) <= 4


@pytest.mark.parametrize("factor", [2, 4, 16])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_picture_is_reduced_to_the_means_of_its_squares(
    factor: int, kind: str, mode: str
) -> None:
    if mode == "CMYK" and kind != "JPEG":
        pytest.skip(f"{kind} has no CMYK")
    upright = picture((336, 208))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90).convert(mode)
    data = encode(stored, kind, exif=exif, **({} if kind == "PNG" else {"quality": 95}))
    reduced = decode.decode(data, reduction=factor)
    assert reduced.size == (336 // factor, 208 // factor)
    assert _mean_error(reduced, decode.decode(data).reduce(factor)) < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_sides_of_a_reduced_picture_are_rounded_up(kind: str) -> None:
    data = encode(picture((331, 49)), kind)
    for factor in (2, 8, 32):
        size = math.ceil(331 / factor), math.ceil(49 / factor)
        assert decode.decode(data, reduction=factor).size == size


def test_a_region_is_reduced_after_it_is_cut_out() -> None:
    data = encode(picture((330, 208)), "JPEG")
    region = uris.Region(31, 20, 100, 80)
    cut_out = decode.decode(data, region, 4)
    assert cut_out == decode.decode(data, region).reduce(4)


@given(st.floats(0, 1e5), st.integers(1, 3000))
def test_a_reduction_leaves_enough(pixels: float, needed: int) -> None:
    factor = decode.reduction(pixels, needed)
    assert factor.bit_count() == 1
    assert factor == 1 or pixels / factor >= needed
    assert pixels / (2 * factor) < needed


def test_a_broken_end_of_a_reduced_picture_is_refused() -> None:
    data = encode(picture((330, 208)), "JPEG")
    assert _refused(lambda _: decode.decode(data[: len(data) // 2], reduction=2), "").reason == (
        "truncated"
    )


def test_16_bits_are_scaled_and_not_cut(tmp_path: Path) -> None:
    for kind in ("PNG", "TIFF"):
        grey = np.asarray(open_image(_put(tmp_path, encode(sixteen_bits(), kind))))[..., 0]
        assert grey.min() == 0
        assert grey.max() == 255
        assert abs(float(grey.mean()) - 127.5) < 1


def test_32_bits_without_a_known_range_are_stretched(tmp_path: Path) -> None:
    values = np.linspace(-1e6, 3e6, 1024).reshape(32, 32)
    for data in (values.astype(np.float32), values.astype(np.int32)):
        grey = np.asarray(open_image(_put(tmp_path, encode(Image.fromarray(data), "TIFF"))))
        assert (grey.min(), grey.max()) == (0, 255)


def test_one_single_value_without_a_known_range_is_black(tmp_path: Path) -> None:
    for value in (np.full((32, 32), 70_000, np.int32), np.full((32, 32), 2, np.float32)):
        grey = np.asarray(open_image(_put(tmp_path, encode(Image.fromarray(value), "TIFF"))))
        assert (grey.min(), grey.max()) == (0, 0)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    image = translucent()
    image.putalpha(0)
    for data in (encode(image, "PNG"), encode(image.convert("LA"), "PNG"), encode(image, "WEBP")):
        assert np.asarray(open_image(_put(tmp_path, data))).min() >= 254
    hole = np.asarray(Image.open(io.BytesIO(palette_with_hole()))) == 0
    opened = np.asarray(open_image(_put(tmp_path, palette_with_hole())))
    assert hole.any()
    assert (opened[hole] == 255).all()


def test_the_first_frame_of_an_animation_is_used(tmp_path: Path) -> None:
    still = Image.new("RGB", SIZE, "red")
    more = [Image.new("RGB", SIZE, "blue")]
    for kind in ("GIF", "WEBP"):
        data = encode(still, kind, save_all=True, append_images=more)
        red, _, blue = np.asarray(open_image(_put(tmp_path, data))).mean((0, 1))
        assert red > 200
        assert blue < 50


def _swapped_profile() -> bytes:
    """A valid RGB profile with red and blue exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * data[131], 12)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data).replace(b"s\0R\0G\0B", b"s\0w\0a\0p").replace(b"sRGB built", b"swap built")


def test_a_valid_profile_is_applied_and_a_broken_one_ignored(tmp_path: Path) -> None:
    red = Image.new("RGB", SIZE, (255, 0, 0))
    swapped = open_image(_put(tmp_path, encode(red, "PNG", icc_profile=_swapped_profile())))
    assert swapped.getpixel((5, 5))[2] > 200  # type: ignore[index]
    for profile in (b"nonsense", _swapped_profile()[:200]):
        same = open_image(_put(tmp_path, encode(red, "PNG", icc_profile=profile)))
        assert same.getpixel((5, 5)) == (255, 0, 0)


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(picture(), srgb, lab, outputMode="LAB")
    assert image is not None
    assert _mean_error(open_image(_put(tmp_path, encode(image, "TIFF"))), picture()) < 4


def test_a_missing_decoder_is_named() -> None:
    assert "pip install 'repic[heic]'" in _refused(probe, HEIC).message


def test_a_pillow_without_a_decoder_for_avif_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a Pillow lists the format but cannot identify its files."""
    monkeypatch.setattr(formats.features, "check", lambda name: False)
    with pytest.raises(ImageRefused) as caught:
        formats.require_decoder(encode(picture(), "AVIF"))
    assert caught.value.reason == "unsupported"
    assert "pip install pillow-avif-plugin" in caught.value.message


def test_a_library_that_lets_cut_files_pass_does_not_change_our_mind() -> None:
    data = encode(picture(), "JPEG")
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    assert _refused(probe, data[: len(data) // 2]).reason == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_bytes_and_pixels_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = _put(tmp_path, encode(picture(), "JPEG"))
    monkeypatch.setattr(decode, "MAX_PIXELS", 6000)
    assert _refused(open_image, uri).reason == "too-many-pixels"
    monkeypatch.setattr(fetch, "MAX_BYTES", 100)
    assert _refused(open_image, uri).reason == "too-large"


def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    uri = _put(tmp_path, encode(picture(), "JPEG"))
    (tmp_path / "photo.jpg").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        assert _refused(read_bytes, uri).reason == "unreadable"
    finally:
        os.seteuid(user)


def test_a_file_written_to_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = _put(tmp_path, encode(picture(), "JPEG"))
    real = os.fstat

    def grow(fd: int) -> os.stat_result:
        status = real(fd)
        with (tmp_path / "photo.jpg").open("ab") as file:
            file.write(b"more")
        return status

    monkeypatch.setattr(os, "fstat", grow)
    assert _refused(read_bytes, uri).reason == "changed"


def test_a_refusal_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(ImageRefused("truncated", "no end")))
    assert (error.reason, error.message) == ("truncated", "no end")
    assert str(error) == "truncated: no end"


def test_a_crop_is_of_the_upright_picture_in_whole_pixels(tmp_path: Path) -> None:
    uri = _put(tmp_path, rotated_by_exif(6))
    full = open_image(uri)
    assert full.size == (64, 96)
    part = open_image(uri, Box(10.6, 20.2, 30.1, 500))
    assert part.size == (21, 76)
    assert _mean_error(part, full.crop((10, 20, 31, 96))) == 0
    assert _refused(open_image, uri, Box(70, 0, 90, 10)).reason == "region"


def test_a_region_is_a_picture_of_its_own(tmp_path: Path) -> None:
    uri = _put(tmp_path, encode(picture(), "PNG"), "one#two 50%.png")
    part = open_image(f"{uri}#xywh=10,20,40,30")
    assert _mean_error(part, picture().crop((10, 20, 50, 50))) == 0
    inside = open_image(f"{uri}#xywh=10,20,40,30", Box(5, 5, 15, 15))
    assert _mean_error(inside, picture().crop((15, 25, 25, 35))) == 0
    half = open_image(f"{uri}#xywh=percent:50,0,50,100")
    assert _mean_error(half, picture().crop((48, 0, 96, 64))) == 0
    facts = probe(read_bytes(uri), uris.Region(10, 20, 40, 30))
    assert (facts.width, facts.height) == (40, 30)
    assert facts.phash == perceptual_hash(part)
    assert _refused(open_image, f"{uri}#xywh=200,0,10,10").reason == "region"
    assert _refused(open_image, f"{uri}#xywh=0,0,3,3").reason == "too-small"


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_picture_inside_a_table(tmp_path: Path, suffix: str) -> None:
    pictures = [encode(picture((20 + n, 20)), "PNG") for n in range(10)]
    table = pa.table(
        {
            "image": [{"bytes": p, "path": None} for p in pictures[:-1]] + [None],
            "raw": pictures,
            "text": ["x"] * 10,
        }
    )
    path = tmp_path / f"train 1.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path, row_group_size=4)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
    uri = uris.file_uri(path)
    for row in (0, 3, 4, 8):
        assert read_bytes(f"{uri}#row={row}&column=image") == pictures[row]
        assert open_image(f"{uri}#row={row}&column=raw&xywh=0,0,9,9").size == (9, 9)
    assert _refused(read_bytes, f"{uri}#row=9&column=image").reason == "empty"
    assert _refused(read_bytes, f"{uri}#row=10&column=image").reason == "missing"
    assert _refused(read_bytes, f"{uri}#row=0&column=nope").reason == "missing"
    assert _refused(read_bytes, f"{uri}#row=0&column=text").reason == "not-an-image"
    gone = uris.file_uri(tmp_path / f"gone.{suffix}")
    assert _refused(read_bytes, f"{gone}#row=0&column=image").reason == "missing"
    bad = _put(tmp_path, b"no table at all", f"bad.{suffix}")
    assert _refused(read_bytes, f"{bad}#row=0&column=image").reason == "corrupt"


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_table_that_was_cut_is_corrupt(tmp_path: Path, suffix: str) -> None:
    table, path = pa.table({"image": [bytes(300)] * 10}), tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    data = path.read_bytes()
    for share in (0.3, 0.9):  # Arrow raises different classes of errors
        cut = _put(tmp_path, data[: int(len(data) * share)], f"{share}.{suffix}")
        assert _refused(read_bytes, f"{cut}#row=0&column=image").reason == "corrupt"


def test_a_network_that_fails_is_no_fault_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError("it may pass")

    memory = fsspec.filesystem("memory")
    memory.pipe("/tables/t.parquet", bytes(1000))
    monkeypatch.setattr(type(memory), "_open", lambda *args, **options: Failing(bytes(1000)))
    with pytest.raises(TimeoutError, match="it may pass"):
        read_bytes("memory://tables/t.parquet#row=0&column=image")


def test_a_name_that_no_file_can_have_is_missing() -> None:
    assert _refused(read_bytes, "file:///photos/a%00.jpg").reason == "missing"


def test_a_rewritten_table_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for size in (20, 31):
        pq.write_table(pa.table({"image": [encode(picture((size, 20)), "PNG")]}), path)
        assert open_image(f"{uris.file_uri(path)}#row=0&column=image").width == size


def test_remote_files_are_read_through_fsspec() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/photos/a #1 50%.png", encode(picture(), "PNG"))
    memory.pipe("/photos/empty.png", b"")
    uri = uris.remote_uri("memory://photos/a #1 50%.png")
    assert open_image(f"{uri}#xywh=0,0,10,10").size == (10, 10)
    assert _refused(read_bytes, "memory://photos/empty.png").reason == "empty"
    assert _refused(read_bytes, "memory://photos/none.png").reason == "missing"
    assert _refused(read_bytes, "memory://photos").reason == "not-a-file"


@given(st.binary(min_size=1, max_size=40).filter(lambda b: not set(b) & {0, 47}))
def test_every_file_name_survives_as_ascii(name: bytes) -> None:
    path = "/photos/" + os.fsdecode(name)
    if name in (b".", b".."):
        return
    uri = uris.file_uri(path)
    assert uri.isascii()
    assert "#" not in uri
    assert uris.file_path(uri) == path
    where = uris.Location.parse(f"{uri}#row=3&column=image&xywh=1,2,3,4")
    assert uris.file_path(where.url) == path


@given(
    st.integers(0, 10**9),
    st.text(min_size=1, max_size=20, alphabet=st.characters(codec="utf-8")),
    st.none() | st.tuples(*[st.integers(1, 10**6)] * 4),
)
def test_a_location_survives_as_text(
    row: int, column: str, xywh: tuple[int, int, int, int] | None
) -> None:
    region = xywh and uris.Region(*map(float, xywh))
    where = uris.Location("s3://bucket/a.parquet", row, column, region or None)
    assert uris.Location.parse(str(where)) == where


@pytest.mark.parametrize(
    "uri",
    [
        "/no/scheme.jpg",
        "file:///a.jpg#t=10",
        "file:///a.jpg#xywh=1,2,3",
        "file:///a.jpg#xywh=0,0,0,5",
        "file:///a.jpg#xywh=nan,0,1,1",
        "file:///a.jpg#xywh=inch:0,0,1,1",
        "file:///a.parquet#row=1",
        "file:///a.parquet#row=-1&column=x",
    ],
)
def test_a_malformed_uri_is_an_error_of_the_caller(uri: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_bytes(uri)
    assert not isinstance(caught.value, ImageRefused)


def test_the_perceptual_hash_is_fixed() -> None:
    ramp = np.add.outer(np.arange(64) ** 2 % 251, np.arange(96) * 3 % 199).astype(np.uint8)
    assert perceptual_hash(Image.fromarray(ramp).convert("RGB")) == "163616b7363226eb"


def test_the_perceptual_hash_ignores_size_and_compression() -> None:
    large = picture((960, 640))
    original = perceptual_hash(large)
    small = encode(large.resize((400, 267)), "JPEG", quality=50)
    assert _distance(original, probe(small).phash) <= 4
    assert _distance(original, perceptual_hash(large.rotate(90))) > 16


def test_flat_pictures_fall_together_by_colour_only() -> None:
    white = perceptual_hash(Image.new("RGB", (50, 50), "white"))
    assert white == perceptual_hash(Image.new("RGB", (80, 20), "white"))
    others = [
        perceptual_hash(Image.new("RGB", (50, 50), colour))
        for colour in ("black", "red", "green", "blue", "grey")
    ]
    assert min(_distance(white, other) for other in others) > 10
    assert len(set(others)) == 5


def test_probing_costs_little_more_than_decoding() -> None:
    data = encode(picture((1000, 1000)), "JPEG", quality=90)

    def decode_often() -> None:
        for _ in range(3):
            Image.open(io.BytesIO(data)).load()

    # Taken again, since a busy machine may slow one of the two down.
    assert any(cpu(lambda: probe(data)) < cpu(decode_often) + 0.005 for _ in range(20))


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150)
@given(st.data())
def test_no_damage_raises_anything_but_a_refusal(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]))
    content = bytearray(encode(picture((24, 16)), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(ImageRefused):
        assert probe(bytes(content)).width <= 1000
