import json
from pathlib import Path

from vllm import LLM, SamplingParams

answers = Path("answers.jsonl")
done = {json.loads(line)["prompt"] for line in answers.read_text().splitlines()} if answers.exists() else set()
todo = [prompt for prompt in Path("prompts.txt").read_text().splitlines() if prompt not in done]
llm = LLM("smollm2")
with answers.open("a") as file:
    for start in range(0, len(todo), 20):
        for answer in llm.generate(todo[start : start + 20], SamplingParams(max_tokens=16)):
            print(json.dumps({"prompt": answer.prompt, "text": answer.outputs[0].text}), file=file, flush=True)
