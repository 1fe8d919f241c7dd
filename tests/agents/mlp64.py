"""Multi-layer perceptrons in float64, forward and backward by hand, with Adam: no JAX."""

import numpy as np


class MLP64:
    """Dense layers with a ReLU after all but the last.

    `layers` are (kernel (in, out), bias (out,)) in float64, changed in place by `adam`.
    """

    def __init__(self, layers):
        self.layers = [[np.array(x, np.float64) for x in layer] for layer in layers]
        self.moments = [[[np.zeros_like(x)] * 2 for x in layer] for layer in self.layers]
        self.steps = 0

    def __call__(self, x):
        return self.forward(x)[-1]

    def forward(self, x):
        """What each layer reads, and at the end the output (B, out)."""
        inputs = [x]
        for place, (kernel, bias) in enumerate(self.layers):
            x = inputs[-1] @ kernel + bias
            inputs.append(x if place == len(self.layers) - 1 else np.maximum(x, 0))
        return inputs

    def backward(self, inputs, gradient):
        """From the gradient in the output (B, out): those of the layers, and in the input."""
        grads = []
        for place in reversed(range(len(self.layers))):
            kernel, _ = self.layers[place]
            grads.insert(0, [inputs[place].T @ gradient, gradient.sum(0)])
            gradient = gradient @ kernel.T
            if place:
                gradient = gradient * (inputs[place] > 0)
        return grads, gradient

    def adam(self, grads, rate, beta1=0.9, beta2=0.999, eps=1e-8):
        """One step of Kingma & Ba 2015, algorithm 1."""
        self.steps += 1
        for layer, moments, own_grads in zip(self.layers, self.moments, grads, strict=True):
            for place, grad in enumerate(own_grads):
                first, second = moments[place]
                first = beta1 * first + (1 - beta1) * grad
                second = beta2 * second + (1 - beta2) * grad**2
                moments[place] = [first, second]
                root = np.sqrt(second / (1 - beta2**self.steps)) + eps
                layer[place] = layer[place] - rate * first / (1 - beta1**self.steps) / root

    def towards(self, other, coefficient):
        """Moves this one that part of the way to another."""
        for own, theirs in zip(self.layers, other.layers, strict=True):
            for place, x in enumerate(theirs):
                own[place] = (1 - coefficient) * own[place] + coefficient * x


def of_flax(params, seed=None, member=None):
    """The network of one seed and member, of flax variables with a torso and a head."""

    def take(leaf):
        for place in (seed, member):
            leaf = leaf if place is None else leaf[place]
        return np.asarray(leaf, np.float64)

    torso, head = params["params"]["torso"], params["params"]["head"]
    layers = [*(torso[name] for name in sorted(torso)), head]
    return MLP64([(take(layer["kernel"]), take(layer["bias"])) for layer in layers])
