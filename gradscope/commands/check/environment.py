"""Where numbers were measured: what explains a difference that the code does not."""

from __future__ import annotations

import platform
from collections.abc import Mapping

Environment = Mapping[str, str]


def environment_stamp() -> dict[str, str]:
    """Versions and hardware of this process, as texts."""
    import numpy as np
    import torch

    from gradscope import __version__

    return {
        "gradscope": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "linear_algebra": _linear_algebra(torch.__config__.show()),
    }


def environment_differences(base: Environment, new: Environment) -> tuple[str, ...]:
    """What differs, such as ``"torch 2.5.0 → 2.13.0"``; nothing where one of them is unknown."""
    if not base or not new:
        return ()
    keys = [*base, *(key for key in new if key not in base)]
    return tuple(
        f"{key} {base.get(key) or 'none'} → {new.get(key) or 'none'}" for key in keys if base.get(key) != new.get(key)
    )


def _linear_algebra(configuration: str) -> str:
    """The library of matrix products that torch was built with."""
    for line in configuration.splitlines():
        for library in ("Math Kernel Library", "OpenBLAS", "Accelerate"):
            if library in line:
                return line.strip(" -").split(" for ")[0].split("-Product")[0]
    return "unknown"
