import json
from pathlib import Path

import outlines
from llama_cpp import Llama

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
model = outlines.from_llamacpp(Llama("smollm2.gguf"), chat_mode=False)
with answers.open("a") as file:
    for prompt in todo:
        print(json.dumps({"prompt": prompt, "text": model(prompt, max_tokens=16)}), file=file, flush=True)
