import copy

import pytest
import torch

from mien.train import fit
from mien.train.sam import SharpnessAware
from mien.train.task import Place, Step, derived_seed
from tests.train.toy import ToyTask, toy_recipe, weights_of

# SGD alone, so that a step can be written down.
PLAIN = {"epochs": 1, "ema_decay": 0, "clip_norm": 0, "schedule": "constant", "warmup_epochs": 0, "points": 128}


def test_weights_climb_the_gradient_by_the_radius_and_come_back():
    """Half the squared length of the weights: its gradient are the weights, at any place."""
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1, bias=False))
    first, bias, second = network.parameters()
    for weight, value in ((first, 3.0), (bias, 7.0), (second, 4.0)):
        torch.nn.init.constant_(weight, value)
    bias.grad = None  # it has no part in the loss

    def backward():
        (0.5 * (first.square().sum() + second.square().sum())).backward()

    backward()
    with SharpnessAware(network, list(network.parameters()), 0.5).perturbed():
        assert first.grad is None
        assert [weight.item() for weight in (first, bias, second)] == pytest.approx([3.3, 7.0, 4.4])
        backward()
    assert [weight.item() for weight in (first, bias, second)] == [3.0, 7.0, 4.0]
    assert [first.grad.item(), second.grad.item()] == pytest.approx([3.3, 4.4])


def test_where_there_is_no_slope_weights_stay_finite():
    network = torch.nn.Linear(2, 1)
    (0 * network(torch.ones(1, 2))).sum().backward()
    with SharpnessAware(network, list(network.parameters()), 0.5).perturbed():
        assert all(bool(torch.isfinite(weight).all()) for weight in network.parameters())


def test_a_run_takes_the_steps_of_the_paper(tmp_path):
    """Written out with a second network for the second pass, which sees the same points and drops out the same."""
    changes = {**PLAIN, "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.2, "sam_radius": 0.3}
    recipe = toy_recipe(**changes)
    task = ToyTask(recipe)
    result = fit(task, recipe, tmp_path / "run")
    assert [place[:2] for place in task.seen] == [(0, index) for index in range(4)]  # each batch is made once

    torch.manual_seed(recipe.run.seed)
    task = ToyTask(recipe)
    network = task.setup(Place(torch.device("cpu")))
    losses = []
    for index in range(4):
        seed = derived_seed(recipe.run.seed, 0, index, 0)
        batch = task.batch(Step(0, index, 0.0, seed))
        torch.manual_seed(seed)
        loss = task.losses(network, batch)["loss"]
        slopes = torch.autograd.grad(loss, list(network.parameters()))
        losses.append(loss.item())
        length = sum(slope.square().sum() for slope in slopes).sqrt()
        other = copy.deepcopy(network)
        with torch.no_grad():
            for weight, slope in zip(other.parameters(), slopes, strict=True):
                weight.add_(0.3 * slope / length)
        torch.manual_seed(seed)
        slopes = torch.autograd.grad(task.losses(other, batch)["loss"], list(other.parameters()))
        with torch.no_grad():
            for weight, slope in zip(network.parameters(), slopes, strict=True):
                weight.sub_(0.2 * slope)
    found = weights_of(result.last_path)
    for name, value in network.state_dict().items():  # batch norm's statistics among them
        torch.testing.assert_close(found[name], value, msg=name)
    assert result.history[0]["train_loss"] == pytest.approx(sum(losses) / 4)


@pytest.mark.filterwarnings("ignore:this processor has no instructions for bfloat16")
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"optimizer": "adamw", "learning_rate": 0.02}])
def test_with_all_else_it_learns(tmp_path, changes):
    recipe = toy_recipe(epochs=8, sam_radius=0.1, **changes)
    assert fit(ToyTask(recipe), recipe, tmp_path / "run").best > 0.85
