// The controls of the page. Pictures are computed by a web worker, one at a time.
"use strict";

const FRAMES = 48; // of the way from a seed to another
const FRAME_MILLISECONDS = 40;
const GALLERY = 12;
const MAX_SEED = 10n ** 19n - 1n; // of dcgan sample

const element = (id) => document.getElementById(id);
const model = JSON.parse(element("model").textContent);
const canvas = element("picture");
const status = element("status");

// The worker's work: the picture first, then what can wait.

const source = new Blob([element("worker").textContent], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(source));
worker.postMessage({ model, numbers: element("numbers").textContent });
element("numbers").remove();

let running = null;
let urgent = null;
let waiting = [];

function runNext() {
  if (running) return;
  running = urgent ?? waiting.shift() ?? null;
  if (running === urgent) urgent = null;
  if (running) worker.postMessage({ wanted: running.wanted });
}

worker.onmessage = ({ data }) => {
  const job = running;
  running = null;
  if (data.error) status.textContent = `The picture cannot be computed: ${data.error}`;
  else job.done(new ImageData(data.pixels, model.size), data.milliseconds);
  runNext();
};
worker.onerror = () => {
  status.textContent = "The pictures cannot be computed: this browser lacks what the page needs.";
};

// What the controls say.

// The seed in a field, which says what it takes; while it is none, the one before.
function seedOf(input, before) {
  const valid = /^\d{1,19}$/.test(input.value);
  input.setCustomValidity(valid ? "" : `A seed is a whole number from 0 to ${MAX_SEED}`);
  input.reportValidity();
  return valid ? BigInt(input.value) : before;
}

let seed = 0n;
let other = 1n;

function wantedOf(asked) {
  const sliders = [...element("directions").querySelectorAll("input")];
  return {
    seed: asked,
    truncation: element("truncate").checked ? element("truncation").valueAsNumber : null,
    fixed: fixedLabels(),
    offsets: sliders.map((slider, k) => slider.valueAsNumber * model.directions.steps[k]),
  };
}

// Pairs of a label's index and the 0 or 1 that was chosen for it.
function fixedLabels() {
  const boxes = [...element("labels").querySelectorAll("select")];
  const values = boxes.map((box, i) => [i, box.value]).filter(([, value]) => value !== "");
  if (model.labels?.kind === "class") return values.map(([, value]) => [Number(value), 1]);
  return values.map(([i, value]) => [i, Number(value)]);
}

// The picture is one of the frames from the seed, at place 0, to the other seed.

let frames = [];

function showFrame() {
  const place = element("place").valueAsNumber;
  const percent = Math.round((100 * place) / FRAMES);
  document.querySelector('output[for="place"]').textContent = `${percent} %`;
  const made = frames;
  const show = ({ image, milliseconds }) => {
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.dataset.shown = place ? `${seed} to ${other}, ${place} of ${FRAMES}` : `${seed}`;
    canvas.setAttribute("aria-label", `The picture of seed ${canvas.dataset.shown}`);
    if (!player) status.textContent = `Seed ${canvas.dataset.shown}: ${Math.round(milliseconds)} ms`;
  };
  if (made[place]) {
    urgent = null;
    show(made[place]);
    return;
  }
  const wanted = { ...wantedOf(seed), ...(place && { other, t: place / FRAMES }) };
  urgent = {
    wanted,
    done: (image, milliseconds) => {
      made[place] = { image, milliseconds };
      if (made === frames && element("place").valueAsNumber === place) show(made[place]);
    },
  };
  runNext();
}

// After a change of anything that pictures depend on; of the gallery's too, but for the seeds.
function refresh(withGallery = true) {
  frames = [];
  for (const output of document.querySelectorAll(".slider output")) {
    output.textContent = element(output.htmlFor.value).valueAsNumber.toFixed(2);
  }
  showFrame();
  if (withGallery) fillGallery();
  else markGallery();
}

function chooseSeed(value) {
  if (value < 0n || value > MAX_SEED) return;
  seed = value;
  element("seed").value = String(seed);
  element("seed").setCustomValidity("");
  element("place").value = "0";
  refresh(false);
}

// The gallery.

let first = 0n;

function fillGallery() {
  waiting = [];
  [...element("gallery").querySelectorAll("button")].forEach((button, i) => {
    const own = first + BigInt(i);
    button.lastChild.textContent = String(own);
    button.setAttribute("aria-label", `Seed ${own}`);
    const done = (image) => button.firstChild.getContext("2d").putImageData(image, 0, 0);
    waiting.push({ wanted: wantedOf(own), done });
  });
  element("fewer").disabled = first === 0n;
  markGallery();
  runNext();
}

function markGallery() {
  [...element("gallery").querySelectorAll("button")].forEach((button, i) => {
    button.setAttribute("aria-current", String(first + BigInt(i) === seed));
  });
}

function turnPage(direction) {
  first += BigInt(direction * GALLERY);
  if (first < 0n) first = 0n;
  fillGallery();
}

// The animation, there and back.

let player = null;
let forwards = true;

function step(time) {
  const place = element("place");
  if (time - player.last >= FRAME_MILLISECONDS && frames[place.valueAsNumber]) {
    player.last = time;
    if (place.valueAsNumber === FRAMES) forwards = false;
    if (place.valueAsNumber === 0) forwards = true;
    place.value = String(place.valueAsNumber + (forwards ? 1 : -1));
    showFrame();
  }
  player.request = requestAnimationFrame(step);
}

function togglePlayer() {
  const button = element("play");
  if (player) cancelAnimationFrame(player.request);
  player = player ? null : { last: 0, request: requestAnimationFrame(step) };
  button.textContent = player ? "Stop" : "Play";
  button.setAttribute("aria-pressed", String(player !== null));
  status.textContent = player ? `From seed ${seed} to ${other}` : "";
  showFrame();
}

// The controls.

function make(tag, parent, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

function makeDirections() {
  const { names } = model.directions;
  element("directions").hidden = names.length === 0;
  names.forEach((name, k) => {
    const row = make("p", element("directions").querySelector("div"), { className: "slider" });
    make("label", row, { htmlFor: `direction-${k}`, textContent: name });
    const bounds = { min: -2, max: 2, step: 0.05, value: 0 };
    make("input", row, { type: "range", id: `direction-${k}`, ...bounds });
    make("output", row).htmlFor.add(`direction-${k}`);
  });
}

function makeLabels() {
  if (!model.labels) return;
  const { kind, names } = model.labels;
  element("labels").hidden = false;
  const addBox = (name, choices, i) => {
    const cell = make("p", element("labels").querySelector("div"));
    make("label", cell, { htmlFor: `label-${i}`, textContent: name });
    const box = make("select", cell, { id: `label-${i}` });
    make("option", box, { value: "", textContent: "as the seed has it" });
    choices.forEach(([value, textContent]) => make("option", box, { value, textContent }));
  };
  if (kind === "class") {
    const classes = names.map((name, i) => [i, name]);
    addBox("Class", classes, 0);
  } else {
    const answers = [[1, "yes"], [0, "no"]];
    names.forEach((name, i) => addBox(name, answers, i));
  }
}

function makeGallery() {
  for (let i = 0; i < GALLERY; i++) {
    const button = make("button", make("li", element("gallery")), { type: "button" });
    make("canvas", button, { width: model.size, height: model.size });
    make("span", button);
    button.onclick = () => chooseSeed(first + BigInt(i));
  }
}

function save() {
  canvas.toBlob((blob) => {
    const link = make("a", document.body, { href: URL.createObjectURL(blob) });
    link.download = `seed-${canvas.dataset.shown.replace(/\W+/g, "-").padStart(8, "0")}.png`;
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

canvas.width = canvas.height = model.size;
element("place").max = String(FRAMES);
element("truncation").max = model.latent === "normal" ? "3" : "1";
element("truncation").value = model.latent === "normal" ? "1" : "0.5";
makeDirections();
makeLabels();
makeGallery();

element("previous").onclick = () => chooseSeed(seed - 1n);
element("next").onclick = () => chooseSeed(seed + 1n);
element("random").onclick = () => {
  const [number] = crypto.getRandomValues(new Uint32Array(1));
  chooseSeed(BigInt(number));
};
element("save").onclick = save;
element("play").onclick = togglePlayer;
element("fewer").onclick = () => turnPage(-1);
element("more").onclick = () => turnPage(1);
element("reset").onclick = () => {
  for (const slider of element("directions").querySelectorAll("input")) slider.value = "0";
  refresh();
};
element("seed").oninput = ({ target }) => {
  seed = seedOf(target, seed);
  element("place").value = "0";
  refresh(false);
};
element("other").oninput = ({ target }) => {
  other = seedOf(target, other);
  refresh(false);
};
element("place").oninput = showFrame;
element("truncate").onchange = ({ target }) => {
  element("truncation").disabled = !target.checked;
  refresh();
};
element("truncation").oninput = () => refresh();
element("directions").oninput = () => refresh();
element("labels").onchange = () => refresh();
element("controls").onsubmit = (event) => event.preventDefault();
refresh();
