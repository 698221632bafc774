"""The mathematics that condensation methods share: pure functions of tensors."""
