"""Write the JSON Schema of manifests, which the package ships: python scripts/schema.py."""

from __future__ import annotations

from gmm_spark.batch.manifest.manifest import SCHEMA_FILE, schema

if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema(), encoding="utf-8")
