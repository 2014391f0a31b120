"""Packages that a trainer's fields need, looked for before any model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repic.errors import ConfigError

if TYPE_CHECKING:
    from trl import GRPOConfig, SFTConfig


def check(config: GRPOConfig | SFTConfig) -> None:
    """Check that the packages of vLLM, Liger, the optimizer and the loggers are installed.

    Raises:
        ConfigError: one is not; the message names the field and how to install it.
    """
    from transformers.utils import is_liger_kernel_available
    from trl.import_utils import is_vllm_available

    if getattr(config, "use_vllm", False) and not is_vllm_available():
        raise ConfigError(
            "vLLM is not installed: `pip install 'trl[vllm]'`, or train without --vllm "
            "(trainer.use_vllm)"
        )
    if config.use_liger_kernel and not is_liger_kernel_available():
        raise ConfigError(
            "Liger is not installed: `pip install liger-kernel`, or leave out "
            "trainer.use_liger_kernel"
        )
    _check_optimizer(config)
    _check_loggers(config)


def _check_optimizer(config: GRPOConfig | SFTConfig) -> None:
    from transformers import Trainer

    try:
        Trainer.get_optimizer_cls_and_kwargs(config)
    except (ImportError, ValueError) as error:
        # Some need the model, which is not here yet; they fail after the look for their package.
        if isinstance(error, ImportError) or "install" in str(error) or "import" in str(error):
            name = getattr(config.optim, "value", config.optim)
            raise ConfigError(f"trainer.optim={name}: {error}") from None


def _check_loggers(config: GRPOConfig | SFTConfig) -> None:
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in config.report_to or ():
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise ConfigError(f"trainer.report_to={name}: there is no such logger; one of {known}")
        if name not in {*get_available_reporting_integrations(), "flyte"}:
            raise ConfigError(
                f"trainer.report_to={name}: it is not installed; `pip install {name}`, or leave "
                "it out"
            )
