"""Bazaar, the simulated store whose truth is known.

Explained in notebook 01 and in the data card `data/README.md`. `python -m gensar_lite.data.bazaar --out FOLDER`
writes the default store. Its parameters are in `config`; the catalogue is made in `catalogue`, the clicks in `log`, the
queries in `queries`, the tables in `store`; `oracle` knows the truth and `measures` takes the store's measure.
"""

from gensar_lite.data.bazaar.config import BazaarConfig
from gensar_lite.data.bazaar.store import simulate, simulate_tables

__all__ = ["BazaarConfig", "simulate", "simulate_tables"]
