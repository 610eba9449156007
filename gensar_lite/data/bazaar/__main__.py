"""`python -m gensar_lite.data.bazaar`: simulate the store and write it to a folder."""

from __future__ import annotations

import argparse
from dataclasses import fields

from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.storage import DataError


def main(arguments: list[str] | None = None) -> None:
    """Write a store to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m gensar_lite.data.bazaar", description="Simulate the store Bazaar and write it to a folder."
    )
    parser.add_argument("--out", required=True, help="folder to write")
    for field in fields(BazaarConfig):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=f"default {field.default}",
        )
    chosen = vars(parser.parse_args(arguments))
    out = chosen.pop("out")
    try:
        data = simulate(BazaarConfig(**chosen))
    except DataError as error:
        parser.error(str(error))
    data.save(out)
    print(f"{out}: {data.info['counts']}, fingerprint {data.info['fingerprint'][:16]}")


if __name__ == "__main__":
    main()
