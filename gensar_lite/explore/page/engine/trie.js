// The identifier trie in flat arrays: items sorted by identifier, a node is a run of the sorted order.

export class Trie {
  /** `codes[level]`: the last code of each node, `children[level]`: where the children of each node begin, `items`: of each leaf. */
  constructor({ codes, children, items }) {
    Object.assign(this, { codes, children, items });
    this.numLevels = codes.length;
    this.rank = new Uint32Array(items.length); // the leaf of each item
    items.forEach((item, leaf) => (this.rank[item] = leaf));
    // leaves[level]: the first leaf of each node of a level (the root's is level 0), and the number of all
    this.leaves = [Uint32Array.from({ length: items.length + 1 }, (_, leaf) => leaf)];
    for (const starts of [...children].reverse()) this.leaves.unshift(Uint32Array.from(starts, (child) => this.leaves[0][child]));
  }

  childrenOf(level, node) {
    const [first, last] = [this.children[level][node], this.children[level][node + 1]];
    return Array.from({ length: last - first }, (_, i) => first + i);
  }

  numLeaves(level, node) {
    return this.leaves[level][node + 1] - this.leaves[level][node];
  }

  /** The nodes on the way to an item, one a level. */
  path(item) {
    const leaf = this.rank[item];
    return this.codes.map((_, level) => {
      const starts = this.leaves[level + 1];
      let [low, high] = [0, starts.length - 2];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (starts[middle] <= leaf) low = middle;
        else high = middle - 1;
      }
      return low;
    });
  }

  /** Per level, the nodes below which every item is one of these. */
  banned(items) {
    const counts = this.codes.map(() => new Map());
    for (const item of new Set(items)) {
      this.path(item).forEach((node, level) => counts[level].set(node, (counts[level].get(node) ?? 0) + 1));
    }
    return counts.map((found, level) => new Set([...found].filter(([node, n]) => n === this.numLeaves(level + 1, node)).map(([node]) => node)));
  }
}
