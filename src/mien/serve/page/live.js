// The live camera: frames out, readings in, one frame under way at a time.

import { configureStream, isAlive, openStream } from "./api.js";
import { describe, drawFaces, fit, PersonCard } from "./draw.js";
import { Recording } from "./recording.js";
import { Timeline } from "./timeline.js";

const LONG_SIDE_PX = 640;
const JPEG_QUALITY = 0.8;
const GONE_MS = 700;
const LOST_ANSWER_MS = 5000;
const QUICK_MS = 60;
// What the detector sees for a blink, now and then, is not shown, only recorded: a person is in half of the frames
// since the first one, and in so many of them, or for so long where frames come slowly.
const SURE_AFTER = 6;
const SURE_MS = 400;

const CAMERA_PROBLEMS = {
  NotAllowedError: ["The camera is blocked", "Allow the camera for this page in the browser’s address bar, then try again."],
  NotFoundError: ["No camera found", "Connect a camera and try again, or use the Photos tab."],
  NotReadableError: ["The camera is busy", "Another program uses it. Close that one and try again."],
  OverconstrainedError: ["This camera has gone", "Connect it and try again, or choose another one."],
};

function release(media) { media?.getTracks().forEach((track) => track.stop()); }

export class Live {
  constructor(page, hooks) {
    this.page = page;
    this.hooks = hooks;
    this.nobodyYet = page.nobody.textContent;
    this.invitation = [page.curtainTitle, page.curtainText, page.curtainButton].map((part) => part.textContent);
    this.timeline = new Timeline(page.timeline);
    this.capture = document.createElement("canvas");
    this.cards = new Map();
    this.recording = new Recording();
    this.running = false;
    this.saidMs = 0;
    new ResizeObserver(() => { this.paint(); this.timeline.draw(); }).observe(page.stage);
    navigator.mediaDevices?.addEventListener("devicechange", () => this.listCameras());
    document.addEventListener("visibilitychange", () => { if (this.running && !document.hidden) this.stayAwake(); });
  }

  async start() {
    if (this.running) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      this.fail("This page cannot reach a camera", "Browsers allow it at https:// addresses and on localhost only. The Photos tab works everywhere.");
      return;
    }
    this.running = true;
    const attempt = this.attempt = Symbol("attempt");  // stop() ends it, also while the browser asks its question
    this.page.curtainButton.disabled = true;
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
    const chosen = this.page.camera.value;
    let media = null;
    try {
      media = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: chosen ? { ...wanted, deviceId: { exact: chosen } } : { ...wanted, facingMode: "user" },
      });
      if (attempt === this.attempt) {
        this.page.video.srcObject = media;
        await this.page.video.play();
      }
    } catch (error) {
      release(media);
      if (attempt !== this.attempt) return;
      if (chosen) await this.listCameras();
      if (attempt !== this.attempt) return;
      this.running = false;
      if (error.name === "OverconstrainedError" && this.page.camera.value !== chosen) {  // unplugged: there is another
        await this.start();
        return;
      }
      const [title, text] = CAMERA_PROBLEMS[error.name] ?? ["The camera does not start", String(error.message ?? error)];
      this.fail(title, text);
      return;
    } finally {
      this.page.curtainButton.disabled = false;
    }
    if (attempt !== this.attempt) {
      release(media);
      return;
    }
    this.media = media;
    const [track] = this.media.getVideoTracks();
    track.addEventListener("ended", () => {
      if (attempt !== this.attempt) return;
      this.stop();
      this.fail("The camera has gone", "It was unplugged or taken by another program.");
      this.listCameras();
    });
    // A call that a phone takes, a laptop's switch.
    const pause = (event) => {
      if (attempt !== this.attempt) return;
      this.muted = event.type === "mute";
      this.notice(this.muted ? "The camera sends no pictures now." : "");
    };
    this.muted = false;
    for (const type of ["mute", "unmute"]) track.addEventListener(type, pause);
    this.mirror = track.getSettings().facingMode !== "environment";
    this.page.stage.dataset.mirror = String(this.mirror);
    this.show("live");
    this.page.toggle.hidden = false;
    this.page.toggle.focus();
    this.listCameras(track.getSettings().deviceId);
    this.stayAwake();
    this.forget();
    this.connect();
    this.nextFrame(attempt);
  }

  // The screen of a phone would go dark: nobody touches it. Browsers let go of it in tabs that nobody sees.
  async stayAwake() {
    const { attempt } = this;
    const awake = await navigator.wakeLock?.request("screen").catch(() => null);  // refused where a battery is low
    if (attempt === this.attempt) this.awake = awake;
    else awake?.release();
  }

  stop() {
    this.running = false;
    this.attempt = null;
    clearTimeout(this.retry);
    this.awake?.release();
    release(this.media);
    this.page.video.srcObject = null;
    this.socket?.close(1000);
    this.socket = null;
    this.reading = null;
    this.paint();
    this.notice("");
    this.hooks.recorded(this.recording);
    const hadFocus = document.activeElement === this.page.toggle;
    this.page.toggle.hidden = true;
    this.show("idle");
    if (hadFocus) this.page.curtainButton.focus();
    this.forgetPeople();
    this.page.nobody.hidden = false;
    this.page.nobody.textContent = this.nobodyYet;
  }

  // Choice of model or labels changed.
  choose() {
    this.timeline.clear();
    this.forgetPeople();
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    configureStream(this.socket, this.hooks.choice());
    this.recording.tracksBegin();
    this.firstFrame = this.sent;
  }

  connect() {
    this.flying = new Map();  // number of a frame -> when it was taken
    this.encoding = 0;
    this.sent = 0;
    this.firstFrame = 0;  // an answer to an earlier one may be of the choice before: its persons are others
    this.recording.reconnected();
    this.ready = this.paused = false;
    const socket = openStream(this.hooks.choice);
    this.socket = socket;
    socket.addEventListener("message", (event) => this.heard(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => { if (socket === this.socket) this.lost(event); });
  }

  async lost(event) {
    if (!this.running) return;
    this.reading = null;
    this.paint();
    if (event.code === 1008) {
      this.stop();
      this.hooks.needToken();
      return;
    }
    this.forgetPeople();
    if (event.code === 1000) {  // the server closes what is silent: the next frame opens it again
      this.paused = true;
      return;
    }
    this.tries = (this.tries ?? 0) + 1;
    const { attempt } = this;
    const refused = event.code === 1006 && await isAlive();
    if (attempt !== this.attempt) return;
    this.notice(refused ? "The server takes no more live streams now. Trying again …" : "The server is gone. Trying again …");
    this.retry = setTimeout(() => { if (this.running) this.connect(); }, Math.min(3000, 250 * 2 ** Math.min(this.tries, 5)));
  }

  heard(message) {
    if (message.type === "ready") {
      this.ready = true;
      this.tries = 0;
      this.labels = message.labels;
      this.hooks.labels(message.labels);
      this.notice("");
      return;
    }
    const frame = message.reading?.frame ?? message.frame;
    const takenMs = this.flying.get(frame);
    this.flying.delete(frame);
    if (message.type === "reading") {
      if (frame >= this.firstFrame) this.take(this.recording.goOn(message.reading, takenMs ?? performance.now()), takenMs);
    } else if (message.type === "error" && !["unauthorized", "timeout"].includes(message.error.code)) {
      this.notice(message.error.code === "overloaded" ? "The server is busy …" : message.error.message);
    }
  }

  take(heard, takenMs) {
    const now = performance.now();
    this.updateCards(heard, now);
    const reading = { ...heard, faces: heard.faces.filter((face, index) => this.isSure(face.track_id ?? index + 1)) };
    this.reading = reading;
    if (!this.page.notice.hidden && !this.muted) this.notice("");
    this.times.push(now);
    if (takenMs !== undefined) this.delays.push(now - takenMs);
    while (this.times.length > 1 && now - this.times[0] > 2000) this.times.shift();
    while (this.delays.length > 30) this.delays.shift();
    this.paint();
    this.timeline.add(reading, this.labels);
    this.recording.add(heard);
    if (now - this.saidMs > 500) this.updateFigures(reading, now);
  }

  // Cards stand in the order of their numbers, whichever face the server names first.
  cardAfter(id) {
    const later = [...this.cards.keys()].filter((other) => other > id && this.cards.get(other).root.parentNode);
    return later.length ? this.cards.get(Math.min(...later)).root : null;
  }

  isSure(id) {
    const card = this.cards.get(id);
    return Boolean(card?.sure);
  }

  updateFigures(reading, now) {
    this.saidMs = now;
    const span = this.times.at(-1) - this.times[0];
    const median = this.medianDelay();
    this.page.fps.textContent = span > 300 ? String(Math.round(((this.times.length - 1) * 1000) / span)) : "–";
    this.page.delay.textContent = `${Math.round(median)} ms`;
    this.page.count.textContent = String(reading.faces.length);
    this.hooks.recorded(this.recording);
    this.hooks.say(describe(reading));
  }

  medianDelay() {
    return [...this.delays].sort((a, b) => a - b)[this.delays.length >> 1] ?? 0;
  }

  updateCards(reading, now) {
    // Whoever was in the last frame stays until the next, however long that takes.
    const goneMs = Math.max(GONE_MS, 1.5 * (now - (this.times.at(-1) ?? now)));
    reading.faces.forEach((face, index) => {
      const id = face.track_id ?? index + 1;
      let card = this.cards.get(id);
      if (!card) {
        card = new PersonCard(`person ${id}`);
        card.seen = 0;
        card.frames = 0;
        card.firstMs = now;
        this.cards.set(id, card);
      }
      card.seen += 1;
      card.seenMs = now;
      card.sure ||= 2 * card.seen > card.frames && (card.seen >= SURE_AFTER || now - card.firstMs >= SURE_MS);
      if (!card.root.parentNode && card.sure) this.page.people.insertBefore(card.root, this.cardAfter(id));
      card.update(face);
    });
    for (const [id, card] of this.cards) {
      card.frames += 1;
      card.root.dataset.gone = String(now - card.seenMs > 150);
      if (now - card.seenMs > goneMs) { card.root.remove(); this.cards.delete(id); }
    }
    this.page.nobody.hidden = this.page.people.childElementCount > 0;
    this.page.nobody.textContent = "Nobody in view.";
  }

  paint() {
    const { overlay } = this.page;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(overlay.clientWidth * ratio);
    const height = Math.round(overlay.clientHeight * ratio);
    if (overlay.width !== width || overlay.height !== height) Object.assign(overlay, { width, height });
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.reading?.faces.length) {
      drawFaces(context, this.reading, fit(overlay, this.reading.size_wh), { mirror: this.mirror, unit: ratio });
    }
  }

  // In a tab that nobody sees the browser calls for no frame until it is seen again.
  nextFrame(attempt) {
    if (attempt !== this.attempt) return;  // stopped; after another start this would be a second one at the same frames
    const { video } = this.page;
    const again = () => this.nextFrame(attempt);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(again);
    else requestAnimationFrame(again);
    this.send();
  }

  send() {
    const { video } = this.page;
    const now = performance.now();
    if (this.paused) this.connect();
    for (const [frame, takenMs] of this.flying) {
      if (now - takenMs > LOST_ANSWER_MS) this.flying.delete(frame);  // an answer that never comes must not stop us
    }
    // A second frame may be on its way where that only fills the gaps; with a slow server it would only wait there.
    const most = this.medianDelay() < QUICK_MS ? 2 : 1;
    if (this.flying.size + this.encoding >= most) return;
    if (!this.ready || this.socket?.readyState !== WebSocket.OPEN || !video.videoWidth) return;
    const scale = Math.min(1, LONG_SIDE_PX / Math.max(video.videoWidth, video.videoHeight));
    const width = Math.round(video.videoWidth * scale);
    const height = Math.round(video.videoHeight * scale);
    if (this.capture.width !== width || this.capture.height !== height) Object.assign(this.capture, { width, height });
    this.capture.getContext("2d", { alpha: false }).drawImage(video, 0, 0, width, height);
    this.encoding += 1;
    const { socket } = this;
    this.capture.toBlob((blob) => {
      if (socket !== this.socket) return;
      this.encoding -= 1;
      if (!blob || socket.readyState !== WebSocket.OPEN) return;
      socket.send(blob);
      this.flying.set(this.sent, now);
      this.sent += 1;
    }, "image/jpeg", JPEG_QUALITY);
  }

  async listCameras(current = this.page.camera.value) {
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
    this.page.cameraChoice.hidden = cameras.length < 2;
    this.page.camera.replaceChildren(...cameras.map((device, index) => new Option(
      device.label || `Camera ${index + 1}`, device.deviceId, false, device.deviceId === current)));
  }

  forget() {
    this.times = [];
    this.delays = [];
    this.tries = 0;
    this.forgetPeople();
    this.timeline.clear();
  }

  forgetPeople() {
    this.cards.forEach((card) => card.root.remove());
    this.cards.clear();
    for (const name of ["fps", "delay", "count"]) this.page[name].textContent = "–";
  }

  show(state) {
    this.page.stage.dataset.state = state;
    if (state === "idle") this.invite();
  }

  invite() {
    const [title, text, button] = this.invitation;
    this.page.curtainTitle.textContent = title;
    this.page.curtainText.textContent = text;
    this.page.curtainButton.textContent = button;
  }

  notice(text) {
    if (text && this.page.notice.textContent !== text) this.hooks.say(text, true);
    this.page.notice.textContent = text;
    this.page.notice.hidden = !text;
  }

  fail(title, text) {
    this.show("error");
    this.page.curtainTitle.textContent = title;
    this.page.curtainText.textContent = text;
    this.page.curtainButton.textContent = "Try again";
    this.hooks.say(`${title}. ${text}`, true);
  }
}
