# SPDX-License-Identifier: BSD-3-Clause
# The room of the losses: their kinds and reductions, and a loss as C knows it.

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *

LOSSES = {
    "mse": MLP_MSE,
    "l1": MLP_L1,
    "huber": MLP_HUBER,
    "log_cosh": MLP_LOG_COSH,
    "quantile": MLP_QUANTILE,
    "bce": MLP_BCE,
    "bce_with_logits": MLP_BCE_WITH_LOGITS,
    "cross_entropy": MLP_CROSS_ENTROPY,
    "cross_entropy_with_logits": MLP_CROSS_ENTROPY_WITH_LOGITS,
    "poisson": MLP_POISSON,
}
REDUCTIONS = {"mean": MLP_MEAN, "batch_mean": MLP_BATCH_MEAN, "sum": MLP_SUM}

# What a name stands for; see `register`.
cdef dict losses_by_name = {}


cdef class LossKernel:
    cdef mlp_loss c
    # What `after` has given for an output activation, so that a step need not ask Python again.
    cdef mlp_loss after_activation[MLP_N_ACTIVATIONS]
    cdef unsigned int known_activations  # a bit for each

    def __init__(self, int kind, int reduction, double parameter=0.0):
        self.c.kind = <mlp_loss_kind> kind
        self.c.reduction = <mlp_reduction> reduction
        self.c.parameter = parameter
        self.known_activations = 0

    def _remember(self, int activation, LossKernel after not None):
        if not 0 <= activation < <int> MLP_N_ACTIVATIONS:
            raise ValueError(f"activation: expected a code of ACTIVATIONS, got {activation}")
        self.after_activation[activation] = after.c
        self.known_activations |= 1u << activation

    @property
    def kind(self):
        return <int> self.c.kind

    @property
    def reduction(self):
        return <int> self.c.reduction

    @property
    def parameter(self):
        return self.c.parameter

    def _evaluate(self, cnp.ndarray prediction not None, target, sample_weight, gradient):
        cdef mlp_dtype dtype = (
            MLP_FLOAT32 if cnp.PyArray_TYPE(prediction) == cnp.NPY_FLOAT32 else MLP_FLOAT64)
        cdef mlp_batch batch = make_batch(
            None, target, sample_weight, <size_t> cnp.PyArray_DIM(prediction, 0))
        cdef size_t n_outputs = <size_t> cnp.PyArray_DIM(prediction, 1)
        cdef void *p_prediction = data(prediction)
        cdef void *p_gradient = data(gradient)
        cdef double value = 0.0
        with nogil:
            mlp_loss_evaluate(
                dtype, &self.c, n_outputs, &batch, p_prediction, p_gradient, &value)
        return value


cdef inline bint known_loss(object loss, mlp_activation output, mlp_loss *known) noexcept:
    """The loss as a net with this output activation computes it, if that was found out before."""
    cdef LossKernel kernel
    if type(loss) is str:
        loss = losses_by_name.get(loss)
    if not isinstance(loss, LossKernel):
        return False
    kernel = <LossKernel> loss
    if not kernel.known_activations >> <int> output & 1:
        return False
    known[0] = kernel.after_activation[<int> output]
    return True


def fused_loss(int kind, int output_activation):
    cdef int on_pre_activation = 0
    cdef mlp_loss_kind fused = mlp_loss_fuse(
        <mlp_loss_kind> kind, <mlp_activation> output_activation, &on_pre_activation)
    return <int> fused, on_pre_activation != 0
