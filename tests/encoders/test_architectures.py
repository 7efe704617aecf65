from types import SimpleNamespace

import pytest
import transformers

from rationalizers.encoders.architectures import CAUSAL, check_causal
from tests.language.models import SETTINGS, config


def test_every_supported_architecture_is_tested():
    assert set(CAUSAL) == set(SETTINGS)


@pytest.mark.parametrize("kind", CAUSAL)
def test_supported_ones_pass(kind):
    check_causal(config(kind))


@pytest.mark.parametrize("kind", ["bloom", "mpt", "t5", "bert"])
def test_others_are_refused_by_name(kind):
    with pytest.raises(ValueError, match=f"'{kind}' cannot be guaranteed"):
        check_causal(transformers.AutoConfig.for_model(kind))


def test_something_that_is_no_configuration_is_refused():
    with pytest.raises(ValueError, match="None cannot be guaranteed"):
        check_causal(SimpleNamespace())


def test_layers_with_a_window_are_refused():
    with pytest.raises(ValueError, match="window of 8 tokens"):
        check_causal(config("mistral", sliding_window=8))
    with pytest.raises(ValueError, match="window of 8 tokens"):
        check_causal(config("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1))


def test_a_window_that_is_switched_off_does_no_harm():
    check_causal(config("qwen2", use_sliding_window=False, sliding_window=8))


def test_rotary_positions_that_depend_on_the_length_are_refused():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    with pytest.raises(ValueError, match="'dynamic' depend on the length"):
        check_causal(config("llama", rope_parameters=rope))
