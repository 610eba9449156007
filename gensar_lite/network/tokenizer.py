"""The tokenizer that is trained on the data: a byte-pair encoding, in files that `transformers` reads as well.

Explained in notebook 05. It answers to the names of a `transformers` tokenizer, which stands in its place with a pretrained checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gensar_lite.data.storage import DataError, read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
# the class under which `transformers` reads the files, and what its releases write for it
GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")


class BytePairTokenizer:
    """A trained `tokenizers.Tokenizer`; nothing in a text is ever taken for a special token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True
        self.backend_tokenizer = tokenizer
        self.pad_token_id, self.eos_token_id, self.unk_token_id = (
            cast(int, tokenizer.token_to_id(token)) for token in SPECIAL.values()
        )

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
        """The tokens of each text. `options` are for tokenizers of checkpoints, which would add tokens of their own."""
        return {
            "input_ids": [row.ids for row in self.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        }

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, as they are written."""
        return list(self.backend_tokenizer.encode(text).tokens)

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """How tokens are written; "" for a number that names none."""
        return [self.backend_tokenizer.id_to_token(int(number)) or "" for number in ids]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of some tokens."""
        return str(self.backend_tokenizer.decode(list(map(int, ids)), skip_special_tokens=skip_special_tokens))

    def get_vocab(self) -> dict[str, int]:
        """The number of each token."""
        return dict(self.backend_tokenizer.get_vocab())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`."""
        Path(folder, "tokenizer.json").write_text(self.backend_tokenizer.to_str(pretty=True), encoding="utf-8")
        write_json(Path(folder, "tokenizer_config.json"), {"tokenizer_class": GENERIC[0], **SPECIAL})


AnyTokenizer: TypeAlias = "BytePairTokenizer | PreTrainedTokenizerBase"


def train_tokenizer(texts: Iterable[str], vocab_size: int = 20_000) -> BytePairTokenizer:
    """Train a lower-casing byte-pair encoding with byte fallback on the texts of a data set."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = list(SPECIAL.values())
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[*special, *byte_tokens], min_frequency=1, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    # the trainer can give bytes a place only as special tokens, which decoding would leave out
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in special]
    return BytePairTokenizer(Tokenizer.from_str(json.dumps(content)))


def read_tokenizer(folder: Path) -> AnyTokenizer:
    """The tokenizer in a model's folder: one trained here, or a checkpoint's. Raises DataError, OSError or ValueError where it can't be read."""
    about = read_json(folder / "tokenizer_config.json")
    if about.get("tokenizer_class") not in GENERIC or any(about.get(name) != token for name, token in SPECIAL.items()):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{folder / 'tokenizer.json'} cannot be read ({error}); train again") from error
    if absent := [name for name in SPECIAL.values() if tokenizer.token_to_id(name) is None]:
        raise DataError(f"{folder / 'tokenizer.json'} has no token {', '.join(absent)}; train again")
    return BytePairTokenizer(tokenizer)
