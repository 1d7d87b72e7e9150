import decodekit

labels = [" positive", " negative", " neutral"]
with decodekit.open("smollm2.gguf") as session:
    print(labels[session.rank("Review: I loved every minute of it.\nSentiment:", labels)[0].index])
