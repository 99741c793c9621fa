"""What every reasoner does alike: a conversation in, words out, over any image-text-to-text model of transformers."""
