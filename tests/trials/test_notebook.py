"""The notebook of examples/, executed by a kernel as its reader would: tables, tasks in its event loop, a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

import nbclient
import nbformat

import decodekit
from tests.html.reading import Page as Read

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def data(cell: Any) -> dict[str, str]:
    """What a cell shows, by its kind; the text it prints as 'stream'."""
    found: dict[str, str] = {}
    for output in cell.outputs:
        assert output.get("name") != "stderr", output.text
        found |= output.data if "data" in output else {"stream": found.get("stream", "") + output.text}
    return found


@pytest.mark.real_model
@pytest.mark.filterwarnings("default")  # those of Jupyter's own packages
def test_the_notebook_runs_and_shows_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells), "clear the outputs before it is committed"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    opened, generated, explained, widget, distribution, tasks, streamed, proved, closed = map(data, cells)
    assert opened["text/plain"].startswith("Session(LlamaCppAdapter, ") and "seed=7" in opened["text/plain"]
    with decodekit.open("smollm2", chain="temperature=0.8 top_p=0.9", seed=7, n_ctx=256, n_threads=1) as session:
        result = session.generate("The capital of France is", max_tokens=8)
        shown, why = result.to_html(), result.explain(1)._repr_mimebundle_()  # a model that is closed has no texts
    assert generated["text/plain"] == repr(result) and "\n" not in repr(result)
    assert generated["text/html"] == shown and "closest decisions" in Read(generated["text/html"]).text
    assert explained == why and why["text/plain"].startswith("step 1: ")
    assert widget["text/html"].startswith('<iframe sandbox="allow-scripts"') and "height:500px" in widget["text/html"]
    assert widget["text/plain"].startswith("Widget(Trace(8 steps")
    assert len(Read(distribution["text/html"]).rows) == 11 and distribution["text/plain"].startswith("Distribution(")
    assert tasks["text/plain"].startswith("['") and len(streamed["stream"]) > 8
    assert "proved" in proved["text/plain"] and closed == {}
