"""Programs of HLN's steps, written through TensorFlow's compiler."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.compiled.programs import Argument, Output, Program, probe, write_manifest
from benchmarks.compiled.settings import EmitSettings
from benchmarks.throughput.operations import (
    NoiseGivenHLN,
    create_ranker,
    optimizer,
    training_step_with_noise,
)
from benchmarks.throughput.training import recurrent_products, softmax_products
from hln_tf.common.progress import progress_bar
from hln_tf.models import HLNSettings
from hln_tf.tasks import FullSoftmax
from hln_tf.training import TrainingSettings

# The state of the optimiser in the middle of a training: second moments this small make the
# update as large as it can be, so that its errors show.
_STEPS_DONE, _SECOND_MOMENT = 1000, 1e-12
_ALIAS = re.compile(r"\{(\d+)\}: \((\d+), \{\}")
TRAIN, UNROLLED = "train", "_unrolled"

# Variables that a step reads, each with the argument that replaces it.
Variables = list[tuple[Argument, tf.Variable]]


@dataclasses.dataclass(frozen=True)
class Step:
    """A step before it is compiled.

    Attributes:
      function: From the inputs to the named outputs.
      inputs: Its own arguments; the variables that it reads are arguments too.
      variables: Returns those that it may read; call it once the step is traced,
        as an optimiser makes variables then.
      outputs: Names of the results; those of item indices end in `positions`.
      operations: Floating-point operations.
    """

    function: Callable[..., Any]
    inputs: tuple[Argument, ...]
    variables: Callable[[], Variables]
    outputs: tuple[str, ...]
    operations: float


def emit(directory: Path, settings: EmitSettings) -> list[Program]:
    """Write the programs of all batch sizes, lengths and precisions, and the results of the CPU.

    Args:
      directory: A directory, which is made where it does not exist.
      settings: What to write.

    Returns:
      The programs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kinds = [(kind, one) for kind in _MAKE for one in _precisions(kind, settings)]
    sizes = [(batch, length) for batch in settings.batch_size for length in settings.length]
    programs: list[Program] = []
    with progress_bar("emit", "programs", len(sizes) * len(kinds)) as bar, tf.device("CPU"):
        for batch, length in sizes:
            for kind, precision in kinds:
                step = _MAKE[kind](settings, precision, batch, length)
                family = f"b{batch}-t{length}"
                name = f"{kind}-{family}-{precision}"
                # Unrolled or not, a step computes the same.
                reference = f"{kind.removesuffix(UNROLLED)}-{family}.npz"
                program, module = compile_program(step, name, reference, precision, batch)
                (directory / program.file).write_bytes(module)
                if all(one.reference != reference for one in programs):
                    if precision != "float32":
                        step = _MAKE[kind](settings, "float32", batch, length)
                    np.savez_compressed(directory / reference, **_reference(program, step))
                programs.append(program)
                bar.update()
    write_manifest(
        directory, {"tensorflow": tf.__version__, **dataclasses.asdict(settings)}, programs
    )
    return programs


def _precisions(kind: str, settings: EmitSettings) -> list[str]:
    if kind.endswith(UNROLLED):
        return ["float32"] if settings.unrolled else []
    # Only the softmax's loss is ever computed in bfloat16.
    return [one for one in settings.precision if kind == TRAIN or one != "bfloat16"]


def compile_program(
    step: Step, name: str, reference: str, precision: str, batch: int
) -> tuple[Program, bytes]:
    """Compile a step to a module of StableHLO whose variables are arguments and results.

    Args:
      step: The step.
      name: Its name.
      reference: File with the results of the CPU, if there is one.
      precision: See `Program`.
      batch: Examples in a step.

    Returns:
      The program and its module, serialised.
    """
    specs = [tf.TensorSpec(one.shape, one.dtype) for one in step.inputs]
    with_tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
    try:
        compiled = tf.function(step.function, jit_compile=True, autograph=False)
        concrete = compiled.get_concrete_function(*specs)
        ir = compiled.experimental_get_compiler_ir(*specs)
        module, hlo = ir(stage="stablehlo_serialized"), ir(stage="hlo")
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(with_tf32)
    variables = step.variables()
    read = [_argument(handle, variables) for handle in concrete.captured_inputs]
    arguments = (*step.inputs, *read)
    outputs = [Output(name, name.endswith("positions")) for name in step.outputs]
    # After the results come the variables that the step assigns, which these arguments give.
    for _, argument in _ALIAS.findall(_header(hlo)):
        outputs.append(Output(arguments[int(argument)].name, argument=int(argument)))
    program = Program(name, reference, precision, batch, step.operations, arguments, tuple(outputs))
    return program, module


def _header(hlo: str) -> str:
    """Return the part of an HLO module's first line that says which output is which input."""
    header = hlo.partition("\n")[0]
    return header.partition("input_output_alias={")[2].partition("entry_computation")[0]


def _argument(handle: tf.Tensor, variables: Variables) -> Argument:
    for argument, variable in variables:
        if variable.handle is handle:
            return argument
    raise ValueError(f"the step reads {handle}, which is no variable of the model or optimiser")


def _reference(program: Program, step: Step) -> dict[str, Any]:
    """Compute the results by TensorFlow without its compiler."""
    inputs = [tf.constant(argument.array()) for argument in step.inputs]
    run = tf.function(step.function)
    run.get_concrete_function(*inputs)
    variables = step.variables()
    for argument, variable in variables:
        variable.assign(argument.array())
    for _ in range(program.steps):
        results = tf.nest.flatten(run(*inputs))
    state = {argument.name: variable for argument, variable in variables}
    reference: dict[str, Any] = {}
    for place, output in enumerate(program.outputs):
        value = results[place] if output.argument is None else state[output.name]
        reference |= probe(output.name, value.numpy())
    return reference


def _model(settings: EmitSettings, precision: str) -> NoiseGivenHLN:
    loss = FullSoftmax("bfloat16" if precision == "bfloat16" else "float32")
    model = NoiseGivenHLN(
        settings.items,
        loss=loss,
        embedding_dim=settings.embedding_dim,
        hidden_dim=settings.hidden_dim,
        num_groups=settings.num_groups,
        seed=1,
    )
    model.leap_recurrent_unit.joined = True  # as where TensorFlow has a GPU
    return model


def _name(variable: tf.Variable) -> str:
    return variable.name.removesuffix(":0")


def _weight(variable: tf.Variable) -> Argument:
    """Return a weight's argument: uniform within the bounds that initialisers use, or so."""
    bound = min(variable.shape, default=1) ** -0.5
    shape, dtype = tuple(variable.shape), variable.dtype.name
    return Argument(_name(variable), shape, dtype, "uniform", low=-bound, high=bound)


def _weights(model: NoiseGivenHLN) -> Variables:
    return [(_weight(weight), weight) for weight in model.trainable_variables]


def _constant(variable: tf.Variable, value: Any) -> Argument:
    shape, dtype = tuple(variable.shape), variable.dtype.name
    return Argument(_name(variable), shape, dtype, "constant", low=float(value))


def _sessions(settings: EmitSettings, batch: int, length: int) -> Argument:
    return Argument("items", (batch, length), "int32", "sessions", low=1, high=settings.items)


def _targets(settings: EmitSettings, batch: int) -> Argument:
    return Argument("target", (batch,), "int32", "integers", low=1, high=settings.items)


def _operations(settings: EmitSettings, batch: int, length: int) -> float:
    sizes = HLNSettings(
        embedding_dim=settings.embedding_dim,
        hidden_dim=settings.hidden_dim,
        num_groups=settings.num_groups,
    )
    products = recurrent_products(batch * length, batch, batch, sizes)
    products += softmax_products(settings.items, batch, batch, sizes)
    return sum(product.operations for product in products)


def _train(
    settings: EmitSettings, precision: str, batch: int, length: int, is_unrolled: bool = False
) -> Step:
    model = _model(settings, precision)
    if is_unrolled:  # the cell step by step, as Keras unrolls it
        model.leap_recurrent_unit.fused = False
        model.leap_recurrent_unit.unroll = True
    adam = optimizer(TrainingSettings())
    step = training_step_with_noise(model, adam)
    noise_shape = (settings.num_groups, batch, length)
    inputs = (
        _sessions(settings, batch, length),
        _targets(settings, batch),
        Argument("noise", noise_shape, "float32", "logistic"),
    )

    def variables() -> Variables:
        slots = [
            (_constant(adam.get_slot(weight, slot), value), adam.get_slot(weight, slot))
            for weight in model.trainable_variables
            for slot, value in (("m", 0.0), ("v", _SECOND_MOMENT))
        ]
        scalars = [adam.learning_rate, adam.beta_1, adam.beta_2]
        return [
            *_weights(model),
            *slots,
            (_constant(adam.iterations, _STEPS_DONE), adam.iterations),
            *((_constant(one, one.numpy()), one) for one in scalars),
        ]

    operations = _operations(settings, batch, length)
    return Step(step, inputs, variables, ("loss",), operations)


def _train_unrolled(settings: EmitSettings, precision: str, batch: int, length: int) -> Step:
    return _train(settings, precision, batch, length, is_unrolled=True)


def _rank(settings: EmitSettings, precision: str, batch: int, length: int) -> Step:
    model = _model(settings, precision)

    def ranks(items: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return model.target_ranks({"items": items, "target": target})

    inputs = (_sessions(settings, batch, length), _targets(settings, batch))
    operations = _operations(settings, batch, length) / 3  # without the two gradients
    return Step(ranks, inputs, lambda: _weights(model), ("ranks",), operations)


def _top_k(settings: EmitSettings, precision: str, batch: int, length: int) -> Step:
    model = _model(settings, precision)
    ranker = create_ranker(model, settings.k)

    def rank(items: tf.Tensor) -> Any:
        return tuple(ranker.rank(items, tf.constant(settings.k)))

    def variables() -> Variables:
        # Sessions have clicks: none gets the most popular items, of which these are zeros.
        others = [one for one in ranker.variables if one is not model.X]
        return [*_weights(model), *((_constant(one, 0), one) for one in others)]

    operations = _operations(settings, batch, length) / 3
    names = ("scores", "positions", "is_fallback")
    return Step(rank, (_sessions(settings, batch, length),), variables, names, operations)


_MAKE: dict[str, Callable[[EmitSettings, str, int, int], Step]] = {
    TRAIN: _train,
    TRAIN + UNROLLED: _train_unrolled,
    "rank": _rank,
    "top_k": _top_k,
}
