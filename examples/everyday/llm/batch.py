import json
from pathlib import Path

import llm

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
model = llm.get_model("smollm2-completion")
with answers.open("a") as file:
    for prompt in todo:
        print(json.dumps({"prompt": prompt, "text": model.prompt(prompt, max_tokens=16).text()}), file=file, flush=True)
