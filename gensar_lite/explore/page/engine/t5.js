// The arithmetic of T5 (Raffel et al. 2020) on the weights of a run, under the names that `transformers` gives them.
// A matrix is a list of rows (Float32Array). Attention is not scaled; a relative bias is added in every self-attention layer.

export function dot(a, b) {
  let [s, t, u, v] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < a.length; i += 4) {
    s += a[i] * b[i];
    t += a[i + 1] * b[i + 1];
    u += a[i + 2] * b[i + 2];
    v += a[i + 3] * b[i + 3];
  }
  for (; i < a.length; i++) s += a[i] * b[i];
  return s + t + (u + v);
}

/** Rows (R, D) by a weight (E, D): (R, E). */
export function linear(rows, weight) {
  const width = weight.length;
  const all = new Float32Array(rows.length * width);
  return rows.map((row, r) => {
    const out = all.subarray(r * width, (r + 1) * width);
    for (let e = 0; e < width; e++) out[e] = dot(row, weight[e]);
    return out;
  });
}

export function add(into, row, factor = 1) {
  for (let i = 0; i < into.length; i++) into[i] += factor * row[i];
  return into;
}

/** Scale by the root mean square, no shift. */
function norm(rows, weight, epsilon) {
  return rows.map((row) => {
    const scale = 1 / Math.sqrt(dot(row, row) / row.length + epsilon);
    return row.map((value, i) => value * scale * weight[i]);
  });
}

export function softmax(scores) {
  const top = Math.max(...scores);
  const mass = scores.map((score) => Math.exp(score - top));
  const total = mass.reduce((sum, value) => sum + value, 0);
  return mass.map((value) => value / total);
}

/** One query (D,) over keys and values (S, D), head by head; `bias(head, s)` is added to the scores. `watch` is told the weights. */
function attend(query, keys, values, numHeads, bias, watch) {
  const out = new Float32Array(query.length);
  const width = query.length / numHeads;
  for (let head = 0; head < numHeads; head++) {
    const [first, last] = [head * width, (head + 1) * width];
    const scores = keys.map((key, s) => {
      let score = bias ? bias(head, s) : 0;
      for (let i = first; i < last; i++) score += query[i] * key[i];
      return score;
    });
    const weights = softmax(scores);
    watch?.(head, weights);
    values.forEach((value, s) => {
      for (let i = first; i < last; i++) out[i] += weights[s] * value[i];
    });
  }
  return out;
}

export class T5 {
  /** `weights` gives a matrix by its name; `shape` holds num_layers, num_heads, epsilon, head_scale. */
  constructor(weights, shape) {
    Object.assign(this, shape);
    this.weights = weights;
    this.table = weights("shared.weight");
    this.encoderBias = weights("encoder_bias"); // (heads, distances): a key that lies `d - middle` positions after the query
    this.decoderBias = weights("decoder_bias"); // (heads, depth): a key that lies `d` levels above the query
  }

  layer(name, sublayer, rows) {
    return norm(rows, this.weights(`${name}.layer.${sublayer}.layer_norm.weight`)[0], this.epsilon);
  }

  feedForward(rows, name, sublayer) {
    const dense = `${name}.layer.${sublayer}.DenseReluDense`;
    const hidden = linear(this.layer(name, sublayer, rows), this.weights(`${dense}.wi.weight`));
    hidden.forEach((row) => row.forEach((value, i) => (row[i] = Math.max(value, 0))));
    linear(hidden, this.weights(`${dense}.wo.weight`)).forEach((row, i) => add(rows[i], row));
  }

  /** Encoder output (S, D) for embedded positions (S, D). */
  encode(positions) {
    const rows = positions.map((row) => row.slice());
    const middle = (this.encoderBias[0].length - 1) / 2;
    for (let block = 0; block < this.num_layers; block++) {
      const name = `encoder.block.${block}`;
      const attention = (part) => this.weights(`${name}.layer.0.SelfAttention.${part}.weight`);
      const normed = this.layer(name, 0, rows);
      const [queries, keys, values] = ["q", "k", "v"].map((part) => linear(normed, attention(part)));
      const seen = queries.map((query, place) =>
        attend(query, keys, values, this.num_heads, (head, s) => this.encoderBias[head][middle + s - place]),
      );
      linear(seen, attention("o")).forEach((row, i) => add(rows[i], row));
      this.feedForward(rows, name, 1);
    }
    return norm(rows, this.weights("encoder.final_layer_norm.weight")[0], this.epsilon);
  }

  /** Keys and values of cross-attention, once for a question. */
  remember(encoded) {
    return Array.from({ length: this.num_layers }, (_, block) => {
      const name = `decoder.block.${block}.layer.1.EncDecAttention`;
      return ["k", "v"].map((part) => linear(encoded, this.weights(`${name}.${part}.weight`)));
    });
  }

  /**
   * The decoder's nodes after one more token each. A node knows its parent, and attends to itself, its ancestors and
   * what was encoded: nothing is copied when beams are reordered. `state` (D,) is ready for the output head.
   */
  extend(parents, tokens, memory, watch) {
    const rows = tokens.map((token) => this.table[token].slice());
    const nodes = parents.map((parent) => ({ parent, keys: [], values: [] }));
    for (let block = 0; block < this.num_layers; block++) {
      const name = `decoder.block.${block}`;
      const own = (part) => this.weights(`${name}.layer.0.SelfAttention.${part}.weight`);
      const normed = this.layer(name, 0, rows);
      const [queries, keys, values] = ["q", "k", "v"].map((part) => linear(normed, own(part)));
      const seen = nodes.map((node, i) => {
        [node.keys[block], node.values[block]] = [keys[i], values[i]];
        const path = [];
        for (let at = node; at; at = at.parent) path.push(at);
        const bias = (head, distance) => this.decoderBias[head][distance];
        return attend(queries[i], path.map((at) => at.keys[block]), path.map((at) => at.values[block]), this.num_heads, bias);
      });
      linear(seen, own("o")).forEach((row, i) => add(rows[i], row));
      const cross = (part) => this.weights(`${name}.layer.1.EncDecAttention.${part}.weight`);
      const asked = linear(this.layer(name, 1, rows), cross("q"));
      const read = asked.map((query, i) =>
        attend(query, ...memory[block], this.num_heads, null, watch && ((head, weights) => watch(i, block, head, weights))),
      );
      linear(read, cross("o")).forEach((row, i) => add(rows[i], row));
      this.feedForward(rows, name, 2);
    }
    const states = norm(rows, this.weights("decoder.final_layer_norm.weight")[0], this.epsilon);
    nodes.forEach((node, i) => (node.state = states[i].map((value) => value * this.head_scale)));
    return nodes;
  }
}
