"""The Beam verbs, in the order of the flow: read, identify, split, reuse, embed, store, reconcile, load, compress, write, commit."""
