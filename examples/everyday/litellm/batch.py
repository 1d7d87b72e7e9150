import json
from pathlib import Path

from litellm import text_completion

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
with answers.open("a") as file:
    for prompt in todo:
        answer = text_completion(prompt, "hosted_vllm/smollm2", api_base="http://127.0.0.1:8000/v1", max_tokens=16)
        print(json.dumps({"prompt": prompt, "text": answer.choices[0].text}), file=file, flush=True)
