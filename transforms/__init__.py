"""The Beam verbs, in the order of the flow.

read, recognise, identify, split, reuse, embed, share, store, reconcile, load, label, compress, write, commit; beside them reject,
mirror, metrics, group and coders.
"""
