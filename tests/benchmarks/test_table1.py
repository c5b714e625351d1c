import csv
import json
import shutil
import signal
import statistics
import time

import pytest
from commands import checkpoint_number, finish, run, start
from matplotlib.image import imread
from toy import write_dataset

from benchmarks import processes
from benchmarks.model_preset import ModelPreset
from benchmarks.paper import latency_store
from benchmarks.paper.runs import DEFAULT_MODELS, read_runs
from hln_tf.analysis import COLUMNS
from hln_tf.common import files
from hln_tf.data.layout import Manifest

COMMAND = "benchmarks.table1"
QUICK = ("--prediction_rounds", "2", "--prediction_sessions", "3", "--prediction_batches", "1")
QUICK += ("--epochs", "1")


@pytest.fixture(scope="session")
def datasets(tmp_path_factory, splits):
    """A small data set under each of the paper's names."""
    directory = tmp_path_factory.mktemp("table1")
    for name in ("yoochoose64", "yoochoose4", "lastfm"):
        write_dataset(directory / name, splits, 30, dataset=name)
    return directory


@pytest.fixture
def in_process(monkeypatch):
    """Runs of training in this process, and their outcomes."""
    outcomes = []

    def train(arguments, stop):
        outcomes.append(run("hln_tf.train", *arguments))
        return outcomes[-1].code

    monkeypatch.setattr(processes, "run_training", train)
    return outcomes


@pytest.fixture(scope="session")
def finished(tmp_path_factory, datasets):
    """A table with two seeds of one model, and one that counts."""
    output = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            processes,
            "run_training",
            lambda arguments, stop: run("hln_tf.train", *arguments).code,
        )
        flags = ("--models", "stamp", "markov", "--seeds", "1,2")
        outcome = table1(datasets / "yoochoose64", output, *flags)
    assert outcome.code == 0, outcome.err
    return output, outcome


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "output")


def table1(data, output, *more):
    dataset = ("--dataset", data.name, "--data_dir", data)
    return run(COMMAND, *dataset, "--output", output, *QUICK, *more)


def metrics(output, model, seed=1):
    return json.loads((output / "runs" / model / str(seed) / "metrics.json").read_text())


def cells(text):
    """The cells of the first Markdown table by row and column."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.partition("\n## ")[0].splitlines()
        if line.startswith("|")
    ]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def read_csv(output):
    with open(output / "table1.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_page_has_means_of_the_runs_next_to_the_published_figures(finished):
    output, outcome = finished
    assert outcome.out == (output / "table1.md").read_text()
    found = cells(outcome.out)
    assert list(found) == [
        *(str(ModelPreset.parse(text)) for text in DEFAULT_MODELS),
        "markov (paper)",
    ]
    runs = [metrics(output, "stamp-paper", seed) for seed in (1, 2)]
    recall = [100 * results["test"]["recall@5"] for results in runs]
    stamp = found["stamp (paper)"]
    mean, spread = statistics.mean(recall), statistics.stdev(recall)
    assert stamp["R@5"] == f"{mean:.2f} ± {spread:.2f} (40.09)"
    assert stamp["R@20"].endswith("(68.74³)") and "³ The STAMP paper." in outcome.out
    assert stamp["seeds"] == "1, 2" and stamp["best epoch"] == "1, 1"
    assert stamp["parameters"] == f"{runs[0]['parameters']:,}"
    peaks = [results["timing"]["peak_memory_megabytes"] for results in runs]
    assert stamp["peak memory, MB"] == f"{max(peaks):,}"
    markov = found["markov (paper)"]
    assert markov["MRR@20"] == f"{100 * metrics(output, 'markov-paper')['test']['mrr@20']:.2f}"
    assert (markov["seeds"], markov["s/epoch"], markov["best epoch"]) == ("any", "-", "-")


def test_page_marks_missing_runs_impossible_figures_and_other_settings(finished):
    found = cells(finished[1].out)
    assert found["sknn (paper)"]["seeds"] == "not run"
    assert found["sknn (paper)"]["R@5"] == "- (38.48†)"
    assert found["hln (tuned)"]["MRR@10"] == "- (29.86)"
    assert found["gru4rec (modern)"]["R@5"] == "-"
    for note in (
        "not the paper's data, whose yoochoose64 has 37,483 items",
        "† No ranking",
        "than the preset's and refit: epochs 1, in stamp (paper).",
        "Not run: s_pop (paper), sknn (paper), bpr_mf (paper),",
    ):
        assert note in finished[1].out


def test_csv_has_the_plain_numbers_of_every_run(finished):
    output, _ = finished
    rows = read_csv(output)
    done = {(row["model"], row["seed"]): row for row in rows if row["status"] == "finished"}
    assert set(done) == {("stamp", "1"), ("stamp", "2"), ("markov", "1")}
    for (model, seed), row in done.items():
        results = metrics(output, f"{model}-paper", seed)
        for name in COLUMNS:
            assert float(row[name]) == 100 * results["test"][name]
        assert int(row["parameters"]) == results["parameters"]
        assert (row["alone_ms_min"] != "") == (seed == "1")
        if seed == "1":
            assert 0 < float(row["batch_ms_min"]) <= float(row["batch_ms_median"])
    stamp, timing = done["stamp", "2"], metrics(output, "stamp-paper", 2)["timing"]
    assert float(stamp["seconds_per_epoch"]) == timing["training_seconds"]
    assert {row["status"] for row in rows} == {"finished", "not run"}
    sknn = next(row for row in rows if row["model"] == "sknn")
    assert (sknn["published_mrr@5"], sknn["published_mrr@5_possible"]) == ("22.34", "False")
    assert sknn["recall@5"] == ""


def test_table_is_plotted(finished):
    output, _ = finished
    height, width, _ = imread(output / "table1.png").shape
    assert width == 1200 and 1000 < height < 1600
    svg = (output / "table1.svg").read_text()
    assert "sr_gnn (paper)" in svg and "Recall@20 (%)" in svg


def test_a_second_call_repeats_nothing(copied, datasets, monkeypatch):
    """The runs are processes of their own, which find their results."""
    before = {path: path.read_bytes() for path in copied.rglob("metrics.json")}
    prediction = (copied / latency_store.FILE).read_bytes()
    outcome = table1(datasets / "yoochoose64", copied, "--models", "stamp", "markov")
    assert outcome.code == 0, outcome.err
    assert {path: path.read_bytes() for path in copied.rglob("metrics.json")} == before
    assert (copied / latency_store.FILE).read_bytes() == prediction


@pytest.mark.slow
def test_a_new_model_measures_all_latencies_together(copied, datasets, in_process):
    before = json.loads((copied / latency_store.FILE).read_text())["runs"]
    assert table1(datasets / "yoochoose64", copied, "--models", "popularity").code == 0
    after = json.loads((copied / latency_store.FILE).read_text())["runs"]
    assert set(after) == {*before, "runs/popularity-paper/1"} - {"runs/markov-paper/1"}
    assert all(after[run]["alone"] != before[run]["alone"] for run in {*before} & {*after})
    assert {len(times["batch"]) for times in after.values()} == {2}


@pytest.mark.slow
def test_a_failed_run_does_not_end_the_table(copied, datasets, monkeypatch):
    def train(arguments, stop):
        fails = "narm" in arguments or "3" in arguments
        return 1 if fails else run("hln_tf.train", *arguments).code

    monkeypatch.setattr(processes, "run_training", train)
    models = ("--models", "stamp", "narm", "popularity", "--seeds", "1,3")
    outcome = table1(datasets / "yoochoose64", copied, *models)
    message = outcome.sentence()
    assert "3 of 5 runs failed" in message
    assert "stamp (paper), seed 3 (exit code 1)" in message
    found = cells((copied / "table1.md").read_text())
    assert found["stamp (paper)"]["seeds"] == "1, 2; 3 failed"
    assert found["popularity (paper)"]["seeds"] == "any"
    narm = found["narm (paper)"]
    assert (narm["seeds"], narm["R@5"], narm["parameters"]) == (
        "1 failed; 3 failed",
        "- (45.21)",
        "-",
    )


@pytest.mark.slow
def test_interrupted_by_a_signal_and_resumed(tmp_path, datasets, in_process):
    data, output, log = datasets / "yoochoose4", tmp_path / "output", tmp_path / "log"
    long = ("--models", "stamp", "--epochs", "60", "--patience", "60", "--no-refit")
    flags = ("--dataset", data.name, "--data_dir", data, "--output", output, *QUICK, *long)
    with open(log, "w") as err:
        process = start(COMMAND, *flags, "--checkpoint_minutes", "0", err=err)
        state = output / "runs" / "stamp-paper" / "1" / "checkpoint"
        while checkpoint_number(state) < 2:
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert finish(process).code == 128 + signal.SIGTERM
    # By the run and by the command.
    assert log.read_text().count("stopped by SIGTERM; run the same command again to go on") == 2
    (left,) = read_runs(output, [ModelPreset.parse("stamp")], Manifest.read(data))
    assert left.status == "unfinished"

    outcome = table1(data, output, *long)
    assert outcome.code == 0, outcome.err
    assert "resuming epoch" in in_process[0].err
    assert len(metrics(output, "stamp-paper")["history"]) == 60


@pytest.mark.parametrize(
    ("name", "shape", "figure"),
    [
        ("yoochoose64", "yoochoose", "- (58.01)"),
        ("yoochoose4", "yoochoose", "- (61.06)"),
        ("lastfm", "lastfm", "- (36.37)"),
    ],
)
@pytest.mark.slow
def test_generated_logs_of_all_data_sets(name, shape, figure, tmp_path, in_process):
    log, data = tmp_path / "log", tmp_path / name
    size = ("--clicks", "4000", "--items", "40", "--seed", "1")
    generated = run("beam_preprocess.generate", "--shape", shape, *size, "--output", log)
    assert generated.code == 0, generated.err
    protocol = ("--dataset", name, "--input", log, "--output", data, "--train_fraction", "1")
    protocol += ("--window_months", "0") if shape == "lastfm" else ()
    prepared = run("beam_preprocess.__main__", *protocol)
    assert prepared.code == 0, prepared.err
    models = ("s_pop", "sknn", *(["gru4rec"] if shape == "lastfm" else []))
    outcome = table1(data, tmp_path / "table", "--models", *models, "--no-refit")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"# Table 1: {name}\n")
    assert "refit False, in s_pop (paper)" in outcome.out
    found = cells(outcome.out)
    assert found["sr_gnn (paper)"]["R@10"] == figure
    recall = 100 * metrics(tmp_path / "table", "sknn-paper")["test"]["recall@20"]
    assert recall > 0 and found["sknn (paper)"]["R@20"].startswith(f"{recall:.2f}")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "gru5rec"], "'gru5rec', expected models among: hln, s_pop, sknn, bpr_mf"),
        (["--models", "stamp:best"], "'stamp:best', but stamp has the presets: stamp:paper"),
        (["--seeds", "1;2"], "'1;2', expected whole numbers such as 1,2,3"),
        (["--seeds", "99999999999"], "--seed is 99999999999"),
        (["--epochs", "0"], "--epochs is 0, expected at least 1"),
        (["--prediction_rounds", "0"], "--prediction_rounds is 0"),
        (["--dataset", "lastfm"], "--dataset is lastfm, but "),
        (["--dataset", "movies"], "invalid choice: 'movies'"),
        (["--models", "hln:paper:gates"], "'gates' is no setting of hln as NAME=VALUE"),
        (["--models", "hln:paper:seed=2"], "'seed=2' is no setting of hln as NAME=VALUE"),
        (["--models", "hln:paper:workdir=other"], "'workdir=other' is no setting of hln"),
        (["--models", "hln:paper:gates=some"], "gates=some': argument --gates: invalid choice"),
        (["--models", "hln:paper:normalize=true"], "normalize=True or normalize=False"),
        (["--models", "hln:paper:n=1,n=2"], "no setting of hln"),
        (["--models", "hln:paper:dropout=0,dropout=0.1"], "has dropout twice"),
        (["--models", "hln:paper:patience=2", "--patience", "3"], "both set patience"),
        (["--one_selection", "--no-refit"], "--one_selection is for refits"),
        (["--data_dir", "nowhere"], "there is no data set in nowhere"),
    ],
)
def test_bad_input(flags, message, datasets, tmp_path, in_process):
    outcome = table1(datasets / "yoochoose64", tmp_path / "output", *flags)
    assert message in outcome.sentence(1 if flags[0] == "--data_dir" else 2)
    assert not in_process and not (tmp_path / "output").exists()


def test_runs_on_other_data_are_reported_before_any_work(copied, datasets, in_process):
    outcome = table1(datasets / "yoochoose4", copied, "--models", "markov")
    message = outcome.sentence()
    assert "stamp-paper/1 holds a run on another data set than --data_dir" in message
    assert not in_process


def test_runs_with_other_settings_are_reported_before_any_work(copied, datasets, in_process):
    outcome = table1(datasets / "yoochoose64", copied, "--models", "stamp", "--max_length", "7")
    message = outcome.sentence()
    assert "stamp-paper/1 holds a run with max_length = 50, not 7" in message
    assert "--output" in message
    assert not in_process


def test_runs_of_another_model_are_reported(copied, datasets, in_process):
    shutil.copytree(copied / "runs" / "stamp-paper", copied / "runs" / "narm-paper")
    message = table1(datasets / "yoochoose64", copied, "--models", "markov").sentence()
    assert "narm-paper/1 holds a run of stamp with seed 1" in message
    assert not in_process


def test_damaged_prediction_times_are_reported(copied, datasets, in_process):
    (copied / latency_store.FILE).write_text("[]")
    message = table1(datasets / "yoochoose64", copied, "--models", "markov").sentence()
    assert "prediction.json has no prediction times: remove it" in message


def test_the_directory_is_locked(copied, datasets, in_process):
    with files.process_lock(copied / ".lock", "it", "wait"):
        message = table1(datasets / "yoochoose64", copied, "--models", "markov").sentence()
    assert "is in use by process" in message and "--output" in message
    assert not in_process


@pytest.mark.slow
def test_an_ablation_on_a_log_of_ones_own_with_one_selection(tmp_path, splits, in_process):
    data, output = tmp_path / "custom", tmp_path / "output"
    write_dataset(data, splits, 30, dataset="custom")
    small = "embedding_dim=8,hidden_dim=8"  # in the order of names
    models = (f"hln:paper:{small}", f"hln:paper:{small},gates=none")
    flags = ("--models", *models, "--seeds", "1,2", "--one_selection")
    outcome = table1(data, output, *flags)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("# Models: custom\n")
    assert "ublished" not in outcome.out
    found = cells(outcome.out)
    assert list(found) == [
        "hln (paper, embedding_dim 8, hidden_dim 8)",
        "hln (paper, embedding_dim 8, gates none, hidden_dim 8)",
    ]
    assert all(row["seeds"] == "1, 2" for row in found.values())
    name = "hln-paper-embedding_dim=8-hidden_dim=8"
    first, second = (metrics(output, name, seed) for seed in (1, 2))
    assert "history" in first and "history" not in second
    assert second["best_epoch"] == first["best_epoch"]
    assert [row["settings"] for row in read_csv(output)][::2] == [
        small,
        "embedding_dim=8,gates=none,hidden_dim=8",
    ]
    # The same runs with a selection each are other runs.
    message = table1(data, output, "--models", *models, "--seeds", "1,2").sentence()
    assert f"{name}/2 holds a run whose epoch another seed chose" in message
    message = table1(data, output, "--models", *models, "--seeds", "2,1", *flags[-1:]).sentence()
    assert "/2 holds a run whose epoch another seed chose" in message
    assert "One seed's validation chose the epoch of all seeds: hln (paper, emb" in outcome.out


def test_rows_of_the_paper_can_be_left_out(copied, datasets):
    flags = ("--models", "markov", "--chosen_only")
    outcome = table1(datasets / "yoochoose64", copied, *flags)
    assert outcome.code == 0, outcome.err
    assert list(cells(outcome.out)) == ["markov (paper)"]


def test_exit_codes_are_described():
    assert processes.describe_exit(1) == "exit code 1"
    assert processes.describe_exit(-9) == "killed by SIGKILL"


def test_intervals_are_of_the_ranks_and_mark_what_does_not_differ(finished):
    """Two seeds of one model are one row; the best row has no difference."""
    output, outcome = finished
    section = outcome.out.partition("## Intervals")[2]
    lines = [line[1:-1].split("|") for line in section.splitlines() if line.startswith("|")]
    rows = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines[2:]}
    rows = {name.removesuffix(" (paper)"): row for name, row in rows.items()}
    assert set(rows) == {"stamp", "markov"}
    means = {
        "stamp": statistics.mean(
            metrics(output, "stamp-paper", s)["test"]["mrr@20"] for s in (1, 2)
        ),
        "markov": metrics(output, "markov-paper")["test"]["mrr@20"],
    }
    best = max(means, key=means.get)
    for model, cells_of in rows.items():
        mean, interval, difference = cells_of[3:]
        assert float(mean) == pytest.approx(100 * means[model], abs=0.0051)
        low, high = map(float, interval.split(" to "))
        assert low <= float(mean) <= high
        if model == best:
            assert difference == ""
        else:
            expected = 100 * (means[model] - means[best])
            assert float(difference.split()[0]) == pytest.approx(expected, abs=0.0051)
