from transformers import pipeline, set_seed

generate = pipeline("text-generation", "smollm2", return_full_text=False)
set_seed(7)
for sample in generate("Roses are", num_return_sequences=8, temperature=0.9, max_new_tokens=16):
    print(sample["generated_text"])
