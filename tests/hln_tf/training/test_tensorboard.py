"""The event files of a training, read with TensorBoard's own reader."""

import contextlib
import csv
import itertools
import re
import signal

import events
import numpy as np
import pytest
from browsers import SCREENSHOTS, chromium
from commands import TINY, finish, run, start
from google.protobuf import text_format
from served import wait_for
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.projector import ProjectorConfig

from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.training.run_directory import RunDirectory, load_model
from hln_tf.training.settings import TensorBoardSettings

STEPS = 45  # of an epoch, in batches of 8
EPOCHS = 3


@pytest.fixture(scope="module")
def watched(tmp_path_factory, data):
    """A run that is stopped in its second epoch and resumed with --tensorboard."""
    from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt

    path = tmp_path_factory.mktemp("runs") / "watched"
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", path)
    arguments = (*where, *TINY, "--batch_size", "8", "--learning_rate", "0.01")
    arguments += ("--epochs", str(EPOCHS))
    checks = itertools.count(1)

    def check(self):
        if next(checks) == STEPS + 10:
            raise TrainingInterrupt(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnSignal, "check", check)
        assert run("hln_tf.train", *arguments).code == 128 + signal.SIGINT
    outcome = run("hln_tf.train", *arguments, "--tensorboard", "--profile_steps", "3:5")
    assert outcome.code == 0, outcome.err
    assert "resuming epoch 2" in outcome.err
    return path, outcome


@pytest.fixture(scope="module")
def selection(watched):
    return watched[0] / "events" / "selection"


@pytest.fixture(scope="module")
def history(watched):
    return files.read_json(watched[0] / "metrics.json", "")["history"]


@pytest.fixture(scope="module")
def retention(watched, splits):
    """For each validation session the retention by the best weights, [L, clicks]."""
    model = load_model(watched[0])
    return [model.retention(np.array([session]))[0].numpy() for session in splits["validation"]]


def best_epoch(watched):
    """Return the best epoch, of whose weights `retention` is; it was logged after the stop."""
    epoch = files.read_json(watched[0] / "metrics.json", "")["best_epoch"]
    assert epoch > 1
    return epoch


def test_the_command_that_opens_it_is_printed(watched):
    path, outcome = watched
    assert f"to watch: tensorboard --logdir {path / 'events'}\n" in outcome.err


def test_scalars_of_steps_and_epochs(selection, history):
    found = events.scalars(selection)
    ends = [STEPS * epoch for epoch in range(1, EPOCHS + 1)]
    assert [step for step, _ in found["loss"]] == ends
    assert [value for _, value in found["loss"]] == pytest.approx(
        [entry["loss"] for entry in history], rel=1e-6
    )
    assert [step for step, _ in found["gradient_norm"]] == ends[1:], "from --tensorboard on"
    for name in history[0]:
        assert found[f"epoch/{name}"] == [
            (epoch, pytest.approx(entry[name], rel=1e-6))
            for epoch, entry in enumerate(history, start=1)
        ]
    for name in ("examples_per_second", "epoch/examples_per_second", "gradient_norm"):
        assert all(value > 0 for _, value in found[name])


def test_retention_and_leap_probabilities_of_the_groups(selection, watched, retention):
    found, epoch = events.tensors(selection), best_epoch(watched)
    clicks = np.concatenate(retention, axis=1)
    for group, expected in enumerate(clicks, start=1):
        means = dict(found[f"epoch/retention/group_{group}"])
        assert set(means) == {2, 3}
        assert float(means[epoch]) == pytest.approx(expected.mean(), abs=1e-5)
        buckets = dict(found[f"leap_probability/group_{group}"])[epoch]  # left, right, count
        assert buckets[:, 2].sum() == len(expected)
        assert buckets[0, 0] == pytest.approx(1 - expected.max(), abs=1e-5)
        assert buckets[-1, 1] == pytest.approx(1 - expected.min(), abs=1e-5)


def test_the_heatmap_is_that_of_figure_3(selection, watched, retention):
    import tensorflow as tf

    from hln_tf.analysis.pictures import draw_retention, pixels

    epoch = best_epoch(watched)
    images = dict(events.tensors(selection)["retention"])
    assert set(images) == {2, 3}
    width, height, png = images[epoch]
    found = tf.io.decode_png(png).numpy()
    assert found.shape == (int(height), int(width), 4)
    of_six = [session for session in retention if session.shape[1] == 6]
    title = (
        f"Retention rates of hln on sample after epoch {epoch}\n6 validation sessions of 6 clicks"
    )
    assert len(of_six) == 6
    np.testing.assert_array_equal(found, pixels(draw_retention(np.mean(of_six, axis=0), title)))


def test_the_graph_is_that_of_a_step(selection):
    graph = events.read(selection).Graph()
    functions = {function.signature.name for function in graph.library.function}
    operations = {node.op for node in graph.node}
    for function in graph.library.function:
        operations |= {node.op for node in function.node_def}
    assert functions and {"ResourceApplyAdam", "MatMul"} <= operations


def test_a_profile_of_steps_after_the_run_was_resumed(selection, watched):
    (profile,) = selection.glob("plugins/profile/*/*.xplane.pb")
    assert b"train_step" in profile.read_bytes()
    assert f"wrote a profile below {selection}" in watched[1].err


def session_info(directory, tag, parse):
    return parse(events.read(directory).SummaryMetadata(tag).plugin_data.content)


def test_hparams_have_settings_and_final_metrics(watched):
    directory = watched[0] / "events" / "results"
    started = session_info(
        directory, metadata.SESSION_START_INFO_TAG, metadata.parse_session_start_info_plugin_data
    ).hparams
    assert started["learning_rate"].number_value == 0.01
    assert started["num_groups"].number_value == 2
    assert started["aggregation"].string_value == "sum"
    assert started["model"].string_value == "hln" and started["seed"].number_value == 1
    ended = session_info(
        directory, metadata.SESSION_END_INFO_TAG, metadata.parse_session_end_info_plugin_data
    )
    assert ended.status == api_pb2.STATUS_SUCCESS
    found, metrics = events.scalars(directory), files.read_json(watched[0] / "metrics.json", "")
    for split in ("validation", "test"):
        for name in ("recall@20", "mrr@20"):
            ((_, value),) = found[f"{split}/{name}"]
            assert value == pytest.approx(metrics[split][name], rel=1e-6)


def test_item_embeddings_for_the_projector(watched, selection, splits):
    config = text_format.Parse(
        (selection / "projector_config.pbtxt").read_text(), ProjectorConfig()
    )
    (embedding,) = config.embeddings
    found = np.loadtxt(selection / embedding.tensor_path, delimiter="\t")
    header, *rows = csv.reader((selection / embedding.metadata_path).open(), delimiter="\t")
    assert header == ["item", "clicks", "popularity_rank"]
    items = [int(item.removeprefix("i")) for item, _, _ in rows]
    clicks = np.bincount(np.concatenate(splits["train"]), minlength=31)
    assert [int(count) for _, count, _ in rows] == sorted(clicks[1:], reverse=True)
    assert [clicks[item] for item in items] == [int(count) for _, count, _ in rows]
    assert [int(rank) for _, _, rank in rows] == list(range(1, 31))
    expected = load_model(watched[0]).X.numpy()[np.array(items) - 1]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_without_the_flag_only_scalars_and_hparams_are_written(trained):
    selection = trained.path / "events" / "selection"
    assert events.tensors(selection).keys() == events.scalars(selection).keys()
    assert not events.read(selection).Tags()["graph"]
    assert "gradient_norm" not in events.scalars(selection)
    assert [path.name.split(".")[0] for path in selection.iterdir()] == ["events"]
    assert "test/mrr@20" in events.scalars(trained.path / "events" / "results")
    assert "tensorboard" not in trained.outcome.err


def test_models_that_count_are_in_hparams_too(popular):
    assert "test/mrr@20" in events.scalars(popular.path / "events" / "results")


def test_item_ids_that_would_break_the_table(tmp_path):
    from small_hln import NUM_ITEMS, make_model

    from hln_tf.training.projector import write_projector

    item_ids = ["a\tb", "c\rd", "e\u2028f", "ü", *map(str, range(4, NUM_ITEMS))]
    write_projector(tmp_path, make_model(), item_ids)
    lines = (tmp_path / "items.tsv").read_text().splitlines()
    assert len(lines) == 1 + NUM_ITEMS
    assert [line.split("\t")[0] for line in lines[1:5]] == ["a b", "c d", "e f", "ü"]


@pytest.mark.parametrize(("error", "status"), [(HlnError("nan"), 2), (None, 1)])
def test_a_run_that_fails_is_recorded_as_such(trained, tmp_path, error, status):
    from hln_tf.common.interrupt import TrainingInterrupt
    from hln_tf.training.hparams import HParamsLogger

    config = RunDirectory(trained.path).config()
    for raised in (TrainingInterrupt(signal.SIGTERM), error):
        with contextlib.suppress(HlnError, TrainingInterrupt), HParamsLogger(tmp_path, config):
            if raised:
                raise raised
        if raised is not error:
            assert metadata.SESSION_END_INFO_TAG not in events.read(tmp_path).Tags()["tensors"]
    parse = metadata.parse_session_end_info_plugin_data
    ended = session_info(tmp_path, metadata.SESSION_END_INFO_TAG, parse)
    assert ended.status == status == (api_pb2.STATUS_FAILURE if error else api_pb2.STATUS_SUCCESS)


def test_a_failed_run_that_was_resumed_has_not_failed(trained, tmp_path):
    from hln_tf.training.hparams import HParamsLogger

    config = RunDirectory(trained.path).config()
    with contextlib.suppress(HlnError), HParamsLogger(tmp_path, config):
        raise HlnError("the disk is full")
    with HParamsLogger(tmp_path, config):
        pass
    parse = metadata.parse_session_end_info_plugin_data
    ended = session_info(tmp_path, metadata.SESSION_END_INFO_TAG, parse)
    assert ended.status == api_pb2.STATUS_SUCCESS


# Profiles


@pytest.mark.parametrize(
    ("text", "steps"), [("3:4", (3, 4)), ("1:1", (1, 1)), ("5", (11, 15)), (None, None)]
)
def test_steps_to_profile(text, steps):
    assert TensorBoardSettings(profile_steps=text).profile_range() == steps


@pytest.mark.parametrize("text", ["0:3", "5:2", "0", "x", "1:2:3", "", "3:", "-1", "٣"])
def test_texts_that_are_no_range_of_steps(text):
    with pytest.raises(UsageError, match=f"`profile_steps` is {text!r}, expected FIRST:LAST"):
        TensorBoardSettings(profile_steps=text)


def test_no_range_of_steps_stops_the_command_before_it_starts(tmp_path):
    where = ("--dataset", "sample", "--workdir", tmp_path / "run")
    sentence = run("hln_tf.train", *where, "--profile_steps", "9:1").sentence(2)
    assert "--profile_steps is '9:1'" in sentence and not (tmp_path / "run").exists()


def test_a_training_that_ends_before_its_profile(tmp_path, capsys):
    from hln_tf.training.profile import Profile

    late, cut = Profile(tmp_path / "late", (5, 6)), Profile(tmp_path / "cut", (1, 9))
    for profile in (late, cut):
        profile.begin()
        profile.stepped(1)
        profile.close()
    said = capsys.readouterr().err
    assert "names the steps 5 to 6 of this process, which took 1" in said
    assert not (tmp_path / "late").exists()
    assert list((tmp_path / "cut").glob("plugins/profile/*/*.xplane.pb"))


def test_several_steps_in_a_call_are_logged_as_single_ones(trained, tmp_path):
    arguments = (*trained.arguments, "--epochs", "1", "--workdir", tmp_path / "run")
    several = ("--steps_per_execution", "32", "--profile_steps", "2:3")
    for flags in (several[:2], several):
        outcome = run("hln_tf.train", *arguments, *flags, "--overwrite")
        assert outcome.code == 0, outcome.err
        found = events.scalars(tmp_path / "run" / "events" / "selection")
        wanted = events.scalars(trained.path / "events" / "selection")
        for tag in ("loss", "epoch/mrr@20"):
            of_epoch = wanted[tag][: len(found[tag])]
            np.testing.assert_allclose(found[tag], of_epoch, rtol=1e-4)
        assert len(found["loss"]) == 2  # after 100 steps and at the end


# In the browser


@pytest.fixture(scope="module")
def address(watched, trained, tmp_path_factory):
    """Address of a TensorBoard of two runs."""
    root = tmp_path_factory.mktemp("board")
    for name, path in (("watched", watched[0]), ("trained", trained.path)):
        (root / name).symlink_to(path / "events")
    log = root / "log"
    with open(log, "w") as file:
        where = ("--logdir", root, "--host", "127.0.0.1", "--port", "0")
        process = start("tensorboard.main", *where, err=file)
    try:

        def found():
            assert process.poll() is None, log.read_text()
            return re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())

        wait_for(found, "TensorBoard")
        yield found()[0]
    finally:
        process.terminate()
        finish(process)


@pytest.fixture(scope="module")
def dashboard(address):
    """A function that opens a dashboard by its name."""
    with chromium("--use-angle=swiftshader", "--enable-unsafe-swiftshader") as browser:

        def opened(name):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(120_000)
            page.goto(f"{address}#{name}")
            return page

        yield opened


def show(page, name):
    if SCREENSHOTS:
        page.wait_for_timeout(1000)
        page.screenshot(path=f"{SCREENSHOTS}/tensorboard-{name}.png")
    page.close()


def test_tensorboard_shows_scalars(dashboard):
    page = dashboard("timeseries")
    page.get_by_text("epoch/mrr@20").first.wait_for()
    page.locator("scalar-card path[d]").first.wait_for(state="attached")
    page.get_by_role("combobox", name="Filter tags").fill("gradient_norm|retention/group")
    page.get_by_text("gradient_norm").first.wait_for()
    page.get_by_text("epoch/retention/group_2").first.wait_for()
    show(page, "scalars")


@pytest.mark.slow
def test_tensorboard_shows_the_heatmap(dashboard):
    page = dashboard("images")
    image = page.locator("tf-image-loader img").first
    image.wait_for()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1200
    show(page, "images")


def test_tensorboard_compares_runs_in_hparams(dashboard, trained, history):
    page = dashboard("hparams")
    page.get_by_text("batch_size").first.wait_for()
    page.get_by_text("test/mrr@20").first.wait_for()
    for value in ("8.0000", "3.0000", f"{trained.metrics['test']['mrr@20']:.5f}"):
        page.get_by_text(value).first.wait_for()
    show(page, "hparams")


@pytest.mark.slow
def test_tensorboard_shows_item_embeddings(dashboard):
    page = dashboard("projector")
    projector = page.frame_locator("iframe").frame_locator("iframe")
    for text in ("Points: 30", "Dimension: 8"):
        projector.get_by_text(text).first.wait_for()
    # To label and colour by, in a list that opens.
    projector.get_by_text("popularity_rank").first.wait_for(state="attached")
    projector.locator("canvas").first.wait_for()
    show(page, "projector")
