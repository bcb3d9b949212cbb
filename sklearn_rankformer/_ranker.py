"""The estimators: `RankFormerRanker`, and the pointwise `MLPRanker` beside it.

They differ in their network and its parameters; all else is in `_neural_ranker`.
"""

from dataclasses import replace
from numbers import Integral, Real

from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import available_if

from ._config import MLPConfig, RankFormerConfig
from ._inference import Predictions, attention_of_list
from ._lists import Lists
from ._model import Model
from ._neural_ranker import NeuralRanker


def _has_list_value(ranker):
    # Hides the methods, so that hasattr tells what scikit-learn's tools may call.
    # Of a fitted ranker the network says it: parameters may have been set since.
    model = getattr(ranker, "_model", None)
    if not (ranker.listwide_weight if model is None else model.has_list_value):
        raise AttributeError(
            "List value and item value need the listwide heads, which "
            "listwide_weight=0 leaves out. Fit with listwide_weight > 0, or ask "
            "predict for scores alone."
        )
    return True


class RankFormerRanker(NeuralRanker):
    """Listwise transformer ranker that also learns from whole lists.

    The items of a list and a [CLS] token attend to one another; each item is scored
    from its own vector and the list's. Besides the listwise loss on the order of the
    items, a listwide loss on the list's highest label lets lists teach that have no
    positive label at all, which no purely relative loss can use [1]_.

    Parameters
    ----------
    loss : {"mixed", "softmax", "lambda"} or callable, default="mixed"
        Listwise loss: "softmax" is the cross-entropy of the softmax of the scores,
        "lambda" weighs LambdaRank's pairs by NDCG, and "mixed" is the first plus half
        of the second. A callable takes tensors
        ``(scores, gains, mask, weights)`` of shape (n_lists, list_size) and returns
        one loss per list, in which ``weights`` multiplies each item's term: it holds
        the row weights, and the scale by which the sum over a batch is a mean.
    gain : {"exp", "linear"} or callable, default="exp"
        What a label is worth, in the loss and in NDCG: ``2**y - 1``, ``y``, or any
        function of an array of labels to non-negative numbers.
    listwide_weight : float, default=0.25
        Factor of the listwide loss of [CLS] and items. 0 switches list value and item
        value off, and their heads.
    calibration_folds : int or None, default=None
        What the chances of `predict_list_value` and `predict_item_value` are fitted
        on. None takes the held-out lists; where these were drawn from the training
        lists, a label weighs what its share in all of them is. With a number, so many
        more networks are trained, each without one part of the lists, and each predicts
        the part that it has not seen: with a few hundred lists the chances become
        better, and the fit takes that many times longer. Set
        ``validation_fraction=None`` beside it, and the ranker itself learns from all
        lists.
    d_model : int, default=64
        Width of the item vectors; a multiple of `nhead`.
    num_layers : int, default=1
        Number of transformer blocks.
    nhead : int, default=2
        Number of attention heads.
    dim_feedforward : int, default=128
        Hidden width of each block's pointwise part.
    dropout : float or "auto", default="auto"
        Dropout rate within blocks and heads. "auto" falls with the number of lists
        whose labels differ: 0.3 up to 300, 0 from 15,000, and in between in
        proportion to its logarithm.
    feature_dropout : float or "auto", default="auto"
        Chance that a feature of an item is hidden in a training step. "auto" falls in
        the same way, from 0.1 at 1,000 lists to 0 at 2,000.
    n_bins : int, default=8
        Bins of the piecewise-linear encoding of numeric features; 0 turns it off.
    list_features : bool, default=True
        Whether each feature is also given standardised within its list.
    n_members : int, default=4
        Networks that are trained together and averaged. They share their matrices, and
        each scales rows and columns in its own way.
    input_transform : {"quantile"} or None, default="quantile"
        Built-in transform of numeric features to normal scores, with flags for missing
        values. None takes features as they are: then scale them yourself, and NaN is
        refused.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns hold categories, to be given learned embeddings: those of
        categorical dtype in a frame, a list of names, of indices or a boolean mask
        (both without the `group_column`), or none. Categories unknown or missing at
        prediction share one embedding.
    group_column : str or int, default=None
        Column of X that holds the list ids (name for frames, index for arrays). It
        makes every tool of scikit-learn work without metadata routing.
    learning_rate : float, default=3e-3
        Peak learning rate of AdamW, after a warm-up; a cosine takes it to zero.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    max_epochs : int or "auto", default="auto"
        Planned number of passes over the lists. "auto" takes 15, or 45 or 135 where
        these make fewer than 750 steps (up to some 8,000 and 2,500 rows) and pay: it
        trains on each half of the lists, and takes the next number as long as that
        orders the other half better (a paired t-test over the lists, at .01). Such
        a fit takes five to seven times as long, and more where more epochs pay.
    batch_items : int or "auto", default="auto"
        Most items, padding included, in a batch of lists of similar length. "auto"
        takes 512, and 1,024 where an epoch has 60 or more of such batches. With several
        processes it takes up to 1,024 for each; above 1,024 in total the learning rate
        grows with the square root of the batch, to at most twice the one given.
    validation_fraction : float or None, default=0.1
        Share of the lists to hold out (none if there are fewer than 10), unless `fit`
        is given `X_val`; None trains on all. NDCG@10 is measured on held-out lists
        after each epoch. The last weights are kept, unless those of the best epoch
        beat them beyond noise (a paired t-test over the lists), or training stopped
        before its planned end.
    n_iter_no_change : int or None, default=None
        Stop after this many epochs without a better one, and keep the weights of the
        best. None goes on to the planned end, which is mostly better: the learning rate
        falls to zero only there, and with few held-out lists the best epoch of a
        training that was cut short is often the luckiest. Where no list is held out, it
        does nothing but warn.
    warm_start : bool, default=False
        Whether a further call of `fit` goes on from the weights reached. Parameters
        that the network is made of, `input_transform` among them, must be as before.
    callbacks : list of skorch callbacks, default=None
        Run during training, after the ranker's own. `PrintLog` and the like print at
        ``verbose=1``; schedulers of the learning rate, and ``load_best=True``, are
        refused: the ranker sets the rate, and chooses the weights, by itself.
    device : str, default="auto"
        Where to run: "auto" takes CUDA, else MPS, else the CPU; or a torch device.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" takes bfloat16 on GPUs that are fast at it. On a CPU "bfloat16" concerns
        only products of matrices in training, and rarely pays: on CPUs with AMX, for
        wide rows, with one thread.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random. The same seed gives the same bits on one kind of CPU
        with the same number of threads. torch's global generator is left untouched.
    verbose : int, default=0
        1 shows a progress bar with the held-out NDCG.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X was a frame with names of type str.
    levels_ : ndarray of shape (n_levels,)
        Distinct values of a list (its highest label) seen by `fit`; if there are more
        than 32, means of quantile bins, and 0 apart.
    module_ : torch.nn.Module
        The network.
    device_ : torch.device
        Where the network runs.
    precision_ : {"float32", "bfloat16"}
        In which precision it trains; predictions on a CPU are in float32.
    dropout_, feature_dropout_, batch_items_, max_epochs_ : float or int
        What "auto" came to, or what was given.
    positions_, position_bias_ : ndarray of shape (n_positions,)
        Positions given to `fit`, and what each adds to a score in training, 0 on
        average: the logarithm of the chance to be seen there, as far as the log can
        tell it from what items are worth. After few steps it is still close to 0.
    calibrated_on_ : int
        Number of lists on which the chances of `predict_list_value` and
        `predict_item_value` were fitted; 0 where none was held out.
    history_ : list of dict
        One entry a whole epoch: ``epoch``, ``train_loss``, ``valid_ndcg`` or
        ``valid_loss``, and ``dur`` in seconds.
    n_iter_ : int
        Number of whole epochs run.
    kept_epoch_, kept_score_ : int and float, or None
        The epoch whose weights were kept, from 1, and what it measured on the held-out
        lists; None without these.
    fitted_with_groups_ : bool
        Whether `fit` was given list ids.

    See Also
    --------
    MLPRanker : The pointwise network, without context.
    RankerAdapter : GBDT rankers behind the same interface.

    References
    ----------
    .. [1] Buyl, Missault and Sondag, "RankFormer: Listwise Learning-to-Rank Using
       Listwide Labels", KDD 2023, https://doi.org/10.1145/3580305.3599892

    Examples
    --------
    >>> from sklearn_rankformer import RankFormerRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> ranker = RankFormerRanker(max_epochs=3, random_state=0)
    >>> ranker.fit(X, y, groups=groups).predict(X, groups=groups).shape == y.shape
    True
    """

    _needs_groups = True
    _config_kind = RankFormerConfig

    _parameter_constraints: dict = {
        **NeuralRanker._parameter_constraints,
        "listwide_weight": [Interval(Real, 0, None, closed="left")],
        "calibration_folds": [Interval(Integral, 2, None, closed="left"), None],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "nhead": [Interval(Integral, 1, None, closed="left")],
        "dim_feedforward": [Interval(Integral, 1, None, closed="left")],
        "list_features": ["boolean"],
    }

    def __init__(
        self,
        *,
        loss="mixed",
        gain="exp",
        listwide_weight=0.25,
        calibration_folds=None,
        d_model=64,
        num_layers=1,
        nhead=2,
        dim_feedforward=128,
        dropout="auto",
        feature_dropout="auto",
        n_bins=8,
        list_features=True,
        n_members=4,
        input_transform="quantile",
        categorical_features="from_dtype",
        group_column=None,
        learning_rate=3e-3,
        weight_decay=0.01,
        max_epochs="auto",
        batch_items="auto",
        validation_fraction=0.1,
        n_iter_no_change=None,
        warm_start=False,
        callbacks=None,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.gain = gain
        self.listwide_weight = listwide_weight
        self.calibration_folds = calibration_folds
        self.d_model = d_model
        self.num_layers = num_layers
        self.nhead = nhead
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        self.n_bins = n_bins
        self.list_features = list_features
        self.n_members = n_members
        self.input_transform = input_transform
        self.categorical_features = categorical_features
        self.group_column = group_column
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_items = batch_items
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @available_if(_has_list_value)
    def predict_list_value(self, X, groups=None, *, qid=None):
        """Predict what each list is worth: the highest label it holds.

        Scores only order the items of one list; they say nothing about whether the
        list is any good. This does: it is an absolute judgement, comparable between
        lists, learned from all lists, those without a positive label included.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, rows in any order.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        result : Bunch
            ``groups``, ndarray of shape (n_lists,): the list ids, in the order of
            ``np.unique``; ``proba``, ndarray of shape (n_lists, n_levels): chance that
            the list's highest label is each of ``levels_``; ``value``, ndarray of shape
            (n_lists,): the expected one, ``proba @ levels_``.

        Raises
        ------
        AttributeError
            At ``listwide_weight=0``, which leaves the listwide head out.

        Notes
        -----
        Two views of a list give a logit of :math:`P(t > k)` for each level but the
        last, as independent thresholds (RankFormer paper, section 4): the [CLS] token
        with the items, and plain aggregates of the columns. A logistic regression
        joins them, fitted on lists held out of training and drawn to their mean where
        these are few (`calibrated_on_` says how many there were). The chances
        are made to fall with rising levels by a running minimum, so that no
        probability is negative.
        """
        predictions, lists, model = self._run(X, groups, qid, "predict_list_value")
        return _list_value(predictions, lists, model)

    @available_if(_has_list_value)
    def predict_item_value(self, X, groups=None, *, qid=None):
        r"""Predict the label of each item: a chance, comparable between lists.

        Scores order the items of one list only. This says how good an item is in
        absolute terms, so that items of different lists can be compared, summed up, or
        held against a threshold.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, rows in any order.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        result : Bunch
            ``levels``, ndarray of shape (n_levels,): distinct labels seen by `fit`; if
            there are more than 32, means of quantile bins, and 0 apart; ``proba``,
            ndarray of shape (n_rows, n_levels): chance of each; ``value``, ndarray of
            shape (n_rows,): the expected label, ``proba @ levels``.

        Raises
        ------
        AttributeError
            At ``listwide_weight=0``, which leaves the listwide heads out.

        Notes
        -----
        With the scores s, the list's logit v (see `predict_list_value`) and size n,

        .. math:: \mathrm{logit} P(y_i > k) = a_k \log \mathrm{softmax}(s)_i
                  + b_k v_k + c_k \log n + d_k, \quad a_k > 0,

        four numbers for each level but the last, fitted on the items of the held-out
        lists, those without a positive label included. So within a list ``value``
        follows the order of `predict`, and between lists the value of the list.
        """
        predictions, lists, model = self._run(X, groups, qid, "predict_item_value")
        return _item_value(predictions, lists, model)

    @available_if(_has_list_value)
    def predict_all(self, X, groups=None, *, qid=None):
        """Predict scores, list value and item value from one pass through the network.

        For servers, which want them together: one method after the other would run
        the network once each.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_rows, n_features)
            Features of each item.
        groups : array-like of shape (n_rows,), default=None
            List id of each row, rows in any order.
        qid : array-like of shape (n_rows,), default=None
            Other name for `groups`.

        Returns
        -------
        result : Bunch
            ``scores``, ``list_value`` and ``item_value``, as `predict`,
            `predict_list_value` and `predict_item_value` return them.

        Raises
        ------
        AttributeError
            At ``listwide_weight=0``, which leaves the listwide heads out.
        """
        predictions, lists, model = self._run(X, groups, qid, "predict_all")
        return Bunch(
            scores=predictions.scores,
            list_value=_list_value(predictions, lists, model),
            item_value=_item_value(predictions, lists, model),
        )

    def _run(self, X, groups, qid, method) -> tuple[Predictions, Lists, Model]:
        """What the model says of these rows, their lists, and the model asked."""
        X, lists, model = self._check_new_rows(X, groups, qid, method)
        return model.predict(X, lists, values=True), lists, model

    def _attention_weights(self, X, groups=None):
        """What the items of one list look at; see `inspection.attention_maps`."""
        X, _, model = self._check_new_rows(X, groups, None, "attention_maps")
        return attention_of_list(model.module, model.features(X), X.shape[0])

    @property
    def levels_(self):
        """Distinct values of a list seen by `fit`, or means of their quantile bins."""
        return self._model.levels.values

    @property
    def calibrated_on_(self):
        """Number of lists that the chances were fitted on."""
        return self._model.calibration.n_lists

    def _training_config(self, rows):
        config = super()._training_config(rows)
        return replace(
            config,
            listwide_weight=self.listwide_weight,
            calibration_folds=self.calibration_folds if self.listwide_weight else None,
        )

    def _network_config(self, columns, levels, rates, n_positions):
        # Each head gets an equal part of the vector.
        if self.d_model % self.nhead:
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of nhead={self.nhead}."
            )
        return RankFormerConfig(
            self._input_config(columns, rates, bool(self.list_features)),
            n_members=int(self.n_members),
            # Plain numbers: NumPy's would not survive a file.
            d_model=int(self.d_model),
            num_layers=int(self.num_layers),
            nhead=int(self.nhead),
            dim_feedforward=int(self.dim_feedforward),
            dropout=rates.dropout,
            n_positions=n_positions,
            n_thresholds=len(levels.values) - 1 if self.listwide_weight else None,
        )


def _list_value(predictions, lists, model):
    """Chances of each level, and the value expected, of each list."""
    proba = model.list_proba(predictions, lists)
    return Bunch(groups=lists.ids, proba=proba, value=proba @ model.levels.values)


def _item_value(predictions, lists, model):
    """Chances of each level, and the value expected, of each item."""
    proba, levels = model.item_proba(predictions, lists), model.item_levels.values
    return Bunch(levels=levels, proba=proba, value=proba @ levels)


class MLPRanker(NeuralRanker):
    """Pointwise network ranker: the neural baseline without context.

    Every item is scored by itself, so `predict` needs no groups; the loss is listwise
    as in `RankFormerRanker`, with which it shares everything but the network
    (RankFormer paper, section 5).

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128, 64)
        Width of each hidden layer.
    loss, gain
        As in `RankFormerRanker`.
    dropout, feature_dropout, n_bins, n_members
        As in `RankFormerRanker`.
    input_transform, categorical_features, group_column
        As in `RankFormerRanker`.
    learning_rate, weight_decay, max_epochs, batch_items
        As in `RankFormerRanker`.
    validation_fraction, n_iter_no_change, warm_start, callbacks
        As in `RankFormerRanker`.
    device, precision, random_state, verbose
        As in `RankFormerRanker`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, module_, device_, precision_
        As in `RankFormerRanker`.
    history_, n_iter_, kept_epoch_, kept_score_, fitted_with_groups_
        As in `RankFormerRanker`.
    dropout_, feature_dropout_, batch_items_, max_epochs_
        As in `RankFormerRanker`.
    positions_, position_bias_
        As in `RankFormerRanker`.

    See Also
    --------
    RankFormerRanker : The listwise transformer.

    Examples
    --------
    >>> from sklearn_rankformer import MLPRanker
    >>> from sklearn_rankformer.datasets import make_ranking
    >>> X, y, groups = make_ranking(n_lists=60, random_state=0)
    >>> ranker = MLPRanker(max_epochs=3, random_state=0).fit(X, y, groups=groups)
    >>> ranker.predict(X).shape == y.shape
    True
    """

    _needs_groups = False
    _config_kind = MLPConfig

    _parameter_constraints: dict = {
        **NeuralRanker._parameter_constraints,
        "hidden_layer_sizes": ["array-like"],
    }

    def __init__(
        self,
        *,
        hidden_layer_sizes=(128, 64),
        loss="mixed",
        gain="exp",
        dropout="auto",
        feature_dropout="auto",
        n_bins=8,
        n_members=4,
        input_transform="quantile",
        categorical_features="from_dtype",
        group_column=None,
        learning_rate=3e-3,
        weight_decay=0.01,
        max_epochs="auto",
        batch_items="auto",
        validation_fraction=0.1,
        n_iter_no_change=None,
        warm_start=False,
        callbacks=None,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.gain = gain
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        self.n_bins = n_bins
        self.n_members = n_members
        self.input_transform = input_transform
        self.categorical_features = categorical_features
        self.group_column = group_column
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_items = batch_items
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _network_config(self, columns, levels, rates, n_positions):
        sizes = tuple(self.hidden_layer_sizes)
        if not sizes or not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
            raise ValueError(
                f"hidden_layer_sizes must hold positive integers, got {sizes!r}."
            )
        return MLPConfig(
            self._input_config(columns, rates, list_features=False),
            n_members=int(self.n_members),
            hidden_sizes=tuple(int(n) for n in sizes),
            dropout=rates.dropout,
            n_positions=n_positions,
        )
