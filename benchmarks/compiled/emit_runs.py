"""Trainings as programs: every step of `hln_tf.train`, written through TensorFlow's compiler."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.compiled.emit import Step, Variables, compile_program
from benchmarks.compiled.programs import Argument, Program, ProgramError
from benchmarks.compiled.run_plan import (
    LENGTHS,
    RANK,
    RANKED,
    TRAIN,
    Plan,
    PlannedRun,
    variable_name,
    write_sessions,
)
from benchmarks.throughput.operations import initial_model, optimizer, weighted_training_step
from hln_tf.common.progress import progress_bar
from hln_tf.data.layout import SPLITS
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.models import SessionEncoder
from hln_tf.training import RunConfig

# Settings that are arguments of a program, or that it does not depend on.
_NOT_COMPILED: dict[str, Any] = {
    "learning_rate": 0.001,
    "decay": 1.0,
    "decay_epochs": 1,
    "epochs": 1,
    "patience": 1,
    "refit": False,
    "seed": 1,
    "evaluation_batch_size": RANKED,
    "score_megabytes": 8_000,
    "checkpoint_minutes": 0.0,
}
# Settings of models that are initial values of weights.
_INITIAL = ("scale", "leap_bias", "leap_threshold", "leap_slope")
PRECISION = "float32"
# Entries from which on the initial item table is sampled where it is used, instead of stored.
_LARGE = 1_000_000


def emit_runs(directory: Path, runs: Sequence[tuple[str, RunConfig]]) -> Plan:
    """Write the programs, data and initial weights of trainings.

    Args:
      directory: A directory, which is made where it does not exist.
      runs: Run directories, which are not written here, and settings.

    Returns:
      The plan.

    Raises:
      ProgramError: A training cannot be compiled.
    """
    directory.mkdir(parents=True, exist_ok=True)
    planned: list[PlannedRun] = []
    programs: dict[tuple[str, str, int], Program] = {}
    data: dict[str, dict[str, Sessions]] = {}
    with progress_bar("emit", "runs", len(runs)) as bar, tf.device("CPU"):
        for workdir, config in runs:
            compiled = _compiled_settings(config)
            known = {**compiled.to_dict(), "model_settings": _compiled_model_settings(config)}
            family = f"{config.model}-{_checksum(known)}"
            of_data = f"data-{_checksum(dataclasses.asdict(config.data))}.npz"
            if of_data not in data:
                data[of_data] = {each: _read(config, each) for each in SPLITS}
                write_sessions(directory / of_data, data[of_data])
            parts = data[of_data]
            train, validation = (parts[each] for each in SPLITS[:2])
            model = _model(compiled, config.training.seed, train)
            initial = [_store(directory, model)]
            if model.retrieval_loss.uses_item_counts:
                model.fit_counts(train + validation)
            initial.append(_store(directory, model))
            if all(key[0] != family for key in programs):
                programs |= _programs(directory, family, compiled, model)
            planned.append(PlannedRun(workdir, config, of_data, family, *initial))
            bar.update()
    plan = Plan(planned, programs)
    plan.write(directory)
    return plan


def _compiled_settings(config: RunConfig) -> RunConfig:
    """Return the settings that runs with the same programs share."""
    config = config.settled()
    training = dataclasses.replace(config.training, **_NOT_COMPILED)
    return dataclasses.replace(config, training=training)


def _compiled_model_settings(config: RunConfig) -> dict[str, Any]:
    settings = dataclasses.asdict(config.model_settings)
    return {name: value for name, value in settings.items() if name not in _INITIAL}


def _checksum(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def _read(config: RunConfig, split: str) -> Sessions:
    sessions = read_sessions(config.data.directory, split, unknown=True)
    if not sessions.items.all():
        raise ProgramError(
            f"{config.data.directory} has clicks on unknown items in its {split} part, which only "
            f"python -m hln_tf.evaluate ranks: prepare it without --unseen_targets miss"
        )
    return sessions


def _model(config: RunConfig, seed: int, counted: Sessions) -> SessionEncoder:
    model = initial_model(config, seed, counted)
    if not isinstance(model, SessionEncoder):
        raise ProgramError(f"{config.model} only counts: run it with python -m hln_tf.train")
    return model


def _names(model: SessionEncoder) -> list[tuple[str, tf.Variable]]:
    return [(variable_name(place), one) for place, one in enumerate(model.variables)]


def _store(directory: Path, model: SessionEncoder) -> dict[str, str]:
    """Write the initial variables that are not sampled; return their files by name."""
    stored = {}
    for name, variable in _names(model):
        if not _is_sampled(model, variable) and variable is not model.item_counts:
            value = variable.numpy()
            about = f"{value.dtype} {value.shape} ".encode()
            stored[name] = f"{hashlib.sha256(about + value.tobytes()).hexdigest()[:16]}.npy"
            if not (directory / stored[name]).exists():
                np.save(directory / stored[name], value)
    return stored


def _is_sampled(model: SessionEncoder, variable: tf.Variable) -> bool:
    return variable.ref() in model.item_tables and variable.shape.num_elements() >= _LARGE


def _variable(name: str, variable: tf.Variable, values: str, **bounds: float) -> Argument:
    return Argument(name, tuple(variable.shape), variable.dtype.name, values, **bounds)


def _weights(model: SessionEncoder) -> Variables:
    """List a model's variables as arguments; tables are sampled as by `add_item_table`."""
    arguments: Variables = []
    for name, variable in _names(model):
        argument = _variable(name, variable, "stored")
        if _is_sampled(model, variable):
            bound = variable.shape[1] ** -0.5
            argument = _variable(name, variable, "uniform", low=-bound, high=bound)
        arguments.append((argument, variable))
    return arguments


def _programs(
    directory: Path, family: str, config: RunConfig, model: SessionEncoder
) -> dict[tuple[str, str, int], Program]:
    longest = config.training.max_length
    lengths = [*(length for length in LENGTHS if length < longest), longest]
    programs = {}
    # Ranking is bound by the scores, not by the sessions: fewer lengths are enough.
    for kind, chosen in ((TRAIN, lengths), (RANK, lengths[::-3])):
        for length in chosen:
            step = _train(config, model, length) if kind == TRAIN else _rank(model, length)
            name = f"{kind}-{family}-{length}"
            batch = step.inputs[0].shape[0]
            try:
                program, module = compile_program(step, name, "", PRECISION, batch)
            except (tf.errors.OpError, ValueError, TypeError) as error:
                reason = " ".join(str(error).split())[:500]
                raise ProgramError(f"{config.model} does not compile: {reason}") from None
            (directory / program.file).write_bytes(module)
            programs[family, kind, length] = program
    return programs


def _train(config: RunConfig, model: SessionEncoder, length: int) -> Step:
    batch = config.training.batch_size
    update = optimizer(config.training)
    step = weighted_training_step(model, update)
    inputs = (
        Argument("items", (batch, length), "int32", "stored"),
        Argument("target", (batch,), "int32", "stored"),
        Argument("weight", (batch,), "float32", "stored"),
        Argument("seed", (2,), "int32", "stored"),
    )

    def variables() -> Variables:
        numbers = {
            name: value
            for name in ("learning_rate", "beta_1", "beta_2", "momentum", "decay")
            if isinstance(value := getattr(update, name, None), tf.Variable)
        }
        return [
            *_weights(model),
            *(
                (_variable(f"slot-{place}", slot, "constant"), slot)
                for place, slot in enumerate(update.variables())
            ),
            *(
                (_variable(name, one, "constant", low=float(one.numpy())), one)
                for name, one in numbers.items()
            ),
        ]

    return Step(step, inputs, variables, ("loss",), 0.0)


def _rank(model: SessionEncoder, length: int) -> Step:
    def ranks(items: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return model.target_ranks({"items": items, "target": target})

    batch = min(RANKED, model.num_items)
    inputs = (
        Argument("items", (batch, length), "int32", "stored"),
        Argument("target", (batch,), "int32", "stored"),
    )
    return Step(ranks, inputs, lambda: _weights(model), ("ranks",), 0.0)
