// The hash that stands for a cell's source: the same as Python's `digest` in agent_kernel/tools/notebook/operations.py.
// Not the browser's own: that is asynchronous, and absent where Jupyter is reached without HTTPS.
const ROUNDS = constants();

/** Eight hexadecimal digits of SHA-256 over UTF-8. */
export function digest(source: string): string {
  return (sha256(utf8(source))[0]! >>> 0).toString(16).padStart(8, '0');
}

/** Halves of surrogate pairs that stand alone are kept, as Python's `surrogatepass` does. */
function utf8(text: string): Uint8Array {
  if (!/[\ud800-\udfff]/u.test(text)) {
    return new TextEncoder().encode(text);
  }
  const bytes: number[] = [];
  for (const char of text) {
    const code = char.codePointAt(0)!;
    const lone = code >= 0xd800 && code <= 0xdfff;
    bytes.push(...(lone ? [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)] : new TextEncoder().encode(char)));
  }
  return Uint8Array.from(bytes);
}

function sha256(message: Uint8Array): Int32Array {
  const padded = new DataView(new ArrayBuffer((((message.length + 8) >> 6) + 1) << 6));
  new Uint8Array(padded.buffer).set(message);
  padded.setUint8(message.length, 0x80);
  padded.setUint32(padded.byteLength - 8, Math.floor(message.length / 0x20000000));
  padded.setUint32(padded.byteLength - 4, (message.length << 3) >>> 0);
  const hash = Int32Array.from([0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]);
  const words = new Int32Array(64);
  for (let block = 0; block < padded.byteLength; block += 64) {
    for (let i = 0; i < 64; i++) {
      words[i] = i < 16 ? padded.getInt32(block + i * 4) : mixed(words, i);
    }
    compress(hash, words);
  }
  return hash;
}

function mixed(words: Int32Array, i: number): number {
  const [a, b] = [words[i - 15]!, words[i - 2]!];
  const small = rotated(a, 7) ^ rotated(a, 18) ^ (a >>> 3);
  const large = rotated(b, 17) ^ rotated(b, 19) ^ (b >>> 10);
  return words[i - 16]! + small + words[i - 7]! + large;
}

function compress(hash: Int32Array, words: Int32Array): void {
  let [a, b, c, d, e, f, g, h] = hash as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const one = (h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[i]! + words[i]!) | 0;
    const two = ((rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => (hash[i] = hash[i]! + value));
}

function rotated(value: number, by: number): number {
  return (value >>> by) | (value << (32 - by));
}

/** The first 32 bits of the fractions of the cube roots of the first 64 primes. */
function constants(): Int32Array {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) {
    if (primes.every(prime => n % prime)) {
      primes.push(n);
    }
  }
  return Int32Array.from(primes.map(prime => ((Math.cbrt(prime) % 1) * 2 ** 32) | 0));
}
