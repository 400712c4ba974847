"""The mark of pictures that commands write, by which packing leaves them out."""

OUTPUT_MARK = "made by dcgan"  # a comment in the file
