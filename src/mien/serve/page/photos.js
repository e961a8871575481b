// Photos: dropped or chosen, read one after the other, shown with their boxes.

import { recognize } from "./api.js";
import { drawFaces, describe, PersonCard } from "./draw.js";
import { records } from "./table.js";

const SHOWN_PX = 1600;
const MOST_CARDS = 6;
const AT_A_TIME = 2;

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

  read(item) {
    item.reading = null;
    item.failed = false;
    this.show(item, null);
    this.queue.push(item);
    this.work();
  }

  // Another model or other labels: read everything again.
  again() { this.items.forEach((item) => this.read(item)); }

  clear() {
    this.items = [];
    this.queue = [];
    this.list.replaceChildren();
    this.hooks.changed(this);
  }

  get rows() { return this.items.flatMap((item) => (item.reading ? records(item.reading) : [])); }

  async work() {
    while (this.queue.length && this.busy < AT_A_TIME) {
      const item = this.queue.shift();
      this.busy += 1;
      this.one(item).finally(() => { this.busy -= 1; this.work(); });
    }
    this.hooks.changed(this);
  }

  async one(item) {
    const most = this.limits?.max_upload_mb ?? Infinity;
    if (item.file.size > most * 1e6) {
      this.fail(item, `This file has ${(item.file.size / 1e6).toFixed(1)} MB; the server takes ${most} MB at most.`);
      return;
    }
    try {
      item.reading = await recognize(item.file, this.hooks.choice());
      if (!this.items.includes(item)) return;
      await this.show(item, item.reading);
      this.hooks.say(`${item.file.name}: ${describe(item.reading).replace("Nobody in view", "no face")}`);
    } catch (problem) {
      if (problem.status === 401) this.hooks.needToken();
      this.fail(item, problem.message.replace(`${item.file.name}: `, ""));
    }
  }

  fail(item, text) {
    item.failed = true;
    const { about } = frame(item);
    const line = document.createElement("p");
    line.className = "error";
    line.textContent = text;
    about.append(line);
    this.hooks.say(`${item.file.name}: ${text}`, true);
    this.hooks.changed(this);
  }

  async show(item, reading) {
    const { about } = frame(item);
    item.root.setAttribute("aria-busy", String(!reading));
    if (!reading) return;
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", describe(reading).replace("Nobody in view", "No face found"));
    if (await paint(canvas, item.file, reading)) item.root.prepend(canvas);
    if (!reading.faces.length) about.append(hint("No face found in this photo."));
    reading.faces.slice(0, MOST_CARDS).forEach((face, index) => {
      const card = new PersonCard(reading.faces.length > 1 ? `face ${index + 1}` : "", "div");
      card.update(face);
      about.append(card.root);
    });
    const more = reading.faces.length - MOST_CARDS;
    if (more > 0) about.append(hint(`${more} more in the picture and in the table.`));
    if (reading.note) about.append(hint(reading.note));
  }
}

function hint(text) {
  const line = document.createElement("p");
  line.className = "hint";
  line.textContent = text;
  return line;
}

function frame(item) {
  const about = document.createElement("div");
  about.className = "about";
  const name = document.createElement("h3");
  name.textContent = item.file.name;
  about.append(name);
  item.root.replaceChildren(about);
  item.root.setAttribute("aria-busy", "false");
  return { about };
}

async function paint(canvas, file, reading) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return false;  // the server reads formats that this browser cannot show
  }
  const [width, height] = reading.size_wh;
  const scale = Math.min(1, SHOWN_PX / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  drawFaces(context, reading, { scale, x: 0, y: 0 }, { unit: Math.max(0.8, canvas.width / 420) });
  return true;
}
