"""Device, precision, threads and batch size of models, resolved without importing torch.

A fingerprint includes the kind of device, so the choice must not depend on whether torch is loaded.
It is made from the driver; `ResolvedRuntime.prepare` raises an error if torch disagrees.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from repic.errors import DeviceError

if TYPE_CHECKING:
    import torch

    from repic.config import RuntimeSettings

T = TypeVar("T")

_DEVICE = re.compile(r"(cpu|mps|cuda|xpu|hpu|npu|mlu|musa|xla)(:[0-9]+)?")


@dataclass(frozen=True)
class ResolvedRuntime:
    """`RuntimeSettings` of one model, with `auto` resolved for this machine."""

    device: str
    precision: str
    threads: int
    batch_size: int

    @classmethod
    def of(cls, runtime: RuntimeSettings) -> ResolvedRuntime:
        """Resolve `auto`. Does not import torch.

        Raises:
            DeviceError: there is no kind of device of this name.
        """
        device = _best_device() if runtime.device == "auto" else runtime.device
        if not _DEVICE.fullmatch(device):
            raise _no_device(device)
        precision = runtime.precision
        if precision == "auto":
            precision = "bfloat16" if device.startswith("cuda") else "float32"
        return cls(device, precision, runtime.threads, runtime.batch_size)

    def describe(self) -> dict[str, Any]:
        """JSON of everything that can change a result: the kind of device, but not its index."""
        return {
            "device": self.device.partition(":")[0],
            "precision": self.precision,
            "threads": self.threads,
            "batch_size": self.batch_size,
        }

    def prepare(self) -> torch.device:
        """Use deterministic kernels, set the number of threads, and return the torch device.

        Raises:
            DeviceError: torch cannot use the device.
        """
        import torch

        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise _no_device(self.device) from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise DeviceError(
                f"torch cannot use {self.device}: install a CUDA build of torch that fits the "
                "driver, or set runtime.device=cpu"
            )
        if device.type == "mps" and not torch.backends.mps.is_available():
            raise DeviceError("torch cannot use mps: set runtime.device=cpu")
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        return device

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """Disable gradients, and use bfloat16 autocast if that is the precision."""
        import torch

        kind = self.device.partition(":")[0]
        is_bfloat16 = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=is_bfloat16):
            yield


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Consecutive items, `size` at a time; the last batch may be shorter (itertools of 3.12)."""
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch


@lru_cache(maxsize=1)
def _best_device() -> str:
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cuda" if _torch_supports_gpus() and nvidia_gpu_count() else "cpu"


def _torch_supports_gpus() -> bool:
    return not metadata.version("torch").endswith("+cpu")


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def nvidia_gpu_count() -> int:
    """Number of NVIDIA GPUs, 0 if they are hidden from this process.

    Uses the management library instead of CUDA: a process that has initialized CUDA cannot fork.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return 0
    name = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    count = ctypes.c_uint(0)
    try:
        nvml = ctypes.CDLL(name)
        if nvml.nvmlInit_v2() != 0:
            return 0
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        nvml.nvmlShutdown()
    except (OSError, AttributeError):
        return 0
    return count.value


def _no_device(device: str) -> DeviceError:
    return DeviceError(
        f"runtime.device={device} is not a device: choose auto, cpu, cuda, cuda:1 or mps"
    )
