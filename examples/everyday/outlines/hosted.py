import outlines
from openai import OpenAI

messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
model = outlines.from_openai(OpenAI(), "gpt-4.1-mini")
print(model(outlines.inputs.Chat(messages), max_tokens=32))
