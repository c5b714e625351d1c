"""HLN's compiled steps on an accelerator: `python -m benchmarks.accelerator --run DIR`.

With `--run` it imports neither TensorFlow nor hln_tf.
"""

import argparse
import fnmatch
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.compiled.programs import Program, ProgramError, read_manifest
from benchmarks.compiled.settings import PRECISIONS, EmitSettings

_DESCRIPTION = """\
Measures HLN on a machine that has JAX, be it without TensorFlow. --emit writes the training
step (loss, gradients, update by Adam), the ranking of targets and the recommendation of the
k best items as compiled programs, StableHLO with all weights as arguments, and what
TensorFlow computes on the CPU. --run executes them on the device that JAX finds, and prints
step times, examples/s, the share of the device's rate of a large matrix product, what a step
launches, and the deviation from the CPU as a multiple of the allowed one, 1e-4 of the largest
number; float32 may not exceed it. Operations are counted from shapes, with padding. XLA's
options are those of the environment's XLA_FLAGS.

  python -m benchmarks.accelerator --emit programs
  python -m benchmarks.accelerator --run programs --programs 'train-*-float32' 'rank-*'
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _usage_error(f"{message} (see {self.prog} --help)")


def _usage_error(message: str) -> ProgramError:
    return ProgramError(message, exit_code=2)


def main(arguments: Sequence[str]) -> int:
    """Write or execute programs; an error is one sentence, as in all commands.

    Returns:
      0; 2 if a flag or value is not allowed; 1 if the programs are unusable, or one
      in float32 deviates from the CPU.
    """
    try:
        flags = _parser().parse_args(arguments)
        return _emit(flags) if flags.emit is not None else _run(flags)
    except ProgramError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.accelerator",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--emit", type=Path, metavar="DIR", help="write programs into a directory")
    what.add_argument("--run", type=Path, metavar="DIR", help="execute a directory's programs")
    add = parser.add_argument_group("--emit, by default the paper's sizes").add_argument
    defaults = EmitSettings()
    for name, text in {
        "items": "size of the catalogue",
        "embedding_dim": "size d of the item embeddings",
        "hidden_dim": "size n of a preference",
        "num_groups": "number L of preference groups",
        "k": "length of a recommendation",
    }.items():
        default = getattr(defaults, name)
        add(f"--{name}", type=int, default=default, help=f"{text} (default: {default})")
    for name, text in {"batch_size": "batch sizes", "length": "lengths of sessions"}.items():
        default = getattr(defaults, name)
        shown = f"{text} (default: {' '.join(map(str, default))})"
        add(f"--{name}", type=int, nargs="+", default=default, help=shown)
    text = f"precisions of matrix products (default: {' '.join(PRECISIONS)})"
    add("--precision", nargs="+", choices=PRECISIONS, default=defaults.precision, help=text)
    text = "write the training step with an unrolled recurrence too"
    add("--unrolled", action="store_true", help=text)
    add = parser.add_argument_group("--run").add_argument
    text = "names of those to run, in this order (default: all)"
    add("--programs", nargs="+", default=["*"], metavar="PATTERN", help=text)
    add("--steps", type=int, default=20, help="steps in a round (default: 20)")
    add("--rounds", type=int, default=10, help="rounds (default: 10)")
    return parser


def _at_least(flags: argparse.Namespace, minimum: int, *names: str) -> None:
    for name in names:
        given = getattr(flags, name)
        for value in given if isinstance(given, Sequence) else [given]:
            if value < minimum:
                raise _usage_error(
                    f"--{name} has {value}, expected whole numbers of at least {minimum}"
                )


def _emit(flags: argparse.Namespace) -> int:
    _at_least(flags, 1, "embedding_dim", "hidden_dim", "num_groups", "k", "batch_size", "length")
    _at_least(flags, flags.k, "items")
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(flags).items()
        if name in EmitSettings.__dataclass_fields__
    }
    from hln_tf.common import cli

    def emit(_: Sequence[str]) -> None:
        cli.import_tensorflow()
        from benchmarks.compiled.emit import emit

        programs = emit(flags.emit, EmitSettings(**given))
        print(f"{len(programs)} programs in {flags.emit}")

    return cli.run(emit, [])


def _run(flags: argparse.Namespace) -> int:
    _at_least(flags, 1, "steps", "rounds")
    _, programs = read_manifest(flags.run)
    chosen: list[Program] = []
    for pattern in flags.programs:
        matching = [one for one in programs if fnmatch.fnmatch(one.name, pattern)]
        if not matching:
            names = ", ".join(program.name for program in programs)
            raise _usage_error(f"--programs has {pattern!r}, which is none of {names}")
        chosen += [one for one in matching if one not in chosen]
    try:
        from benchmarks.compiled import execute
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("jax"):
            raise
        raise ProgramError("--run needs JAX: pip install jax, or jax[cuda13] for a GPU") from None
    peaks = execute.peak_rates(sorted({program.precision for program in chosen}))
    print(execute.describe_device())
    rates = ", ".join(f"{name} {rate / 1e12:.2f} TFLOP/s" for name, rate in peaks.items())
    print(f"rate of a large matrix product: {rates}\n")
    print(f"| {' | '.join(execute.HEADER)} |\n|{' --- |' * len(execute.HEADER)}")
    deviating = []
    for program in chosen:
        measured = execute.execute(flags.run, program, flags.steps, flags.rounds)
        print(f"| {' | '.join(measured.row(peaks[program.precision]))} |", flush=True)
        if not measured.is_equal:
            deviating.append(program.name)
    if deviating:
        raise ProgramError(f"float32 deviates from the CPU: {', '.join(deviating)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
