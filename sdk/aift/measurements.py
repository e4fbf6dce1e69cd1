"""What is measured while a model learns, as other tools name it."""


def chart_name(metric: str) -> str:
    """A metric in TensorBoard and in Weights & Biases: those of evaluations under eval/, all others under train/."""
    group, _, rest = metric.partition("_")
    return f"{group}/{rest}" if group == "eval" and rest else f"train/{metric}"
