"""The Beam verbs, in the order of the flow.

read, identify, split, reuse, embed, share, store, reconcile, load, label, compress, write, commit; beside them reject, metrics, group and
coders.
"""
