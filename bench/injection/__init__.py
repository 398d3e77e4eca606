"""How the model of injections is learnt (`make train`): texts made from phrases, read from what is installed, and from corpora."""
