"""The prompts: ten ways to say each task; training samples among them, evaluation uses the first (GenSAR, appendix)."""

from __future__ import annotations

PROMPTS: dict[str, tuple[str, ...]] = {
    "next_item": (
        "recommend the next item for this history",
        "given what the user did, which item comes next",
        "pick an item this user will click",
        "which product should we show this user now",
        "continue the history with a recommended item",
        "suggest something this person may like",
        "predict the next click on a recommendation",
        "what would this customer choose next",
        "name one item that fits this history",
        "choose the next item for this shopper",
    ),
    "next_search_item": (
        "find the item this user is searching for",
        "given history and query, which item is clicked",
        "answer the query for this user",
        "search result for this person and query",
        "which product does this user want with the query",
        "match the query and the history to an item",
        "predict the clicked result of this search",
        "what item ends this search session",
        "look up the item behind the query",
        "choose the result this shopper would open",
    ),
    "next_query": (
        "predict the next query of this user",
        "what will this user search for next",
        "write the query this person types now",
        "given the history, guess the next search",
        "suggest a search for this user",
        "which words will the shopper enter",
        "complete the history with a query",
        "propose the next search phrase",
        "what is this customer looking for",
        "name the query that follows this history",
    ),
    "query_to_item": (
        "find the item for this query",
        "which item matches the query",
        "answer this search",
        "give the product that people click for this query",
        "look up the item for these words",
        "what is the best result for this search",
        "retrieve the item described by the query",
        "name the item behind these words",
        "map the query to an item",
        "choose one result for the query",
    ),
    "text_to_item": (
        "which item has this description",
        "find the item described here",
        "give the identifier for this text",
        "name the item with this title",
        "map the description to its item",
        "identify the product in this text",
        "which product is described as follows",
        "read the text and name the item",
        "what item do these words describe",
        "look up the item with this title and text",
    ),
    "item_to_text": (
        "describe this item",
        "what is the title of this item",
        "write the text for this identifier",
        "give title and description of the item",
        "tell what this item is",
        "explain this identifier in words",
        "which text belongs to this item",
        "name and describe the product",
        "turn the identifier into a description",
        "put this item into words",
    ),
}
"""Task to its prompts. The names in the paper: NRIP, NSIP, NSQP, ad-hoc search from pseudo-queries, Desc2ID, ID2Desc."""

TEXT_TASKS = ("next_query", "item_to_text")
TASK_PROMPT = {"recommendation": "next_item", "search": "next_search_item"}
