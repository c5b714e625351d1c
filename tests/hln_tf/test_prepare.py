"""Training from a raw log: the preprocessing runs by itself."""

import dataclasses
import json

import pytest
import small_log
from commands import TINY, run
from toy import write_dataset


def write_log(path):
    """Three days of sessions over five items, in the format of Yoochoose."""
    rows = []
    for session in range(60):
        day = 1 + session // 20
        for click in range(3):
            time = f"2014-04-0{day}T10:{session % 20:02}:{click:02}.000Z"
            rows.append(f"{session},{time},{1000 + (session + click) % 5},0\n")
    path.parent.mkdir(parents=True)
    path.write_text("".join(rows))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_raw_log_is_preprocessed_and_trained_on(elsewhere):
    write_log(elsewhere / "data" / "raw" / "sample-clicks.dat")
    outcome = run("hln_tf.train", "--dataset", "sample", "--model", "markov")
    assert outcome.code == 0, outcome.err
    assert "preparing data/sample from data/raw/sample-clicks.dat" in outcome.err
    manifest = json.loads((elsewhere / "data" / "sample" / "manifest.json").read_text())
    assert manifest["items"] == 5
    assert (elsewhere / "runs" / "sample" / "markov" / "metrics.json").is_file()
    outcome = run("hln_tf.recommend", "--workdir", "runs/sample/markov", "--session", "1001")
    assert outcome.out.split()[1] == "1002"
    again = run("hln_tf.train", "--dataset", "sample", "--model", "popularity")
    assert again.code == 0
    assert "preparing" not in again.err


@pytest.mark.slow
def test_lastfm_is_preprocessed_trained_on_and_exported(elsewhere):
    raw = "userid-timestamp-artid-artname-traid-traname.tsv"
    log = ("--shape", "lastfm", "--clicks", "20000", "--output", f"data/raw/{raw}")
    assert run("beam_preprocess.generate", *log).code == 0
    tiny = [*TINY, "--epochs", "1", "--batch_size", "256"]
    outcome = run("hln_tf.train", "--dataset", "lastfm", *tiny)
    assert outcome.code == 0, outcome.err
    song = (elsewhere / "data/lastfm/vocabulary.txt").read_text("utf-8").split("\n")[0]
    assert " / " in song
    outcome = run("hln_tf.recommend", "--workdir", "runs/lastfm/hln", "--session", f"{song}\tnew")
    assert outcome.err.splitlines()[0] == "unknown items, skipped: new"
    assert (elsewhere / "runs/lastfm/hln/export/1/saved_model.pb").is_file()


@pytest.mark.slow
def test_log_of_ones_own_is_preprocessed_and_trained_on(elsewhere):
    rows = [
        f'"{10_000 * (1 + visit // 20) + visit % 20}",u{visit % 9},"sku, {(visit + click) % 5}",'
        f"2014-04-0{1 + visit // 20} {visit % 20:02}:{10 + click}:00.500\n"
        for visit in range(60)
        for click in range(3)
    ]
    (elsewhere / "clicks.csv").write_text("id,user,product,when\n" + "".join(rows))
    spec = ["user: user", "time: when", "item: product", "session_timeout: 1800", "separator: '|'"]
    (elsewhere / "my_log.yaml").write_text("\n".join([*spec, "test_from: 2014-04-03"]))
    command = ["--dataset", "custom", "--spec", "my_log.yaml", "--input", "clicks.csv"]
    tiny = [*TINY, "--epochs", "1", "--batch_size", "16"]
    outcome = run("hln_tf.train", *command, *tiny)
    assert outcome.code == 0, outcome.err
    vocabulary = (elsewhere / "data/custom-clicks/vocabulary.txt").read_text().splitlines()
    assert sorted(vocabulary) == [f"sku, {number}" for number in range(5)]
    metrics = json.loads((elsewhere / "runs/custom-clicks/hln/metrics.json").read_text())
    assert metrics["test"]["prefixes"] == 40
    outcome = run(
        "hln_tf.recommend", "--workdir", "runs/custom-clicks/hln", "--session", "sku, 1|sku, 2"
    )
    assert outcome.code == 0, outcome.err
    # The prepared data set serves without the log; without either there is nothing to train on.
    where = ("--data_dir", "data/custom-clicks")
    again = run("hln_tf.train", "--dataset", "custom", *where, "--model", "markov")
    assert again.code == 0 and "preparing" not in again.err


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--dataset", "custom"], 1, ["no prepared data set in data/custom", "--input", "--spec"]),
        (["--dataset", "custom", "--spec", "a.yaml"], 2, ["--spec and --input together"]),
        (["--dataset", "custom", "--input", "a.csv"], 2, ["--spec and --input together"]),
        (["--dataset", "sample", "--spec", "a.yaml"], 2, ["--spec goes with --dataset custom"]),
        (["--dataset", "sample", "--item", "sku"], 2, ["--item goes with --dataset custom"]),
        (["--dataset", "sample", "--validation_fraction", "0.0"], 2, ["chooses the epoch"]),
    ],
)
def test_spec_and_input_go_together(elsewhere, flags, code, words):
    sentence = run("hln_tf.train", *flags).sentence(code)
    assert all(word in sentence for word in words), sentence


def test_a_log_that_is_not_there_names_the_command_that_downloads_it(elsewhere):
    sentence = run("hln_tf.train", "--dataset", "yoochoose4", "--raw_dir", "my logs").sentence()
    command = "python -m beam_preprocess.download yoochoose --raw_dir 'my logs'"
    assert "no raw file my logs/yoochoose-clicks.dat" in sentence and command in sentence
    assert not (elsewhere / "runs").exists()


@pytest.mark.parametrize(("separator", "code"), [("0", 1), ("ab", 2)])
def test_failed_preprocessing_speaks_for_itself(elsewhere, capfd, separator, code):
    """With its own sentence and exit code, and nothing after it."""
    write_log(elsewhere / "data" / "raw" / "sample-clicks.dat")
    outcome = run("hln_tf.train", "--dataset", "sample", "--separator", separator)
    assert outcome.code == code
    assert "error" not in outcome.err
    (sentence,) = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert sentence.startswith("error: ") and "--separator" in sentence
    assert not (elsewhere / "runs").exists()


def test_default_directory_with_another_fraction_is_refused(elsewhere, splits):
    manifest = write_dataset(elsewhere / "data/yoochoose64", splits, 30, dataset="yoochoose64")
    settings = {"train_fraction": "1/2"}
    dataclasses.replace(manifest, settings=settings).write(elsewhere / "data/yoochoose64")
    sentence = run("hln_tf.train", "--dataset", "yoochoose64").sentence()
    assert "the last 1/2 of train, expected 1/64" in sentence
    where = ("--data_dir", "data/yoochoose64", "--model", "popularity")
    assert run("hln_tf.train", "--dataset", "yoochoose64", *where).code == 0


def test_named_directory_is_used_whatever_its_data_set(elsewhere, splits):
    write_dataset(elsewhere / "mine", splits, 30, dataset="yoochoose4")
    where = ("--dataset", "yoochoose64", "--data_dir", "mine", "--model", "popularity")
    assert run("hln_tf.train", *where).code == 0
    config = json.loads((elsewhere / "runs/yoochoose64/popularity/config.json").read_text())
    assert config["data"]["dataset"] == "yoochoose4"


def test_default_directory_with_another_data_set_is_refused(elsewhere, splits):
    write_dataset(elsewhere / "data" / "yoochoose64", splits, 30, dataset="yoochoose4")
    sentence = run("hln_tf.train", "--dataset", "yoochoose64").sentence()
    assert "data/yoochoose64" in sentence and "'yoochoose4'" in sentence
    assert "--data_dir" in sentence
    assert not (elsewhere / "runs").exists()


class TestSecondTry:
    """The first one had another spec, or failed: each message names what the command has."""

    @pytest.fixture
    def first(self, elsewhere):
        small_log.write(elsewhere / "clicks.csv", small_log.rows())
        spec = "session: session\ntime: time\ntime_format: seconds\nitem: item\nmin_item_count: 1\n"
        (elsewhere / "log.yaml").write_text(spec)
        return ("--dataset", "custom", "--spec", "log.yaml", "--input", "clicks.csv")

    @pytest.mark.slow
    def test_with_another_spec_it_overwrites_data_set_and_run(self, first, elsewhere, capfd):
        assert run("hln_tf.train", *first, "--model", "markov").code == 0
        assert (elsewhere / "runs/custom-clicks/markov/metrics.json").is_file()
        with open("log.yaml", "a") as file:
            file.write("min_session_length: 3\n")
        capfd.readouterr()
        assert run("hln_tf.train", *first, "--model", "markov").code == 1
        (error,) = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
        assert "choose another --data_dir, or pass --overwrite" in error
        again = run("hln_tf.train", *first, "--model", "markov", "--overwrite")
        assert again.code == 0, again.err
        stats = json.loads((elsewhere / "data/custom-clicks/stats.json").read_text())
        assert stats["settings"]["min_session_length"] == 3
        metrics = json.loads((elsewhere / "runs/custom-clicks/markov/metrics.json").read_text())
        assert metrics["test"]["prefixes"] == stats["test"]["prefixes"]
        assert "exported" in again.err  # not the export of the replaced run
        done = run("hln_tf.train", *first, "--model", "markov", "--overwrite")
        assert "nothing to do" in done.err

    def test_flags_of_the_format_take_the_place_of_a_spec(self, first, elsewhere, monkeypatch):
        commands = []
        monkeypatch.setattr("beam_preprocess.on_demand._run", lambda *done: commands.append(done))
        outcome = run("hln_tf.train", *small_log.FLAGS, "--input", "clicks.csv")
        assert "there is no data set in data/custom-clicks" in outcome.sentence()
        ((arguments, _),) = commands
        flags = ("--session=session", "--time=time", "--item", "item", "--time_format=seconds")
        assert {*flags, "--min_item_count=1"} <= {*arguments}


class TestCutDates:
    """A data set for each of two cut dates in one directory."""

    @pytest.fixture
    def windows(self, elsewhere, splits):
        for number, cut in enumerate(("2024-01-01", "2024-01-08")):
            shifted = {**splits, "test": splits["test"][number:]}
            manifest = write_dataset(elsewhere / "windows" / cut, shifted, 30, dataset="custom")
            settings = {"test_from": cut}
            dataclasses.replace(manifest, settings=settings).write(elsewhere / "windows" / cut)
        return ("--dataset", "custom", "--data_dir", "windows")

    def test_each_is_trained_on_and_one_table_has_all_and_their_mean(self, windows, elsewhere):
        outcome = run("hln_tf.train", *windows, "--model", "popularity", "--workdir", "runs/all")
        assert outcome.code == 0, outcome.err
        each, mean = outcome.out.rstrip().split("\n\n")
        assert [row.split()[1] for row in each.splitlines()[2:]] == [
            "runs/all/2024-01-01",
            "runs/all/2024-01-08",
        ]
        values = [
            100 * json.loads((elsewhere / run / "metrics.json").read_text())["test"]["mrr@20"]
            for run in ("runs/all/2024-01-01", "runs/all/2024-01-08")
        ]
        assert values[0] != values[1]
        assert f" {sum(values) / 2:.2f} ± " in mean.splitlines()[2]

    def test_data_sets_of_other_kinds_are_to_be_named(self, windows, elsewhere):
        (elsewhere / "windows" / "2024-01-08").rename(elsewhere / "windows" / "1-4")
        sentence = run("hln_tf.train", *windows, "--model", "popularity").sentence()
        assert "windows holds several data sets" in sentence
        assert "--data_dir windows/1-4" in sentence
