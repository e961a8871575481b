// Photos: dropped or chosen, read one after the other, shown with their boxes.

import { recognize } from "./api.js";
import { drawFaces, describe, PersonCard } from "./draw.js";
import { Basis } from "./explain.js";
import { records } from "./table.js";

const DENSITY = 2;  // pixels of a canvas for each of the page
const CARD_PX = [360, 416];  // room for a picture on its card: about the width, and the most height that page.css gives
const MOST_CARDS = 6;
const WIDE_FROM = 3;  // faces: such a photo has two columns, so that it does not stand long beside the others
const AT_A_TIME = 2;
const AGAIN = [0, 401, 408, 429];  // not the photo's fault; 0: the server does not answer

export class Photos {
  constructor(list, hooks) {
    this.list = list;
    this.hooks = hooks;
    this.items = [];
    this.queue = [];
    this.busy = 0;
    this.limits = null;
  }

  add(files) {
    const added = [...files].map((file) => ({ file, root: document.createElement("li"), reading: null }));
    added.forEach((item) => { item.root.className = "photo"; });
    this.items = [...added, ...this.items];
    this.list.prepend(...added.map((item) => item.root));
    added.forEach((item) => this.read(item));
  }

  // Each reading of a photo has a number: one that is under way when a newer one is asked for ends in silence.
  read(item) {
    item.turn = (item.turn ?? 0) + 1;
    item.reading = null;
    item.failed = item.retriable = false;
    item.basis?.stop();
    frame(item, true);
    this.queue.push({ item, turn: item.turn });
    this.work();
  }

  isCurrent({ item, turn }) { return item.turn === turn && this.items.includes(item); }

  // Another model or other labels: read everything again.
  again() { this.items.forEach((item) => this.read(item)); }

  // Those that failed for a reason that is not the photo's own: no server, no token, too much to do.
  retry() { this.items.filter((item) => item.retriable).forEach((item) => this.read(item)); }

  clear() {
    this.items.forEach((item) => item.basis?.stop());
    this.items = [];
    this.queue = [];
    this.list.replaceChildren();
    this.hooks.changed(this);
  }

  get rows() { return this.items.flatMap((item) => (item.reading ? records(item.reading) : [])); }

  async work() {
    while (this.queue.length && this.busy < AT_A_TIME) {
      const task = this.queue.shift();
      if (!this.isCurrent(task)) continue;
      this.busy += 1;
      this.one(task).finally(() => { this.busy -= 1; this.work(); });
    }
    this.hooks.changed(this);
  }

  async one(task) {
    const { item } = task;
    const most = this.limits?.max_upload_mb ?? Infinity;
    if (item.file.size > most * 1e6) {
      this.fail(item, `This file has ${(item.file.size / 1e6).toFixed(1)} MB; the server takes ${most} MB at most.`);
      return;
    }
    try {
      const reading = await recognize(item.file, this.hooks.choice());
      item.root.classList.toggle("wide", reading.faces.length >= WIDE_FROM);
      const canvas = await paint(item, reading);
      if (!this.isCurrent(task)) return;
      item.reading = reading;
      const cards = show(item, canvas);
      if (cards.length) {
        item.basis = new Basis(item, cards, this.hooks, this.limits?.max_explained_faces ?? 1);
        item.root.querySelector(".about").append(item.basis.root);
      }
      this.hooks.say(`${item.file.name}: ${describe(reading).replace("Nobody in view", "no face")}`);
    } catch (problem) {
      if (!this.isCurrent(task)) return;
      if (problem.status === 401) this.hooks.needToken();
      const retriable = AGAIN.includes(problem.status) || problem.status >= 500;
      this.fail(item, sentence(problem.message.replace(`${item.file.name}: `, "")), retriable);
    }
  }

  fail(item, text, retriable = false) {
    item.failed = true;
    item.retriable = retriable;
    const about = frame(item);
    const line = document.createElement("p");
    line.className = "error";
    line.textContent = text;
    about.append(line);
    if (retriable) about.append(this.button());
    this.hooks.say(`${item.file.name}: ${text}`, true);
    this.hooks.changed(this);
  }

  // One press reads all that wait for the server.
  button() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Try again";
    button.addEventListener("click", () => {
      const card = button.closest(".photo");
      card.tabIndex = -1;
      card.focus();  // the button goes; the keyboard stays where it was
      this.retry();
    });
    return button;
  }
}

// What the server says of a file, without its name: it is above.
function sentence(text) {
  const whole = /^(is|has|cannot) /.test(text) ? `it ${text}` : text;
  return whole.charAt(0).toUpperCase() + whole.slice(1);
}

// Returns the cards of the faces.
function show(item, canvas) {
  const { reading } = item;
  const about = frame(item);
  if (canvas) item.root.prepend(canvas);
  else about.append(hint("It was read, but this browser cannot show such a file."));
  if (!reading.faces.length) about.append(hint("No face found in this photo."));
  const cards = reading.faces.slice(0, MOST_CARDS).map((face, index) => {
    const card = new PersonCard(reading.faces.length > 1 ? `face ${index + 1}` : "", "div");
    card.update(face);
    about.append(card.root);
    return card;
  });
  const more = reading.faces.length - MOST_CARDS;
  if (more > 0) about.append(hint(`${more} more in the picture, and in the CSV and JSON files.`));
  if (reading.note) about.append(hint(reading.note));
  return cards;
}

function hint(text) {
  const line = document.createElement("p");
  line.className = "hint";
  line.textContent = text;
  return line;
}

function frame(item, busy = false) {
  const about = document.createElement("div");
  about.className = "about";
  const name = document.createElement("h3");
  name.textContent = item.file.name;
  about.append(name);
  item.root.replaceChildren(about);
  item.root.setAttribute("aria-busy", String(busy));
  return about;
}

// The photo with its boxes; null where this browser cannot show the format, which the server may read all the same.
async function paint({ file, root }, reading) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null;
  }
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", describe(reading).replace("Nobody in view", "No face found"));
  const [width, height] = reading.size_wh;
  // Lines and letters are as large on every card, whatever the size and shape of its photo; and hundreds of photos must
  // fit into the browser's memory, so that a canvas has no more pixels than the card shows.
  const shown = Math.min((root.clientWidth || CARD_PX[0]) / width, CARD_PX[1] / height);
  const scale = DENSITY * shown;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  drawFaces(context, reading, { scale, x: 0, y: 0 }, { unit: DENSITY });
  return canvas;
}
