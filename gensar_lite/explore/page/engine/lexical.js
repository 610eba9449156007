// Lexical matching, as in gensar_lite/data/lexical.py: the terms of a text, and BM25 scores from a matrix that Python made.

// scripts of which each character is a token: Thai, Lao, Burmese, Khmer, kana, Han, Hangul
const APART = "\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u9fff\\uac00-\\ud7af";
const TOKEN = new RegExp(`\\p{Nd}+(?:[./]\\p{Nd}+)+|[${APART}]|(?:(?![${APART}])[\\p{L}\\p{N}])+`, "gu");
const APOSTROPHE = /(?<=\p{L})['’](?=\p{L})/gu;
const LINKS = ["", "s", "es", "n", "en", "e", "er"]; // between the parts of a compound
const LEAST_PART = 4; // letters of a part

const foldAccents = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");
const tokens = (text) => text.toLowerCase().replace(APOSTROPHE, "").match(TOKEN) ?? [];

/** Lower-case words in their order; digits, sizes and model numbers stay, accents go. */
export function words(text) {
  return tokens(foldAccents(text));
}

/** English plural to singular (the S-stemmer). */
function stem(word) {
  if ([...word].length < 4 || !word.endsWith("s") || !/^\p{L}+$/u.test(word)) return word;
  if (word.endsWith("ies")) return word.length > 4 && !"ae".includes(word.at(-4)) ? `${word.slice(0, -3)}y` : word.slice(0, -1);
  if (/(sses|shes|ches|xes|zes)$/.test(word)) return word.slice(0, -2);
  return /(us|ss|is)$/.test(word) ? word : word.slice(0, -1);
}

export class LexicalIndex {
  constructor(store) {
    const { terms, stop_words, stems, compounds, language } = store.about.lexicon;
    Object.assign(this, { compounds, language });
    this.numItems = store.about.items.id.length;
    this.number = new Map(terms.map((term, number) => [term, number]));
    this.stopWords = new Set(stop_words);
    this.stems = new Map(stems); // of languages other than English: those of the words that the store knows
    this.rows = store.sparse("words");
  }

  /** The terms of a query, and where words are compounds their parts, and what holds a word that is none: those that the index has. */
  terms(query) {
    const found = this.typed(query);
    const known = found.filter((term) => this.number.has(term));
    if (!this.compounds) return known;
    const holding = (term) => [...this.number.keys()].filter((other) => other.startsWith(term) || other.endsWith(term));
    const apart = (term) => [...this.split(term), ...(this.number.has(term) || term.length < LEAST_PART ? [] : holding(term))];
    return [...known, ...found.flatMap(apart)];
  }

  /** The terms of a text, also those that the index does not have. */
  typed(text) {
    return this.language === "english"
      ? words(text).filter((word) => !this.stopWords.has(word)).map(stem)
      : tokens(text.normalize("NFC")).filter((word) => !this.stopWords.has(word)).map((word) => this.stemOf(word));
  }

  stemOf(word) {
    return foldAccents(this.stems.get(word) ?? word);
  }

  /** The known parts of a compound: the longest known word that it ends with, and what stands before it. */
  split(word) {
    for (let cut = LEAST_PART; cut <= word.length - LEAST_PART; cut++) {
      const head = word.slice(cut);
      if (!this.number.has(head)) continue;
      const before = LINKS.filter((link) => word.slice(0, cut).endsWith(link)).map((link) => word.slice(0, cut - link.length));
      const parts = before.filter((part) => part.length >= LEAST_PART).map((part) => this.stemOf(part));
      return [head, ...parts.filter((part) => this.number.has(part)).slice(0, 1)];
    }
    return [];
  }

  /** (N,) BM25 scores. */
  scores(query) {
    const scores = new Float32Array(this.numItems);
    for (const term of this.terms(query)) this.rows(this.number.get(term), (item, score) => (scores[item] += score));
    return scores;
  }

  /** (N,) how much of what a query says each item has, 0 to 1; terms count by their inverse document frequency. */
  coverage(query) {
    const idf = (found) => Math.log1p((this.numItems - found + 0.5) / (found + 0.5));
    const scores = new Float32Array(this.numItems);
    let total = idf(0) * new Set(this.typed(query).filter((term) => !this.number.has(term))).size;
    for (const term of new Set(this.terms(query))) {
      const items = [];
      this.rows(this.number.get(term), (item) => items.push(item));
      total += idf(items.length);
      for (const item of items) scores[item] += idf(items.length);
    }
    return scores.map((score) => (total > 0 ? score / total : 0));
  }
}
