"""What the library costs, measured side by side: `python -m benchmarks.NAME`, one table and one line of JSON each."""
