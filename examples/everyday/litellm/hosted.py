from litellm import completion

messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
print(completion("openai/gpt-4.1-mini", messages, max_tokens=32).choices[0].message.content)
