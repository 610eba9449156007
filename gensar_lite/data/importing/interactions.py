"""Interactions: which rows are clicks, on which items, what came before, and in which order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.cleaning import Cleaner
from gensar_lite.data.importing.columns import Coded, split_lists
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.log import Log, joined
from gensar_lite.data.storage import DataError


class InteractionCleaner(Cleaner):
    """Clicks from the rows of a log."""

    def interactions(self, events: Events) -> tuple[Log, Log | None]:
        """Clicks, and, where the table has queries, the searches among them."""
        events = self.begin(events)
        searches = None
        if "query" in events.texts:
            events = self.queries(events)
            asked = ~events.texts["query"].missing
            found = events.take(asked)
            item = found.texts["item_id"].numbers_in(self.ids)
            lost = int((item < 0).sum())
            self.report.say(
                "searches_unknown_items",
                lost,
                f"{self.name}: {lost} searches end in an item that is not in the catalogue; they count as searches without a click",
            )
            self.report.say(
                "searches_from_interactions",
                int(asked.sum()),
                f"{self.name}: {int(asked.sum())} events have a query and are searches",
            )
            searches = self.to_log(found, item)
            events = events.take(~asked)
            del events.texts["query"]
        taken_back = None
        if events.taken_back is not None:
            pair = events.take(events.taken_back)
            taken_back = pd.MultiIndex.from_arrays([pair.texts["user_id"].codes, pair.texts["item_id"].codes])
        bad = ~events.clicked
        self.unclicked(events, bad)
        events = events.take(~bad) if bad.any() else events
        if taken_back is not None:
            codes = pd.MultiIndex.from_arrays([events.texts["user_id"].codes, events.texts["item_id"].codes])
            events = self.drop(
                events, codes.isin(taken_back), "taken_back", f"were taken back ({self.said['taken_back']})"
            )
        events = self.drop(
            events,
            events.texts["item_id"].missing,
            "without_item",
            f"have no {self.said.get('item_id', 'item')} (the item)",
        )
        item = self.known(events)
        events, item = (
            self.drop(
                events,
                item < 0,
                "unknown_items",
                f"name items that are not in the catalogue ({self.examples(events, item < 0)})",
            ),
            item[item >= 0],
        )
        rows = len(events)
        events = self.times(events)
        if len(events) < rows:
            item = events.texts["item_id"].numbers_in(self.ids)
        log = self.to_log(events, item)
        if events.history is not None:
            log = self.with_history(log, events)
        return self.copies(log, events), searches

    def finish(self, log: Log) -> Log:
        """Marks and repeats are told, repeats dropped where that was said."""
        self._say_marks(log)
        return self._repeats(log)

    def known(self, events: Events) -> np.ndarray:
        """(R,) the items' numbers; ids of another spelling are refused with a guess, not dropped."""
        column = events.texts["item_id"]
        item = column.numbers_in(self.ids)
        unknown = item < 0
        if not len(item) or unknown.mean() < 0.5:
            return item
        for change, what in (
            (_no_zeros, "leading zeros"),
            (_no_point, "a decimal point (12.0)"),
            (pc.utf8_lower, "capital letters"),
        ):
            again = column.map(change).numbers_in(pc.unique(change(self.ids)))
            if (again >= 0).mean() > 0.5:
                raise DataError(
                    f"{self.name}, column {self.said.get('item_id')!r}: {int(unknown.sum())} of {len(item)} rows name no item of the catalogue ({self.examples(events, unknown)}), but would without {what}; write the ids alike in both files"
                )
        if unknown.all():
            known = ", ".join(map(repr, self.ids[:2].to_pylist()))
            raise DataError(
                f"{self.name}, column {self.said.get('item_id')!r}: none of the {len(item)} rows names an item of the catalogue ({self.examples(events, unknown)}; the catalogue has {known}); both files must use the same ids"
            )
        return item

    def with_history(self, log: Log, events: Events) -> Log:
        """What a user did before the first row, from the list that this row holds; such events have no time of their own."""
        history = events.history
        if history is None or not len(log):
            return log
        time = log.time if log.time is not None else log.line
        first = (
            pd.Series(np.lexsort((log.line, time)))
            .groupby(log.user.codes[np.lexsort((log.line, time))], sort=False)
            .first()
        )
        user, row = first.index.to_numpy(), first.to_numpy()
        lists = split_lists(pa.chunked_array([history.take(row).texts()]), self.said.get("list_separator"))
        lengths = np.diff(lists.offsets.to_numpy())
        flat = lists.flatten()
        item = (
            pc.fill_null(pc.index_in(flat, value_set=self.ids.cast(flat.type)), -1)
            .to_numpy(zero_copy_only=False)
            .astype(np.int32)
        )
        place = np.repeat(lengths, lengths) - (np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths))
        owner, lost = np.repeat(user, lengths).astype(np.int32), item < 0
        names = ", ".join(map(repr, flat.filter(pa.array(lost)).to_pylist()[:3]))
        self.say(
            "unknown_history_items",
            lost.sum(),
            f"{lost.sum()} entries of history lists name items that are not in the catalogue ({names}) and were dropped",
        )
        start = np.repeat(time[row], lengths)
        kept = ~lost
        place = place[kept]
        second = 10 ** (log.exponent or 0)
        count = int(kept.sum())
        self.say(
            "history_events",
            count,
            f"{count} events come from the history lists and have no time of their own; they stand before the user's first event",
        )
        self.report.counts[f"{self.table}_entries"] = len(events) + len(flat)
        before = Log(
            user=Coded(owner[kept], log.user.values),
            item=item[kept],
            line=-place.astype(np.int64),
            time=None if log.time is None else start[kept] - place * second,
        )
        return joined(before, log)

    def _repeats(self, log: Log) -> Log:
        """Events on the same item as the user's event before."""
        user = log.user.codes
        again = (
            np.concatenate([[False], (user[1:] == user[:-1]) & (log.item[1:] == log.item[:-1])])
            if len(log)
            else np.zeros(0, bool)
        )
        drop = self.said.get("repeats") == "drop"
        if drop:
            self.say(
                "repeats_dropped",
                again.sum(),
                f"{again.sum()} events are on the same item as the user's event before and were dropped",
            )
            return log.take(~again)
        self.say(
            "repeats",
            again.sum(),
            f"{again.sum()} events are on the same item as the user's event before; they can be guessed without learning anything. --set interactions.repeats=drop leaves them out",
        )
        return log

    def _say_marks(self, log: Log) -> None:
        """Ratings that count although they are low; an order of the file that is an order of weights."""
        rating = log.numbers.get("rating")
        if rating is not None and np.isfinite(rating).any() and not self.said.get("clicks"):
            good = rating[np.isfinite(rating)]
            middle = 3 if good.max() <= 5 else round(good.max() / 2)
            zero = int((good == 0).sum())
            name = self.said["rating"]
            if zero and good.max() > 5:
                low = int(((good > 0) & (good < middle)).sum())
                said = f"{zero} of {len(log)} ratings are 0; {low} are 1 to {middle - 1}; all count"
            else:
                low = int((good < middle).sum())
                said = f"{low} of {len(log)} ratings are below {middle} and count"
            self.report.counts["low_ratings"] = low
            if low or zero:
                self.report.note(f'{self.name}: {said}; --clicks "{_name(name)} >= {middle}" leaves them out')
        weight = log.numbers.get("weight")
        if weight is not None:
            self.report.note(f"{self.name}: the column {self.said['weight']} is not used: every row counts once")
        if log.time is not None:
            return
        self.report.note(
            f"{self.name}: no column of time: {'places in each list stand for it' if self.said.get('items') or self.said.get('history') else 'the order of the file was taken'}"
        )
        for word in ("weight", "rating"):
            marks = log.numbers.get(word)
            if marks is None or len(marks) < 3:
                continue
            same = log.user.codes[1:] == log.user.codes[:-1]
            if same.any() and (np.diff(marks)[same] <= 0).mean() > 0.99 and (np.diff(marks)[same] < 0).any():
                self.report.note(
                    f"{self.name}: in the order of the file the column {self.said[word]} falls within every user, so it is no order of events; the held-out event is the one with the lowest {self.said[word]}"
                )


def _no_zeros(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values, r"^0+([0-9])", r"\1")


def _no_point(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values, r"\.0+$", "")


def _name(column: str) -> str:
    return column if column.replace("_", "").isalnum() else f"'{column}'"
