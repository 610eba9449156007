// Text to tokens: the byte-pair encoding with byte fallback of a run's tokenizer.json, as Hugging Face's `tokenizers` reads it.

const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/u;

export class Tokenizer {
  /** `content`: what tokenizer.json holds. */
  constructor(content) {
    const { vocab, merges } = content.model;
    this.vocab = new Map(Object.entries(vocab));
    this.ranks = new Map(merges.map((pair, rank) => [(Array.isArray(pair) ? pair.join(" ") : pair), rank]));
    this.known = new Map(); // words that were met before
  }

  /** The token numbers of a text, without an end token. */
  encode(text) {
    return pieces(text).flatMap((word) => {
      if (!this.known.has(word)) this.known.set(word, this.merge(this.symbols(word)).map((symbol) => this.vocab.get(symbol)));
      return this.known.get(word);
    });
  }

  /** The text of some tokens; those that are no words are left out. */
  decode(tokens) {
    this.written ??= new Map([...this.vocab].map(([symbol, token]) => [token, symbol]));
    return tokens.map((token) => this.written.get(token) ?? "").join("").replaceAll("▁", " ").trim();
  }

  /** Characters of a word; the UTF-8 bytes of those that the vocabulary does not have. */
  symbols(word) {
    return [...word].flatMap((char) => {
      if (this.vocab.has(char)) return [char];
      return [...new TextEncoder().encode(char)].map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    });
  }

  /** Join the pair that was learned first, everywhere, until no known pair is left. */
  merge(symbols) {
    for (;;) {
      let best = Infinity;
      for (let i = 1; i < symbols.length; i++) {
        best = Math.min(best, this.ranks.get(`${symbols[i - 1]} ${symbols[i]}`) ?? Infinity);
      }
      if (best === Infinity) return symbols;
      const joined = [];
      for (let i = 0; i < symbols.length; i++) {
        const fits = i + 1 < symbols.length && this.ranks.get(`${symbols[i]} ${symbols[i + 1]}`) === best;
        joined.push(fits ? symbols[i] + symbols[++i] : symbols[i]);
      }
      symbols = joined;
    }
  }
}

/** Lower-case words, each with a mark "▁" before it; every punctuation mark is a word. */
function pieces(text) {
  const plain = [...text.normalize("NFKC")].map((char) => char.toLowerCase());
  const runs = [];
  let run = "";
  for (const char of plain.join("")) {
    if (!PUNCTUATION.test(char)) {
      run += char;
      continue;
    }
    runs.push(run, char);
    run = "";
  }
  return [...runs, run].filter(Boolean).flatMap((part) => {
    const marked = part.replaceAll(" ", "▁");
    return (marked.startsWith("▁") ? marked : `▁${marked}`).match(/▁[^▁]*/gu);
  });
}
