// NumPy's default_rng, bit for bit: a SeedSequence that seeds PCG64 (O'Neill 2014), whose numbers
// become normal ones by the ziggurat of Marsaglia and Tsang (2000) with 256 layers.
"use strict";

const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const PCG_MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const POOL_SIZE = 4;

// The 32-bit words of a whole number, the lowest first.
function words32(value) {
  const words = [Number(value & 0xffffffffn)];
  for (let rest = value >> 32n; rest > 0n; rest >>= 32n) words.push(Number(rest & 0xffffffffn));
  return words;
}

// The 32-bit words of SeedSequence(numbers).generate_state(count).
function seedSequence(numbers, count) {
  const entropy = numbers.flatMap(words32);
  let constant = 0x43b0d7e5;
  const hash = (value, multiplier) => {
    value ^= constant;
    constant = Math.imul(constant, multiplier);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (x, y) => {
    const mixed = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return mixed ^ (mixed >>> 16);
  };
  const pool = [];
  for (let i = 0; i < POOL_SIZE; i++) pool.push(hash(entropy[i] ?? 0, 0x931e8875));
  for (let from = 0; from < POOL_SIZE; from++) {
    for (let to = 0; to < POOL_SIZE; to++) {
      if (from !== to) pool[to] = mix(pool[to], hash(pool[from], 0x931e8875));
    }
  }
  for (const word of entropy.slice(POOL_SIZE)) {
    for (let to = 0; to < POOL_SIZE; to++) pool[to] = mix(pool[to], hash(word, 0x931e8875));
  }
  constant = 0x8b51f9dd;
  return Array.from({ length: count }, (_, i) => hash(pool[i % POOL_SIZE], 0x58f38ded) >>> 0);
}

class Random {
  // numbers: BigInts of at least 0, as in default_rng([...]); a seed alone is [seed].
  constructor(numbers) {
    const words = seedSequence(numbers, 8).map(BigInt);
    const word64 = (i) => words[2 * i] | (words[2 * i + 1] << 32n);
    const start = (word64(0) << 64n) | word64(1);
    this.increment = (((word64(2) << 64n) | word64(3)) << 1n) | 1n;
    this.state = 0n;
    this.step();
    this.state += start;
    this.step();
    this.stored = null; // the upper half of the last 64 bits
  }

  step() {
    this.state = (this.state * PCG_MULTIPLIER + this.increment) & MASK_128;
  }

  bits64() {
    this.step();
    const folded = (this.state >> 64n) ^ (this.state & MASK_64);
    const turn = this.state >> 122n;
    return ((folded >> turn) | (folded << (64n - turn))) & MASK_64;
  }

  bits32() {
    if (this.stored !== null) {
      const bits = this.stored;
      this.stored = null;
      return bits;
    }
    const bits = this.bits64();
    this.stored = Number(bits >> 32n);
    return Number(bits & 0xffffffffn);
  }

  // A float32 in [0, 1).
  uniform() {
    return (this.bits32() >>> 8) / 2 ** 24;
  }

  // A float32 of N(0, 1).
  normal() {
    for (;;) {
      const bits = this.bits32();
      const layer = bits & 0xff;
      const sign = (bits >>> 8) & 1 ? -1 : 1;
      const mantissa = bits >>> 9;
      const x = Math.fround(sign * mantissa * ZIGGURAT.widths[layer]);
      if (mantissa < ZIGGURAT.inside[layer]) return x;
      if (layer === 0) {
        const beyond = this.tail();
        return (mantissa >>> 8) & 1 ? -beyond : beyond;
      }
      const { heights } = ZIGGURAT;
      const step = Math.fround(heights[layer - 1] - heights[layer]);
      const share = Math.fround(step * this.uniform());
      if (Math.fround(share + heights[layer]) < Math.exp(-0.5 * x * x)) return x;
    }
  }

  // Beyond the widest layer (Marsaglia 1964).
  tail() {
    for (;;) {
      const exponential = -Math.fround(Math.log1p(-this.uniform()));
      const x = Math.fround(Math.fround(1 / TAIL_START) * exponential);
      const y = -Math.fround(Math.log1p(-this.uniform()));
      if (y + y > Math.fround(x * x)) return Math.fround(Math.fround(TAIL_START) + x);
    }
  }

  // A whole number in [0, bound), both BigInts (Lemire 2019).
  below(bound) {
    if (bound === 1n) return 0n;
    const width = bound <= 1n << 32n ? 32n : 64n;
    const bits = () => (width === 32n ? BigInt(this.bits32()) : this.bits64());
    if (bound === 1n << width) return bits();
    const mask = (1n << width) - 1n;
    const threshold = (1n << width) % bound;
    let product = bits() * bound;
    while ((product & mask) < threshold) product = bits() * bound;
    return product >> width;
  }
}

const TAIL_START = 3.6541528853610088;
const LAYER_AREA = 0.00492867323399;
const ZIGGURAT = makeZiggurat();

// Layers of equal area under exp(-x²/2): the width of each in units of 2⁻²³, its height, and the
// mantissas that are within the next narrower layer.
function makeZiggurat() {
  const unit = 2 ** 23;
  const density = (x) => Math.exp(-0.5 * x * x);
  const inside = new Uint32Array(256);
  const widths = new Float32Array(256);
  const heights = new Float32Array(256);
  let x = TAIL_START;
  const base = LAYER_AREA / density(x); // as wide as if the tail were a part of its rectangle
  inside[0] = Math.round((x / base) * unit);
  widths[0] = base / unit;
  heights[0] = 1;
  widths[255] = x / unit;
  heights[255] = density(x);
  for (let layer = 254; layer >= 1; layer--) {
    const narrower = Math.sqrt(-2 * Math.log(LAYER_AREA / x + density(x)));
    inside[layer + 1] = Math.round((narrower / x) * unit);
    x = narrower;
    widths[layer] = x / unit;
    heights[layer] = density(x);
  }
  return { inside, widths, heights };
}
