from typing import Literal

import outlines
from transformers import AutoModelForCausalLM, AutoTokenizer

loaded = AutoModelForCausalLM.from_pretrained("smollm2")
model = outlines.from_transformers(loaded, AutoTokenizer.from_pretrained("smollm2"))
print(model("Review: I loved every minute of it.\nSentiment:", Literal[" positive", " negative", " neutral"]))
