// The web worker: it gets the model once, then descriptions of pictures, and answers with pixels.
"use strict";

let state = null;

// A description: seed, truncation or null, fixed labels as pairs, offsets along the directions,
// and for a picture between two seeds the other seed and the place t.
function inputOf({ model, labels, directions }, wanted) {
  const offset = new Float32Array(model.latentDim);
  wanted.offsets.forEach((amount, k) => {
    const start = k * model.latentDim;
    for (let i = 0; i < offset.length; i++) offset[i] += amount * directions[start + i];
  });
  const fixed = new Map(wanted.fixed);
  const input = (seed) => ({
    z: move(latentOfSeed(model, seed, wanted.truncation), offset, model.latent),
    labels: labels ? labelsOfSeed(labels, seed, fixed) : [],
  });
  const from = input(wanted.seed);
  if (wanted.other === undefined) return [...from.z, ...from.labels];
  const to = input(wanted.other);
  const z = interpolate(from.z, to.z, wanted.t, model.latent);
  return [...z, ...Array.from(from.labels, (x, i) => x + wanted.t * (to.labels[i] - x))];
}

function decodeBase64(text) {
  const bytes = atob(text);
  const buffer = new ArrayBuffer(bytes.length);
  const view = new Uint8Array(buffer);
  for (let i = 0; i < bytes.length; i++) view[i] = bytes.charCodeAt(i);
  return buffer;
}

function readModel(model, numbers) {
  const buffer = decodeBase64(numbers);
  const array = (kind, { start, count }) => new kind(buffer, start, count);
  const labels = model.labels && {
    ...model.labels,
    counts: Array.from(array(BigInt64Array, model.labels.counts)),
    rows: model.labels.rows && array(Uint8Array, model.labels.rows),
  };
  const directions = array(Float32Array, model.directions.vectors);
  return { model, labels, directions, generate: makeGenerator(model, buffer) };
}

self.onmessage = ({ data }) => {
  try {
    if (data.model) {
      state = readModel(data.model, data.numbers);
      return;
    }
    const start = performance.now();
    const pixels = state.generate(inputOf(state, data.wanted));
    const milliseconds = performance.now() - start;
    self.postMessage({ pixels, milliseconds }, [pixels.buffer]);
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
