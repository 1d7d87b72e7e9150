"""From a name, a folder or a file to a torch model: what is found, what is refused, and what is never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

import decodekit
from decodekit import Prefix
from decodekit.errors import ModelNotFound, ParameterError
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import tiny


def test_attention_and_dtype_are_handed_through(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    adapter = decodekit.adapter("torch", model=str(tmp_path), attn_implementation="eager", dtype="bfloat16", n_ctx=50)
    (answer,) = adapter.predict([Prefix([5])])
    assert (answer.schedule["attention"], answer.schedule["dtype"]) == ("eager", "bfloat16")
    assert adapter.settings == {"attention": "eager", "dtype": "bfloat16", "device": "cpu"}
    assert adapter.info.context_length == 50


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ParameterError, match="device"):
        TorchAdapter(model=tiny("Llama"), device=device)


def test_a_folder_has_the_fingerprint_of_its_files(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path / "a")
    tiny("Llama").save_pretrained(tmp_path / "b")
    tiny("Llama", seed=1).save_pretrained(tmp_path / "c")
    a, b, c = (TorchAdapter(model=str(tmp_path / name)).info.model_fingerprint for name in "abc")
    assert a == b != c


def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    capfd.readouterr()
    TorchAdapter(model=str(tmp_path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["no_such_model_1", "no/such", "missing.gguf", "./nowhere/model"])
def test_no_such_model(name: str) -> None:
    with pytest.raises(ModelNotFound):
        TorchAdapter(model=name)


def test_a_hub_id_that_is_not_cached_is_not_fetched() -> None:
    with pytest.raises(ModelNotFound, match="allow_downloads"):
        TorchAdapter(model="decodekit/never-uploaded")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        TorchAdapter(model=str(tmp_path))


def test_a_folder_that_is_half_there(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        TorchAdapter(model=str(tmp_path))
    weights.unlink()
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        TorchAdapter(model=str(tmp_path))


def test_a_checkpoint_with_a_tensor_missing_is_not_filled_with_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = tiny("Llama")
    model.save_pretrained(tmp_path)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "layers.1.mlp.up" not in name}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelNotFound, match=r"incomplete: 1 tensors are missing, model\.layers\.1\.mlp\.up"):
        TorchAdapter(model=str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = tiny("Llama")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        TorchAdapter(model=str(tmp_path))


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "stranger", "auto_map": {"AutoConfig": "x.C", "AutoModelForCausalLM": "x.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelNotFound):
        TorchAdapter(model=str(tmp_path))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ParameterError, match="trust_remote_code"):
        decodekit.adapter("torch", model=str(tmp_path), trust_remote_code=True)
