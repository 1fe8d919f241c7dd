"""Kernels by layer path."""


def kernel_of(params, layer):
    node = params["params"]
    for name in layer.split("/"):
        node = node[name]
    return node["kernel"]


def outgoing(kernel, num_units):
    return kernel.reshape(-1, num_units, kernel.shape[-1])
