/* SPDX-License-Identifier: BSD-3-Clause */
/* network.c - a net's topology and the layout of its flat vector. */
#include "network.h"

mlp_status mlp_network_create(mlp_dtype dtype, size_t n_layers, const size_t *sizes,
                              const mlp_activation *activations, int has_bias,
                              mlp_network **network) {
    MLP_ASSERT(n_layers >= 1);
    size_t bytes;
    if (!mlp_size_multiply(n_layers, sizeof(mlp_layer_shape), &bytes) ||
        !mlp_size_add(bytes, sizeof(mlp_network), &bytes))
        return MLP_OUT_OF_MEMORY;
    mlp_network *net = mlp_allocate(bytes);
    if (!net) return MLP_OUT_OF_MEMORY;
    *net = (mlp_network){.dtype = dtype, .has_bias = has_bias != 0, .n_layers = n_layers};
    for (size_t l = 0; l < n_layers; l++) {
        mlp_layer_shape *layer = &net->layers[l];
        size_t n_weights;
        *layer = (mlp_layer_shape){
            .n_inputs = sizes[l], .n_outputs = sizes[l + 1], .activation = activations[l]};
        layer->weight_offset = net->n_parameters;
        if (!mlp_size_multiply(layer->n_inputs, layer->n_outputs, &n_weights) ||
            !mlp_size_add(layer->weight_offset, n_weights, &layer->bias_offset) ||
            !mlp_size_add(layer->bias_offset, has_bias ? layer->n_outputs : 0,
                          &net->n_parameters) ||
            !mlp_size_add(net->total_width, layer->n_outputs, &net->total_width)) {
            mlp_release(net);
            return MLP_OUT_OF_MEMORY;
        }
        net->n_weights += n_weights; /* below n_parameters, which did not overflow */
        if (layer->n_outputs > net->widest) net->widest = layer->n_outputs;
    }
    *network = net;
    return MLP_OK;
}

void mlp_network_destroy(mlp_network *network) { mlp_release(network); }

size_t mlp_network_n_parameters(const mlp_network *network) { return network->n_parameters; }
