"""The examples of `tutorials/integrations.md` that need packages which the suite does not have."""

from pathlib import Path

import documents
import pytest

PAGE = Path(__file__).parents[1] / "tutorials" / "integrations.md"
BLOCKS = documents.blocks(PAGE.read_text(encoding="utf-8"))
NEEDING = [block for block in BLOCKS if block.kind == "needs"]


@pytest.mark.integrations
@pytest.mark.parametrize("block", NEEDING, ids=lambda block: block.mark.removeprefix("needs: "))
def test_an_example_runs_after_the_pages_first_block(block, run_script):
    run_script(f"{BLOCKS[0].code}\n{block.code}")
