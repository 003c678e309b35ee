/**
 * Pure: SHA-256 compression as a WebAssembly module that is assembled here.
 *
 * WebCrypto is asynchronous and costs ~20 µs per call; JavaScript takes three to six times as long. The module has one
 * unrolled function: `compress(at, blocks)` folds blocks of its memory into the state, eight words at address 0.
 */

const LOAD = 0x28, STORE = 0x36, GET = 0x20, SET = 0x21, TEE = 0x22, CONST = 0x41;
const ADD = 0x6a, SUB = 0x6b, AND = 0x71, OR = 0x72, XOR = 0x73, SHR = 0x76, ROTL = 0x77, ROTR = 0x78;
const LOOP = [0x03, 0x40], BR_IF = [0x0d, 0x00], END = 0x0b, I32 = 0x7f;
const AT = 0, BLOCKS = 1, STATE = 2, WORDS = 10, TEMPORARY = 26, LOCALS = 25;

/** The first 32 bits of the fractional parts of the square (INITIAL) and cube (K) roots of the first primes. */
export const INITIAL = new Int32Array(8);
const K = new Int32Array(64);
for (let n = 2, count = 0; count < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
  if (!prime) continue;
  const fraction = (/** @type {number} */ x) => ((x - Math.floor(x)) * 4294967296) | 0;
  if (count < 8) INITIAL[count] = fraction(Math.sqrt(n));
  K[count++] = fraction(Math.cbrt(n));
}

/** @param {number} value signed LEB128 */
function leb(value) {
  const out = [];
  for (;;) {
    const low = value & 0x7f;
    value >>= 7;
    if ((value === 0 && !(low & 0x40)) || (value === -1 && low & 0x40)) return [...out, low];
    out.push(low | 0x80);
  }
}

/** @param {number} value unsigned LEB128 */
function uleb(value) {
  const out = [];
  for (; value > 0x7f; value >>>= 7) out.push((value & 0x7f) | 0x80);
  return [...out, value];
}

const get = (/** @type {number} */ local) => [GET, local];
const number = (/** @type {number} */ value) => [CONST, ...leb(value)];

/**
 * The xor of a word turned or shifted right by three amounts.
 * @param {number} local
 * @param {number} one
 * @param {number} two
 * @param {number} three
 * @param {number} [last] how the third is moved
 */
const mix = (local, one, two, three, last = ROTR) => [
  ...get(local),
  ...number(one),
  ROTR,
  ...get(local),
  ...number(two),
  ROTR,
  XOR,
  ...get(local),
  ...number(three),
  last,
  XOR,
];

/** One block: the body of the loop. */
function body() {
  const code = [];
  for (let i = 0; i < 8; i++) code.push(...number(0), LOAD, 2, 4 * i, SET, STATE + i);
  for (let i = 0; i < 16; i++) {
    // Words are big-endian, memory is little-endian.
    code.push(...get(AT), LOAD, 0, 4 * i, TEE, TEMPORARY, ...number(8), ROTL, ...number(0x00ff00ff), AND);
    code.push(...get(TEMPORARY), ...number(8), ROTR, ...number(0xff00ff00 | 0), AND, OR, SET, WORDS + i);
  }
  for (let i = 0; i < 64; i++) {
    const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, n) => STATE + ((n + 64 - i) % 8));
    const word = (/** @type {number} */ n) => WORDS + ((i + n) % 16);
    if (i >= 16)
      code.push(
        ...get(word(0)),
        ...mix(word(1), 7, 18, 3, SHR),
        ADD,
        ...get(word(9)),
        ADD,
        ...mix(word(14), 17, 19, 10, SHR),
        ADD,
        SET,
        word(0),
      );
    code.push(
      ...get(h),
      ...mix(e, 6, 11, 25),
      ADD,
      ...get(g),
      ...get(e),
      ...get(f),
      ...get(g),
      XOR,
      AND,
      XOR,
      ADD,
      ...number(K[i]),
      ADD,
      ...get(word(0)),
      ADD,
      SET,
      TEMPORARY,
    );
    code.push(...get(d), ...get(TEMPORARY), ADD, SET, d);
    code.push(
      ...get(TEMPORARY),
      ...mix(a, 2, 13, 22),
      ADD,
      ...get(a),
      ...get(b),
      AND,
      ...get(c),
      ...get(a),
      ...get(b),
      XOR,
      AND,
      XOR,
      ADD,
      SET,
      h,
    );
  }
  for (let i = 0; i < 8; i++)
    code.push(...number(0), ...number(0), LOAD, 2, 4 * i, ...get(STATE + i), ADD, STORE, 2, 4 * i);
  return code;
}

/** @returns {Uint8Array<ArrayBuffer>} */
function assemble() {
  const section = (/** @type {number} */ id, /** @type {number[]} */ content) => [
    id,
    ...uleb(content.length),
    ...content,
  ];
  const named = (/** @type {string} */ name) => [name.length, ...[...name].map((letter) => letter.charCodeAt(0))];
  const loop = [
    ...LOOP,
    ...body(),
    ...get(AT),
    ...number(64),
    ADD,
    SET,
    AT,
    ...get(BLOCKS),
    ...number(1),
    SUB,
    TEE,
    BLOCKS,
    ...BR_IF,
    END,
  ];
  const code = [1, LOCALS, I32, ...loop, END];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 2, I32, I32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...named('memory'), 2, 0, ...named('compress'), 0, 0]),
    ...section(10, [1, ...uleb(code.length), ...code]),
  ]);
}

/**
 * Return the memory and the function of a new instance. Call it on first use: a page whose policy forbids WebAssembly
 * may import the SDK, because only the worker hashes.
 * @returns {{ memory: WebAssembly.Memory, compress: (at: number, blocks: number) => void }}
 */
export function instantiate() {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assemble()));
  return /** @type {any} */ (exports);
}
