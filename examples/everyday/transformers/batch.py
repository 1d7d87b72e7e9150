import json
from pathlib import Path

from transformers import pipeline

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
generate = pipeline("text-generation", "smollm2", return_full_text=False)
with answers.open("a") as file:
    for prompt in todo:
        text = generate(prompt, max_new_tokens=16)[0]["generated_text"]
        print(json.dumps({"prompt": prompt, "text": text}), file=file, flush=True)
