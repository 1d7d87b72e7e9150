from transformers import pipeline

generate = pipeline("text-generation", "smollm2", return_full_text=False)
answer = generate("The capital of France is", temperature=0.8, top_p=0.95, stop_sequence="\n", max_new_tokens=16)
print(answer[0]["generated_text"])
