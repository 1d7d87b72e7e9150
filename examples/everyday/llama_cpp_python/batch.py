import json
from pathlib import Path

from llama_cpp import Llama

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
llm = Llama("smollm2.gguf")
with answers.open("a") as file:
    for prompt in todo:
        text = llm(prompt, max_tokens=16)["choices"][0]["text"]
        print(json.dumps({"prompt": prompt, "text": text}), file=file, flush=True)
