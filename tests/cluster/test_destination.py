"""Plans, parts and manifests, written and read without Ray: parts are read as on a worker."""

import dataclasses
import errno
import importlib.util
import json
import tarfile

import fsspec
import pandas
import pyarrow.parquet
import pytest

import mien
from mien.cluster.destination import open_destination, plan_destination
from mien.cluster.options import BatchOptions
from mien.cluster.page import summary_page
from mien.cluster.run import run_batch
from mien.cluster.storage import Folder
from mien.cluster.summary import summarize
from mien.cluster.worker import PartReader
from mien.errors import MissingExtraError, OutputError, UsageError
from mien.labels import LabelScheme, find_scheme
from mien.options import option_facts
from mien.recognizer_options import RecognizerOptions
from mien.zoo import find_model


def copy_model(name, path):
    """A shipped model as a file of one's own, with its card beside it."""
    model = find_model(name)
    path.write_bytes(model.weights.read_bytes())
    card = model.card.to_dict()
    path.with_suffix(".json").write_text(json.dumps({**card, "file": path.name}))
    return path


def job_of(options):
    return {
        "recognizer": options.recognizer_options(),
        "video": options.video_options(),
        "timeout_s": options.timeout_s,
        "retries": options.retries,
        "gpu": False,
    }


def read_all(source, address, parts=None, **options):
    """What `run_batch` does, in this process."""
    chosen = BatchOptions(**options)
    destination = plan_destination(str(source), str(address), chosen)
    reader = PartReader(destination.folder.address, vars(destination.manifest), job_of(chosen))
    numbers = parts if parts is not None else range(destination.manifest.parts)
    try:
        results = [reader.read(number) for number in numbers]
    finally:
        reader.close()
    assert [result["problem"] for result in results] == [None] * len(results)
    return destination


def tables(folder):
    return tuple(
        pandas.read_parquet(folder / name).sort_values(["key"], kind="stable").reset_index(drop=True)
        for name in ("faces", "inputs")
    )


def test_rows_are_those_of_the_recognizer(album, tmp_path):
    destination = read_all(album, tmp_path / "out", part_size=16)
    faces, inputs = tables(tmp_path / "out")
    files = sorted(path for path in album.rglob("photo*.jpg"))
    readings = mien.Recognizer(threads=2).recognize([str(path) for path in files])
    expected = pandas.DataFrame([row for reading in readings for row in reading.to_rows()])
    columns = list(expected.columns)
    by_source = faces.sort_values("source", kind="stable")[columns].reset_index(drop=True)
    pandas.testing.assert_frame_equal(by_source, expected, check_exact=True, check_dtype=False)
    assert list(faces.columns) == ["key", *columns]
    assert inputs["status"].value_counts().to_dict() == {"ok": 30, "no face": 10, "unreadable": 1}
    bad = inputs[inputs.key == "text.jpg"].iloc[0]
    assert (bad.faces, bad.frames) == (0, 0)
    assert bad.error.startswith("is not an image (text")
    summary = summarize(destination)
    assert summary.complete
    assert (summary.total.inputs, summary.total.faces) == (41, len(faces))
    assert summary.total.reasons == {"is not an image": 1}
    assert summary.to_dict()["expressions"]["happy"] == int((faces.expression == "happy").sum())


def test_names_that_are_no_utf8_are_read_and_written_as_escapes(tmp_path, jpegs):
    """As old archives leave them behind; one of them ended the whole batch."""
    folder = tmp_path / "old\udce9"
    folder.mkdir()
    (folder / "photo\udcff.jpg").write_bytes(jpegs[1])
    (folder / "clip\udcff.mp4").write_bytes(b"no video")
    with tarfile.open(folder / "shard.tar", "w") as shard:
        shard.add(folder / "photo\udcff.jpg", "member\udcff.jpg")
    destination = read_all(folder, tmp_path / "out")
    faces, inputs = tables(tmp_path / "out")
    assert list(inputs.key) == [r"clip\udcff.mp4", r"photo\udcff.jpg", r"shard.tar/member\udcff.jpg"]
    assert list(inputs.status) == ["unreadable", "ok", "ok"]
    assert faces.source[0] == rf"{tmp_path}/old\udce9/photo\udcff.jpg"
    assert "no Unicode" in inputs.error[0]
    assert summary_page(summarize(destination)).encode()
    read_all(folder, tmp_path / "out", parts=[])  # the same job, to go on with


def test_a_batch_that_a_program_runs_has_its_page_too(tmp_path, jpegs):
    """What `mien batch --status` says of it names the page."""
    (tmp_path / "photo.jpg").write_bytes(jpegs[1])
    read_all(tmp_path / "photo.jpg", tmp_path / "out")
    run_batch(str(tmp_path / "photo.jpg"), str(tmp_path / "out"))  # all parts are done: Ray is not started
    assert "1 of 1 parts are done" in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")


def test_a_part_that_is_read_again_is_the_same(album, tmp_path):
    read_all(album, tmp_path / "one", part_size=16)
    read_all(album, tmp_path / "two", parts=[2, 0, 0, 1, 2], part_size=16)
    for one, two in zip(tables(tmp_path / "one"), tables(tmp_path / "two"), strict=True):
        pandas.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_destination_in_a_bucket(album):
    system = fsspec.filesystem("memory")
    system.store.clear()
    destination = read_all(album / "sub", "memory://bucket/out", part_size=5)
    assert destination.done_parts() == {0, 1}
    assert summarize(open_destination("memory://bucket/out")).total.inputs == 8
    names = {name for name in system.store if "/inputs/" in name}
    assert names == {"/bucket/out/inputs/part-000000.parquet", "/bucket/out/inputs/part-000001.parquet"}
    system.store.clear()


def test_duckdb_reads_it(album, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    read_all(album, tmp_path / "out", part_size=16)
    query = (
        f"select count(*) from '{tmp_path}/out/inputs/*.parquet' i join '{tmp_path}/out/faces/*.parquet' f using (key)"
    )
    assert duckdb.sql(query).fetchall()[0][0] == len(tables(tmp_path / "out")[0])


def test_the_plan_is_kept(album, tmp_path):
    options = BatchOptions(part_size=16)
    first = plan_destination(str(album), str(tmp_path / "out"), options)
    (album / "aaa.jpg").write_bytes((album / "photo01.jpg").read_bytes())
    again = plan_destination(str(album), str(tmp_path / "out"), dataclasses.replace(options, timeout_s=5.0, workers=7))
    assert again.manifest == first.manifest
    assert first.manifest.photos == 41
    assert [len(again.read_part(number)) for number in range(3)] == [16, 16, 9]


def test_every_option_of_a_recognizer_goes_to_the_workers():
    options = BatchOptions(min_score=0.4, views=2)
    given = options.recognizer_options()
    assert set(given) == {item.name for item in dataclasses.fields(RecognizerOptions)} - {"threads"}
    assert (given["min_score"], given["views"]) == (0.4, 2)
    assert json.loads(json.dumps(given)) == given


def test_no_option_of_a_batch_is_ignored():
    """Those that a video can be told came here by themselves: pictures that were to be turned were not."""
    offered = {item.name for item in dataclasses.fields(BatchOptions) if option_facts(item) is not None}
    of_the_work = {"address", "workers", "gpus_per_worker", "timeout_s", "retries"}
    assert offered - of_the_work - {"fps"} == BatchOptions().job().keys()
    assert BatchOptions(fps=4.0).job()["every_s"] == 0.25
    for name, value in (("threads", 2), ("start_s", 1.0), ("end_s", 5.0), ("give_up_s", 1.0)):
        with pytest.raises(UsageError, match=f"a batch has no option '{name}'"):
            BatchOptions(**{name: value})


def test_a_label_scheme_goes_to_other_machines_by_its_name():
    assert BatchOptions(labels=find_scheme("valence3")).recognizer_options()["labels"] == "valence3"
    assert BatchOptions(labels=find_scheme("joy,sad")).recognizer_options()["labels"] == "happy,sad"
    for name in ("mine", "basic3"):
        with pytest.raises(UsageError, match=f"'{name}'; expected one of"):
            BatchOptions(labels=LabelScheme(name, {"up": ("happy",), "down": ("sad",)})).recognizer_options()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"part_size": 8}, "part_size is 16, not 8"),
        ({"model": "small"}, "model is 'base'"),
        ({"labels": "basic3"}, "lab"),
    ],
)
def test_another_job_is_refused_and_nothing_is_touched(album, tmp_path, changes, said):
    plan_destination(str(album), str(tmp_path / "out"), BatchOptions(part_size=16))
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match=said):
        plan_destination(str(album), str(tmp_path / "out"), BatchOptions(**{"part_size": 16, **changes}))
    with pytest.raises(UsageError, match="its source is"):
        plan_destination(str(album / "sub"), str(tmp_path / "out"), BatchOptions(part_size=16))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["model", "detector"])
def test_a_model_file_that_was_replaced_is_another_job(album, tmp_path, kind):
    path = copy_model("tiny" if kind == "model" else "mien", tmp_path / "own.onnx")
    options = BatchOptions(**{kind: str(path)})
    for _ in range(2):  # the same again: it goes on
        plan_destination(str(album), str(tmp_path / "out"), options)
    card = path.with_suffix(".json")
    card.write_text(card.read_text().replace('"licence"', '"licence" ', 1))
    with pytest.raises(UsageError, match=f"another job: its {'expression' if kind == 'model' else kind} model is"):
        plan_destination(str(album), str(tmp_path / "out"), options)


def test_a_plan_that_was_changed_is_refused(album, tmp_path):
    plan_destination(str(album), str(tmp_path / "out"), BatchOptions(part_size=16))
    plan = tmp_path / "out" / "plan.parquet"
    table = pyarrow.parquet.read_table(plan)
    pyarrow.parquet.write_table(table.slice(1), plan)
    with pytest.raises(UsageError, match=r"its plan\.parquet was changed since the batch began; choose a new folder"):
        plan_destination(str(album), str(tmp_path / "out"), BatchOptions(part_size=16))
    plan.unlink()
    with pytest.raises(UsageError, match=r"its plan\.parquet is missing"):
        plan_destination(str(album), str(tmp_path / "out"), BatchOptions(part_size=16))


def test_strange_files_among_the_parts_are_no_parts(album, tmp_path):
    destination = read_all(album, tmp_path / "out", part_size=16, parts=[0])
    for name in ("part-000000 (copy).parquet", "part-1.parquet", "notes.txt"):
        (tmp_path / "out" / "inputs" / name).touch()
    assert destination.done_parts() == {0}


def test_a_folder_of_something_else_is_refused(album, tmp_path):
    with pytest.raises(UsageError, match=r"is not empty and holds no batch \(there is notes.md, photo01.jpg"):
        plan_destination(str(album), str(album), BatchOptions())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        plan_destination(str(album), str(tmp_path / "file"), BatchOptions())
    with pytest.raises(UsageError, match="holds no batch"):
        open_destination(str(tmp_path / "nothing"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UsageError, match="of something else"):
        plan_destination(str(album), str(tmp_path / "other"), BatchOptions())


def test_a_source_without_images_leaves_no_destination(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no photos"):
        plan_destination(str(tmp_path / "empty"), str(tmp_path / "out"), BatchOptions())
    assert not (tmp_path / "out").exists()


def test_where_no_folder_can_be_made_nothing_is_begun(album, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        plan_destination(str(album), str(tmp_path / "file" / "out"), BatchOptions(), begun=pytest.fail)


def test_a_full_disk_is_said_and_what_was_written_stays(album, tmp_path, monkeypatch):
    destination = read_all(album, tmp_path / "out", parts=[0], part_size=16)
    chosen = BatchOptions(part_size=16)
    reader = PartReader(destination.folder.address, vars(destination.manifest), job_of(chosen))

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mien.cluster.storage.write_atomically", full)
        result = reader.read(1)
    reader.close()
    assert "cannot be written (No space left on device): the disk is full" in result["problem"]
    assert destination.done_parts() == {0}
    assert len(pandas.read_parquet(tmp_path / "out" / "inputs")) == 16


def test_no_bucket_is_made(monkeypatch):
    folder = Folder("memory://bucket/out")
    made = []
    monkeypatch.setattr(type(folder._system), "makedirs", lambda *names, **_: made.append(names))
    folder.write("faces/x", b"y")
    assert (folder.read("faces/x"), made) == (b"y", [])


def test_errors_of_a_bucket_are_wrapped(monkeypatch):
    folder = Folder("memory://bucket/out")

    def refuse(*_):
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(type(folder._system), "pipe_file", refuse)
    with pytest.raises(OutputError, match=r"memory://bucket/out: cannot be written \(no permission\)"):
        folder.write("x", b"y")


def test_a_worker_of_another_version_says_so(album, tmp_path):
    destination = plan_destination(str(album), str(tmp_path / "out"), BatchOptions())
    manifest = {**vars(destination.manifest), "mien": "0.0.1"}
    reader = PartReader(destination.folder.address, manifest, job_of(BatchOptions()))
    assert "planned with 0.0.1" in reader.read(0)["problem"]


def test_a_part_has_its_tally_beside_the_schema(album, tmp_path):
    read_all(album, tmp_path / "out", parts=[0], part_size=16)
    schema = pyarrow.parquet.read_schema(tmp_path / "out" / "inputs" / "part-000000.parquet")
    tally = json.loads(schema.metadata[b"mien.tally"])
    assert tally["inputs"] == 16
    assert tally["seconds"] > 0


def test_without_the_extra_it_says_what_to_install(album, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    with pytest.raises(MissingExtraError, match=r'pip install "mien\[cluster\]"'):
        run_batch(str(album), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_of_ones_own_is_named_by_its_whole_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert BatchOptions(model="own.onnx").recognizer_options()["model"] == str(tmp_path / "own.onnx")
    assert BatchOptions(model="small").recognizer_options()["model"] == "small"
