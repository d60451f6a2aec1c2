"""The loop that one writes by hand: one `index_select` over a strided view a batch."""

import time

import torch
from torch import nn

from peers.task import BATCH, CLIP, CONTEXT, HIDDEN, HORIZON, RATE, TEST, TRAIN, Task


class Network(nn.Module):
    """The last state of an LSTM and a linear map."""

    def __init__(self, series: int):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, HIDDEN, batch_first=True), nn.Linear(HIDDEN, HORIZON)

    def forward(self, context, series):
        return self.head(self.lstm(context[..., None])[0][:, -1])


def measure(task: Task, kind: type[nn.Module] = Network) -> None:
    values = torch.from_numpy(task.matrix())
    rows, length, flat = values.shape[1], CONTEXT + HORIZON, values.flatten()
    view = flat.as_strided((len(flat) - length + 1, length), (1, 1))
    series = torch.arange(len(values))[:, None] * rows
    starts = (series + torch.arange(int(rows * TRAIN) - length + 1)).flatten()
    network = kind(len(values))
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=RATE)

    def batches():
        for numbers in starts[torch.randperm(len(starts))].split(BATCH):
            yield numbers, view.index_select(0, numbers)

    def forecast(numbers, window):
        return network(window[:, :CONTEXT], numbers // rows)

    for numbers, window in batches():
        loss = nn.functional.mse_loss(forecast(numbers, window), window[:, CONTEXT:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        if task.step():
            break
    task.trained()
    task.load(batches)
    if task.rolling:
        network.eval()
        last = (series + torch.arange(int(rows * TEST) - CONTEXT, rows - length + 1)).flatten()
        began = time.perf_counter()
        with torch.inference_mode():
            answers = torch.cat([forecast(x, view.index_select(0, x)) for x in last.split(BATCH)]).numpy()
        task.forecast(len(answers), time.perf_counter() - began)
