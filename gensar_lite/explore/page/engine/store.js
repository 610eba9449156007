// What `gensar-lite export` packed: a table of contents and named arrays, one after the other in one run of bytes.

const KINDS = {
  uint8: (bytes) => bytes,
  int8: (bytes) => new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length),
  uint16: (bytes) => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2),
  int32: (bytes) => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
  float32: (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
  float16: (bytes) => Float32Array.from(KINDS.uint16(bytes), (half) => HALVES[half]),
};

/** The value of each of the 65,536 half-precision numbers. */
const HALVES = Float32Array.from({ length: 1 << 16 }, (_, bits) => {
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 31 ? (mantissa ? NaN : Infinity) : exponent ? 2 ** (exponent - 15) * (1 + mantissa / 1024) : 2 ** -24 * mantissa;
  return bits >> 15 ? -size : size;
});

export class Store {
  /** `about` is the table of contents, `bytes` (Uint8Array) what it speaks of. */
  constructor(about, bytes) {
    this.about = about;
    this.bytes = bytes;
    this.matrices = new Map();
  }

  has(name) {
    return name in this.about.arrays;
  }

  /** A flat typed array. */
  array(name) {
    const { kind, start, size } = this.about.arrays[name];
    return KINDS[kind](this.bytes.subarray(start, start + size));
  }

  /** A matrix as a list of rows; a vector is a matrix of one row. */
  matrix(name) {
    if (!this.matrices.has(name)) {
      const values = this.array(name);
      const width = this.about.arrays[name].shape.at(-1);
      const rows = Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));
      this.matrices.set(name, rows);
    }
    return this.matrices.get(name);
  }

  /**
   * The matrices at a place between two fine-tunes (0: the first, 1: the second), as a function of their name. Of each end the page
   * holds what it adds to a matrix, in steps of a scale for each row.
   */
  between(share) {
    const known = new Map();
    return (name) => {
      if (!known.has(name)) known.set(name, this.mixed(name, { first: 1 - share, second: share }));
      return known.get(name);
    };
  }

  mixed(name, shares) {
    const rows = this.matrix(name).map((row) => row.slice());
    for (const [end, share] of Object.entries(shares)) {
      const added = this.array(`${end}.${name}`);
      const scales = this.has(`${end}.${name}.scale`) ? this.array(`${end}.${name}.scale`) : null;
      rows.forEach((row, r) => {
        const factor = share * (scales ? scales[r] : 1);
        for (let i = 0, at = r * row.length; i < row.length; i++, at++) row[i] += factor * added[at];
      });
    }
    return rows;
  }

  /** A sparse matrix, as a function that calls `visit(column, value)` for each entry of a row. Columns are stored as gaps. */
  sparse(name) {
    const [starts, gaps, values] = ["starts", "gaps", "values"].map((part) => this.array(`${name}.${part}`));
    return (row, visit) => {
      let column = -1;
      for (let i = starts[row]; i < starts[row + 1]; i++) visit((column += gaps[i]), values[i]);
    };
  }
}

/** The bytes of a base64 text that was packed with gzip. */
export async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
