"""RankFormer in the style of its published code, for speed to be measured against."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class PublishedStyle(nn.Module):
    """RankFormer as published code has it: width = features, padded by list."""

    def __init__(self, n_features, n_thresholds):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            n_features, 1, 128, 0.25, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.cls = nn.Parameter(torch.randn(n_features))
        self.item_head = _head(2 * n_features, n_features, 1)
        self.list_head = _head(n_features, n_features, n_thresholds)

    def forward(self, X, lengths):
        lists = torch.split(X, lengths)
        size = max(lengths) + 1
        padded = X.new_zeros(len(lists), size, X.shape[1])
        padding = torch.ones(len(lists), size, dtype=torch.bool, device=X.device)
        for i, items in enumerate(lists):
            padded[i, 0] = self.cls
            padded[i, 1 : len(items) + 1] = items
            padding[i, : len(items) + 1] = False
        z = self.encoder(padded, src_key_padding_mask=padding)
        joined = [
            torch.cat([z[i, 1 : n + 1], z[i, :1].expand(n, -1)], 1)
            for i, n in enumerate(lengths)
        ]
        return self.item_head(torch.cat(joined)).squeeze(-1), self.list_head(z[:, 0])


def _head(n_in, n_hidden, n_out):
    return nn.Sequential(
        nn.Linear(n_in, n_hidden),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(n_hidden, n_out),
    )


def published_loss(scores, logits, y, lengths):
    """Softmax loss list by list, lists of zero loss dropped, plus the ordinal loss."""
    losses, tops = [], []
    for s, labels in zip(
        torch.split(scores, lengths), torch.split(y, lengths), strict=True
    ):
        loss = -(labels * F.log_softmax(s, 0)).mean()
        if loss.abs() > 0:
            losses.append(loss)
        tops.append(labels.max())
    above = torch.stack(
        [(torch.stack(tops) > k).float() for k in range(logits.shape[1])], 1
    )
    value = F.binary_cross_entropy_with_logits(logits, above)
    return torch.stack(losses).mean() + value if losses else value


def published_epoch(X, y, lists, device, batch_lists=32):
    """Return a function that trains one epoch in the published style."""
    module = PublishedStyle(X.shape[1], int(y.max())).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.1)
    X, y = (torch.from_numpy(a).float().to(device) for a in (X, y))
    rng = np.random.default_rng(0)

    def epoch():
        module.train()
        order = rng.permutation(lists.n_lists)
        for at in range(0, len(order), batch_lists):
            chosen = order[at : at + batch_lists]
            lengths = lists.lengths[chosen].tolist()
            rows = torch.from_numpy(lists.rows(chosen))
            optimizer.zero_grad()
            loss = published_loss(*module(X[rows], lengths), y[rows], lengths)
            loss.backward()
            optimizer.step()

    return epoch
