// Lexical matching, as in gensar_lite/data/lexical.py: the terms of a text, and BM25 scores from a matrix that Python made.

const APART = "\\u3040-\\u30ff\\u3400-\\u9fff\\uac00-\\ud7af"; // scripts written without spaces: one token a character
const TOKEN = new RegExp(`\\p{Nd}+(?:[./]\\p{Nd}+)+|[${APART}]|(?:(?![${APART}])[\\p{L}\\p{N}])+`, "gu");
const APOSTROPHE = /(?<=\p{L})['’](?=\p{L})/gu;

/** Lower-case words in their order; digits, sizes and model numbers stay, accents go. */
export function words(text) {
  const plain = text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");
  return plain.toLowerCase().replace(APOSTROPHE, "").match(TOKEN) ?? [];
}

/** Plural to singular (the S-stemmer). */
export function stem(word) {
  if ([...word].length < 4 || !word.endsWith("s") || !/^\p{L}+$/u.test(word)) return word;
  if (word.endsWith("ies")) return word.length > 4 && !"ae".includes(word.at(-4)) ? `${word.slice(0, -3)}y` : word.slice(0, -1);
  if (/(sses|shes|ches|xes|zes)$/.test(word)) return word.slice(0, -2);
  return /(us|ss|is)$/.test(word) ? word : word.slice(0, -1);
}

export class LexicalIndex {
  constructor(store) {
    const { terms, stop_words } = store.about.lexicon;
    this.numItems = store.about.items.id.length;
    this.number = new Map(terms.map((term, number) => [term, number]));
    this.stopWords = new Set(stop_words);
    this.rows = store.sparse("words");
  }

  /** The terms of a query that the index has. */
  terms(query) {
    return words(query).filter((word) => !this.stopWords.has(word)).map(stem).filter((term) => this.number.has(term));
  }

  /** (N,) BM25 scores. */
  scores(query) {
    const scores = new Float32Array(this.numItems);
    for (const term of this.terms(query)) this.rows(this.number.get(term), (item, score) => (scores[item] += score));
    return scores;
  }
}
