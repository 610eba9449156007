"""Finding a data set by its name or folder."""

from __future__ import annotations

from pathlib import Path

from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError

EMBEDDED = Path(__file__).parents[2] / "data" / "bazaar"
BAZAAR_FINGERPRINT = "c195b565e13f7f8c7f36017fb93b638dcf047277ea1378992b0a05bacf7c431a"


def load_dataset(name_or_folder: str | Path) -> Dataset:
    """ "bazaar", the embedded simulated store, or a folder made by `gensar-lite data import` or `data simulate`.

    Outside a clone of the repository, where there is no embedded data set, "bazaar" is simulated again
    and its fingerprint checked. Raises `DataError` where there is no such data set or it is damaged.
    """
    if str(name_or_folder) != "bazaar":
        if not Path(name_or_folder).is_dir():
            raise DataError(
                f"There is no data set {str(name_or_folder)!r}: give 'bazaar' or a folder made by `gensar-lite data import` or `data simulate`"
            )
        return Dataset.load(name_or_folder)
    if (EMBEDDED / "dataset.json").is_file():
        return Dataset.load(EMBEDDED)
    data = simulate(BazaarConfig())
    if data.info["fingerprint"] != BAZAAR_FINGERPRINT:
        raise DataError(
            "The simulated store came out different from the embedded one (another version of numpy?); take data/bazaar from the repository and give its folder"
        )
    return data
