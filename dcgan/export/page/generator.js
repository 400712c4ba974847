// The generator: a projection of the latents to maps of 4 x 4, then transposed convolutions of
// stride 2 that double their sides. Maps are [row][column][channel], with a border of one zero.
"use strict";

const BASE_SIDE = 4;

// model: the sizes, and where each array stands in `buffer`; see export/page_model.py.
function makeGenerator(model, buffer) {
  const layers = model.layers.map((layer) => {
    const weights = readHalves(buffer, layer.weights);
    const scale = new Float32Array(buffer, layer.scale.start, layer.scale.count);
    const shift = new Float32Array(buffer, layer.shift.start, layer.shift.count);
    return { ...layer, weights, scale, shift };
  });
  const first = { ...layers[0], weights: arrangeProjection(layers[0]) };
  const others = layers.slice(1).map(arrangeLayer);
  return (z) => {
    let maps = project(first, z);
    let side = BASE_SIDE;
    for (const layer of others) {
      maps = upsample(layer, maps, side, layer !== others.at(-1));
      side *= 2;
    }
    return toPixels(maps, side, model.channels);
  };
}

// float16 numbers as float32. A page has no infinities.
function readHalves(buffer, { start, count }) {
  const bits = new Uint16Array(buffer, start, count);
  const units = Float32Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const exponent = (bits[i] >> 10) & 0x1f;
    const fraction = (bits[i] & 0x3ff) + (exponent > 0 ? 1024 : 0);
    numbers[i] = (bits[i] & 0x8000 ? -fraction : fraction) * units[exponent];
  }
  return numbers;
}

// [input][output][position] -> [input][position][output], times the scale of each output.
function arrangeProjection({ weights, scale, inputs, outputs }) {
  const positions = BASE_SIDE * BASE_SIDE;
  const arranged = new Float32Array(weights.length);
  for (let input = 0, from = 0; input < inputs; input++) {
    for (let output = 0; output < outputs; output++) {
      for (let position = 0; position < positions; position++) {
        const to = (input * positions + position) * outputs + output;
        arranged[to] = weights[from++] * scale[output];
      }
    }
  }
  return arranged;
}

// A transposed convolution as four convolutions, one for each parity of the output's row and
// column. Along an axis the output 2m + p gets the input m + (p + padding - k) / 2 times the tap k,
// for all taps k of the parity of p + padding. Weights: [tap][input][output of two].
function arrangeLayer({ weights, scale, shift, inputs, outputs, kernel }) {
  const padding = (kernel - 1) >> 1;
  const taps = (parity) =>
    Array.from({ length: kernel }, (_, k) => ({ k, offset: (parity + padding - k) / 2 })).filter(
      ({ offset }) => Number.isInteger(offset),
    );
  const blocks = [];
  for (let parity = 0; parity < 4; parity++) {
    const [row, column] = [parity >> 1, parity & 1];
    const pairs = taps(row).flatMap((y) => taps(column).map((x) => [y, x]));
    const offsets = pairs.map(([y, x]) => [y.offset, x.offset]);
    for (let output = 0; output < outputs; output += 2) {
      const arranged = new Float32Array(pairs.length * inputs * 2);
      let to = 0;
      for (const [y, x] of pairs) {
        for (let input = 0; input < inputs; input++) {
          for (const each of [output, output + 1]) {
            const from = ((input * outputs + each) * kernel + y.k) * kernel + x.k;
            arranged[to++] = each < outputs ? weights[from] * scale[each] : 0;
          }
        }
      }
      blocks.push({ row, column, offsets, output, weights: arranged });
    }
  }
  return { blocks, shift, inputs, outputs };
}

function project({ weights, shift, inputs, outputs }, z) {
  const maps = new Float32Array((BASE_SIDE + 2) ** 2 * outputs);
  for (let row = 0; row < BASE_SIDE; row++) {
    for (let column = 0; column < BASE_SIDE; column++) {
      const to = ((row + 1) * (BASE_SIDE + 2) + column + 1) * outputs;
      const position = row * BASE_SIDE + column;
      const sums = Float64Array.from(shift);
      for (let input = 0; input < inputs; input++) {
        const from = (input * BASE_SIDE * BASE_SIDE + position) * outputs;
        for (let output = 0; output < outputs; output++) {
          sums[output] += z[input] * weights[from + output];
        }
      }
      for (let output = 0; output < outputs; output++) maps[to + output] = Math.max(sums[output], 0);
    }
  }
  return maps;
}

// Maps of `side` -> maps of twice that side; `rectify`: with a ReLU after them.
function upsample({ blocks, shift, inputs, outputs }, maps, side, rectify) {
  const stride = side + 2;
  const wide = 2 * side + 2;
  const results = new Float32Array(wide * wide * outputs);
  const lowest = rectify ? 0 : -Infinity;
  const sums = new Float64Array(8);
  for (const { row, column, offsets, output, weights } of blocks) {
    const starts = offsets.map(([y, x]) => (y * stride + x) * inputs);
    for (let r = 0; r < side; r++) {
      for (let c = 0; c < side; c += 4) {
        sumFour(sums, maps, ((r + 1) * stride + c + 1) * inputs, starts, inputs, weights);
        for (let i = 0; i < 8; i++) {
          const channel = output + (i & 1);
          if (channel === outputs) continue;
          const place = (2 * r + row + 1) * wide + 2 * (c + (i >> 1)) + column + 1;
          results[place * outputs + channel] = Math.max(sums[i] + shift[channel], lowest);
        }
      }
    }
  }
  return results;
}

// The sums of two output channels at four neighbouring positions. They are local variables, which
// the compiler keeps in registers: most of the time of a picture is spent here.
function sumFour(sums, maps, place, starts, inputs, weights) {
  let a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0;
  let w = 0;
  for (let tap = 0; tap < starts.length; tap++) {
    const start = place + starts[tap];
    for (let i = start; i < start + inputs; i++, w += 2) {
      const w0 = weights[w], w1 = weights[w + 1];
      const a = maps[i], b = maps[i + inputs], c = maps[i + 2 * inputs], d = maps[i + 3 * inputs];
      a0 += a * w0;
      a1 += a * w1;
      b0 += b * w0;
      b1 += b * w1;
      c0 += c * w0;
      c1 += c * w1;
      d0 += d * w0;
      d1 += d * w1;
    }
  }
  sums[0] = a0;
  sums[1] = a1;
  sums[2] = b0;
  sums[3] = b1;
  sums[4] = c0;
  sums[5] = c1;
  sums[6] = d0;
  sums[7] = d1;
}

// Maps before the final tanh -> the RGBA bytes of a picture. Assignments round and clamp.
function toPixels(maps, side, channels) {
  const pixels = new Uint8ClampedArray(side * side * 4);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const from = ((row + 1) * (side + 2) + column + 1) * channels;
      const to = (row * side + column) * 4;
      for (let i = 0; i < 3; i++) {
        const value = maps[from + (channels === 1 ? 0 : i)];
        pixels[to + i] = (Math.tanh(value) + 1) * 127.5;
      }
      pixels[to + 3] = 255;
    }
  }
  return pixels;
}
