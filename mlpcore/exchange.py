# SPDX-License-Identifier: BSD-3-Clause
"""What a net is in other libraries: the methods; the work is done in `convert`.

A library is imported when its method is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, cast

from .topology import Topology

if TYPE_CHECKING:
    from ._core import Array
    from .export_c_check import Verification
    from .losses import Loss
    from .mlp import MLP


class Exchange(Topology):
    """Nets to and from other libraries. `MLP` has its documentation."""

    __slots__ = ()

    # ---- scikit-learn ---------------------------------------------------------------------------

    def to_sklearn(self) -> Any:
        """The net as a fitted estimator of scikit-learn.

        Returns
        -------
        sklearn.neural_network.MLPRegressor or sklearn.neural_network.MLPClassifier
            A regressor if the output is identity. A classifier if it is softmax (its classes are 0
            to K - 1) or sigmoid: of two classes if K is 1, of K labels that do not exclude each
            other if it is more. The parameters are copies with the same bits; without biases the
            intercepts are zeros. Training may go on with ``partial_fit``.

        Raises
        ------
        ImportError
            If there is no scikit-learn.
        ValueError
            If it cannot have such a layer; the message names it. It has one of identity, sigmoid,
            tanh and relu for all hidden layers, and softmax only over three classes or more.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
        >>> net.to_sklearn().predict([[0.5, -1.0]]).shape  # doctest: +SKIP
        (1, 5)
        """
        from .convert.sklearn import to_sklearn

        return to_sklearn(cast("MLP", self))

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """A net from an estimator of scikit-learn.

        Parameters
        ----------
        estimator : MLPRegressor or MLPClassifier
            Fitted; scikit-learn's, or mlpcore's. The net has its dtype, and its parameters with the
            same bits.

        Returns
        -------
        MLP
            Its output is what ``predict`` of a regressor gives, and the probabilities of a
            classifier: of two classes, that of the second.

        Raises
        ------
        TypeError
            If `estimator` is of another kind, such as a pipeline.
        ValueError
            If it is not fitted, or an activation is unknown; the message names the layer.

        Examples
        --------
        >>> import mlpcore
        >>> from sklearn.neural_network import MLPRegressor  # doctest: +SKIP
        >>> estimator = MLPRegressor(max_iter=1000)  # doctest: +SKIP
        >>> estimator = estimator.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0])  # doctest: +SKIP
        >>> mlpcore.MLP.from_sklearn(estimator).sizes  # doctest: +SKIP
        (2, 100, 1)
        """
        from .convert.sklearn import from_sklearn

        return from_sklearn(estimator, cls)

    # ---- Keras ----------------------------------------------------------------------------------

    def to_keras_weights(self) -> list[Array]:
        """The parameters as Keras lists them.

        Returns
        -------
        list of numpy.ndarray
            ``[kernel, bias, kernel, bias, ...]``, copies: a kernel (n_inputs, n_outputs), a bias
            (n_outputs,); kernels alone if the net has no biases. They are what ``set_weights`` of a
            Keras model of dense layers takes.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 20, 5], seed=0)
        >>> [array.shape for array in net.to_keras_weights()]
        [(2, 20), (20,), (20, 5), (5,)]
        """
        from .convert.keras import to_keras_weights

        return to_keras_weights(cast("MLP", self))

    @classmethod
    def from_keras_weights(cls, arrays: Sequence[Any], activations: str | Sequence[str]) -> Self:
        """A net from the weights of a Keras model of dense layers.

        Parameters
        ----------
        arrays : sequence of array_like
            ``[kernel, bias, kernel, bias, ...]`` from ``model.get_weights()``: a kernel (n_inputs,
            n_outputs), a bias (n_outputs,), or kernels alone; all float32 or all float64.
        activations : str or sequence of str
            As for `MLP`, by its names: Keras's ``linear`` is ``identity``. Keras's ``leaky_relu``
            has another slope unless it was given as 0.01.

        Returns
        -------
        MLP
            Its parameters have the same bits.

        Raises
        ------
        ValueError, TypeError
            If an array or an activation does not fit; the message names it.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
        >>> arrays = net.to_keras_weights()
        >>> mlpcore.MLP.from_keras_weights(arrays, ["relu", "identity"]) == net
        True
        """
        from .convert.keras import from_keras_weights

        return from_keras_weights(arrays, activations, cls)

    # ---- PyTorch --------------------------------------------------------------------------------

    def to_torch(self) -> Any:
        """The net as a module of PyTorch.

        Returns
        -------
        torch.nn.Sequential
            Of Linear and activations, in the net's dtype, on the CPU. The parameters are copies
            with the same bits. An identity has no module.

        Raises
        ------
        ImportError
            If there is no torch.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
        >>> [type(module).__name__ for module in net.to_torch()]  # doctest: +SKIP
        ['Linear', 'ReLU', 'Linear']
        """
        from .convert.torch import to_torch

        return to_torch(cast("MLP", self))

    @classmethod
    def from_torch(cls, source: Any, activations: str | Sequence[str] | None = None) -> Self:
        """A net from a module of PyTorch, or from its weights; torch itself is not needed.

        Parameters
        ----------
        source : torch.nn.Module, mapping of str to tensor, str or path-like
            A Linear, or a Sequential of Linear and activations, in which Dropout and Identity
            count as nothing, all without forward hooks. Or a ``state_dict``: ``name.weight``
            (n_outputs, n_inputs) and ``name.bias`` (n_outputs,) of each layer. Or a safetensors
            file of one; its bfloat16 become float32.
        activations : str or sequence of str, optional
            As for `MLP`; needed with weights alone. With it, the weights of any module are taken.

        Returns
        -------
        MLP
            Of the dtype of the weights, and with the same bits. Layers whose names differ in
            numbers alone are in the order of these; others in the order of the ``state_dict``.

        Raises
        ------
        ValueError, TypeError
            If a module, its settings or an array does not fit; the message names it.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> import mlpcore
        >>> state_dict = {"0.weight": np.ones((3, 2)), "2.weight": np.ones((1, 3))}
        >>> net = mlpcore.MLP.from_torch(state_dict, "relu")
        >>> net([1.0, 2.0])
        array([9.])
        """
        from .convert.torch import from_torch

        return from_torch(source, activations, cls)

    # ---- ONNX -----------------------------------------------------------------------------------

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write the net as an ONNX model.

        Parameters
        ----------
        path : str or path-like
            Such as ``"net.onnx"``; an existing file is replaced in one step. The model has an
            input ``x`` (n_samples, D) and an output ``y`` (n_samples, K) of the net's dtype, Gemm
            and activations of opset 20.

        Raises
        ------
        ImportError
            If there is no onnx.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
        >>> net.to_onnx("net.onnx")  # doctest: +SKIP
        >>> mlpcore.MLP.from_onnx("net.onnx") == net  # doctest: +SKIP
        True
        """
        from .convert.onnx import to_onnx

        to_onnx(cast("MLP", self), path)

    @classmethod
    def from_onnx(cls, path: str | PathLike[str]) -> Self:
        """A net from an ONNX model.

        Parameters
        ----------
        path : str or path-like
            A model with one input and one output: a chain of Gemm, or MatMul and Add, and
            activations, in which Dropout and Identity count as nothing.

        Returns
        -------
        MLP
            Of the dtype of the weights, and with the same bits.

        Raises
        ------
        ImportError
            If there is no onnx.
        ValueError
            If the file is no model, or a node does not fit; the message names it.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import mlpcore
        >>> mlpcore.MLP([2, 3, 1], activations="tanh").to_onnx("tanh.onnx")  # doctest: +SKIP
        >>> mlpcore.MLP.from_onnx("tanh.onnx").activations  # doctest: +SKIP
        ('tanh', 'identity')
        """
        from .convert.onnx import from_onnx

        return from_onnx(path, cls)

    # ---- C --------------------------------------------------------------------------------------

    def to_c(
        self,
        path: str | PathLike[str],
        name: str = "net",
        jacobian: bool = False,
        train_step: str | Loss | None = None,
        batch_size: int = 1,
    ) -> Verification:
        """Write the net as one C99 header that needs no library and allocates nothing.

        The header has ``void NAME_forward(const T *x, T *y)`` for one row, T being float or double
        as the net's dtype, and with `jacobian` also ``void NAME_jacobian(const T *x, T *y, T
        *dy_dx)``, whose dy_dx is (K, D) row by row.

        With `train_step` a device can go on learning: ``double NAME_train_step(T *parameters, const
        T *x, const T *y, T learning_rate)`` makes a step of plain SGD on `batch_size` rows and
        returns the loss before it. The parameters are an array of the caller's, which begins as a
        copy of ``NAME_parameters`` and which ``NAME_forward_with(parameters, x, y)`` and
        ``NAME_jacobian_with(parameters, x, y, dy_dx)`` take. If anything is not finite, the result
        is not, and the parameters stay.

        Parameters
        ----------
        path : str or path-like
            Such as ``"net.h"``; an existing file is replaced in one step.
        name : str, default="net"
            What the names in it begin with: letters, digits and underscores, a letter first.
        jacobian : bool, default=False
            Whether to write ``NAME_jacobian`` too.
        train_step : str or Loss, optional
            The loss of ``NAME_train_step``, as for `MLP.train_step` but for functions of Python;
            None: it is not written. Classes are given one-hot.
        batch_size : int, default=1
            Rows of a step, 512 at most; it needs memory for the outputs of all of them, which the
            header's comment states.

        Returns
        -------
        Verification
            ``str()`` says it in a line, which is also in the header: with which compiler the header
            was run on random rows and compared with the net, or why not. The compiler is that of
            the environment's ``CC``, else ``cc``, ``gcc`` or ``clang``.

        Raises
        ------
        ValueError, TypeError
            If `name` is no such name, the loss does not fit, or a parameter is not finite; the
            message names the layer.
        OSError
            If the file cannot be written.
        RuntimeError
            If the compiled header computes something else; it is then not written.

        Notes
        -----
        On a target with a fused multiply-add the bits are those of ``net(x)``, of `vjp` for the
        rows of the Jacobian, and of ``net.train_step(x, y, loss, SGD(learning_rate))``; on others
        those of mlpcore's generic path.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "policy.h")
        ...     verification = net.to_c(path, name="policy")
        ...     "policy_forward(const float *x, float *y)" in path.read_text()
        True
        """
        from .export_c import to_c

        return to_c(cast("MLP", self), path, name, jacobian, train_step, batch_size)
