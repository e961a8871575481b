// What a photo's answers rest on: a button on its card, and below each face its map.

import { explain } from "./api.js";
import { element, percent } from "./draw.js";

const SIDE_PX = 320;  // of a picture: two lie beside each other on a card, with two pixels for each of the page
// As in the pictures of mien explain: orange where hiding makes the expression less probable, blue where more.
const [FALLS, RISES] = [[235, 110, 0], [0, 110, 205]];
const STRONGEST = 0.72;
const LEAST_CHANGE = 0.05;  // a map of smaller changes has no strong colours: no part matters much
const ASK = "What does this rest on?";
const MEANING = "Orange parts speak for the expression, blue ones against it: half of a face’s 8\u00a0×\u00a08 squares were hidden in 256 ways, "
  + "to see by how many points of probability each part raises or lowers it.";

export class Basis {
  // `cards` are those of the photo's first faces, in their order; `most` faces may be asked for at a time.
  constructor(item, cards, hooks, most) {
    Object.assign(this, { item, cards, hooks, most });
    this.shown = new Map();  // the figures of the faces that are explained already
    this.root = element("div", "basis");
    this.button = element("button", "quiet", ASK);
    this.button.type = "button";
    this.button.addEventListener("click", () => this.press());
    this.progress = element("progress");
    this.progress.max = cards.length;
    this.progress.setAttribute("aria-label", "Faces explained");
    this.state = element("p", "hint");
    this.problem = element("p", "error");
    this.meaning = element("p", "hint meaning", MEANING);
    this.root.append(this.button, this.progress, this.state, this.problem, this.meaning);
    this.rest();
  }

  get done() { return this.shown.size === this.cards.length; }

  press() {
    if (this.running) this.stop();
    else if (this.done) this.reveal(this.meaning.hidden);
    else this.start();
  }

  stop() { this.running?.abort(); }

  reveal(visible) {
    for (const figure of this.shown.values()) figure.hidden = !visible;
    this.meaning.hidden = !visible || !this.shown.size;
    this.button.textContent = !this.done ? ASK : visible ? "Hide what it rests on" : "Show what it rests on";
    if (this.done) this.button.setAttribute("aria-expanded", String(visible));
  }

  rest(problem = "") {
    this.running = null;
    this.progress.hidden = this.state.hidden = true;
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
    this.reveal(true);
  }

  async start() {
    const running = this.running = new AbortController();
    const { file, reading } = this.item;
    this.problem.hidden = true;
    this.button.textContent = "Stop";
    this.progress.hidden = this.state.hidden = false;
    this.tell();
    this.hooks.say(`${file.name}: looking for what it rests on`, true);
    let bitmap = null;
    try {
      try { bitmap = await createImageBitmap(file); } catch { /* the server draws what this browser cannot show */ }
      const faces = this.cards.map((_, index) => index + 1).filter((number) => !this.shown.has(number));
      while (faces.length && !running.signal.aborted) {
        await explain(file, this.hooks.choice(), faces.splice(0, this.most), {
          signal: running.signal, drawn: !bitmap,
          found: (one) => {
            if (running.signal.aborted) return;
            const figure = show(one, bitmap, reading.size_wh);
            this.cards[one.face - 1].root.append(figure);
            this.shown.set(one.face, figure);
            this.tell();
          },
        });
      }
      this.rest();
      const said = [...this.shown.values()].map((figure) => figure.querySelector("figcaption").textContent);
      if (this.done) this.hooks.say(`${file.name}: ${said.join(" ")}`, true);
    } catch (problem) {
      if (running.signal.aborted) {
        this.rest();
        return;
      }
      if (problem.status === 401) this.hooks.needToken();
      this.rest(problem.message);
      this.hooks.say(`${file.name}: ${problem.message}`, true);
    } finally {
      bitmap?.close();
    }
  }

  // How far it is: nothing is known of the first face, which may have to wait for those of others.
  tell() {
    const [done, all] = [this.shown.size, this.cards.length];
    if (done) this.progress.value = done;
    else this.progress.removeAttribute("value");
    this.state.textContent = `${all === 1 ? "It" : `Face ${Math.min(done + 1, all)} of ${all}`} is read 256 times, half hidden …`;
  }
}

function show(one, bitmap, sizeWh) {
  const most = Math.max(LEAST_CHANGE, ...one.drop.flat().map(Math.abs));
  const figure = element("figure");
  if (bitmap) {
    const face = cut(bitmap, sizeWh, one.corners_xy);
    const map = heat(face, one.drop, most);
    const pair = element("div", "pair");
    for (const [canvas, label] of [[face, "The face as it is read"], [map, "The map over the face"]]) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", label);
      pair.append(canvas);
    }
    const scale = element("div", "scale");
    const points = Math.round(100 * most);
    scale.append(element("span", "", `${points} points against`), element("span", "", `${points} points for it`));
    figure.append(pair, scale);
  } else figure.append(picture(one));
  figure.append(element("figcaption", "hint", summary(one)));
  return figure;
}

// The picture that the server drew.
function picture(one) {
  const image = element("img");
  image.alt = "The face, and the map over it";
  const bytes = Uint8Array.from(atob(one.picture), (letter) => letter.charCodeAt(0));
  image.src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  return image;
}

// The map in words, for those who do not see it, too.
function summary({ explained, probability, drop }) {
  const squares = drop.flat();
  const [most, least] = [Math.max(...squares), Math.min(...squares)];
  const points = (change) => Math.round(100 * Math.abs(change));
  const said = (change) => `${points(change)} ${points(change) === 1 ? "point" : "points"}`;
  const head = `What ${explained} ${percent(probability)} rests on`;
  if (Math.max(points(most), points(least)) < 100 * LEAST_CHANGE) {
    return `${head}: no part alone matters much, the ${place(squares, most)} most (${said(most)}).`;
  }
  const against = least <= -0.01 ? `; against it the ${place(squares, least)} (${said(least)})` : "";
  return `${head}: the ${place(squares, most)} speaks for it most (${said(most)})${against}.`;
}

// Where in the picture a square lies.
function place(squares, value) {
  const side = Math.sqrt(squares.length);
  const at = squares.indexOf(value);
  const third = (index, names) => names[Math.min(2, Math.floor((3 * (index + 0.5)) / side))];
  const words = [third(Math.floor(at / side), ["upper", "", "lower"]), third(at % side, ["left", "middle", "right"])];
  return words.filter(Boolean).join(" ");
}

// The part of the photo that the model is given: a square, which may be turned and reach past the border.
function cut(bitmap, [width, height], [[x, y], [right, rightY], , [below, belowY]]) {
  const canvas = element("canvas");
  canvas.width = canvas.height = SIDE_PX;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#808080";
  context.fillRect(0, 0, SIDE_PX, SIDE_PX);
  const [a, b, c, d] = [right - x, rightY - y, below - x, belowY - y];
  const scale = SIDE_PX / (a * d - b * c);
  context.setTransform(d * scale, -b * scale, -c * scale, a * scale, scale * (c * y - d * x), scale * (b * x - a * y));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  context.resetTransform();
  return canvas;
}

function heat(face, drop, most) {
  const canvas = element("canvas");
  canvas.width = canvas.height = SIDE_PX;
  const image = face.getContext("2d").getImageData(0, 0, SIDE_PX, SIDE_PX);
  const values = enlarge(drop, SIDE_PX).flat();
  const { data } = image;
  values.forEach((value, index) => {
    const at = 4 * index;
    const share = Math.max(-1, Math.min(1, value / most));
    const strength = STRONGEST * Math.abs(share);
    // Less contrast in the face than it has, so that neither its light nor its dark parts look like a part of the map.
    const gray = 128 + 0.6 * (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2] - 128);
    (share > 0 ? FALLS : RISES).forEach((color, i) => { data[at + i] = gray * (1 - strength) + color * strength; });
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Rows of numbers, as many as they should be: cubic interpolation, as OpenCV does it.
function enlarge(rows, side) {
  const weight = (x) => (x < 1 ? 1.25 * x ** 3 - 2.25 * x ** 2 + 1 : -0.75 * (x ** 3 - 5 * x ** 2 + 8 * x - 4));
  const near = Array.from({ length: side }, (_, index) => {
    const at = ((index + 0.5) * rows.length) / side - 0.5;
    const from = Math.floor(at);
    return [-1, 0, 1, 2].map((step) => [
      Math.max(0, Math.min(rows.length - 1, from + step)), weight(Math.abs(at - from - step)),
    ]);
  });
  const across = rows.map((row) => near.map((taps) => taps.reduce((sum, [i, share]) => sum + share * row[i], 0)));
  return near.map((taps) => near.map((_, x) => taps.reduce((sum, [i, share]) => sum + share * across[i][x], 0)));
}
