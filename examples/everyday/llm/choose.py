import json

import llm

labels = ["positive", "negative", "neutral"]
schema = {"type": "object", "properties": {"label": {"enum": labels}}, "required": ["label"]}
model = llm.get_model("smollm2-chat")
print(json.loads(model.prompt("Review: I loved every minute of it.\nSentiment?", schema=schema).text())["label"])
