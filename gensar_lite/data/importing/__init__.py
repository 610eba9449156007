"""Import as published: one mapping says what people's files mean, a library reads them, nothing is dropped in silence."""

from gensar_lite.data.importing.finish import import_mapping, import_recipe, import_tables
from gensar_lite.data.importing.report import ImportReport

__all__ = ["ImportReport", "import_mapping", "import_recipe", "import_tables"]
