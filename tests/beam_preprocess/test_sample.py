"""The sample's process and the log sampled from it."""

import csv
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from beam_preprocess.sample.__main__ import main
from beam_preprocess.sample.generator import (
    CLICKS,
    GROUPS,
    NOISE,
    PROCESS,
    LogSettings,
    draw_log,
    generate,
    read_process,
)
from beam_preprocess.sample.process import Process, ProcessSettings, draw_process
from hln_tf.common import files
from hln_tf.common.cli import run
from hln_tf.common.errors import HlnError, UsageError

SMALL = ProcessSettings(items=40, groups=6, group_items=16)
ROW = re.compile(r"\d+,2014-04-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,2145\d{5},0")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    output = tmp_path_factory.mktemp("raw")
    generate(SMALL, LogSettings(output=str(output), sessions=300))
    return output


@pytest.fixture(scope="module")
def full():
    process = draw_process(ProcessSettings())
    return process, draw_log(process, LogSettings(), seed=1)


def sessions_and_groups(log):
    ends = np.cumsum(log.lengths)[:-1]
    return zip(np.split(log.items, ends), np.split(log.groups, ends), strict=True)


def test_the_log_has_the_yoochoose_format(written):
    lines = (written / CLICKS).read_text().splitlines()
    assert all(ROW.fullmatch(line) for line in lines)
    sessions = [int(line.split(",")[0]) for line in lines]
    assert sorted(set(sessions)) == list(range(1, 301))
    assert sessions == sorted(sessions)
    assert min(np.bincount(sessions)[1:]) >= 3
    assert max(np.bincount(sessions)[1:]) <= 15


def test_times_increase_within_a_session(written):
    rows = [line.split(",") for line in (written / CLICKS).read_text().splitlines()]
    pairs = [(a, b) for a, b in itertools.pairwise(rows) if a[0] == b[0]]
    assert pairs
    assert all(earlier[1] < later[1] for earlier, later in pairs)


def test_groups_name_every_click_of_the_log(written):
    clicks = [line.split(",") for line in (written / CLICKS).read_text().splitlines()]
    with open(written / GROUPS, newline="") as file:
        planted = list(csv.DictReader(file))
    assert [row["session_id"] for row in planted] == [row[0] for row in clicks]
    assert [row["item_id"] for row in planted] == [row[2] for row in clicks]
    for earlier, later in zip([None, *planted], planted, strict=False):
        same = earlier is not None and earlier["session_id"] == later["session_id"]
        assert int(later["position"]) == (int(earlier["position"]) + 1 if same else 0)


def test_the_process_read_equals_the_one_written(written):
    process, checksum = read_process(written)
    expected = draw_process(SMALL)
    assert checksum == files.sha256(written / CLICKS)
    assert process.to_dict() == expected.to_dict()
    for name, value in expected.to_dict().items():
        assert np.array_equal(getattr(process, name), value)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(written, tmp_path):
    for path in generate(SMALL, LogSettings(output=str(tmp_path), sessions=300)):
        assert path.read_bytes() == (written / path.name).read_bytes()
    other = ProcessSettings(items=40, groups=6, group_items=16, seed=2)
    for path in generate(other, LogSettings(output=str(tmp_path), sessions=300)):
        assert path.read_bytes() != (written / path.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [CLICKS, GROUPS, PROCESS]


def test_the_last_day_holds_a_fourteenth_of_the_default_sessions(full):
    _, log = full
    ends = log.times[np.cumsum(log.lengths) - 1].astype("datetime64[s]")
    last_day = ends > ends.max() - np.timedelta64(86_400, "s")
    assert len(log.lengths) == 20_000
    assert 1_300 < last_day.sum() < 1_560


def test_every_item_belongs_to_two_groups_or_more_with_its_own_successors():
    process = draw_process(ProcessSettings())
    memberships = np.bincount(process.cycles.ravel(), minlength=process.items)
    assert memberships.min() >= 2
    assert memberships.max() - memberships.min() <= 1
    assert all(len(set(cycle)) == len(cycle) for cycle in process.cycles.tolist())
    successors = np.roll(process.cycles, -1, axis=1)
    bigrams = set(zip(process.cycles.ravel().tolist(), successors.ravel().tolist(), strict=True))
    assert len(bigrams) > 0.99 * process.cycles.size
    assert len(set(process.item_ids.tolist())) == process.items


def test_each_click_is_one_that_its_group_could_make(full):
    process, log = full
    cycles = process.cycles.tolist()
    places = [{item: place for place, item in enumerate(cycle)} for cycle in cycles]
    for items, groups in sessions_and_groups(log):
        reached = {}
        for item, group in zip(items.tolist(), groups.tolist(), strict=True):
            if group == NOISE:
                continue
            place = places[group][item]
            if group in reached:
                assert 1 <= (place - reached[group]) % len(cycles[group]) <= len(process.steps)
            reached[group] = place
        assert len(reached) <= max(process.sizes)


def test_frequencies_are_those_of_the_process(full):
    process, log = full
    places = np.full((process.groups, process.items), -1)
    np.put_along_axis(places, process.cycles, np.arange(process.cycles.shape[1])[None, :], axis=1)
    steps, starts, switches, first_groups, long_sizes = [], [], [], [], []
    for items, groups in sessions_and_groups(log):
        reached, latest = {}, None
        for item, group in zip(items.tolist(), groups.tolist(), strict=True):
            if group == NOISE:
                continue
            place = places[group, item]
            if group in reached:
                steps.append((place - reached[group]) % process.cycles.shape[1])
            else:
                starts.append(process.starts[group, place])
            if latest is None:
                first_groups.append(group)
            else:
                switches.append(group != latest)
            reached[group] = place
            latest = group
        if len(items) >= 14:
            long_sizes.append(len(reached))
    assert np.mean(log.groups == NOISE) == pytest.approx(process.noise, abs=0.005)
    assert np.mean(switches) == pytest.approx(process.switch, abs=0.01)
    np.testing.assert_allclose(
        np.bincount(steps)[1:] / len(steps), process.steps, rtol=0, atol=0.005
    )
    np.testing.assert_allclose(
        np.bincount(first_groups) / len(first_groups), 1 / process.groups, rtol=0, atol=0.01
    )
    # Starts sampled in proportion to p have the mean probability sum(p^2).
    assert np.mean(starts) == pytest.approx(np.mean(np.sum(process.starts**2, axis=1)), rel=0.03)
    assert np.mean(np.array(long_sizes) == 3) == pytest.approx(0.5, abs=0.06)


def test_lengths_do_not_depend_on_the_content(full):
    _, log = full
    first_groups = log.groups[np.concatenate([[0], np.cumsum(log.lengths)[:-1]])]
    means = [log.lengths[first_groups == group].mean() for group in np.unique(first_groups)]
    np.testing.assert_allclose(means, log.lengths.mean(), rtol=0, atol=0.4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--groups", "2"], "--groups is 2, expected at least 3"),
        (["--group_items", "600"], "--group_items is 600, expected at most the number of items"),
        (["--items", "600"], "--groups 12 of --group_items 90 are 1080 memberships"),
        (["--noise", "1"], "--noise is 1.0"),
        (["--max_length", "2"], "--max_length is 2, expected at least --min_length, 3"),
        (["--sessions", "many"], "invalid int value: 'many'"),
        (["--session", "5"], "unrecognized arguments: --session 5"),
    ],
)
def test_wrong_flags_are_usage_errors(flags, message, tmp_path, capsys):
    assert run(main, ["generate", "--output", str(tmp_path / "raw"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "raw").write_text("other")
    with pytest.raises(UsageError, match="is a file, expected a directory"):
        generate(SMALL, LogSettings(output=str(tmp_path / "raw"), sessions=10))
    assert (tmp_path / "raw").read_text() == "other"


def test_a_process_that_is_missing_or_damaged_is_named(written, tmp_path):
    path = tmp_path / PROCESS
    with pytest.raises(HlnError, match=r"does not exist: run python -m beam_preprocess\.sample"):
        read_process(tmp_path)
    content = json.loads((written / PROCESS).read_text())
    for damage, message in [
        ({"format_version": 9}, "has format version 9"),
        ({"clicks": None}, "does not define a process"),
        ({"process": {}}, "does not define a process"),
        ({"process": {**content["process"], "cycles": [[99]]}}, "does not define a process"),
    ]:
        path.write_text(json.dumps({**content, **damage}))
        with pytest.raises(HlnError, match=message):
            read_process(tmp_path)


def test_a_cycle_must_name_items_that_exist():
    values = draw_process(SMALL).to_dict()
    values["cycles"][0][0] = SMALL.items
    with pytest.raises(HlnError, match="a cycle names an item that does not exist"):
        Process.from_dict(values, "a file")


def test_the_command_writes_the_three_files_without_tensorflow(tmp_path):
    script = (
        "import sys; from beam_preprocess.sample.__main__ import main; "
        "from hln_tf.common.cli import run; "
        "code = run(main); assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    flags = ["generate", "--output", str(tmp_path / "raw"), "--sessions", "50"]
    done = subprocess.run([sys.executable, "-c", script, *flags], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"wrote {tmp_path / 'raw' / name}" for name in (CLICKS, GROUPS, PROCESS)
    ]


def test_the_module_runs_and_reports_errors_in_one_sentence(tmp_path):
    command = [sys.executable, "-m", "beam_preprocess.sample"]
    shown = subprocess.run([*command, "generate", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "--group_items" in shown.stdout
    failed = subprocess.run(
        [*command, "optimum", "--raw_dir", str(tmp_path)], capture_output=True, text=True
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1
