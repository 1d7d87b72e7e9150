from transformers import pipeline

messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
generate = pipeline("text-generation", "smollm2", return_full_text=False)
print(generate(messages, max_new_tokens=32)[0]["generated_text"])
