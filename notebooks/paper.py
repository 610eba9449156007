"""The whole paper on one page: GenSAR (Shi et al., arXiv 2504.05730) with torch, transformers and pandas alone.

Run `python notebooks/paper.py`. Nothing here is fast or careful; the package is both. Sizes are shrunk to some CPU minutes
on the embedded store, comments give the paper's. Shapes: N items, B rows of a batch, K codes in a codebook, D numbers.
"""

import itertools
import random
from collections import namedtuple
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
import transformers
from torch import nn

DATA = Path(__file__).resolve().parents[1] / "data" / "bazaar"  # or any folder made by `gensar-lite data import`
CHECKPOINT = None  # the paper: "t5-small"; None: a T5 from scratch, of this shape
SHAPE = {"d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 256, "num_layers": 1}  # 512, 64, 8, 2048, 6
NUM_WORDS = 3_000  # of its tokenizer
SIGNAL_DIM, HIDDEN, LATENT_DIM = 128, (256, 128), 32  # 768 or 64; 512, 256, 128, 64; 32
NUM_CODES, RQVAE_EPOCHS = 64, 100  # 256, 500
HISTORY, MAX_TEXT = 5, 32  # as many latest clicks and latest searches; tokens of an item's text, 256
PER_EPOCH = (4_000, 4_000, 400, 2_000, 800, 200)  # examples of each task; all, 100,000, 1,000, 1,000, 2,000, 2,000
EPOCHS, BATCH_SIZE, LEARNING_RATE = 4, 128, 5e-3  # 200; 8,192 on eight GPUs; 1e-3
NUM_BEAMS, NUM_CASES = 30, 150  # held-out questions a task; all of them

# 1. The store: what each user did in time order, and what is held out ------------------------------------------------
Event = namedtuple("Event", "task time item query")  # item: its number, None where nothing was clicked
Case = namedtuple("Case", "user event candidates")  # which of 100 candidates comes next? The item of `event`


def read_store():
    """The table of items, the events of each user, the time where training must end for each, and the held-out cases."""
    items, listed = pd.read_parquet(DATA / "items.parquet"), pd.read_parquet(DATA / "candidates.parquet")
    number = {item_id: row for row, item_id in enumerate(items["item_id"])}
    listed = listed.set_index(["split", "task", "user_id"])
    log, closed, cases = {}, {}, {}
    for task, table in (("recommendation", "interactions"), ("search", "searches")):
        for row in pd.read_parquet(DATA / f"{table}.parquet").itertuples():
            event = Event(task, row.timestamp, number.get(row.item_id), getattr(row, "query", None))
            log.setdefault(row.user_id, []).append(event)
    for user, events in log.items():
        events.sort(key=lambda event: event.time)
        closed[user] = float("inf")
        for split, least in (("test", 2), ("valid", 1)):  # so many events must come before
            limit = closed[user]
            for task, protocol in (("recommendation", "uniform99"), ("search", "bm25_99")):
                last = [e for e in events[least:] if e.time < limit and e.item is not None and e.task == task][-1:]
                if last and (split, task, user) in listed.index:
                    candidates = [last[0].item, *listed.at[(split, task, user), protocol]]
                    cases.setdefault((split, task), []).append(Case(user, last[0], candidates))
                    closed[user] = min(closed[user], last[0].time)
    return items, log, closed, cases


# 2. Two signals: what an item says, and who clicks it ----------------------------------------------------------------
def item_vectors(pairs, num_items):
    """(N, D) vectors by TF-IDF and a singular value decomposition, from pairs of item and trait (a word, a user). The paper:
    BGE for texts, and for clicks the item embeddings of UniSAR, a sequential model of both logs."""
    number = {}
    index = torch.tensor([(item, number.setdefault(trait, len(number))) for item, trait in pairs]).T
    rarity = (num_items / torch.bincount(index[1])).log()[index[1]]
    matrix = torch.sparse_coo_tensor(index, rarity, (num_items, len(number)), check_invariants=True).coalesce()
    left, size, _ = torch.svd_lowrank(matrix, SIGNAL_DIM, niter=4)
    return F.normalize(left * size) * SIGNAL_DIM**0.5


# 3. Identifiers: the joint RQ-VAE ------------------------------------------------------------------------------------
BOOKS = ("m1", "m2", "s1", "s2", "c1", "c2")  # codebooks: shared, semantic, collaborative
VIEWS = {"search": ("<S_I>", (0, 1, 2, 3)), "recommendation": ("<R_I>", (0, 1, 4, 5))}  # the two identifiers of an item
BOTH, LEFT, RIGHT = slice(0, 2 * LATENT_DIM), slice(0, LATENT_DIM), slice(LATENT_DIM, 2 * LATENT_DIM)
SPANS = (BOTH, BOTH, LEFT, LEFT, RIGHT, RIGHT)  # what a book quantises of the latent vector [semantic, collaborative]


class JointRQVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleList(network(SIGNAL_DIM, *HIDDEN, LATENT_DIM) for _ in VIEWS)
        self.decoders = nn.ModuleList(network(LATENT_DIM, *HIDDEN[::-1], SIGNAL_DIM) for _ in VIEWS)
        self.books = nn.ParameterList(torch.zeros(NUM_CODES, span.stop - span.start) for span in SPANS)

    def forward(self, signals, start=False):
        """The loss, codes (B, 6), and distances (B, K) to each book; `start` sets the books by k-means of what is left."""
        latent = torch.cat([encoder(x) for encoder, x in zip(self.encoders, signals, strict=True)], dim=1)
        whole, losses, codes, distances = torch.zeros_like(latent), [], [], []
        for number, (span, book) in enumerate(zip(SPANS, self.books, strict=True)):
            rest = (latent - whole)[:, span]
            if start:
                book.data = k_means(rest.detach())
            distances.append(torch.cdist(rest, book).square())
            balanced = self.training and number in (3, 5)  # the last level of each identifier
            codes.append(sinkhorn(distances[-1].detach()) if balanced else distances[-1].argmin(1))
            chosen = book[codes[-1]]
            losses.append(F.mse_loss(chosen, rest.detach()) + 0.25 * F.mse_loss(rest, chosen.detach()))
            whole = whole + F.pad(chosen.detach(), (span.start, BOTH.stop - span.stop))
        halves = (latent + (whole - latent).detach()).chunk(2, dim=1)  # gradients pass straight through the codes
        lost = sum(F.mse_loss(decoder(z), x) for decoder, z, x in zip(self.decoders, halves, signals, strict=True))
        return lost + torch.stack(losses).mean(), torch.stack(codes, dim=1), distances


def network(*widths):
    return nn.Sequential(*[layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())][:-1])


def k_means(points):
    centres = points[torch.randint(len(points), (NUM_CODES,))]
    for _ in range(10):
        own = F.one_hot(torch.cdist(points, centres).argmin(1), NUM_CODES).float()
        centres = torch.where(own.any(0)[:, None], own.T @ points / own.sum(0).clamp_min(1)[:, None], centres)
    return centres


def sinkhorn(distance):
    """(B,) codes near the nearest ones, such that every code is used about equally often."""
    plan = -distance.double() * 2 / (distance.max() - distance.min()) / 0.003
    for _ in range(50):
        plan = plan.log_softmax(0).log_softmax(1)
    return plan.argmax(1)


def learn_identifiers(signals):
    """N rows of 6 codes. Where two items would share an identifier, the later one takes the nearest last codes still free."""
    model = JointRQVAE()
    model(signals, start=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-5)
    for _ in range(RQVAE_EPOCHS):
        for rows in torch.randperm(len(signals[0])).split(1024):
            optimiser.zero_grad()
            model([x[rows] for x in signals])[0].backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    _, codes, distances = model.eval()(signals)
    codes = codes.tolist()
    for _, (*shared, third, last) in VIEWS.values():
        taken = set()
        for item, near in enumerate(zip(*(distances[book].argsort(1).tolist() for book in (third, last)), strict=True)):
            prefix = tuple(codes[item][book] for book in shared)
            pair = next(pair for pair in itertools.product(*near) if (*prefix, *pair) not in taken)
            codes[item][third], codes[item][last] = pair
            taken.add((*prefix, *pair))
    return codes


# 4. Six tasks: what a user did becomes a sentence, identifiers are words of their own --------------------------------
TEMPLATES = {  # training samples among the ways to ask, evaluation takes the first; the paper has ten each
    "recommendation": ("After {history} recommend the next item.", "What {history} leads to: which item is clicked?"),
    "search": ("After {history} find the item for {query} .", "Given {history} who wants {query} gets what?"),
    "next_query": ("After {history} write the next query.", "What {history} leads to: what is searched?"),
    "query_to_item": ("Find the item for {query} .", "Which item do people mean by {query} ?"),
    "text_to_item": ("Name the item with the description {text} .", "Which item is described as {text} ?"),
    "item_to_text": ("Describe the item {item} .", "What do title and description of {item} say?"),
}


def situation(event, events, names):
    """What templates say of an event: its query, and the latest clicks and searches before it, as `click ; query , click ; …`."""
    latest = [[e for e in events if e.task == task and e.time < event.time][-HISTORY:] for task in VIEWS]
    said = []
    for e in sorted([*latest[0], *latest[1]], key=lambda e: e.time):
        query = [f"<S_Q>{e.query}"] if e.task == "search" else []
        said.append(" , ".join(query + ([] if e.item is None else [names[e.task][e.item]])))
    return {"history": " ; ".join(said), "query": f"<S_Q>{event.query}"}


def training_examples(log, closed, names, texts, titles):
    """For each task a list of (what its template holds, target), all of them texts."""
    examples = {task: [] for task in TEMPLATES}
    for user, events in log.items():
        for event in (event for event in events if event.time < closed[user]):
            held = situation(event, events, names)
            if event.item is not None:
                examples[event.task].append((held, names[event.task][event.item]))
            if event.task == "search":
                examples["next_query"].append((held, held["query"]))
    for item, text in enumerate(texts):
        words = titles[item].split()  # the paper: a query by a neural doc2query; here: some words of the title
        query = " ".join(word for word in words if random.random() < 0.4) or words[0]
        examples["query_to_item"].append(({"query": f"<S_Q>{query}"}, names["search"][item]))
        for task in VIEWS:
            examples["text_to_item"].append(({"text": text}, names[task][item]))
            examples["item_to_text"].append(({"item": names[task][item]}, text))
    return examples


# 5. Training ---------------------------------------------------------------------------------------------------------
def new_model(texts):
    """A tokenizer that knows a word for each behaviour and code, and a T5 of as many words."""
    if CHECKPOINT:
        tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
        model = transformers.T5ForConditionalGeneration.from_pretrained(CHECKPOINT)
    else:
        tokenizer = transformers.T5Tokenizer().train_new_from_iterator(texts, NUM_WORDS)
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(decoder_start_token_id=0, **SHAPE))
    tokenizer.add_tokens(["<R_I>", "<S_Q>", "<S_I>", *(f"<{book}_{n}>" for book in BOOKS for n in range(NUM_CODES))])
    model.resize_token_embeddings(len(tokenizer))
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu")


def loss_of(model, tokenizer, inputs, targets):
    """Cross-entropy of B targets over the whole vocabulary."""
    batch = tokenizer(inputs, text_target=targets, padding=True, return_tensors="pt").to(model.device)
    labels = batch.labels.masked_fill(batch.labels == tokenizer.pad_token_id, -100)
    return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss


def train(model, tokenizer, examples, validate):
    """Adam, warm-up and cosine; keeps the weights of the epoch that validates best."""
    sizes = {task: min(most, len(rows)) for (task, rows), most in zip(examples.items(), PER_EPOCH, strict=True)}
    steps = EPOCHS * -(-sum(sizes.values()) // BATCH_SIZE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-7)
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, -(-steps // 100), steps)
    best, kept = -1.0, None
    for epoch in range(EPOCHS):
        drawn = [(task, *row) for task, size in sizes.items() for row in random.sample(examples[task], size)]
        random.shuffle(drawn)
        model.train()
        for start in range(0, len(drawn), BATCH_SIZE):
            rows = drawn[start : start + BATCH_SIZE]
            inputs = [random.choice(TEMPLATES[task]).format(**held) for task, held, _ in rows]
            loss = loss_of(model, tokenizer, inputs, [target for *_, target in rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        model.eval()
        value = validate()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {loss.item():.2f}, NDCG@5 on validation {value:.3f}", flush=True)
        if value > best:
            best, kept = value, {name: weight.clone() for name, weight in model.state_dict().items()}
    model.load_state_dict(kept)


# 6. Decoding: beam search that can write nothing but the identifiers of the items allowed ----------------------------
def answer(model, tokenizer, inputs, names, items):
    """For each of B inputs its items (B lists), best first, as (item, log-probability); those that no beam reached lack."""
    paths = [{(0, *tokenizer(names[item]).input_ids): item for item in row} for row in items]
    follow = [{} for _ in paths]  # what may come after each prefix
    for row, known in enumerate(paths):
        for path in known:
            for n in range(1, len(path)):
                follow[row].setdefault(path[:n], set()).add(path[n])
    found = model.generate(
        **tokenizer(inputs, padding=True, return_tensors="pt").to(model.device), do_sample=False, max_new_tokens=6,
        num_beams=NUM_BEAMS, num_return_sequences=NUM_BEAMS, return_dict_in_generate=True, output_scores=True,
        prefix_allowed_tokens_fn=lambda row, path: list(follow[row].get(tuple(path.tolist()), [tokenizer.eos_token_id])),
    )  # fmt: skip
    answers = [[] for _ in inputs]
    for n, (path, score) in enumerate(zip(found.sequences.tolist(), found.sequences_scores.tolist(), strict=True)):
        if score > -1e6:  # `generate` fills up with impossible ones, and divides by the length
            answers[n // NUM_BEAMS].append((paths[n // NUM_BEAMS][tuple(path)], 6 * score))
    return answers


# 7. Evaluation: the true item among 100, in recommendation (99 drawn) and in search (99 that BM25 finds) -------------
def evaluate(model, tokenizer, log, names, cases):
    """HR@1, 5, 10 and NDCG@5, 10 over the cases of one task."""
    ranks = []
    for start in range(0, len(cases), 16):
        rows = cases[start : start + 16]
        task, allowed = rows[0].event.task, [case.candidates for case in rows]
        questions = [TEMPLATES[task][0].format(**situation(case.event, log[case.user], names)) for case in rows]
        found = answer(model, tokenizer, questions, names[task], allowed)
        for case, answers in zip(rows, found, strict=True):
            order = [item for item, _ in answers]
            ranks.append(1 + order.index(case.event.item) if case.event.item in order else 10**9)
    rank = torch.tensor(ranks)
    hits = {f"HR@{k}": (rank <= k).float().mean().item() for k in (1, 5, 10)}
    return hits | {f"NDCG@{k}": ((rank <= k) / (rank + 1).log2()).mean().item() for k in (5, 10)}


def main():
    transformers.set_seed(0)
    items, log, closed, cases = read_store()
    texts = [" ".join(filter(None, row)) for row in items[["title", "brand", "categories", "description"]].to_numpy()]
    seen = [(user, event) for user, events in log.items() for event in events if event.time < closed[user]]
    said = [(item, word) for item, text in enumerate(texts) for word in text.lower().split()]
    clicked = [(event.item, user) for user, event in seen if event.item is not None]
    codes = learn_identifiers([item_vectors(pairs, len(texts)) for pairs in (said, clicked)])
    names = {
        task: [speaker + "".join(f"<{BOOKS[book]}_{row[book]}>" for book in books) for row in codes]
        for task, (speaker, books) in VIEWS.items()
    }
    tokenizer, model = new_model([*texts, *(event.query for _, event in seen if event.task == "search")])
    texts = tokenizer.batch_decode([ids[:MAX_TEXT] for ids in tokenizer(texts, add_special_tokens=False).input_ids])
    cases = {key: random.sample(rows, min(NUM_CASES, len(rows))) for key, rows in cases.items()}

    def measure(split):
        return {task: evaluate(model, tokenizer, log, names, cases[split, task]) for task in VIEWS}

    examples = training_examples(log, closed, names, texts, items["title"])
    train(model, tokenizer, examples, lambda: sum(row["NDCG@5"] for row in measure("valid").values()) / len(VIEWS))
    print(pd.DataFrame(measure("test")).T.round(3).to_string())


if __name__ == "__main__":
    main()
