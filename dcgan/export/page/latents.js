// Seeds to the inputs of the generator, as `dcgan sample` makes them; see latent/noise.py,
// latent/labels.py, latent/directions.py and latent/interpolation.py.
"use strict";

// A latent of one seed (a BigInt). truncation: a threshold above 0, or null.
function latentOfSeed(model, seed, truncation) {
  const random = new Random([seed]);
  const normal = model.latent === "normal";
  const number = normal ? () => random.normal() : () => 2 * random.uniform() - 1;
  const z = Float32Array.from({ length: model.latentDim }, number);
  if (truncation === null) return z;
  return z.map((x) => (normal ? truncate(x, truncation) : x * Math.min(truncation, 1)));
}

// The value within +-threshold that has the quantile of x in the truncated normal distribution.
function truncate(x, threshold) {
  const outside = normalCdf(-threshold);
  const magnitude = Math.abs(x);
  const quantile = outside + normalCdf(-magnitude) * (1 - 2 * outside);
  return -Math.sign(x) * lowerQuantile(quantile, -magnitude);
}

const normalDensity = (x) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);

// Phi(x) for x <= 0: by a power series, and in the tail by a continued fraction.
function normalCdf(x) {
  if (x < -4) {
    let fraction = 0;
    for (let k = 60; k >= 1; k--) fraction = k / (-x + fraction);
    return normalDensity(x) / (-x + fraction);
  }
  let sum = 0;
  for (let term = x, k = 1; Math.abs(term) > 1e-18; k++) {
    sum += term;
    term *= (x * x) / (2 * k + 1);
  }
  return 0.5 + normalDensity(x) * sum;
}

// The x <= 0 with Phi(x) = quantile, by Newton's method for log Phi. This is concave: from a start
// below x all steps are upwards.
function lowerQuantile(quantile, start) {
  let x = start;
  for (let i = 0; i < 50; i++) {
    const cdf = normalCdf(x);
    const step = (Math.log(quantile / cdf) * cdf) / normalDensity(x);
    x = Math.min(x + step, 0);
    if (Math.abs(step) < 1e-14) break;
  }
  return x;
}

// Labels of a seed, one number in {0, 1} for each name. fixed: a Map of indices to 0 or 1.
function labelsOfSeed(labels, seed, fixed) {
  const names = labels.names.length;
  if (labels.kind === "class") {
    const [asked] = fixed.keys();
    const chosen = asked ?? draw(new Random([seed, 1n]), labels.counts);
    return Float32Array.from({ length: names }, (_, i) => (i === chosen ? 1 : 0));
  }
  const has = (row, i) => (labels.rows[row * labels.rowBytes + (i >> 3)] >> (7 - (i & 7))) & 1;
  const random = new Random([seed, 1n]);
  let row = draw(random, labels.counts);
  if (fixed.size) {
    const differences = Array.from(labels.counts, (_, each) => {
      let count = 0;
      for (const [i, value] of fixed) count += has(each, i) === value ? 0 : 1;
      return count;
    });
    const least = differences.reduce((a, b) => Math.min(a, b));
    if (differences[row] !== least) {
      row = draw(random, labels.counts.map((count, i) => (differences[i] === least ? count : 0n)));
    }
  }
  return Float32Array.from({ length: names }, (_, i) => fixed.get(i) ?? has(row, i));
}

// The index i with the probability counts[i] / sum of all counts.
function draw(random, counts) {
  const number = random.below(counts.reduce((a, b) => a + b, 0n));
  let upper = 0n;
  return counts.findIndex((count) => (upper += count) > number);
}

// z moved by an offset; latents of U(-1, 1) stay in their box.
function move(z, offset, latent) {
  const clamp = latent === "uniform" ? (x) => Math.min(Math.max(x, -1), 1) : (x) => x;
  return z.map((x, i) => clamp(x + offset[i]));
}

// From a (t = 0) to b (t = 1): on a great circle, or for uniform latents on the great circle of the
// normal variables of the same quantiles.
function interpolate(a, b, t, latent) {
  if (t === 0 || t === 1) return t === 0 ? a : b;
  if (latent === "normal") return slerp(a, b, t);
  const inside = 1 - 2 ** -24;
  const toNormal = (x) => {
    const magnitude = Math.min(Math.abs(x), inside);
    return -Math.sign(x) * lowerQuantile((1 - magnitude) / 2, -6);
  };
  const path = slerp(Float64Array.from(a, toNormal), Float64Array.from(b, toNormal), t);
  return Float32Array.from(path, (x) => Math.sign(x) * (1 - 2 * normalCdf(-Math.abs(x))));
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

// Spherical interpolation of the direction, linear of the length (White 2016).
function slerp(a, b, t) {
  const lengths = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
  const cosine = dot(a, b) / (lengths[0] * lengths[1]);
  const angle = Math.acos(Math.min(Math.max(cosine, -1), 1));
  const sine = Math.sin(angle);
  if (!(sine > 1e-4)) return a.map((x, i) => x + t * (b[i] - x));
  const length = lengths[0] + t * (lengths[1] - lengths[0]);
  const shares = [(1 - t) * angle, t * angle].map((part) => (Math.sin(part) / sine) * length);
  return a.map((x, i) => (shares[0] * x) / lengths[0] + (shares[1] * b[i]) / lengths[1]);
}
