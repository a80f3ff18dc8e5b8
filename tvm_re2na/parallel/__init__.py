"""Work cut into shards, in this process, in others, or on other machines: any `concurrent.futures.Executor`.

`worker_pool.py` is where shards run, `parcel.py` what all of them need, `cuts.py` how images are cut, `shards.py` the loop that
loses none, `journal.py` what an interrupted run had finished. Nothing here knows what the work is, nor TVM, ONNX or NumPy.
"""
