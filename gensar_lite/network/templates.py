"""The templates of the paper's form: sentences around a history, a query, a text or an identifier, ended by `</s>`.

Explained in `docs/paper.md`. Ten ways to put each task; training samples among them, evaluation takes the first (GenSAR, appendix;
the wording is our own). A slot stands between spaces, so that a template is a row of pieces that can be tokenised one by one.
"""

from __future__ import annotations

import re

HISTORY = "{history}"

TEMPLATES: dict[str, tuple[str, ...]] = {
    "next_item": (
        "After {history} recommend the next item.",
        "A user did {history} and is shown one more item: which?",
        "Given the actions {history} name the item to recommend.",
        "The history {history} goes on with a recommended item:",
        "With {history} behind them, what does this person click on?",
        "Read {history} and predict the next click on a recommendation.",
        "Which product suits somebody who did {history} best?",
        "Continue {history} with an item this user will like.",
        "From {history} infer the item to show.",
        "Somebody's steps so far are {history} : suggest an item.",
    ),
    "next_search_item": (
        "After {history} find the item for {query} .",
        "A user did {history} and now asks {query} : which item is clicked?",
        "Given the actions {history} answer the search {query} .",
        "Whoever did {history} and types {query} wants which item?",
        "With {history} behind them, this person looks for {query} : name the result.",
        "Read {history} and the query {query} , then predict the clicked item.",
        "For a user with {history} what answers {query} ?",
        "The history {history} and the words {query} lead to an item:",
        "From {history} infer what is meant by {query} .",
        "Somebody's steps are {history} and their search is {query} : find it.",
    ),
    "next_query": (
        "After {history} write the next query.",
        "A user did {history} and opens the search box: what is typed?",
        "Given the actions {history} guess the next search.",
        "The history {history} goes on with a search:",
        "With {history} behind them, what does this person look for?",
        "Read {history} and predict the words of the next search.",
        "Which search follows {history} ?",
        "Continue {history} with a query of this user.",
        "From {history} infer what will be searched for.",
        "Somebody's steps so far are {history} : suggest a search.",
    ),
    "query_to_item": (
        "Find the item for {query} .",
        "Which item do people mean by {query} ?",
        "Answer the search {query} with an item.",
        "Somebody asks {query} : name the result.",
        "Map the words {query} to an item.",
        "The query {query} leads to an item:",
        "Retrieve what is wanted with {query} .",
        "What is the best result for {query} ?",
        "Look up {query} in the catalogue.",
        "Name the product behind {query} .",
    ),
    "text_to_item": (
        "Name the item with the description {text} .",
        "Which item is described as {text} ?",
        "The text {text} belongs to an item:",
        "Identify the product from {text} .",
        "Read {text} and name the item.",
        "Give the identifier of the item that says {text} .",
        "What item do the words {text} describe?",
        "Look up the item whose title and text are {text} .",
        "Map the description {text} to its item.",
        "A product page reads {text} : which item is it?",
    ),
    "item_to_text": (
        "Describe the item {item} .",
        "What do title and description of {item} say?",
        "Write the text that belongs to {item} .",
        "Put {item} into words.",
        "Tell what the item {item} is.",
        "The item {item} is described as:",
        "Which description has {item} ?",
        "Give the title and the text of {item} .",
        "Turn the identifier {item} into its description.",
        "Explain {item} in words.",
    ),
}
"""Task to its templates. A history stands before whatever else a template holds."""


def pieces_of(template: str) -> tuple[str, str, str]:
    """What stands before the history, between the history and the other slot, and behind the last slot."""
    parts = [part.strip() for part in re.split(r"{\w+}", template)]
    if HISTORY not in template:
        return "", parts[0], parts[1]
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (parts[0], "", parts[1])
