"""The precision of the softmax's products that a machine is made for. Imports no TensorFlow."""

from pathlib import Path

from hln_tf.common import cli

AUTO = "auto"
PROCESSOR = Path("/proc/cpuinfo")
# NVIDIA's GPUs multiply bfloat16 in units of their own since this compute capability.
_LEAST_CAPABILITY = (8, 0)


def fastest_precision(processor: Path = PROCESSOR) -> str:
    """Choose the precision by what the machine declares, never by a clock.

    Processors without tiles (AMX) have instructions for bfloat16, too, but convert
    its factors one by one, which costs more than the products gain.

    Args:
      processor: Linux' description of the processor.

    Returns:
      `bfloat16` where all GPUs, or the processor of a machine without one, have
      matrix units for it, else `float32`.
    """
    cli.import_tensorflow(reuses_memory=False)  # the process may be the user's
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    gpus = [
        details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    if gpus:
        return "bfloat16" if min(gpus) >= _LEAST_CAPABILITY else "float32"
    declared = processor.read_text("utf-8") if processor.is_file() else ""
    flags = {
        flag for line in declared.splitlines() if line.startswith("flags") for flag in line.split()
    }
    return "bfloat16" if "amx_bf16" in flags else "float32"
