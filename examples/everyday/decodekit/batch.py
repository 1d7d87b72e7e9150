import json
from pathlib import Path

import decodekit

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
with decodekit.open("smollm2.gguf") as session, answers.open("a") as file:
    for result in session.as_completed(todo, max_tokens=16):
        print(json.dumps({"prompt": todo[result.stream >> 32], "text": result.text}), file=file, flush=True)
