"""What docs/serve.md says is so."""

import base64
import dataclasses
import functools
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from starlette.testclient import TestClient

from mien.classify.class_scaling import calibrated
from mien.classify.onnx import OnnxClassifier
from mien.serve.options import ServeOptions
from mien.zoo import list_models
from tests.cli.test_recognize import run
from tests.conftest import ROOT
from tests.serve.conftest import FLAGS, run_server

PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


STREAM, MOUNT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
UPLOAD, PROBABILITIES = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)


def test_the_client_of_a_live_stream_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with run_server() as server:
        exec(STREAM.replace("127.0.0.1:8000", f"{server.host}:{server.port}"), {})
    labels, face = capsys.readouterr().out.splitlines()
    assert labels == "['happy', 'sad', 'neutral']"
    assert face.startswith("1 happy 0.")


def test_what_is_asked_for_explanations_is_answered(client, photo):
    queries = re.findall(r'^curl .*/v1/explain\??([^"]*)"', PAGE, re.MULTILINE)
    assert len(queries) == 3
    for query in queries:
        answer = client.post(f"/v1/explain?model=tiny&{query}", files={"images": photo})
        assert answer.status_code == 200
        assert (answer.headers["content-type"] == "image/png") == ("format=png" in query)
    told = re.findall(
        r"^\| `([a-z]+)`?(?:=|, `([a-z]+)` )?", PAGE.split("| parameter |")[1].split("\n\n")[0], re.MULTILINE
    )
    document = client.get("/openapi.json").json()["paths"]["/v1/explain"]["post"]
    assert {name for names in told for name in names if name} == {item["name"] for item in document["parameters"]}


@pytest.fixture
def site(chromium_path, tmp_path):
    """An empty page of another site, in a browser.

    The site is on this computer too: for a page from elsewhere Chromium asks, before it lets it reach the service.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="scripts in pages need the library playwright")
    (tmp_path / "index.html").write_text("<!doctype html>", encoding="utf-8")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as there, playwright.sync_playwright() as driver:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=chromium_path, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{there.server_port}/")
        yield page
        browser.close()
        there.shutdown()


@pytest.mark.parametrize("token", [None, "sesame"])
def test_the_script_that_sends_a_canvas_runs_on_another_site(site, photo, token):
    lines: list[str] = []
    site.on("console", lambda message: lines.append(message.text) if message.type == "log" else None)
    script = UPLOAD
    if token:
        headers = re.search(r"``(headers: \{.*?\})``", PAGE)[1]
        script = script.replace('method: "POST",', f'method: "POST", {headers},')
    draw = """async ([bytes, token]) => {
      const picture = await createImageBitmap(await (await fetch(`data:image/jpeg;base64,${bytes}`)).blob());
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [picture.width, picture.height];
      canvas.getContext("2d").drawImage(picture, 0, 0);
    """
    with run_server("--allow-origin", site.url.rstrip("/"), **({"MIEN_TOKEN": token} if token else {})) as server:
        script = script.replace("127.0.0.1:8000", f"{server.host}:{server.port}")
        site.evaluate(draw + script + "}", [base64.b64encode(photo).decode(), token])
        assert [line.startswith("happy 0.9") for line in lines] == [True]
        canvas = "const canvas = { toBlob: (done) => done(new Blob(['hello'])) };"
        with pytest.raises(Exception, match="photo.jpg: is not an image"):
            site.evaluate(f"async (token) => {{ {canvas} {script} }}", token)


def test_the_script_that_makes_probabilities_makes_those_of_recognition(site):
    """The network's answers come from ONNX Runtime for Python: the one for browsers is not at hand."""
    base = list_models()["base"]
    faces = np.random.default_rng(0).integers(0, 256, (3, 1, 48, 48), dtype=np.uint8)
    logits = OnnxClassifier(base).logits(faces)["fer7"]
    run = """async ([card, faces]) => {
      const ort = { Tensor: function (...given) { this.given = given; } };
      const answers = [];
      for (const [face, logits] of faces) {
        const gray = new Uint8Array(face);
        const run = async ({ image: { given: [kind, data, shape] } }) => {
          if (kind !== "uint8" || data !== gray || `${shape}` !== "1,1,48,48") throw new Error(`a tensor of ${kind}`);
          return { fer7: { data: new Float32Array(logits) } };
        };
        const session = { run };
    """
    asked = [[face.ravel().tolist(), row.tolist()] for face, row in zip(faces, logits, strict=True)]
    answers = site.evaluate(
        run + PROBABILITIES + "answers.push(probabilities); } return answers; }", [base.card.to_dict(), asked]
    )
    np.testing.assert_allclose(answers, calibrated(logits, base.card.heads[0]), atol=1e-5)


def test_the_service_answers_inside_another_application(photo):
    names = {}
    exec(MOUNT, names)
    client = TestClient(names["app"], base_url="http://localhost")
    answer = client.post("/faces/v1/recognize", files={"images": photo}).json()
    assert answer["labels"] == "basic3"


def test_the_limits_are_the_real_ones():
    shown = dict(re.findall(r"^\| `--([a-z-]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    defaults = {item.name: item.default for item in dataclasses.fields(ServeOptions)}
    assert {name: float(value) for name, value in shown.items()} == {
        name: float(defaults[name.replace("-", "_")]) for name in shown
    }
    told = {name.replace("-", "_") for name in shown}
    assert {name for name in defaults if name.startswith("max_")} - told == {"max_not_face"}


def test_every_flag_that_is_named_exists():
    help_text = run("serve", "--help", NO_COLOR="1", COLUMNS="200").stdout
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", PAGE + DOCKERFILE))
    others = {
        "--rm",
        "--restart",
        "--read-only",
        "--cap-drop",
        "--memory",
        "--json",
        "--draw",
        "--system",
        "--uid",
        "--no-create-home",
    }
    others |= {"--from", "--interval", "--timeout", "--start-period", "--no-cache-dir"}
    for flag in named - others:
        assert flag in help_text, flag
