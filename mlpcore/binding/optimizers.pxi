# SPDX-License-Identifier: BSD-3-Clause
# The room of the optimizers: an optimizer as C knows it, and whose moments it has.

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *

OPTIMIZERS = {"sgd": MLP_SGD, "adam": MLP_ADAM, "adamw": MLP_ADAMW, "rmsprop": MLP_RMSPROP}


cdef object read_only(moment):
    # C keeps bounds of the moments, which nobody may write past.
    if moment is None:
        return None
    view = (<cnp.ndarray> moment).view()
    view.flags.writeable = False
    return view


cdef class Dropout:
    """Rates of the hidden layers, and the seed of what is drawn."""

    cdef mlp_dropout c
    cdef readonly cnp.ndarray rates  # what c points at

    def __init__(self, cnp.ndarray rates not None, uint64_t seed):
        self.rates = rates
        self.c.rates = <const double *> data(rates)
        self.c.seed = seed
        self.c.step = 0


cdef class EpochPosition:
    """How far an epoch is: it stays here when Ctrl-C ends the call."""

    cdef public size_t n_steps
    cdef public double loss_total

    def __init__(self, size_t n_steps=0, double loss_total=0.0):
        self.n_steps = n_steps
        self.loss_total = loss_total


cdef class OptimizerKernel:
    cdef mlp_optimizer c
    cdef object _first_moment, _second_moment
    # The parameters whose moments these are. Held, so that the array is not another one later.
    cdef object _owner
    # What `begin` found, for an update that is not made.
    cdef object _first_before, _second_before
    cdef int64_t _step_before
    cdef bint _is_new_owner
    # The rate that a schedule set last, 0 for none: another one was set by hand.
    cdef public double _scheduled_rate
    # A call runs. C reads the struct and the moments without the GIL: nobody may change them then.
    cdef bint busy

    def __init__(self, kind):
        self.idle()
        self.c.kind = <mlp_optimizer_kind> <int> OPTIMIZERS[kind]
        self.reset()

    def _schedule(self, double learning_rate):
        # Both at once: Ctrl-C does not come in between.
        self.c.learning_rate = self._scheduled_rate = learning_rate

    def _check_idle(self):
        self.idle()

    cdef int idle(self) except -1:
        if self.busy:
            raise RuntimeError("optimizer: in use by another call")
        return 0

    @property
    def learning_rate(self):
        return self.c.learning_rate

    @learning_rate.setter
    def learning_rate(self, double value):
        self.c.learning_rate = value

    @property
    def weight_decay(self):
        return self.c.weight_decay

    @weight_decay.setter
    def weight_decay(self, double value):
        self.c.weight_decay = value

    @property
    def l1(self):
        return self.c.l1

    @l1.setter
    def l1(self, double value):
        self.c.l1 = value

    @property
    def l2(self):
        return self.c.l2

    @l2.setter
    def l2(self, double value):
        self.c.l2 = value

    @property
    def clip_norm(self):
        return self.c.clip_norm

    @clip_norm.setter
    def clip_norm(self, double value):
        self.c.clip_norm = value

    @property
    def momentum(self):
        return self.c.momentum

    @momentum.setter
    def momentum(self, double value):
        self.c.momentum = value

    @property
    def nesterov(self):
        return self.c.nesterov != 0

    @nesterov.setter
    def nesterov(self, bint value):
        self.c.nesterov = value

    @property
    def beta1(self):
        return self.c.beta1

    @beta1.setter
    def beta1(self, double value):
        self.c.beta1 = value

    @property
    def beta2(self):
        return self.c.beta2

    @beta2.setter
    def beta2(self, double value):
        self.c.beta2 = value

    @property
    def epsilon(self):
        return self.c.epsilon

    @epsilon.setter
    def epsilon(self, double value):
        self.c.epsilon = value

    @property
    def n_steps(self):
        return self.c.step

    @n_steps.setter
    def n_steps(self, int64_t value):
        self.idle()
        if value < 0:
            raise ValueError(f"n_steps: expected 0 or more, got {value}")
        self.c.step = value

    @property
    def first_moment(self):
        return read_only(self._first_moment)

    @first_moment.setter
    def first_moment(self, cnp.ndarray value):
        self.idle()
        self._first_moment = value
        self.forget_owner()

    @property
    def second_moment(self):
        return read_only(self._second_moment)

    @second_moment.setter
    def second_moment(self, cnp.ndarray value):
        self.idle()
        self._second_moment = value
        self.forget_owner()

    cdef void forget_owner(self) noexcept:
        self._owner = None
        self.c.first_bound = self.c.second_bound = INFINITY  # C looks at them when it has to

    def reset(self):
        self.idle()
        self._first_moment = self._second_moment = self._owner = None
        self.c.first_moment = self.c.second_moment = NULL
        self.c.first_bound = self.c.second_bound = 0.0
        self.c.step = 0

    cdef int begin(self, NetworkHandle network) except -1:
        """Take the optimizer for a call on this net, with moments that are made or checked to be
        its own. `end` gives it back, also when the call failed."""
        cdef cnp.ndarray parameters = network._parameters
        self.idle()
        if network.busy:
            raise RuntimeError("net: in use by another call, which trains it")
        if not cnp.PyArray_ISWRITEABLE(parameters):
            raise ValueError("net.parameters: must be writable to be trained, got read-only ones")
        self._step_before = self.c.step
        self._is_new_owner = self._owner is not parameters and self.has_moments()
        if self._is_new_owner:
            self.belong_to(network, parameters)
        self.busy = network.busy = True
        return 0

    cdef int belong_to(self, NetworkHandle network, cnp.ndarray parameters) except -1:
        if self._owner is not None:
            raise ValueError(
                "optimizer: its moments belong to another net; give each net an optimizer of its "
                "own (copy.deepcopy(optimizer) goes on with a copy of the net), or call "
                "optimizer.reset()"
            )
        first = self.adopt(self._first_moment, network, self.uses_first())
        second = self.adopt(self._second_moment, network, self.c.kind != MLP_SGD)
        self._first_before, self._second_before = self._first_moment, self._second_moment
        self._first_moment, self._second_moment = first, second
        self.c.first_moment = data(first)
        self.c.second_moment = data(second)
        # Without moments there is nothing that could belong to the wrong net.
        self._owner = parameters if first is not None or second is not None else None
        return 0

    cdef void end(self, NetworkHandle network) noexcept:
        self.busy = network.busy = False
        if not self._is_new_owner:
            return
        if self.c.step == self._step_before:  # no update was made: as if nothing had happened
            self._first_moment, self._second_moment = self._first_before, self._second_before
            self._owner = None
        self._first_before = self._second_before = None

    cdef bint has_moments(self) noexcept:
        """Whether there are any, or should be. Plain SGD has none, and belongs to nobody."""
        return (self.c.kind != MLP_SGD or self.uses_first() or self._first_moment is not None
                or self._second_moment is not None or self.c.first_moment is not NULL
                or self.c.second_moment is not NULL)

    cdef bint uses_first(self) noexcept:
        return (self.c.kind == MLP_ADAM or self.c.kind == MLP_ADAMW
                or self.c.momentum != 0.0)

    cdef object adopt(self, object moment, NetworkHandle network, bint wanted):
        if not wanted:
            return None
        # What the C side counts, not the array's shape: that may be set from Python.
        cdef size_t n = mlp_network_n_parameters(network.net)
        dtype = "float32" if network.dtype_code == MLP_FLOAT32 else "float64"
        if moment is None:
            return aligned_zeros(n, dtype)
        if (not usable(moment, network.typenum)
                or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> moment)
                or moment.shape != (n,)):
            raise ValueError(
                f"optimizer: its moments have shape {moment.shape} and dtype {moment.dtype}, "
                f"the net has {n} parameters of dtype {dtype}"
            )
        return moment

    def _apply(self, NetworkHandle network not None, cnp.ndarray gradients not None,
               size_t n_threads, EpochPosition position=None, double loss=0.0):
        network.ready()
        cdef size_t n = mlp_network_n_parameters(network.net)
        cdef void *p_parameters = data(network._parameters)
        if self.c.l1 != 0.0 or self.c.l2 != 0.0 or self.c.clip_norm != 0.0:
            gradients = gradients.copy()  # they are the caller's
        cdef void *p_gradients = data(gradients)
        cdef mlp_status status
        self.begin(network)
        with nogil:
            status = mlp_gradient_adjust(
                network.net, &self.c, p_parameters, p_gradients, n_threads)
            if status == MLP_OK:
                status = mlp_optimizer_step(
                    network.dtype_code, &self.c, n, p_parameters, p_gradients, n_threads)
        self.end(network)
        if status == MLP_NOT_FINITE:
            raise FloatingPointError(
                "the update would leave a parameter that is not finite; it was not made")
        if position is not None:  # here, where no signal comes between
            position.n_steps += 1
            position.loss_total += loss
