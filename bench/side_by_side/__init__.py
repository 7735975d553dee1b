"""Sprat beside other libraries, on the same rows, in the same run.

| question | file |
|---|---|
| Which data, and where? | data.py |
| How is Sprat run? | sprat.py |
| How are the others run? | peers.py |
| How good is an answer? | measures.py |
| What is compared? | classification.py, speed.py, bulk.py, cascades.py |
| How does a table look, and where does it go? | tables.py |
"""
