"""The other uses of transposed convolution: looking into networks, features, dense prediction."""
