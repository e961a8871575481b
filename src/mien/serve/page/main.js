// Wires the page: what is on it, the choices, the two tabs, the theme.

import { getModels, hasToken, setToken, takeTokenFromAddress, tokenText } from "./api.js";
import { colorOf, setColors } from "./draw.js";
import { Live } from "./live.js";
import { Photos } from "./photos.js";
import { saveCsv, saveJson } from "./table.js";

const id = (name) => document.getElementById(name);
const page = {
  stage: id("stage"), video: id("video"), overlay: id("overlay"), timeline: id("timeline"), toggle: id("toggle"),
  curtainTitle: id("curtain-title"), curtainText: id("curtain-text"), curtainButton: id("curtain-button"),
  notice: id("notice"), camera: id("camera"), cameraChoice: id("camera-choice"), people: id("people"),
  nobody: id("nobody"), fps: id("fps"), delay: id("delay"), count: id("count"),
};
let models = null;

// Screen readers are told what changed, but not thirty times a second.
let lastSaidMs = 0;
let lastSaid = "";
function say(text, urgent = false) {
  const now = performance.now();
  if (text === lastSaid || (!urgent && now - lastSaidMs < 4000)) return;
  [lastSaid, lastSaidMs] = [text, now];
  id("say").textContent = text;
}

// Nothing is chosen until the server has told what there is: then it takes its own defaults.
const choice = () => Object.fromEntries(["model", "labels"].map((name) => [name, id(name).value]).filter(([, value]) => value));
const hooks = {
  choice, say, needToken,
  labels: (labels) => id("legend").replaceChildren(...labels.map((label) => {
    const item = document.createElement("li");
    const dot = document.createElement("span");
    dot.className = "dot";
    dot.style.setProperty("--tint", colorOf(label));
    item.append(dot, label);
    return item;
  })),
  recorded: ({ rows, full }) => {
    id("live-rows").textContent = rows.length
      ? `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "row" : "rows"} recorded in this page${full ? " (it keeps no more)" : ""}`
      : "Nothing recorded yet";
    id("live-csv").disabled = id("live-json").disabled = id("live-clear").disabled = rows.length === 0;
  },
  changed: (all) => {
    const count = all.rows.length;
    const read = all.items.filter((item) => item.reading).length;
    id("photo-tools").hidden = all.items.length === 0;
    const failed = all.items.filter((item) => item.failed).length;
    const waiting = all.items.length - read - failed;
    id("photo-rows").textContent = `${count} ${count === 1 ? "face" : "faces"} in ${read} ${read === 1 ? "photo" : "photos"}`
      + (failed ? `; ${failed} could not be read` : "") + (waiting ? `; ${waiting} to go` : "");
    id("photo-csv").disabled = id("photo-json").disabled = count === 0;
  },
};
const live = new Live(page, hooks);
const photos = new Photos(id("photos"), hooks);

function needToken() {
  const dialog = id("ask");
  id("ask-problem").textContent = hasToken() ? tokenText() : "";
  if (!dialog.open) dialog.showModal();
}

async function load() {
  try {
    models = await getModels();
  } catch (problem) {
    if (problem.status === 401) needToken();
    else {
      live.fail("The server does not answer", problem.message);
      setTimeout(load, 3000);
    }
    return;
  }
  setColors(models.colors);
  const before = choice();  // a token may be asked for again, later
  const wanted = models.models.some((model) => model.name === before.model) ? before.model : models.default.model;
  id("model").replaceChildren(...models.models.map((model) => {
    const option = new Option(model.name, model.name, false, model.name === wanted);
    option.title = model.summary;
    return option;
  }));
  fillLabels(before.labels ?? models.default.labels);
  id("model").disabled = id("labels").disabled = false;
  photos.limits = models.limits;
  id("limits").textContent = `Up to ${models.limits.max_upload_mb} MB and ${models.limits.max_megapixels} megapixels each.`;
  if (page.stage.dataset.state === "error" && !live.running) live.show("idle");
  photos.retry();
}

function fillLabels(wanted) {
  const model = models.models.find((item) => item.name === id("model").value);
  const schemes = Object.entries(model.schemes);
  id("labels").replaceChildren(...schemes.map(([name, labels]) => {
    const option = new Option(name, name, false, name === wanted);
    option.title = labels.join(", ");
    return option;
  }));
  hooks.labels(model.schemes[id("labels").value]);
}

function chosen(event) {
  if (event.target === id("model")) fillLabels(id("labels").value);
  else hooks.labels(models.models.find((item) => item.name === id("model").value).schemes[id("labels").value]);
  live.choose();
  photos.again();
}

function openTab(name) {
  for (const each of ["live", "photos"]) {
    const selected = each === name;
    id(`tab-${each}`).setAttribute("aria-selected", String(selected));
    id(`tab-${each}`).tabIndex = selected ? 0 : -1;
    id(`panel-${each}`).hidden = !selected;
  }
  if (name !== "live" && live.running) live.stop();
}

const THEMES = { "": "as the system", light: "light", dark: "dark" };
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  id("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
  id("theme").title = `Colours: ${THEMES[theme]}`;
  try { localStorage.setItem("theme", theme); } catch { /* a browser that keeps nothing */ }
  live.timeline.draw();
}

function start() {
  takeTokenFromAddress();
  let theme = "";
  try { theme = localStorage.getItem("theme") ?? ""; } catch { /* likewise */ }
  setTheme(theme in THEMES ? theme : "");
  id("where").textContent = location.host;
  id("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    setTheme(names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length]);
  });
  for (const name of ["live", "photos"]) id(`tab-${name}`).addEventListener("click", () => openTab(name));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    const name = id("tab-live").getAttribute("aria-selected") === "true" ? "photos" : "live";
    openTab(name);
    id(`tab-${name}`).focus();
    event.preventDefault();
  });
  id("model").addEventListener("change", chosen);
  id("labels").addEventListener("change", chosen);
  page.toggle.addEventListener("click", () => live.stop());
  page.curtainButton.addEventListener("click", () => live.start());
  page.camera.addEventListener("change", async () => { live.stop(); await live.start(); });
  id("live-csv").addEventListener("click", () => saveCsv("mien-live", live.recording.rows));
  id("live-json").addEventListener("click", () => saveJson("mien-live", live.recording.rows));
  id("live-clear").addEventListener("click", () => {
    live.recording.clear();
    hooks.recorded(live.recording);
    (page.toggle.hidden ? page.curtainButton : page.toggle).focus();  // the button can be pressed no more
  });
  id("photo-csv").addEventListener("click", () => saveCsv("mien-photos", photos.rows));
  id("photo-json").addEventListener("click", () => saveJson("mien-photos", photos.rows));
  id("clear").addEventListener("click", () => { photos.clear(); id("choose").focus(); });
  id("choose").addEventListener("click", () => id("files").click());
  id("files").addEventListener("change", (event) => { photos.add(event.target.files); event.target.value = ""; });
  // A photo dropped anywhere on the page is read, not opened in its place.
  for (const type of ["dragover", "drop", "dragleave"]) {
    addEventListener(type, (event) => {
      event.preventDefault();
      id("drop").classList.toggle("over", type === "dragover");
      if (type === "drop" && event.dataTransfer.files.length) { openTab("photos"); photos.add(event.dataTransfer.files); }
    });
  }
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) { openTab("photos"); photos.add(event.clipboardData.files); }
  });
  id("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(id("token").value.trim());
    id("token").value = "";
    id("ask").close();
    load();
  });
  load();
}

start();
