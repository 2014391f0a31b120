"""Published weights that the settings of a build name: whether they are here, and fetching them.

Models of OpenCLIP and transformers are kept in the cache of `huggingface_hub`, which other programs
share (`HF_HOME`, and `HF_ENDPOINT` for a mirror); files of ultralytics in `CACHE/weights`. The
SHA-256 of every fetched file is recorded in `CACHE/weights/fetched.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repic.config import DetectorSettings, Settings, plugins
from repic.errors import WeightsError
from repic.models import shipped, weights
from repic.models.open_clip_checkpoint import FOLDER, HUB, OpenClipCheckpoint
from storage.atomic import replacing

ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where ultralytics publishes weights; `REPIC_ULTRALYTICS_URL` names a mirror."""

TRANSFORMERS_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
Report = Callable[[str, int, int | None], None]
"""Called with a name, the bytes read so far, and the total if it is known."""


@dataclass(frozen=True)
class FetchedFile:
    """A file of weights on this machine; `bytes` is its size."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PublishedModel:
    """Weights that somebody publishes under a name.

    Attributes:
        name: As the settings name it.
        setting: The setting that names it.
        origin: Address or library that it comes from.
    """

    name: str
    setting: str
    origin: str
    download: Callable[[Report], list[Path]]

    def fetched(self) -> tuple[FetchedFile, ...]:
        """Its files, if `fetch` has recorded them and they are still there; else nothing."""
        files = tuple(FetchedFile(**file) for file in _record().get(self.name, {}).get("files", ()))
        here = all(_size(Path(file.path)) == file.bytes for file in files)
        return files if here else ()

    def fetch(self, report: Report) -> tuple[FetchedFile, ...]:
        """Download what is missing, hash the files and record the hashes.

        Raises:
            WeightsError: it cannot be downloaded.
        """
        files = tuple(
            FetchedFile(str(path), path.stat().st_size, weights.sha256(path))
            for path in self.download(report)
        )
        entry = {
            "origin": self.origin,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": [asdict(file) for file in files],
        }
        with replacing(_record_path()) as file:
            file.write(json.dumps(_record() | {self.name: entry}, indent=1).encode())
        return files


def models_of(settings: Settings) -> Iterator[PublishedModel]:
    """The published weights that a build with these settings loads; shipped ones and those of
    plug-ins are left out.

    Raises:
        ConfigError: the settings name no weights, or contradict each other.
    """
    detector = settings.detector
    if detector.kind == "transformers" and not _is_folder(detector.checkpoint):
        yield _repository(detector.checkpoint or "")
    elif detector.kind in {"yolo", "yolo-world", "yoloe"}:
        checkpoint = detector.checkpoint or ""
        if checkpoint != shipped.NAME and not Path(checkpoint).expanduser().is_file():
            yield _yolo_file(checkpoint)
        if text := _text_encoder(detector):
            yield from _open_clip(OpenClipCheckpoint.parse(text), "detector.text_encoder")
    if not plugins.is_plugin("encoders", settings.encoder.architecture):
        yield from _open_clip(OpenClipCheckpoint.of(settings.encoder), "encoder.pretrained")


def _text_encoder(detector: DetectorSettings) -> str | None:
    from repic.models.detectors import yolo

    if detector.kind == "yolo" or not detector.vocabulary:
        return None
    if detector.text_encoder or detector.kind == "yolo-world":
        return detector.text_encoder or yolo.WORLD_TEXT
    newer = (detector.checkpoint or "").startswith("yoloe-26")
    return yolo.YOLOE_TEXT["mobileclip2:b" if newer else "mobileclip:blt"]


def _open_clip(checkpoint: OpenClipCheckpoint, setting: str) -> Iterator[PublishedModel]:
    if checkpoint.model.startswith(FOLDER) or checkpoint.file:
        return

    def download(report: Report) -> list[Path]:
        import open_clip
        from open_clip.pretrained import download_pretrained_from_hf

        report(name, 0, None)
        try:
            if checkpoint.tag is None:
                repository = checkpoint.model.removeprefix(HUB)
                paths = [
                    download_pretrained_from_hf(repository, filename="open_clip_config.json"),
                    download_pretrained_from_hf(repository),
                ]
            else:
                declared = open_clip.get_pretrained_cfg(checkpoint.model, checkpoint.tag)
                if not declared:
                    raise WeightsError(f"OpenCLIP has no weights {name} ({setting})")
                paths = [open_clip.download_pretrained(declared)]
            open_clip.get_tokenizer(checkpoint.model)
        except (OSError, ValueError, RuntimeError) as error:
            raise _failed(name, setting, error) from error
        return [Path(path) for path in paths]

    name = f"{checkpoint.model}:{checkpoint.tag}" if checkpoint.tag else checkpoint.model
    yield PublishedModel(name, setting, "OpenCLIP", download)


def _repository(checkpoint: str) -> PublishedModel:
    def download(report: Report) -> list[Path]:
        from huggingface_hub import snapshot_download

        report(checkpoint, 0, None)
        name, _, revision = checkpoint.partition("@")
        try:
            folder = snapshot_download(
                name, revision=revision or None, allow_patterns=list(TRANSFORMERS_FILES)
            )
        except (OSError, ValueError) as error:
            raise _failed(checkpoint, "detector.checkpoint", error) from error
        return sorted(path for path in Path(folder).iterdir() if path.is_file())

    return PublishedModel(checkpoint, "detector.checkpoint", "Hugging Face hub", download)


def _yolo_file(checkpoint: str) -> PublishedModel:
    if Path(checkpoint).name != checkpoint:
        raise WeightsError(
            f"there is no weights file {checkpoint} (detector.checkpoint); a file to fetch is "
            "named without a folder, such as yolov8s-worldv2.pt"
        )
    address = f"{os.environ.get('REPIC_ULTRALYTICS_URL', ULTRALYTICS).rstrip('/')}/{checkpoint}"

    def download(report: Report) -> list[Path]:
        path = weights.folder() / checkpoint
        if not path.is_file():
            _download(address, path, lambda done, total: report(checkpoint, done, total))
        return [path]

    return PublishedModel(checkpoint, "detector.checkpoint", address, download)


def _download(address: str, path: Path, report: Callable[[int, int | None], None]) -> None:
    """Stream a file to a path that exists only when it is complete."""
    import httpx

    try:
        with (
            replacing(path) as file,
            httpx.stream("GET", address, follow_redirects=True, timeout=30) as reply,
        ):
            reply.raise_for_status()
            expected = int(reply.headers.get("Content-Length", 0)) or None
            for chunk in reply.iter_bytes():
                file.write(chunk)
                report(reply.num_bytes_downloaded, expected)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _failed(path.name, "detector.checkpoint", error) from error


def _failed(name: str, setting: str, error: Exception) -> WeightsError:
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return WeightsError(
        f"{name} ({setting}) cannot be fetched: {cause}. Check the name and the network; "
        "HF_ENDPOINT and REPIC_ULTRALYTICS_URL name mirrors. A setting may also name a file or "
        "folder that you put on this machine"
    )


def _is_folder(checkpoint: str | None) -> bool:
    return bool(checkpoint) and Path(checkpoint or "").expanduser().is_dir()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _record_path() -> Path:
    return weights.folder() / "fetched.json"


def _record() -> dict[str, Any]:
    try:
        record = json.loads(_record_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
