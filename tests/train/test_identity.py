from train.identity import completed, differences


def test_nested_settings_that_a_later_version_adds_count_as_their_defaults() -> None:
    recorded = {"finetune": {"lora": {"rank": 8}, "mixture": {"a": 1.0}}}
    defaults = {"finetune": {"lora": {"rank": 16, "dropout": 0.0}, "mixture": {}}}
    found = completed(recorded, defaults)
    assert found == {"finetune": {"lora": {"rank": 8, "dropout": 0.0}, "mixture": {"a": 1.0}}}
    own = {"finetune": {"lora": {"rank": 8, "dropout": 0.1}, "mixture": {"a": 1.0}}}
    assert [*differences(own, found)] == [("finetune.lora.dropout", 0.1, 0.0)]
